"""How the replaced workers wrote to their database: several statements, each committed by itself."""

import asyncio
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

PRICE = 20
CANCELLED = "user_cancelled"
WORKING = "working"
"""The folder below the home that has a file for each job that is queued or in progress, by start of the worker."""
SCHEMA = """
create table quel_member (quel_member_id text primary key, quel_email text not null, quel_member_credit integer);
create table quel_organization (org_id text primary key, org_name text not null, org_credit integer, owner_id text);
create table quel_production_jobs (job_id text primary key, job_type text not null, quel_member_id text, org_id text,
    job_status text default 'pending', total_images integer not null, completed_images integer default 0,
    job_input_data text not null, generated_attach_ids text default '[]', error_message text);
create table quel_attach (attach_id integer primary key autoincrement, attach_original_name text,
    attach_file_name text, attach_file_path text, attach_file_type text, attach_file_size integer);
create table quel_credits (id text primary key, user_id text not null, org_id text, used_by_member_id text,
    transaction_type text not null, amount integer not null, balance_after integer not null, attach_idx integer);
"""
"""The columns that matter here, of the tables as they were deployed."""


@dataclass(frozen=True)
class PlainJob:
    """A job's row, read once."""

    job_id: str
    user_id: str | None
    org_id: str | None
    stages: tuple[tuple[str, int], ...]
    """Prompts and quantities."""


class PlainRecords:
    """Named as the port's methods, so that a proof's wrappers let the same ones fail."""

    def __init__(self, database: Path) -> None:
        self._database = database

    async def open_run(self, job_id: str) -> PlainJob:
        """Mark a job as in progress."""
        await self._run("update quel_production_jobs set job_status = 'processing' where job_id = ?", job_id)
        [(user_id, org_id, document)] = await self._run(
            "select quel_member_id, org_id, job_input_data from quel_production_jobs where job_id = ?", job_id
        )
        stages = tuple((stage["prompt"], stage["quantity"]) for stage in json.loads(document)["stages"])
        return PlainJob(job_id, user_id, org_id, stages)

    async def cancelled(self, job_id: str) -> bool:
        """The flag of the cancel patch, asked before every picture."""
        [(status,)] = await self._run("select job_status from quel_production_jobs where job_id = ?", job_id)
        return bool(status == CANCELLED)

    async def attach(self, path: str, size: int) -> int:
        """Insert a picture's row."""
        name = path.rpartition("/")[2]
        [(attach_id,)] = await self._run(
            "insert into quel_attach (attach_original_name, attach_file_name, attach_file_path, attach_file_type,"
            " attach_file_size) values (?, ?, ?, 'image/webp', ?) returning attach_id",
            *(name, name, path, size),
        )
        return int(attach_id)

    async def refresh(self, job_id: str, attach_id: int) -> None:
        """Append a picture to its job's row."""
        [(told,)] = await self._run("select generated_attach_ids from quel_production_jobs where job_id = ?", job_id)
        ids = [*json.loads(told), attach_id]
        await self._run(
            "update quel_production_jobs set generated_attach_ids = ?, completed_images = ? where job_id = ?",
            *(json.dumps(ids), len(ids), job_id),
        )

    async def settle(self, job: PlainJob, attach_id: int) -> None:
        """Read the balance, subtract, write it back, and write the journal's row."""
        table, column, key = (
            ("quel_organization", "org_credit", "org_id")
            if job.org_id
            else ("quel_member", "quel_member_credit", "quel_member_id")
        )
        wallet = job.org_id or job.user_id
        [(balance,)] = await self._run(f"select {column} from {table} where {key} = ?", wallet)  # noqa: S608 - our own
        await self._run(f"update {table} set {column} = ? where {key} = ?", balance - PRICE, wallet)  # noqa: S608
        await self._run(
            "insert into quel_credits (id, user_id, org_id, used_by_member_id, transaction_type, amount,"
            " balance_after, attach_idx) values (?, ?, ?, ?, 'DEDUCT', ?, ?, ?)",
            *(str(uuid4()), job.user_id, job.org_id, job.user_id if job.org_id else None),
            *(-PRICE, balance - PRICE, attach_id),
        )

    async def close_run(self, job_id: str) -> None:
        """Mark a job completed, whatever was delivered."""
        await self._run("update quel_production_jobs set job_status = 'completed' where job_id = ?", job_id)

    async def _run(self, statement: str, *values: object) -> list[Any]:
        return await asyncio.to_thread(_committed, self._database, statement, values)


def _committed(database: Path, statement: str, values: Sequence[object]) -> list[Any]:
    with closing(sqlite3.connect(database)) as db, db:
        return db.execute(statement, tuple(values)).fetchall()
