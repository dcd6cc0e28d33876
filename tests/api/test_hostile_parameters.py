"""Parameters and words by enemies: refused, or shown as the text that they are; and every error is a problem."""

import asyncio
import json
from base64 import urlsafe_b64encode
from typing import Any
from uuid import uuid4

import pytest
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from darkroom.api.signed_urls import Addresses, View
from tests.support.fakes.scripted import Act
from tests.support.hostile_pictures import picture
from tests.support.stacks.api import ApiStack, is_a_problem

EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>"


async def test_signatures_open_one_view_of_one_picture_for_a_day(quiet: ApiStack) -> None:
    ids = []
    for kind in ("PNG", "JPEG"):
        file = {"file": ("a.png", picture(kind))}
        ids.append((await quiet.http.post("/api/attachments", files=file)).json()["attach_id"])
    mine, other = ids
    addresses = quiet.services.addresses
    now = addresses._clock()
    assert (await quiet.http.get(addresses.file(mine))).status_code == 200
    right = dict(part.split("=") for part in addresses.file(mine).partition("?")[2].split("&"))

    def signed(view: View, attach_id: int, expires: int) -> dict[str, Any]:
        return {"expires": expires, "signature": addresses._signature(view, attach_id, expires)}

    stranger = Addresses(b"another deployment's secret")
    wrong: list[dict[str, Any]] = [
        {**right, "signature": ""},
        {**right, "signature": right["signature"][:-1]},
        {**right, "signature": right["signature"].swapcase()},
        {**right, "signature": right["signature"] + "="},
        {**right, "signature": "ü" * 32},
        {**right, "signature": "\ud7ff\U0001f600"},
        {**right, "signature": "\x00"},
        {**right, "expires": int(right["expires"]) + 3600},
        {"expires": right["expires"], "signature": stranger._signature(View.FILE, mine, int(right["expires"]))},
        signed(View.FILE, other, int(right["expires"])),
        signed(View.THUMBNAIL, mine, int(right["expires"])),
        signed(View.FILE, mine, int(now) - 1),
        signed(View.FILE, mine, 0),
    ]
    for query in wrong:
        answer = await quiet.http.get(f"/pictures/{mine}", params=query)
        assert answer.status_code == 404, (query, answer.text)
        is_a_problem(answer)
    odd: list[dict[str, Any]] = [
        {**right, "expires": -1},
        {**right, "expires": "x"},
        {**right, "expires": "9" * 400},
        {**right, "expires": "1e3"},
        {**right, "signature": "x" * 5_000},
        {"expires": right["expires"]},
        {},
    ]
    for query in odd:
        answer = await quiet.http.get(f"/pictures/{mine}", params=query)
        assert answer.status_code == 400, (query, answer.text)
        is_a_problem(answer)
    nobody = await quiet.http.get(f"/pictures/{other + 1}", params=signed(View.FILE, other + 1, int(right["expires"])))
    assert nobody.status_code == 404


HUGE = ["9" * 400, str(2**63), str(-(2**63) - 1), "1e400", "NaN", "Infinity", "0x7f", "١٠", " ", "%00", "-1"]


async def test_numbers_without_bounds_are_refused(quiet: ApiStack) -> None:
    job_id = await quiet.order(1)
    for value in HUGE:
        for path in (
            f"/api/jobs?limit={value}",
            f"/api/stats?days={value}",
            f"/api/jobs/{job_id}?wait={value}",
            f"/api/jobs/{job_id}/images?cursor={value}",
            f"/api/jobs/{job_id}/images?limit={value}",
            f"/api/attachments/{value}",
            f"/pictures/{value}?expires=1&signature=x",
            f"/pictures/1?expires={value}&signature=x",
        ):
            answer = await quiet.http.get(path)
            assert answer.status_code in (400, 404), (path, answer.text)
            is_a_problem(answer)


@pytest.mark.parametrize(
    ("method", "path", "sent", "detail"),
    [
        ("GET", "/api/jobs?limit=x", {}, "limit: must be a whole number"),
        ("GET", "/api/jobs?status=done", {}, "status: must be 'pending', 'processing', 'completed', 'failed', '"),
        ("GET", "/api/jobs/x", {}, "job_id: must be a UUID, such as"),
        ("GET", "/pictures/1?expires=1", {}, "signature: is missing"),
        ("POST", "/api/jobs", {"json": {}, "headers": {"Idempotency-Key": ""}}, "Idempotency-Key: must not be empty"),
        ("POST", "/api/jobs/cancel", {"content": b'{"job_id":'}, "body: is not valid JSON: a value is missing, line"),
    ],
)
async def test_what_is_wrong_is_named_as_it_was_sent(
    quiet: ApiStack, method: str, path: str, sent: dict[str, Any], detail: str
) -> None:
    sent = {**sent, "headers": {"Content-Type": "application/json", **sent.get("headers", {})}}
    answer = await quiet.http.request(method, path, **sent)
    assert (answer.status_code, answer.json()["detail"][: len(detail)]) == (400, detail)
    assert answer.json()["field"] == detail.partition(":")[0]


async def test_numbers_without_bounds_in_an_order_are_refused(quiet: ApiStack) -> None:
    for text in ("9" * 400, "-9" * 1, "1e400", "-1e400", "1e-400", "NaN", "true", '"5"', "2.5", "[5]", "{}", "null"):
        for key in ("quantity", "stage_index", "mergedImageAttachId"):
            stage = {"prompt": '"a"', "quantity": "1", "stage_index": "0", key: text}
            content = ", ".join(f'"{name}": {value}' for name, value in stage.items())
            kind = {"Content-Type": "application/json"}
            answer = await quiet.http.post("/api/jobs/quote", content=f'{{"stages": [{{{content}}}]}}', headers=kind)
            if answer.status_code != 200:
                assert answer.status_code in (400, 422), (key, text[:20], answer.text)
                is_a_problem(answer)
        for key in ("max_credits", "max_top_ups", "priority"):
            document = f'{{"stages": [{{"prompt": "a", "quantity": 1}}], "{key}": {text}}}'
            answer = await quiet.http.post("/api/jobs/quote", content=document, headers=kind)
            if answer.status_code != 200:
                assert answer.status_code in (400, 422), (key, text[:20], answer.text)
                is_a_problem(answer)


def cursor(**content: Any) -> str:
    return urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


async def test_cursors_that_no_page_gave_are_refused(quiet: ApiStack) -> None:
    job_id = str(uuid4())
    for given in (
        "x",
        "=",
        "ü",
        "\x00",
        "e30",
        "W10",
        "a" * 199,
        cursor(created_at="yesterday", job_id=job_id),
        cursor(created_at=10**30, job_id=job_id),
        cursor(created_at="2026-01-01T00:00:00Z", job_id="1 OR 1=1"),
        cursor(created_at="2026-01-01T00:00:00Z", job_id=job_id, more=1),
    ):
        answer = await quiet.http.get("/api/jobs", params={"cursor": given})
        assert answer.status_code == 400, (given, answer.text)
        is_a_problem(answer)
        assert answer.json()["field"] == "cursor"


MOMENTS = (
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59.999999-14:00",
    "2026-01-01T00:00:00",
    "1969-12-31T23:59:59Z",
    -1,
    0,
    4e9,
)


async def test_cursors_of_odd_moments_are_moments_or_refused(quiet: ApiStack) -> None:
    await quiet.order(1)
    for moment in MOMENTS:
        given = cursor(created_at=moment, job_id=str(uuid4()))
        answer = await quiet.http.get("/api/jobs", params={"cursor": given})
        assert answer.status_code in (200, 400), (moment, answer.text)
        if answer.status_code == 400:
            is_a_problem(answer)


async def test_parameters_twice_are_one_of_them(quiet: ApiStack) -> None:
    await quiet.order(1)
    await quiet.order(1)
    answer = await quiet.http.get("/api/jobs?limit=200&limit=1")
    assert (answer.status_code, len(answer.json()["jobs"])) == (200, 1)
    answer = await quiet.http.get("/api/jobs?status=failed&status=pending&cursor=&unknown=1")
    assert answer.status_code in (200, 400)
    assert (await quiet.http.get("/api/jobs?limit=1&limit=0")).status_code == 400


async def test_scripts_come_back_as_the_text_that_they_are(api: ApiStack) -> None:
    api.provider.script = {(0, n): [Act.REFUSE_FINALLY] for n in range(2)}
    document = {"stages": [{"prompt": EVIL, "quantity": 1}], EVIL: 1}
    answer = await api.http.post("/api/jobs", json=document)
    job_id = answer.json()["job_id"]
    await api.http.post(f"/api/jobs/{job_id}/pause", json={"reason": EVIL})
    await api.http.post(f"/api/jobs/{job_id}/cancel", json={"reason": EVIL})
    await api.ended_row(job_id)
    told = {
        "order": answer,
        "job": await api.http.get(f"/api/jobs/{job_id}"),
        "list": await api.http.get("/api/jobs"),
        "ordered": await api.http.get(f"/api/jobs/{job_id}/order"),
        "receipt": await api.http.get(f"/api/jobs/{job_id}/receipt"),
        "unknown": await api.http.get(f"/api/jobs/{EVIL.replace('/', '')}"),
        "status": await api.http.get("/api/jobs", params={"status": EVIL}),
        "style": await api.http.post("/api/jobs/quote", json={"style": EVIL, "pages": [{"dialogues": ["a"]}]}),
        "type": await api.http.post("/api/jobs/quote", json={"job_type": EVIL, "stages": []}),
        "kind": await api.http.post("/api/jobs", content=b"x", headers={"Content-Type": EVIL}),
        "host": await api.http.get("/api/jobs", headers={"Host": EVIL}),
        "file": await api.http.post("/api/attachments", files={"file": (f"{EVIL}.png", b"no picture")}),
    }
    for name, answer in told.items():
        kind = answer.headers["content-type"]
        assert kind == ("application/json" if answer.status_code < 400 else "application/problem+json"), name
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        answer.json()
    assert told["ordered"].json()["document"]["stages"][0]["prompt"] == EVIL
    async with api.http.stream("GET", f"/api/jobs/{job_id}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.headers["x-content-type-options"] == "nosniff"


async def test_a_line_break_in_a_reason_makes_no_event(api: ApiStack) -> None:
    api.provider.gate.clear()
    job_id = await api.order(2)
    await api.provider.until_calls(2)
    await api.http.post(f"/api/jobs/{job_id}/pause", json={"reason": "a\n\nevent: end\ndata: {}\r\n\r\nid: 99"})
    following = asyncio.create_task(_names(api, job_id))
    await api.http.post(f"/api/jobs/{job_id}/cancel", json={"reason": "b\u2028event: end"})
    api.provider.gate.set()
    names = await following
    assert names.count("end") == 1
    assert names[-1] == "end"


async def _names(api: ApiStack, job_id: Any) -> list[str]:
    return [event.name async for event in api.events(job_id)]


async def test_methods_that_a_path_lacks_are_answered_with_those_it_has(quiet: ApiStack) -> None:
    paths = {"/api/jobs": "GET, POST", f"/api/jobs/{uuid4()}/cancel": "PATCH, POST", "/healthz": "GET"}
    for path, allowed in paths.items():
        for method in {"HEAD", "OPTIONS", "PUT", "DELETE", "TRACE", "PROPFIND", "GETT", "POST"} - {
            *allowed.split(", "),
            *(() if path.startswith("/api/") else ("HEAD",)),
        }:
            answer = await quiet.http.request(method, path)
            assert (answer.status_code, answer.headers["allow"]) == (405, allowed), (method, path)
            if method != "HEAD":
                is_a_problem(answer)


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/docs", "/static/page.css", "/jobs"])
async def test_who_asks_for_the_head_alone_is_answered_without_a_body(quiet: ApiStack, path: str) -> None:
    head, whole = await quiet.http.head(path), await quiet.http.get(path)
    assert (head.status_code, head.headers["content-type"]) == (200, whole.headers["content-type"])
    assert head.content == b""
    assert (await quiet.http.get("/healthz")).status_code == 200  # on the same connection


async def test_what_goes_wrong_on_our_side_is_a_problem_too_and_logged_under_its_id(
    quiet: ApiStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a secret of ours")

    monkeypatch.setattr(type(quiet.parts.records), "job_page", broken)
    with capture_logs((merge_contextvars,)) as lines:
        answer = await quiet.http.get("/api/jobs", headers={"X-Request-ID": "find-me"})
    assert answer.status_code == 500
    is_a_problem(answer)
    assert answer.json()["request_id"] == "find-me"
    assert "secret" not in answer.text
    [line] = [line for line in lines if line["event"] == "request failed"]
    assert (line["path"], line["request_id"]) == ("/api/jobs", "find-me")
