"""Under a prefix everything is found: each address that an answer carries leads where it says."""

import re
from collections.abc import AsyncIterator, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send
from temporalio.client import Client

import darkroom.api
from darkroom.api import mount
from darkroom.api.sign_in import COOKIE
from darkroom.domain.errors import SettingRejected
from darkroom.domain.names import TaskQueue
from darkroom.settings import Settings
from tests.support.stacks.api import is_a_problem, serving_app
from tests.support.stacks.pollers import poll_once
from tests.support.stacks.prefixes import EACH_WAY, MOUNT, Reached, Way, foreign_app, reached, settings_in

API = Path(darkroom.api.__file__).parent


@pytest.fixture(params=EACH_WAY)
async def way(request: pytest.FixtureRequest, temporal: Client, tmp_path: Path) -> AsyncIterator[Reached]:
    """The API of the embedded default, each way."""
    async with reached(request.param, temporal, tmp_path) as api:
        yield api


@pytest.fixture(params=EACH_WAY)
async def signed_way(request: pytest.FixtureRequest, temporal: Client, tmp_path: Path) -> AsyncIterator[Reached]:
    """The API with sign-in, each way."""
    async with reached(request.param, temporal, tmp_path, {"api_host": "0.0.0.0"}) as api:
        yield api


def addresses(answer: object) -> Iterator[str]:
    """Every address of ours in a JSON answer."""
    if isinstance(answer, dict):
        for value in answer.values():
            yield from addresses(value)
    elif isinstance(answer, list):
        for value in answer:
            yield from addresses(value)
    elif isinstance(answer, str) and answer.startswith("/"):
        yield answer


class Links(HTMLParser):
    """What a page loads, links to and sends forms to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "action")]


async def test_an_order_is_followed_by_the_addresses_of_the_answers_alone(way: Reached) -> None:
    ordered = await way.order(3)
    events = await way.events(ordered["urls"]["events"])
    assert [event.name for event in events][-1] == "end"
    images = [event.data for event in events if event.name == "image"]
    assert len(images) == 3
    for image in images:
        for address in (image["url"], image["thumbnail_url"]):
            assert address.startswith(f"{way.prefix}/pictures/")
            picture = await way.http.get(address)
            assert (picture.status_code, picture.headers["content-type"]) == (200, "image/webp")
    asked = ("self", "order", "images", "receipt", "archive", "page")
    for name in asked:
        address = ordered["urls"][name]
        assert address.startswith(f"{way.prefix}/")
        assert (await way.http.get(address)).status_code == 200, address
    refused = await way.http.post(ordered["urls"]["cancel"])
    assert (refused.status_code, refused.json()["success"]) == (200, False)


async def test_no_answer_has_an_address_outside_the_prefix(way: Reached) -> None:
    ordered = await way.order(1)
    await way.events(ordered["urls"]["events"])
    job = f"{way.prefix}/api/jobs/{ordered['job_id']}"
    upload = await way.http.post(
        f"{way.prefix}/api/attachments", files={"file": ("a.webp", await first_picture(way, job), "image/webp")}
    )
    assert upload.status_code == 201, upload.text
    answers: list[Any] = [ordered, upload.json()]
    answers += [(await way.http.get(path)).json() for path in (job, f"{job}/images", f"{way.prefix}/api/jobs")]
    found = [address for answer in answers for address in addresses(answer)]
    assert len(found) > 25
    assert [address for address in found if not address.startswith(f"{way.prefix}/")] == []


async def first_picture(way: Reached, job: str) -> bytes:
    [image] = (await way.http.get(f"{job}/images")).json()["images"]
    return (await way.http.get(image["url"])).content


async def test_every_link_form_style_and_script_of_the_pages_is_found(way: Reached) -> None:
    ordered = await way.order(1)
    await way.events(ordered["urls"]["events"])
    job = f"/jobs/{ordered['job_id']}"
    errors = {"/jobs/nothing": 400, "/static/nothing.css": 404}
    pages = ["/", "/jobs", "/jobs?status=failed", job, "/stats", "/docs", "/sign-in", *errors]
    checked: set[str] = set()
    for path in pages:
        page = await way.http.get(way.prefix + path, headers={"Accept": "text/html"})
        assert page.status_code == errors.get(path, 200), page.text
        assert f'data-root="{way.prefix}"' in page.text
        links = [link for link in Links(page.text).found if not link.startswith("#") and "://" not in link]
        assert [link for link in links if not link.startswith(f"{way.prefix}/")] == []
        checked |= set(links)
    for link in checked:
        answer = await way.http.get(link, headers={"Accept": "text/html"})
        # Buttons of forms answer POST alone.
        posted = re.search(r"/(cancel|pause|resume|restart|rename|sign-out)$", link)
        assert answer.status_code == (405 if posted else 200), link


async def test_the_docs_call_the_api_under_the_prefix(way: Reached) -> None:
    document = (await way.http.get(f"{way.prefix}/openapi.json")).json()
    assert document["servers"] == [{"url": way.prefix}]
    assert "/api/jobs" in document["paths"]


async def test_an_error_is_the_apis_own(way: Reached) -> None:
    for answer in (
        await way.http.get(f"{way.prefix}/api/jobs/{uuid4()}"),
        await way.http.get(f"{way.prefix}/api/nothing"),
        await way.http.put(f"{way.prefix}/api/jobs"),
    ):
        is_a_problem(answer)
    assert answer.headers["allow"] == "GET, POST"


async def test_a_slash_too_many_leads_to_the_page_under_the_prefix(way: Reached) -> None:
    answer = await way.http.get(f"{way.prefix}/jobs/")
    assert (answer.status_code, answer.headers["location"]) == (307, f"{way.url}{way.prefix}/jobs")


async def test_a_stranger_is_led_to_sign_in_and_back_within_the_prefix(signed_way: Reached) -> None:
    way = signed_way
    stranger = await way.http.get(f"{way.prefix}/jobs?status=failed")
    location = urlsplit(stranger.headers["location"])
    assert (stranger.status_code, location.path) == (303, f"{way.prefix}/sign-in")
    wanted = parse_qs(location.query)["next"][0]
    assert wanted == f"{way.prefix}/jobs?status=failed"
    secret = await way.key(uuid4())
    origin = {"Origin": way.url}
    answer = await way.http.post(
        f"{way.prefix}/sign-in", data={"token": secret, "next": wanted}, headers=origin, follow_redirects=False
    )
    assert (answer.status_code, answer.headers["location"]) == (303, wanted)
    assert f"path={way.prefix};" in answer.headers["set-cookie"].lower()
    assert (await way.http.get(wanted)).status_code == 200
    left = await way.http.post(f"{way.prefix}/sign-out", headers=origin)
    assert left.headers["location"] == f"{way.prefix}/sign-in"
    assert (await way.http.get(wanted)).status_code == 303


@pytest.mark.parametrize(
    "wanted", ["/admin", "/picturesque", f"{MOUNT}", "//evil.example", "/\\evil", f"{MOUNT}/\\x", ""]
)
async def test_signing_in_leads_to_nothing_else_of_the_host(temporal: Client, tmp_path: Path, wanted: str) -> None:
    async with reached(Way.MOUNTED, temporal, tmp_path, {"api_host": "0.0.0.0"}) as way:
        data = {"token": await way.key(uuid4()), "next": wanted}
        answer = await way.http.post(f"{MOUNT}/sign-in", data=data, headers={"Origin": way.url})
        assert answer.headers["location"] == f"{MOUNT}/"


async def test_of_two_session_cookies_the_one_of_the_prefix_counts(temporal: Client, tmp_path: Path) -> None:
    async with reached(Way.MOUNTED, temporal, tmp_path, {"api_host": "0.0.0.0"}) as way:
        # As browsers send them: the longer path first.
        signed_in = await way.http.post(
            f"{MOUNT}/sign-in", data={"token": await way.key(uuid4())}, headers={"Sec-Fetch-Site": "same-origin"}
        )
        cookies = f"{COOKIE}={signed_in.cookies[COOKIE]}; {COOKIE}=dk_of_the_darkroom_at_the_root"
        assert (await way.http.get(f"{MOUNT}/api/jobs", headers={"Cookie": cookies})).status_code == 200


async def test_a_cookie_of_the_hosts_root_does_not_lock_the_local_user_out(temporal: Client, tmp_path: Path) -> None:
    async with reached(Way.MOUNTED, temporal, tmp_path) as way:
        way.http.cookies.set(COOKIE, "dk_of_another_home", domain="127.0.0.1", path="/")
        answer = await way.http.get(f"{MOUNT}/jobs", follow_redirects=True)
        assert (answer.status_code, answer.url.path) == (200, f"{MOUNT}/jobs")


async def test_the_application_around_it_stays_as_it_is(temporal: Client, tmp_path: Path) -> None:
    async with reached(Way.MOUNTED, temporal, tmp_path) as way:
        hello = await way.http.get("/hello", headers={"Host": "pictures.example"})
        assert hello.json() == {"hello": "world", "opened": "by the application itself"}
        assert {"content-security-policy", "x-request-id"}.isdisjoint(hello.headers)
        # What the API refuses, its own routes may take: other sites' pages, any kind of body.
        elsewhere = {"Origin": "https://elsewhere.example", "Content-Type": "text/csv"}
        assert (await way.http.post("/hello", content=b"a,b", headers=elsewhere)).json() == {"bytes": 3}
        refused, gone = await way.http.get("/refused"), await way.http.get("/gone")
        assert (refused.status_code, refused.json()) == (418, {"ours": "no"})
        assert (gone.status_code, gone.text) == (410, "ours: gone")
        document = (await way.http.get("/openapi.json")).json()
        assert set(document["paths"]) == {"/hello", "/refused", "/gone"}
        inside = await way.http.get(f"{MOUNT}/healthz")
        assert inside.headers["x-outer-id"] == "of the application"
        assert (await way.http.get(MOUNT, follow_redirects=True)).url.path == f"{MOUNT}/"


async def test_mounted_twice_each_follower_is_given_its_own_addresses(temporal: Client, tmp_path: Path) -> None:
    app = foreign_app()
    app.mount("/again", mount(app, MOUNT, settings_in(tmp_path, temporal)))
    async with reached(Way.MOUNTED, temporal, tmp_path) as way:
        ordered = await way.order(1)
        await way.events(ordered["urls"]["events"])
        async with serving_app(app) as url, httpx.AsyncClient(base_url=url, trust_env=False) as http:
            twice = Reached(url, "", http, way.parts)
            for prefix in (MOUNT, "/again", MOUNT):
                events = await twice.events(f"{prefix}/api/jobs/{ordered['job_id']}/events")
                found = [address for event in events for address in addresses(event.data)]
                assert [address for address in found if not address.startswith(f"{prefix}/")] == []
                assert len(found) > 20


@pytest.mark.parametrize("client", [("203.0.113.7", 4711), ("::ffff:203.0.113.7", 4711), None])
async def test_without_sign_in_another_machine_is_refused_wherever_the_application_listens(
    temporal: Client, tmp_path: Path, client: tuple[str, int] | None
) -> None:
    app = foreign_app()
    api = mount(app, MOUNT, settings_in(tmp_path, temporal))
    async with api.router.lifespan_context(api):
        for address, status in ((client, 403), (("127.0.0.1", 1), 200), (("::ffff:127.0.0.1", 1), 200)):
            transport = httpx.ASGITransport(app=with_client(app, address))
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
                answer = await http.get(f"{MOUNT}/api/account")
                assert answer.status_code == status, answer.text
        assert "API_HOST" in (await refusal(app, client))["detail"]


async def refusal(app: FastAPI, client: tuple[str, int] | None) -> dict[str, Any]:
    transport = httpx.ASGITransport(app=with_client(app, client))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        found: dict[str, Any] = (await http.get(f"{MOUNT}/api/account")).json()
        return found


def with_client(app: FastAPI, client: tuple[str, int] | None) -> Any:
    """The application as a connection from there reaches it."""

    async def reached_from(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "client": client}, receive, send)

    return reached_from


async def test_one_that_nobody_opened_says_so(temporal: Client, tmp_path: Path) -> None:
    app = foreign_app()
    mount(app, MOUNT, settings_in(tmp_path, temporal))
    async with serving_app(app, lifespan="off") as url, httpx.AsyncClient(base_url=url, trust_env=False) as http:
        answer = await http.get(f"{MOUNT}/api/account")
        is_a_problem(answer)
        assert (answer.status_code, answer.json()["code"]) == (503, "not_open")
        assert "darkroom.api.mount()" in answer.json()["detail"]
        assert (await http.get(f"{MOUNT}/healthz")).status_code == 200


async def test_what_is_mounted_is_opened_and_closed_with_the_application(temporal: Client, tmp_path: Path) -> None:
    app = foreign_app()
    api = mount(app, MOUNT, settings_in(tmp_path, temporal))
    for _ in range(2):
        async with app.router.lifespan_context(app) as state:
            assert state == {"opened": "by the application itself"}
            assert api.state.services.parts.settings.darkroom_home == tmp_path
        assert not hasattr(api.state, "services")


async def test_an_application_that_nobody_could_sign_in_to_does_not_start(temporal: Client, tmp_path: Path) -> None:
    app = foreign_app()
    mount(app, MOUNT, settings_in(tmp_path, temporal, api_host="0.0.0.0"))
    with pytest.raises(SettingRejected, match=r"API_HOST=0\.0\.0\.0.*keys create"):
        async with app.router.lifespan_context(app):
            pass


@pytest.mark.parametrize("path", ["pictures", "/pictures/", "/", ""])
def test_a_path_that_is_none_to_mount_under_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="such as '/pictures'"):
        mount(FastAPI(), path, Settings(_env_file=None))


MOUNTING = re.split(r"^## ", (API.parents[1] / "docs/embedding.md").read_text("utf-8"), flags=re.MULTILINE)
[SECTION] = [section for section in MOUNTING if section.startswith("Mounting the API")]


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL))
async def test_the_programs_of_the_docs_serve_the_api(
    temporal: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    settings_in(tmp_path, temporal)
    await poll_once(temporal, *TaskQueue)  # as workers do
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DARKROOM_HOME", str(tmp_path))
    program: dict[str, Any] = {}
    exec(code, program)
    async with serving_app(program["app"]) as url, httpx.AsyncClient(base_url=url, trust_env=False) as http:
        assert (await http.get("/pictures/readyz")).json()["status"] == "ready"


def test_the_public_names_are_documented() -> None:
    text = (API.parents[1] / "docs/embedding.md").read_text("utf-8")
    assert [name for name in darkroom.api.__all__ if f"`{name}" not in text] == []
