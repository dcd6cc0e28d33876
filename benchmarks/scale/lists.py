"""Lists and searches over 10,000 jobs: how long the HTTP API takes for a page."""

import asyncio
import random
import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from benchmarks.api import p99, running_api
from benchmarks.figures import Asked, Figure, NotMeasured, Side, median
from benchmarks.followers import HOST
from benchmarks.measurements import Bench
from benchmarks.scale.observing import observe
from benchmarks.work import Work
from benchmarks.worker_process import Kind
from darkroom.records.sqlite.database import stamp

SEARCH_PARAMETERS = ("search", "q", "query")
COLOURS = ("red", "green", "blue", "amber", "violet")
THINGS = ("chair", "lamp", "vase", "lemon", "kettle", "coat", "boat", "harbour", "garden", "train")
APART = timedelta(minutes=5)

OF_A_JOB = ("quel_production_jobs", "quel_job_stages", "quel_job_words", "quel_job_runs")
"""Tables whose rows a job in a list has, the job's own first."""


async def lists(bench: Bench) -> list[Figure | NotMeasured]:
    """Pages of all jobs, of one status and far down; searches, where there are any."""
    jobs, asked = bench.count(10_000, 30), bench.count(200, 5)
    async with bench.server("lists") as server:
        async with bench.warm_worker(server, Kind.DARKROOM, Work(stages=1, images=3)) as worker:
            await observe(server, worker, [Work(stages=1, images=3)])
        await asyncio.to_thread(_multiply, server.home / "records.db", jobs)
        async with running_api(server) as api, httpx.AsyncClient(timeout=60, trust_env=False) as http:
            url = f"http://{HOST}:{api.port}"
            shown, cursors = await _walked(http, url, limit=bench.count(200, 10))
            if shown < jobs:
                raise RuntimeError(f"the list shows {shown:,} of {jobs:,} jobs")
            questions = await _questions(http, url, cursors)
            figures: list[Figure | NotMeasured] = []
            if "search" not in questions:
                figures.append(NotMeasured(name="search", reason="GET /api/jobs has no parameter to search by"))
            for name, choices in questions.items():
                answers = [await _asked(http, url, random.choice(choices)) for _ in range(asked)]
                figures += _figures(name, f"{shown:,} jobs", answers)
    return figures


def _multiply(file: Path, jobs: int) -> None:
    """Write so many jobs like the newest one, each with an id, a time and a prompt of its own."""
    with closing(sqlite3.connect(file)) as db, db:
        db.row_factory = sqlite3.Row
        like = db.execute("select * from quel_production_jobs order by created_at desc limit 1").fetchone()
        rows = {
            table: [dict(row) for row in db.execute(f"select * from {table} where job_id = ?", (like["job_id"],))]
            for table in OF_A_JOB
        }
        begun = datetime.now(UTC) - jobs * APART
        for number in range(jobs):
            colour, thing = COLOURS[number % len(COLOURS)], THINGS[number // len(COLOURS) % len(THINGS)]
            words = f"A {colour} {thing} on a table, number {number}"
            changed = {
                "job_id": str(uuid4()),
                "run_id": str(uuid4()),
                "created_at": stamp(begun + number * APART),
                "prompt": words,
                "job_name": words if number % 2 else None,
                "words": words.lower(),
                "failed_images": 1 if number % 100 == 0 else 0,
                "job_status": ("completed", "cancelled", "failed")[number % 3],
            }
            for table, found in rows.items():
                for row in found:
                    _insert(db, table, {column: changed.get(column, value) for column, value in row.items()})


def _insert(db: sqlite3.Connection, table: str, row: Mapping[str, Any]) -> None:
    places = ", ".join("?" * len(row))
    db.execute(f"insert into {table} ({', '.join(row)}) values ({places})", tuple(row.values()))


async def _walked(http: httpx.AsyncClient, url: str, limit: int) -> tuple[int, list[str]]:
    """How many jobs the list has from its first page to its last, and where the pages begin."""
    shown, cursors = 0, []
    cursor: str | None = ""
    while cursor is not None:
        page = await http.get(f"{url}/api/jobs", params={"limit": limit, **({"cursor": cursor} if cursor else {})})
        page.raise_for_status()
        shown += len(page.json()["jobs"])
        cursor = page.json()["next_cursor"]
        cursors += [cursor] if cursor else []
    return shown, cursors


async def _questions(http: httpx.AsyncClient, url: str, cursors: Sequence[str]) -> dict[str, list[dict[str, str]]]:
    """What is asked for, by name: each time one of these sets of parameters."""
    questions: dict[str, list[dict[str, str]]] = {
        "list": [{}],
        "list-state": [{"status": "short"}, {"status": "paused,failed"}, {"day": str(datetime.now(UTC).date())}],
        "list-status": [{"status": "completed"}, {"status": "cancelled"}, {"status": "processing"}],
    }
    if cursors:
        questions["list-deep"] = [{"cursor": cursor} for cursor in cursors]
    operation = (await http.get(f"{url}/openapi.json")).json()["paths"]["/api/jobs"]["get"]
    offered = {each["name"] for each in operation["parameters"]}
    parameter = next((name for name in SEARCH_PARAMETERS if name in offered), None)
    if parameter is not None:
        questions["search"] = [{parameter: f"{colour} {thing}"} for colour in COLOURS for thing in THINGS]
        questions["search-rare"] = [{parameter: f"number {number}"} for number in range(7, 30, 3)]
        questions["search-none"] = [{parameter: "zeppelin"}]
    return questions


async def _asked(http: httpx.AsyncClient, url: str, parameters: Mapping[str, str]) -> float:
    """Milliseconds to the answer."""
    began = time.perf_counter()
    answer = await http.get(f"{url}/api/jobs", params=parameters)
    answer.raise_for_status()
    return 1000 * (time.perf_counter() - began)


def _figures(name: str, what: str, answers: Sequence[float]) -> list[Figure]:
    shown = name.replace("-", ", ")
    return [
        Figure(name=f"{name}-p50", what=f"{what}: {shown}, p50", unit="ms", value=median(answers)),
        Figure(
            name=f"{name}-p99",
            what=f"{what}: {shown}, p99",
            unit="ms",
            value=p99(answers),
            asked=Asked(side=Side.AT_MOST, bound=50),
        ),
    ]
