"""The OpenAPI document: true of the running server, whoever asks it whatever, and enough to work with."""

import asyncio
import json
import os
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import Client

from darkroom.api.app import make_app
from tests.support.stacks.api import ApiStack, running_api

EXAMPLES = [2, pytest.param(40, marks=pytest.mark.slow)]
"""Cases an operation beside those that cover each parameter's bounds."""

CONFIGURATION = """
# An order document is any object, a cursor any string, a file any bytes: the document cannot say which are good.
checks.positive_data_acceptance.enabled = false

# What is deleted of a job is its pictures and prompts; the job itself is told of, for what it cost.
checks.use_after_free.enabled = false

# To GET, the last part of these paths is a job's id, and a wrong one.
[[operations]]
include-path = ["/api/jobs/cancel", "/api/jobs/quote"]
checks.unsupported_method.enabled = false
checks.allow_header_conformance.enabled = false
"""


async def exercise(api: ApiStack, home: Path, examples: int, *options: str) -> None:
    """Let Schemathesis ask; fails with its report where an answer is not what the document says."""
    configuration = home / "schemathesis.toml"
    configuration.write_text(CONFIGURATION)
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(configuration), "--no-color",
        "run", f"{api.url}/openapi.json", "--seed", "1", "--no-shrink", "--warnings", "off",
        "--max-examples", str(examples), "--request-timeout", "20", *options,
    ]  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=home,
        env={**os.environ, "NO_PROXY": "127.0.0.1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output = (await process.communicate())[0].decode()
    if process.returncode != 0 or not re.search(r"\b\d{2,} generated", output):
        pytest.fail(output, pytrace=False)


@pytest.mark.parametrize("examples", EXAMPLES)
async def test_the_document_is_true_for_the_local_user(
    temporal_of_its_own: Client, tmp_path: Path, examples: int
) -> None:
    async with running_api(temporal_of_its_own, tmp_path, settings={"api_changes_per_minute": 100_000}) as api:
        await exercise(api, tmp_path, examples)
        assert await api.parts.records.audit() == []


@pytest.mark.slow
async def test_the_document_is_true_for_who_signs_in(temporal: Client, tmp_path: Path) -> None:
    settings = {"api_host": "0.0.0.0", "api_changes_per_minute": 100_000}
    async with running_api(temporal, tmp_path, settings=settings) as api:
        key = await api.key(uuid4())
        await exercise(
            api, tmp_path, 40, "--header", f"Authorization: Bearer {key}", "--phases", "examples,fuzzing,stateful"
        )
        assert await api.parts.records.audit() == []


@pytest.mark.slow
async def test_the_document_is_true_for_strangers(temporal: Client, tmp_path: Path) -> None:
    async with running_api(temporal, tmp_path, workers=False, settings={"api_host": "0.0.0.0"}) as api:
        await api.key(uuid4())
        await exercise(api, tmp_path, 1, "--phases", "coverage")
        assert await api.parts.records.job_page(10) == []


async def test_every_change_may_be_one_too_many(temporal: Client, tmp_path: Path) -> None:
    async with running_api(temporal, tmp_path, workers=False, settings={"api_changes_per_minute": 1}) as api:
        document = (await api.http.get("/openapi.json")).json()
        assert (await api.http.post("/api/jobs/cancel", json={"job_id": str(uuid4())})).status_code == 404
        for method, path, operation in operations(document):
            if method == "get" or path.endswith(("/quote", "/tables")):
                continue
            named = path.replace("{job_id}", str(uuid4()))
            body: dict[str, Any] = (
                {"json": {"job_id": str(uuid4()), "stages": []}} if "requestBody" in operation else {}
            )
            if path == "/api/attachments":
                body = {"files": {"file": ("a.png", b"x")}}
            answer = await api.http.request(method, named, **body)
            if answer.status_code != 429:  # another minute has begun: this was its one change
                answer = await api.http.request(method, named, **body)
            assert answer.status_code == 429, (method, path, answer.text)
            assert "429" in operation["responses"], (method, path)


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(method, path, of) for path, methods in document["paths"].items() for method, of in methods.items()]


async def test_every_route_says_what_it_does(quiet: ApiStack) -> None:
    document = (await quiet.http.get("/openapi.json")).json()
    for method, path, operation in operations(document):
        assert operation["summary"], (method, path)
        assert len(operation["description"]) > 15, (method, path)
        assert operation["tags"], (method, path)
        for parameter in operation.get("parameters", []):
            assert parameter["name"], (method, path)


async def test_ids_of_operations_are_unique_and_stay(quiet: ApiStack) -> None:
    document = (await quiet.http.get("/openapi.json")).json()
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids))
    assert {"order_api_jobs_post", "cancel_api_jobs__job_id__cancel_patch"} <= set(ids)
    again = make_app(quiet.services).openapi()
    assert json.dumps(again) == json.dumps(document)


async def test_errors_are_documented_as_they_are(quiet: ApiStack) -> None:
    document = (await quiet.http.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    assert "HTTPValidationError" not in schemas
    for method, path, operation in operations(document):
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert list(response["content"]) == ["application/problem+json"], (method, path, status)


@pytest.mark.parametrize(("host", "security"), [("127.0.0.1", [{"bearer": []}, {}]), ("0.0.0.0", [{"bearer": []}])])
async def test_the_document_says_whether_one_must_sign_in(
    temporal: Client, tmp_path: Path, host: str, security: list[Any]
) -> None:
    async with running_api(temporal, tmp_path, workers=False, settings={"api_host": host}) as api:
        document = (await api.http.get("/openapi.json")).json()
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    for method, path, operation in operations(document):
        assert operation.get("security") == (security if path.startswith("/api/") else None), (method, path)


async def test_the_examples_can_be_ordered_and_cost_little(quiet: ApiStack) -> None:
    document = (await quiet.http.get("/openapi.json")).json()
    for path in ("/api/jobs", "/api/jobs/quote"):
        examples = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["examples"]
        assert examples
        for example in examples.values():
            answer = await quiet.http.post("/api/jobs/quote", json=example["value"])
            assert answer.status_code == 200, answer.text
            assert answer.json()["warnings"] == []
            # /docs orders it at one press of a button.
            assert answer.json()["images"] <= 5


class Addresses(HTMLParser):
    """What a page loads."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href")]


async def test_docs_load_nothing_from_elsewhere(quiet: ApiStack) -> None:
    page = await quiet.http.get("/docs")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    addresses = Addresses(page.text).found
    assert addresses
    for address in addresses:
        assert re.match(r"/(?!/)", address)
        answer = await quiet.http.get(address)
        assert answer.status_code == 200, address
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-type"].partition(";")[0] in ("text/css", "text/javascript", "image/svg+xml")
    assert 'url: at("/openapi.json")' in (await quiet.http.get("/static/docs.js")).text
