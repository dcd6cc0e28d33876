"""A deployment with two tenants and an operator. What is the victim's carries a mark that no request of ours has."""

import io
import json
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from PIL import Image
from temporalio.client import Client as TemporalClient

from darkroom.api.sign_in import COOKIE
from darkroom.domain.images import Generated, ImageRequest, ProviderAnswer
from darkroom.domain.stored import NewReference
from darkroom.proof.tables import TABLES
from tests.attacks.wire import Ask, exchange, sending, uploading
from tests.support.fakes.scripted import ScriptedProvider
from tests.support.stacks.api import ApiStack, running_api
from tests.support.tokens import SECRET, token
from tests.support.until import until

MARK = "5ec2e7-of-the-victim"
"""In every text of the victim's, and in no request of an enemy's: where it is in an answer, something leaked."""
OUTSIDE = "5ec2e7-of-this-machine"
"""In files beside the storage."""
MAGENTA, GREEN = (251, 0, 251), (0, 160, 0)
"""The colours of the victim's pictures, and of everybody else's."""

_MANY = 1_000_000
_LIMITLESS: Mapping[str, Any] = {
    "api_changes_per_minute": _MANY,
    "api_reads_per_minute": _MANY,
    "api_follows_per_minute": _MANY,
    "api_requests_per_user": _MANY,
    "api_failed_keys_per_minute": _MANY,
    "api_streams_per_user": _MANY,
    "api_waits_per_user": _MANY,
    "api_archives_per_user": _MANY,
    "api_uploads_per_user": _MANY,
    "api_large_requests_per_user": _MANY,
    "api_open_jobs_per_user": _MANY,
    "api_stored_mb_per_user": _MANY,
    "api_free_orders_per_day": _MANY,
    "api_webhooks_per_day": _MANY,
    "api_webhooks_per_host_per_day": _MANY,
    "api_connections_per_address": _MANY,
}
SETTINGS: Mapping[str, Any] = {
    # Which requires sign-in; the test listens on 127.0.0.1.
    "api_host": "0.0.0.0",
    "supabase_jwt_secret": SECRET,
    # A try that a rate limit turned away would show nothing of what it tried.
    **_LIMITLESS,
}
_NOT_THEIRS = {"quel_provider_offers"}
"""Tables that a worker writes by the clock."""
_OF_WHOEVER_SIGNS_IN = {"quel_api_sessions"}
_COUNTED = "limits.db"
"""What everybody changes who asks for anything."""
_BY_THE_CLOCK = {"refreshed_at", "updated_at"}
_BESIDE_THE_STORAGE = "not-for-you.txt"


def picture(colour: tuple[int, int, int], kind: str = "PNG") -> bytes:
    """A picture of one colour."""
    target = io.BytesIO()
    Image.new("RGB", (32, 32), colour).save(target, kind)
    return target.getvalue()


class Painter(ScriptedProvider):
    """Draws in the colour of who orders."""

    async def generate(self, request: ImageRequest) -> ProviderAnswer:
        answer = await super().generate(request)
        if not isinstance(answer, Generated):
            return answer
        return Generated(data=picture(MAGENTA if MARK in request.prompt else GREEN))


@dataclass
class Person:
    """Somebody with a key."""

    user_id: UUID
    key: str

    @property
    def bearer(self) -> tuple[str, str]:
        """The header of their key."""
        return "Authorization", f"Bearer {self.key}"

    @property
    def token(self) -> tuple[str, str]:
        """The header of a token of the project's."""
        return "Authorization", f"Bearer {token(sub=str(self.user_id), exp=9_999_999_999)}"


@dataclass
class Victim(Person):
    """Whom everybody is after."""

    cookie: tuple[str, str] = ("", "")
    jobs: dict[str, UUID] = field(default_factory=dict)
    """By how they stand."""
    pictures: list[int] = field(default_factory=list)
    upload: int = 0
    signed: str = ""
    """The path and query of the signed URL of a delivered picture."""
    org_id: UUID = field(default_factory=uuid4)
    production_id: UUID = field(default_factory=uuid4)
    book_id: UUID = field(default_factory=uuid4)
    idempotency_key: str = "spring-1"


@dataclass
class World:
    """What tries are made in."""

    api: ApiStack
    local: ApiStack
    """The API without sign-in, as on one's own machine."""
    home: Path
    victim: Victim
    attacker: Person
    operator: Person
    cookie: tuple[str, str] = ("", "")
    """The attacker's session."""
    own_job: UUID = field(default_factory=uuid4)
    own_picture: int = 0
    own_signed: str = ""
    anonymous_job: UUID = field(default_factory=uuid4)
    anonymous_picture: int = 0
    unowned: int = 0

    @property
    def host(self) -> str:
        """Name and port of the API."""
        return self.api.url.removeprefix("http://")

    @property
    def pictures_of_others(self) -> list[int]:
        """Every attachment that is not the attacker's."""
        return [*self.victim.pictures, self.victim.upload, self.anonymous_picture, self.unowned]

    @property
    def jobs_of_others(self) -> dict[str, UUID]:
        """Every job that is not the attacker's."""
        return {**self.victim.jobs, "anonymous": self.anonymous_job}

    def rows(self, *, without: UUID | None) -> dict[str, list[str]]:
        """What the database holds, read from its file; without what belongs to somebody."""
        with closing(sqlite3.connect(f"file:{self.home / 'records.db'}?mode=ro", uri=True)) as db:
            return _rows(db, None if without is None else str(without), str(self.victim.org_id))

    def rows_of_the_local_api(self) -> dict[str, list[str]]:
        """The same of the API without sign-in."""
        home = self.local.parts.settings.darkroom_home
        with closing(sqlite3.connect(f"file:{home / 'records.db'}?mode=ro", uri=True)) as db:
            return _rows(db, None, "")

    def balance(self, person: Person) -> int:
        """A person's credits."""
        with closing(sqlite3.connect(f"file:{self.home / 'records.db'}?mode=ro", uri=True)) as db:
            asked = "select quel_member_credit from quel_member where quel_member_id = ?"
            return int(db.execute(asked, (str(person.user_id),)).fetchone()[0])

    def attachments_of(self, person: Person) -> set[int]:
        """The numbers of a person's attachments."""
        with closing(sqlite3.connect(f"file:{self.home / 'records.db'}?mode=ro", uri=True)) as db:
            asked = "select attach_id from quel_attach where quel_member_id = ?"
            return {row[0] for row in db.execute(asked, (str(person.user_id),))}

    def files(self, *, without: UUID | None) -> dict[str, int]:
        """The files of everybody and of the machine, with their sizes; without somebody's own."""
        found = {}
        for file in self.home.parent.rglob("*"):
            if file.name.startswith(_COUNTED):
                continue
            name = str(file.relative_to(self.home.parent))
            passing = "staging" in name or "records.db" in name or "/workers/" in name or "/unstaged" in name
            own = without is not None and (f"user-{without}" in name or f"/{without}/" in name)
            if file.is_file() and not passing and not own:
                found[name] = file.stat().st_size
        return found


def _rows(db: sqlite3.Connection, without: str | None, org_id: str) -> dict[str, list[str]]:
    db.row_factory = sqlite3.Row
    db.execute("begin")  # all tables as they were in one moment
    asked = "select job_id from quel_production_jobs where quel_member_id = ?"
    theirs = {row["job_id"] for row in db.execute(asked, (without,))}

    def kept(row: dict[str, Any]) -> bool:
        if without is None or row.get("org_id") == org_id:
            return True
        return without not in (row.get("quel_member_id"), row.get("user_id")) and row.get("job_id") not in theirs

    found = {}
    for table, order in TABLES.items():
        if table in _NOT_THEIRS or (without is None and table in _OF_WHOEVER_SIGNS_IN):
            continue
        rows = [dict(row) for row in db.execute(f"select * from {table} order by {order}")]
        found[table] = [
            json.dumps({name: value for name, value in row.items() if name not in _BY_THE_CLOCK}, default=str)
            for row in rows
            if kept(row)
        ]
    return found


@asynccontextmanager
async def running_world(temporal: TemporalClient, folder: Path) -> AsyncIterator[World]:
    """The deployment, with everything in it that somebody might want."""
    home, local_home = folder / "home", folder / "local"
    for place in (home, local_home):
        place.mkdir()
    (folder / _BESIDE_THE_STORAGE).write_text(OUTSIDE, "utf-8")
    (home / _BESIDE_THE_STORAGE).write_text(OUTSIDE, "utf-8")
    async with AsyncExitStack() as stack:
        provider = Painter()
        api = await stack.enter_async_context(running_api(temporal, home, provider=provider, settings=SETTINGS))
        local = await stack.enter_async_context(running_api(temporal, local_home, workers=False, settings=_LIMITLESS))
        people = [(uuid4(), False), (uuid4(), False), (uuid4(), True)]
        keys = [await api.key(user_id, operator=operator) for user_id, operator in people]
        victim = Victim(people[0][0], keys[0])
        world = World(api, local, home, victim, Person(people[1][0], keys[1]), operator=Person(people[2][0], keys[2]))
        await _fill(world)
        yield world


async def asked(world: World, ask: Ask) -> Any:
    """The answer to a request that must be accepted."""
    answer = await exchange(world.api.url, ask, 20)
    assert 200 <= answer.status < 400, (ask, answer.data)
    return json.loads(answer.body) if answer.kind == "application/json" else answer


async def _fill(world: World) -> None:
    api, victim, attacker = world.api, world.victim, world.attacker
    for person in (victim, attacker):
        cookie = await _session(world, person)
        if person is victim:
            victim.cookie = cookie
        else:
            world.cookie = cookie
    shown = await asked(world, uploading("/api/attachments", f"{MARK}.png", picture(MAGENTA), victim.bearer))
    victim.upload = shown["attach_id"]
    _plant(world)

    def order(quantity: int) -> dict[str, Any]:
        stage = {"prompt": f"{MARK} {quantity}", "quantity": quantity, "mergedImageAttachId": victim.upload}
        return {"stages": [stage], "production_id": str(victim.production_id)}

    headers = victim.bearer, ("Idempotency-Key", victim.idempotency_key)
    victim.jobs["completed"] = await _ordered(world, sending("POST", "/api/jobs", order(2), *headers))
    await _ended(world, victim.jobs["completed"])
    images = await asked(world, Ask("GET", f"/api/jobs/{victim.jobs['completed']}/images", [victim.bearer]))
    victim.pictures = [image["attach_id"] for image in images["images"]]
    victim.signed = images["images"][0]["url"]

    assert isinstance(api.provider, Painter)
    for name in ("paused", "cancelled"):
        calls = api.provider.total_calls
        api.provider.gate.clear()
        victim.jobs[name] = job_id = await _ordered(world, sending("POST", "/api/jobs", order(30), victim.bearer))
        await api.provider.until_calls(calls + 1)
        action = "pause" if name == "paused" else "cancel"
        await asked(
            world, sending("POST", f"/api/jobs/{job_id}/{action}", {"reason": f"{MARK} says so"}, victim.bearer)
        )
        await _applied(world, job_id)
        api.provider.gate.set()
        await (_quiet(world, job_id) if name == "paused" else _ended(world, job_id))
    victim.jobs["pending"] = await api.written({"stages": [{"prompt": MARK, "quantity": 1}]}, victim.user_id)

    world.own_job = await _ordered(
        world, sending("POST", "/api/jobs", {"stages": [{"prompt": "a lemon", "quantity": 2}]}, attacker.bearer)
    )
    await _ended(world, world.own_job)
    own = await asked(world, Ask("GET", f"/api/jobs/{world.own_job}/images", [attacker.bearer]))
    world.own_picture, world.own_signed = own["images"][0]["attach_id"], own["images"][0]["url"]

    client = api.parts.client(api.temporal)
    checked = await client.check({"stages": [{"prompt": f"{MARK} of nobody", "quantity": 1}]}, None)
    world.anonymous_job = (await client.submit(checked)).job_id
    await _ended(world, world.anonymous_job)
    [world.anonymous_picture] = [image.attach_id for image in await client.images(world.anonymous_job)]
    await api.parts.storage.put(f"old/{MARK}.png", picture(MAGENTA), "image/png")
    old = NewReference(
        user_id=None,
        original_name=f"{MARK}.png",
        path=f"old/{MARK}.png",
        size=1,
        media_type="image/png",
        sha256="0" * 64,
    )
    world.unowned = await api.parts.records.add_reference(old)
    await world.local.written({"stages": [{"prompt": MARK, "quantity": 1}]})


async def _session(world: World, person: Person) -> tuple[str, str]:
    form = f"token={person.key}".encode()
    kind = ("Content-Type", "application/x-www-form-urlencoded")
    answer = await asked(world, Ask("POST", "/sign-in", [kind, ("Origin", world.api.url)], form))
    assert answer.headers["set-cookie"].startswith(f"{COOKIE}=")
    return "Cookie", answer.headers["set-cookie"].partition(";")[0]


def _plant(world: World) -> None:
    """An organization, a production and a book of the victim's, as front ends write them."""
    victim = world.victim
    values = {
        "org": str(victim.org_id),
        "user": str(victim.user_id),
        "id": str(uuid4()),
        "production": str(victim.production_id),
        "book": str(victim.book_id),
        "mark": MARK,
        "now": "2026-11-01T00:00:00+00:00",
    }
    with closing(sqlite3.connect(world.home / "records.db", isolation_level=None, timeout=10)) as db:
        for statement in (
            "insert into quel_organization (org_id, org_name, org_credit, owner_id, org_status, created_at)"
            " values (:org, :mark, 5000, :user, 'active', :now)",
            "insert into quel_organization_member (id, org_id, member_id, role, status)"
            " values (:id, :org, :user, 'member', 'active')",
            "insert into quel_production_photo (production_id, quel_member_id, production_status)"
            " values (:production, :user, :mark)",
            "insert into quel_books (book_id, quel_member_id, base_path) values (:book, :user, :mark)",
        ):
            db.execute(statement, values)


async def _ordered(world: World, ask: Ask) -> UUID:
    return UUID((await asked(world, ask))["job_id"])


async def _ended(world: World, job_id: UUID) -> None:
    await world.api.ended_row(job_id)


async def _applied(world: World, job_id: UUID) -> None:
    async def so() -> bool:
        row = await world.api.parts.records.job(job_id)
        return row is not None and (row.paused or row.cancel_requested)

    await until(so, "the request to hold")


async def _quiet(world: World, job_id: UUID) -> None:
    """Wait until nothing of a paused job moves."""

    async def so() -> bool:
        progress = await world.api.parts.client(world.api.temporal).progress(job_id)
        row = await world.api.parts.records.job(job_id)
        settled = row is not None and row.completed_images == progress.progress.completed_images
        return settled and all(stage.in_flight == 0 for stage in progress.progress.stages)

    await until(so, "a paused job to stand still")
