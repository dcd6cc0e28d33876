"""What goes wrong is said to customers in customers' words, to operators in theirs, and to strangers hardly at all."""

import json
import re
import time
from datetime import timedelta
from pathlib import Path
from statistics import median
from uuid import UUID, uuid4

import pytest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from darkroom.domain.customers_words import SERVICE
from darkroom.domain.errors import (
    RecordsUnavailable,
    ServerNotReachable,
    SettingRejected,
    StorageRefused,
)
from darkroom.domain.names import JOB_QUEUES
from darkroom.domain.stored import NewReference
from darkroom.domain.storybook import Book
from tests.support.fakes.scripted import tiny_picture
from tests.support.stacks.api import ApiStack, is_a_problem, running_api
from tests.support.stacks.temporal_server import running_temporal
from tests.support.tokens import SECRET, token
from tests.support.until import until

INNER = re.compile(r"(?i)temporal |darkroom |supabase|api_|10\.1\.2\.3|worker|queue|disk|/home|records\.db")
"""What no customer can do anything about, and no stranger should know."""

ORDER = {"stages": [{"prompt": "a lemon", "quantity": 1}]}


@pytest.mark.parametrize(
    "error",
    [
        ServerNotReachable("the Temporal server at 10.1.2.3:7233 does not answer: set TEMPORAL_ADDRESS"),
        RPCError("secret-part", RPCStatusCode.PERMISSION_DENIED, b""),
        RecordsUnavailable("records http://10.1.2.3: 08006; check SUPABASE_URL"),
        StorageRefused("storage http://10.1.2.3: wrong key; set SUPABASE_SERVICE_ROLE_KEY"),
        SettingRejected("TEMPORAL_API_KEY: contains characters that no header takes"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_an_outage_is_the_operators(
    with_tokens: ApiStack, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    customer = with_tokens.as_user(await with_tokens.key(uuid4()))
    operator = with_tokens.as_user(await with_tokens.key(uuid4(), operator=True))

    async def fails() -> None:
        raise error

    monkeypatch.setattr(type(with_tokens.services.temporal), "client", lambda _: fails())
    if isinstance(error, StorageRefused | SettingRejected):
        monkeypatch.setattr(type(with_tokens.services), "client", lambda _: fails())
    elif isinstance(error, RecordsUnavailable):
        monkeypatch.setattr(type(with_tokens.parts.records), "job_page", lambda *_, **__: fails())
    method, path = ("GET", "/api/jobs") if isinstance(error, RecordsUnavailable) else ("POST", "/api/jobs")
    for headers in (customer, operator):
        answer = await with_tokens.http.request(method, path, headers=headers, json=ORDER if method == "POST" else None)
        is_a_problem(answer)
        assert answer.status_code in (500, 503)
        assert "secret-part" not in answer.text
        if headers is customer:
            assert not INNER.search(answer.json()["detail"]), answer.text
            if answer.status_code == 503:
                assert re.search(r"try again in (a minute|a few seconds)$", answer.json()["detail"])
        elif isinstance(error, ServerNotReachable | RPCError):
            assert "Temporal server" in answer.json()["detail"]


async def test_strangers_are_told_that_it_is_not_ready_and_operators_why(tmp_path: Path) -> None:
    """No worker runs here: a server of its own, as one knows for minutes who has polled it."""
    settings = {"api_host": "0.0.0.0", "supabase_jwt_secret": SECRET}
    async with (
        running_temporal() as temporal,
        running_api(temporal, tmp_path, workers=False, settings=settings) as api,
    ):
        ready = api.http.get
        customer = api.as_user(await api.key(uuid4()))
        operator = api.as_user(await api.key(uuid4(), operator=True))
        for headers in ({}, customer, api.as_user("dk_wrong"), {"Authorization": "Basic x"}):
            answer = await ready("/readyz", headers=headers)
            is_a_problem(answer)
            assert (answer.status_code, answer.json()["detail"]) == (503, "not ready; try again in a minute")
        answer = await ready("/readyz", headers=operator)
        assert (answer.status_code, "no worker" in answer.json()["detail"]) == (503, True)


async def test_while_the_records_fail_nobody_is_an_operator(
    with_tokens: ApiStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = with_tokens.as_user(await with_tokens.key(uuid4(), operator=True))

    async def fails(*_: object) -> None:
        raise RecordsUnavailable("records http://10.1.2.3: 08006; check SUPABASE_URL")

    monkeypatch.setattr(type(with_tokens.parts.records), "api_key", fails)
    answer = await with_tokens.http.get("/readyz", headers=operator)
    assert (answer.status_code, answer.json()["detail"]) == (503, "not ready; try again in a minute")


async def test_a_refused_sign_in_tells_a_stranger_no_commands(with_tokens: ApiStack) -> None:
    for headers in ({}, with_tokens.as_user("dk_wrong"), with_tokens.as_user("x"), with_tokens.as_user(token(aud="a"))):
        answer = await with_tokens.http.get("/api/jobs", headers=headers)
        assert answer.status_code == 401
        assert "darkroom " not in answer.json()["detail"]


async def pictures(api: ApiStack, owner: UUID) -> dict[str, int]:
    """Ids of attachments that a user has nothing to do with, by kind."""
    files = {"file": ("a.png", tiny_picture(), "image/png")}
    theirs = await api.http.post("/api/attachments", files=files, headers=api.as_user(await api.key(owner)))
    unowned = NewReference(
        user_id=None, original_name="old.png", path="old.png", size=1, media_type="image/png", sha256="0" * 64
    )
    return {
        "another's": theirs.json()["attach_id"],
        "nobody's": await api.parts.records.add_reference(unowned),
        "none": 2**31 - 1,
    }


async def test_of_a_picture_that_is_not_ones_own_nothing_is_learnt(with_tokens: ApiStack) -> None:
    """Ids count up: status, words and time are the same for another's, nobody's and none."""
    ids = await pictures(with_tokens, uuid4())
    headers = with_tokens.as_user(await with_tokens.key(uuid4()))
    answers: dict[str, set[tuple[int, str, str]]] = {kind: set() for kind in ids}
    times: dict[str, list[float]] = {kind: [] for kind in ids}
    stage = {"prompt": "x", "quantity": 1}
    for _ in range(15):
        for kind, attach_id in ids.items():
            begun = time.perf_counter()
            answer = await with_tokens.http.get(f"/api/attachments/{attach_id}", headers=headers)
            times[kind].append(time.perf_counter() - begun)
            said = [answer]
            for path in ("/api/jobs", "/api/jobs/quote"):
                document = {"stages": [stage | {"mergedImageAttachId": attach_id}]}
                said.append(await with_tokens.http.post(path, json=document, headers=headers))
            for one in said:
                detail = one.json()["detail"].replace(str(attach_id), "N")
                answers[kind].add((one.status_code, detail, one.json()["code"]))
    assert answers["another's"] == answers["nobody's"] == answers["none"]
    assert {status for status, *_ in answers["none"]} == {404, 422}
    medians = [median(taken) for taken in times.values()]
    assert max(medians) - min(medians) < 0.02


async def test_of_a_book_that_is_not_ones_own_nothing_is_learnt(with_tokens: ApiStack) -> None:
    theirs = uuid4()
    await with_tokens.parts.records.ensure_book(Book(book_id=theirs, user_id=uuid4(), base_path="books/a"))
    headers = with_tokens.as_user(await with_tokens.key(uuid4()))
    said = set()
    for book_id in (theirs, uuid4()):
        document = {"book_id": str(book_id), "pages": [{"dialogues": ["x"]}]}
        answer = await with_tokens.http.post("/api/jobs/quote", json=document, headers=headers)
        said.add((answer.status_code, answer.json()["detail"].replace(str(book_id), "B")))
    assert len(said) == 1


@pytest.mark.parametrize("path", ["/api/jobs/{}", "/api/jobs/{}/receipt", "/api/jobs/{}/archive.zip", "/jobs/{}"])
async def test_of_a_job_that_is_not_ones_own_nothing_is_learnt(with_tokens: ApiStack, path: str) -> None:
    owner = await with_tokens.key(uuid4())
    answer = await with_tokens.http.post("/api/jobs", json=ORDER, headers=with_tokens.as_user(owner))
    headers = with_tokens.as_user(await with_tokens.key(uuid4()))
    said = set()
    for job_id in (answer.json()["job_id"], str(uuid4())):
        found = await with_tokens.http.get(path.format(job_id), headers=headers)
        said.add((found.status_code, found.json()["detail"].replace(job_id, "J")))
    assert len(said) == 1


@pytest.mark.parametrize("reason", ["a\nb", "\x1b[31m", "\u202e", "\x9b", "x" * 501])
async def test_reasons_are_refused_at_the_door(with_tokens: ApiStack, reason: str) -> None:
    user = with_tokens.as_user(await with_tokens.key(uuid4()))
    job_id = (await with_tokens.http.post("/api/jobs", json=ORDER, headers=user)).json()["job_id"]
    for path, body in (
        (f"/api/jobs/{job_id}/cancel", {"reason": reason}),
        (f"/api/jobs/{job_id}/pause", {"reason": reason}),
        ("/api/jobs/cancel", {"job_id": job_id, "reason": reason}),
    ):
        answer = await with_tokens.http.post(path, json=body, headers=user)
        is_a_problem(answer)
        assert (answer.status_code, answer.json()["field"]) == (400, "reason"), answer.text
        assert answer.json()["detail"].isprintable()
    row = await with_tokens.parts.records.job(UUID(job_id))
    assert row is not None
    assert (row.paused, row.cancel_requested) == (False, False)


@pytest.mark.parametrize("label", ["a\nb", "\x1b[31m", "\u202e"])
async def test_labels_are_refused_at_the_door(with_tokens: ApiStack, label: str) -> None:
    user = with_tokens.as_user(await with_tokens.key(uuid4()))
    rows = {"prompt": "A {colour} chair", "rows": [{"colour": "red", "label": label}]}
    angles = {"basePrompt": "x", "combinations": [{"angle": label, "shot": "full"}]}
    for document, field in ((rows, "rows[0].label"), (angles, "combinations[0].angle")):
        answer = await with_tokens.http.post("/api/jobs", json=document, headers=user)
        assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text
        assert answer.json()["detail"].isprintable()


async def test_where_no_worker_runs_a_customer_reads_no_task_queues(
    temporal_of_its_own: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the answer, in the stream and on the page; the operator reads them."""
    monkeypatch.setattr("darkroom.domain.movement.JUST_NOW", timedelta(0))
    settings = {"api_host": "0.0.0.0", "supabase_jwt_secret": SECRET}
    async with running_api(temporal_of_its_own, tmp_path, workers=False, settings=settings) as api:
        user_id = uuid4()
        customer = api.as_user(await api.key(user_id))
        operator = api.as_user(await api.key(uuid4(), operator=True))
        job_id = await api.written(ORDER, user_id)
        url = f"/api/jobs/{job_id}"

        async def is_known() -> bool:
            return bool((await api.http.get(url, headers=operator)).json()["without_worker"])

        await until(is_known, "the operator to be told of the queues")
        assert set((await api.http.get(url, headers=operator)).json()["without_worker"]) <= set(JOB_QUEUES)
        assert (await api.http.get(url, headers=customer)).json()["without_worker"] == [SERVICE]
        page = await api.http.get(f"/jobs/{job_id}", headers=customer)
        assert f"{SERVICE} is not running; the operator has to fix this" in page.text
        assert "darkroom-generate" not in page.text
        async with api.http.stream("GET", f"{url}/events", headers=customer) as stream:
            async for line in stream.aiter_lines():
                if line.startswith("data: ") and "without_worker" in line:
                    assert json.loads(line[6:])["without_worker"] == [SERVICE]
                    break
