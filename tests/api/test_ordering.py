"""Orders over HTTP: created once, priced before, and refused with one line that names the field."""

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from temporalio.client import Client

from darkroom.domain.names import LOCAL_USER
from tests.support.hostile_pictures import picture
from tests.support.minutes import minute_with_time_left
from tests.support.stacks.api import ApiStack, running_api

LEMON = {"stages": [{"prompt": "a lemon", "quantity": 2}]}


async def test_an_order_is_accepted_with_its_place(api: ApiStack) -> None:
    answer = await api.http.post("/api/jobs", json=LEMON)
    assert answer.status_code == 202
    body = answer.json()
    assert answer.headers["location"] == body["urls"]["self"] == f"/api/jobs/{body['job_id']}"
    assert (body["found"], body["total_images"]) == (False, 2)
    job = await api.ended(UUID(body["job_id"]))
    assert (job["status"], job["completed_images"]) == ("completed", 2)


async def test_one_key_and_body_is_one_job_and_another_body_is_refused(api: ApiStack) -> None:
    headers = {"Idempotency-Key": "spring-1"}
    first, second = [await api.http.post("/api/jobs", json=LEMON, headers=headers) for _ in range(2)]
    assert first.json()["job_id"] == second.json()["job_id"]
    assert (first.json()["found"], second.json()["found"]) == (False, True)
    other = {"stages": [{"prompt": "a lime", "quantity": 2}]}
    answer = await api.http.post("/api/jobs", json=other, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    await api.ended(UUID(first.json()["job_id"]))
    # Long after, too: when the job has ended and its stages are stored.
    late = await api.http.post("/api/jobs", json=LEMON, headers=headers)
    assert (late.status_code, late.json()["job_id"], late.json()["status"]) == (
        202,
        first.json()["job_id"],
        "completed",
    )
    assert len(await api.parts.records.job_page(10)) == 1


async def test_fifty_at_once_with_one_key_are_one_job(api: ApiStack) -> None:
    headers = {"Idempotency-Key": str(uuid4())}
    answers = await asyncio.gather(*(api.http.post("/api/jobs", json=LEMON, headers=headers) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["job_id"] for answer in answers}) == 1
    assert [answer.json()["found"] for answer in answers].count(False) == 1
    assert len(await api.parts.records.job_page(10)) == 1


async def test_two_users_may_use_the_same_key(signed: ApiStack) -> None:
    found = set()
    for _ in range(2):
        headers = {**signed.as_user(await signed.key(uuid4())), "Idempotency-Key": "spring-1"}
        found.add((await signed.http.post("/api/jobs", json=LEMON, headers=headers)).json()["job_id"])
    assert len(found) == 2


async def test_prefer_wait_waits_for_the_end(api: ApiStack) -> None:
    answer = await api.http.post("/api/jobs", json=LEMON, headers={"Prefer": "wait=20"})
    assert (answer.json()["status"], answer.json()["completed_images"]) == ("completed", 2)
    assert answer.headers["preference-applied"] == "wait=20"


async def test_prefer_wait_does_not_wait_longer_than_asked(api: ApiStack) -> None:
    api.provider.gate.clear()
    answer = await api.http.post("/api/jobs", json=LEMON, headers={"Prefer": "respond-async, wait=1"})
    assert (answer.status_code, answer.json()["status"]) in {(202, "processing"), (202, "pending")}


async def test_a_quote_says_the_price_and_creates_nothing(quiet: ApiStack) -> None:
    document = {"stages": [{"prompt": "a", "quantity": 3}, {"prompt": "b", "quantity": 2}], "colour": "red"}
    quote = (await quiet.http.post("/api/jobs/quote", json=document)).json()
    assert (quote["images"], quote["price"], quote["credits"], quote["enough"]) == (5, 20, 100, True)
    assert [stage["credits"] for stage in quote["stages"]] == [60, 40]
    assert quote["warnings"] == ["colour: unknown key, ignored"]
    capped = (await quiet.http.post("/api/jobs/quote", json={**document, "max_credits": 70})).json()
    assert (capped["credits"], [stage["credits"] for stage in capped["stages"]]) == (60, [60, 0])
    assert await quiet.parts.records.job_page(10) == []


async def test_an_order_that_the_balance_does_not_cover_is_402_and_creates_nothing(quiet: ApiStack) -> None:
    document = {"stages": [{"prompt": "a", "quantity": 5001}]}
    answer = await quiet.http.post("/api/jobs", json=document)
    assert (answer.status_code, answer.json()["code"]) == (402, "insufficient_credits")
    assert "need 100020, available 100000" in answer.json()["detail"]
    assert await quiet.parts.records.job_page(10) == []
    assert (await quiet.http.post("/api/jobs/quote", json=document)).json()["enough"] is False


REFUSED: list[tuple[Any, str]] = [
    ({"stages": []}, "stages"),
    ({"stages": [{"prompt": "a", "quantity": 0}]}, "stages[0].quantity"),
    ({"stages": [{"prompt": " ", "quantity": 1}]}, "stages[0].prompt"),
    ({"stages": [{"prompt": "a", "quantity": 1, "aspect-ratio": "7:5"}]}, "stages[0].aspect_ratio"),
    ({"stages": [{"prompt": "a", "quantity": 1, "mergedImageAttachId": 99}]}, "stages[0].references"),
    ({"stages": [{"prompt": "a", "quantity": 1}], "job_type": "poster"}, "job_type"),
    ({"stages": [{"prompt": "a", "quantity": 1}], "userId": str(uuid4())}, "user_id"),
    ({}, "job_type"),
    ({"stages": [{"prompt": "\ud800", "quantity": 1}]}, "document"),
    ({"stages": [{"prompt": "a", "quantity": float("nan")}]}, "document"),
    ({"stages": [{"prompt": "a", "quantity": 1}], "note": float("inf")}, "document"),
]


@pytest.mark.parametrize("route", ["/api/jobs", "/api/jobs/quote"])
@pytest.mark.parametrize(("document", "field"), REFUSED)
async def test_a_rejected_order_names_the_field_and_leaves_nothing(
    quiet: ApiStack, route: str, document: Any, field: str
) -> None:
    content = json.dumps(document)  # httpx refuses to write what is no JSON
    answer = await quiet.http.post(route, content=content, headers={"Content-Type": "application/json"})
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["field"]) == (422, "order_rejected", field), problem
    assert problem["detail"].startswith(f"{field}: ")
    assert problem["retryable"] is False
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert await quiet.parts.records.job_page(10) == []


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"null", "application/json", 400),
        (b'"x"', "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"stages": ' + b"[" * 5_000 + b"]" * 5_000 + b"}", "application/json", 400),
        (b'{"stages": ' + b"[" * 50 + b"]" * 50 + b"}", "application/json", 400),
        (b"{}", "text/plain", 415),
        (b"{}", "", 415),
    ],
)
async def test_what_is_no_document_is_refused_in_one_line(
    quiet: ApiStack, content: bytes, kind: str, status: int
) -> None:
    answer = await quiet.http.post("/api/jobs", content=content, headers={"Content-Type": kind})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]


async def test_too_many_changes_are_told_when_to_come_back(temporal: Client, tmp_path: Path) -> None:
    async with running_api(temporal, tmp_path, workers=False, settings={"api_changes_per_minute": 3}) as api:
        await minute_with_time_left()
        answers = [await api.http.post("/api/jobs", json=LEMON) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [202, 202, 202, 429]
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
        assert answers[-1].json()["retryable"] is True
        assert (await api.http.get("/api/jobs")).status_code == 200


async def test_the_order_of_a_job_can_be_ordered_again(api: ApiStack) -> None:
    whole = {"max_credits": 60, "max_top_ups": 1, "priority": 2, "providers": ["offline"]}
    stages = [{"prompt": "a", "quantity": 1, "aspect-ratio": "1:1"}, {"prompt": "b", "quantity": 2}]
    document = {"stages": stages, "maxCredits": 60, **{key: whole[key] for key in whole if key != "max_credits"}}
    job_id = (await api.http.post("/api/jobs", json=document)).json()["job_id"]
    await api.ended(UUID(job_id))
    again = (await api.http.get(f"/api/jobs/{job_id}/order")).json()["document"]
    assert {key: value for key, value in again.items() if key != "stages"} == {"job_type": "pipeline_stage", **whole}
    assert [(stage["prompt"], stage["quantity"], stage["aspect_ratio"]) for stage in again["stages"]] == [
        ("a", 1, "1:1"),
        ("b", 2, "16:9"),
    ]
    answer = await api.http.post("/api/jobs", json=again)
    assert (answer.status_code, answer.json()["warnings"], answer.json()["total_images"]) == (202, [], 3)
    job = await api.ended(UUID(answer.json()["job_id"]))
    assert job["completed_images"] == 3
    account = await api.parts.records.account(LOCAL_USER)
    assert account is not None
    assert account.balance == 100_000 - 6 * 20


@pytest.mark.parametrize(
    "document",
    [
        {"style": "watercolor", "max_top_ups": 1, "pages": [{"dialogues": ["a", "b"], "attach_id": 0}]},
        {"aspect_ratio": "1:1", "priority": 2, "merged_images": [{"merged_attach_id": 0, "wrapping_prompt": "a"}]},
        {"prompt": "a", "quantity": 2, "aspect_ratio": "1:1", "uploaded_attach_ids": [{"attach_id": 0, "type": "top"}]},
        {"stages": [{"prompt": "a", "quantity": 1, "aspect_ratio": "1:1", "more": "here"}], "name": "Lemons"},
    ],
    ids=["storybook", "simple_portrait", "simple_general", "pipeline_stage"],
)
async def test_an_order_of_any_type_is_given_back_as_that_type_with_the_names_of_its_references(
    quiet: ApiStack, document: dict[str, Any]
) -> None:
    uploaded = await quiet.http.post("/api/attachments", files={"file": ("lemon.png", picture(), "image/png")})
    attach_id = uploaded.json()["attach_id"]
    document = json.loads(json.dumps(document).replace('attach_id": 0', f'attach_id": {attach_id}'))
    posted = (await quiet.http.post("/api/jobs", json={**document, "userId": str(LOCAL_USER)})).json()
    answer = (await quiet.http.get(f"/api/jobs/{posted['job_id']}/order")).json()
    again = answer["document"]
    if "stages" in document:
        document["stages"][0] |= {"stage_index": 0, "individual_image_attach_ids": []}
    else:
        assert answer["references"][str(attach_id)]["name"] == "lemon.png"
    assert {key: value for key, value in again.items() if key != "job_type"} == document
    quoted = await quiet.http.post("/api/jobs/quote", json=again)
    assert (quoted.status_code, quoted.json()["images"]) == (200, posted["total_images"])


RAW: list[tuple[bytes, int, str]] = [
    (b'{"stages":[{"prompt":"a","quantity":2,"quantity":5}]}', 422, "quantity: is given twice; keep one of them"),
    (b'{"stages": [{"prompt": "a", "quantity": 2},]}', 400, "document: is not valid JSON: remove the comma"),
    (b'{"stages":[{"prompt":"\\u3164\\u3164","quantity":1}]}', 422, "stages[0].prompt: is without a visible character"),
    (b'"{\\"stages\\": [}"', 400, "document: is not valid JSON: a value is missing, line 1, column 13"),
    (b"[]", 400, "body: must be an object"),
]


@pytest.mark.parametrize("route", ["/api/jobs", "/api/jobs/quote"])
@pytest.mark.parametrize(("content", "status", "detail"), RAW)
async def test_what_json_allows_and_an_order_does_not_is_one_plain_sentence(
    quiet: ApiStack, route: str, content: bytes, status: int, detail: str
) -> None:
    answer = await quiet.http.post(route, content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["detail"][: len(detail)]) == (status, detail)
    assert await quiet.parts.records.job_page(10) == []


@pytest.mark.parametrize(
    "content",
    [
        b'"{\\"stages\\":[{\\"prompt\\":\\"a lemon\\",\\"quantity\\":1}]}"',
        b'{"priority":null,"aspect-ratio":null,"stages":[{"prompt":"a lemon","quantity":1,"stage_index":null}]}',
    ],
    ids=["a JSON text", "nulls"],
)
async def test_a_json_text_and_nulls_are_an_order(quiet: ApiStack, content: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    assert (await quiet.http.post("/api/jobs/quote", content=content, headers=headers)).json()["credits"] == 20
