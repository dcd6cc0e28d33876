"""The whole job where a deployment's tables were there before, seen by that deployment's own front end."""

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from PIL import Image
from pydantic import SecretStr

from darkroom.api.services import put_together
from darkroom.domain.keys import NewApiKey, hash_of, new_secret
from tests.support.fakes.scripted import tiny_picture
from tests.support.histories import check_histories
from tests.support.programs import temporal_binary
from tests.support.records.tables import PostgresTables
from tests.support.stacks.api import serving
from tests.support.stacks.process import OPENING_BALANCE, PRICE, ProcessStack, running_darkroom
from tests.support.supabase.catalogs import BEFORE
from tests.support.supabase.local import LocalSupabase, running_supabase
from tests.support.supabase.project import run_file
from tests.support.tokens import token
from tests.support.until import until

POLL_EVERY = 2.0
"""Seconds."""
WORKER = {
    "STAGE_CONCURRENCY": 8,
    "OFFLINE_LATENCY": "0.5-1",
    "OFFLINE_MISS_RATE": 0.08,
    "OFFLINE_SEED": 5,
    "TOP_UP_DELAY": 0.5,
    "PICK_UP_EVERY": 1,
    "CANCELLED_STATUS": "user_cancelled",
}
ENDED = ("completed", "failed", "cancelled", "user_cancelled")
REFERENCE = 200
"""A picture of before, whose path is in `attach_directory` alone."""


class FrontEnd:
    """What the deployment's front end does: REST calls with the service role's key, and pictures by their paths."""

    def __init__(self, supabase: LocalSupabase) -> None:
        key = supabase.environment["SUPABASE_SERVICE_ROLE_KEY"]
        self._http = httpx.AsyncClient(
            base_url=supabase.project.url,
            headers={"apikey": key, "Authorization": f"Bearer {key}", "Prefer": "return=representation"},
            timeout=20,
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def insert(self, table: str, **row: object) -> dict[str, Any]:
        """The row as it is stored."""
        answer = await self._http.post(f"/rest/v1/{table}", json=row)
        assert answer.status_code == 201, answer.text
        return dict(answer.json()[0])

    async def row(self, table: str, key: str, value: object) -> dict[str, Any]:
        """One row."""
        [row] = (await self._http.get(f"/rest/v1/{table}?{key}=eq.{value}")).raise_for_status().json()
        return dict(row)

    async def rows(self, table: str, query: str) -> list[dict[str, Any]]:
        """The rows that a query finds."""
        return list((await self._http.get(f"/rest/v1/{table}?{query}")).raise_for_status().json())

    async def member(self, balance: int) -> UUID:
        """Somebody who has just signed up."""
        row = await self.insert(
            "quel_member",
            quel_email="new@example.com",
            provider="google",
            provider_sub=str(uuid4()),
            quel_member_credit=balance,
        )
        return UUID(row["quel_member_id"])

    async def order(self, member: UUID, *quantities: int) -> UUID:
        """A production, and a pending job of it."""
        total = sum(quantities)
        production = await self.insert(
            "quel_production_photo",
            quel_member_id=str(member),
            production_name="Winter",
            pipeline_type="pipeline",
            stage_count=len(quantities),
            total_quantity=total,
            quel_production_path="fashion",
        )
        stages = [
            {"stage_index": n, "prompt": f"stage {n}", "quantity": quantity, "aspect-ratio": "16:9"}
            | {"mergedImageAttachId": REFERENCE, "cameraAngle": "front", "shotType": "full"}
            for n, quantity in enumerate(quantities)
        ]
        job = await self.insert(
            "quel_production_jobs",
            production_id=production["production_id"],
            quel_member_id=str(member),
            job_type="pipeline_stage",
            stage_index=0,
            stage_name="Winter",
            job_status="pending",
            total_images=total,
            estimated_credits=total * PRICE,
            quel_production_path="fashion",
            job_input_data={"userId": str(member), "category": "fashion", "globalContext": {}, "stages": stages},
        )
        return UUID(job["job_id"])

    async def cancel(self, job_id: UUID) -> None:
        """As its server does: the row's status alone."""
        answer = await self._http.patch(
            f"/rest/v1/quel_production_jobs?job_id=eq.{job_id}", json={"job_status": "user_cancelled"}
        )
        answer.raise_for_status()

    async def poll(self, job_id: UUID, seconds: float) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The row at its end, and every row that was seen before."""
        seen: list[dict[str, Any]] = []
        async with asyncio.timeout(seconds):
            while True:
                row = await self.row("quel_production_jobs", "job_id", job_id)
                if row["job_status"] in ENDED and row["completed_at"] is not None:
                    return row, seen
                seen.append(row)
                await asyncio.sleep(POLL_EVERY)  # the pace of the front end is what is tested

    async def picture(self, attach_id: int) -> bytes:
        """A picture as it is shown: from the bucket, by its path."""
        row = await self.row("quel_attach", "attach_id", attach_id)
        path = row["attach_file_path"] or row["attach_directory"]
        answer = await self._http.get(f"/storage/v1/object/attachments/{path}")
        return answer.raise_for_status().content


@pytest.fixture(scope="module", params=["described", pytest.param("variant", marks=pytest.mark.slow)])
def deployment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSupabase]:
    """A project with the tables and rows of before, migrated."""
    with running_supabase(tmp_path_factory.mktemp("deployment"), migrated=False) as supabase:
        with supabase.project.connect() as db:
            for file in BEFORE[request.param]:
                run_file(db, file)
        supabase.project.migrate()
        yield supabase


@pytest.fixture
async def front_end(deployment: LocalSupabase) -> AsyncIterator[FrontEnd]:
    front_end = FrontEnd(deployment)
    yield front_end
    await front_end.close()


@pytest.fixture
async def darkroom(deployment: LocalSupabase, front_end: FrontEnd, tmp_path: Path) -> AsyncIterator[ProcessStack]:
    """Darkroom beside it, for a member who has just signed up."""
    temporal_binary()
    member = await front_end.member(OPENING_BALANCE)
    async with running_darkroom(tmp_path, deployment, user=member) as darkroom:
        path = f"generated-images/user-x/generated_{REFERENCE}.webp"
        await darkroom.parts.storage.put(path, tiny_picture(), "image/png")
        yield darkroom
        for job_id in darkroom.jobs:
            await check_histories(darkroom, job_id)


@pytest.mark.parametrize(
    "quantities", [(8, 8, 8), pytest.param((50, 50, 50), marks=pytest.mark.slow)], ids=["24 pictures", "150 pictures"]
)
async def test_a_job_is_exact_though_its_worker_is_killed_and_another_one_is_cancelled_by_its_row(
    darkroom: ProcessStack, front_end: FrontEnd, deployment: LocalSupabase, quantities: tuple[int, ...]
) -> None:
    total = sum(quantities)
    await darkroom.worker.start(WORKER)
    job_id = await front_end.order(darkroom.user, *quantities)
    other = await front_end.order(darkroom.user, total)
    darkroom.jobs.extend((job_id, other))
    polling = asyncio.create_task(front_end.poll(job_id, 50 + total))

    async def in_the_middle() -> bool:
        delivered = [len(darkroom.records.delivered(job)) for job in (job_id, other)]
        return delivered[0] >= total // 3 and delivered[1] >= 2

    await until(in_the_middle, "the middle of both jobs", 40)
    await darkroom.worker.kill()
    before = len(darkroom.records.delivered(job_id))
    assert before < total
    await front_end.cancel(other)
    await darkroom.worker.start(WORKER)
    ended, seen = await polling
    stopped, _ = await front_end.poll(other, 50)

    await _check_complete(front_end, ended, seen, quantities)
    kept = stopped["completed_images"]
    assert stopped["job_status"] == "user_cancelled"
    assert 2 <= kept < total
    assert len(set(stopped["generated_attach_ids"])) == kept
    word = await PostgresTables(deployment.project.database_uri).word("production_status", "cancelled")
    await _check_production(front_end, stopped, word or "pending")
    await _check_money(darkroom, front_end, {job_id: total, other: kept})


@pytest.mark.slow
async def test_a_job_is_exact_though_temporal_and_then_postgresql_and_the_worker_are_killed(
    darkroom: ProcessStack, front_end: FrontEnd, deployment: LocalSupabase
) -> None:
    quantities = (8, 8, 8)
    await darkroom.worker.start(WORKER)
    job_id = await front_end.order(darkroom.user, *quantities)
    darkroom.jobs.append(job_id)
    delivered = 0

    async def some_more() -> bool:
        return len(darkroom.records.delivered(job_id)) >= delivered + 4

    await until(some_more, "the first pictures", 40)
    await darkroom.server.kill()
    await darkroom.server.start()
    delivered = len(darkroom.records.delivered(job_id))
    await until(some_more, "pictures after Temporal's end", 60)
    await asyncio.to_thread(deployment.project.kill_postgres)
    await darkroom.worker.kill()
    await asyncio.to_thread(deployment.project.start_postgres)
    assert len(darkroom.records.delivered(job_id)) < sum(quantities)
    await darkroom.worker.start(WORKER)
    ended, seen = await front_end.poll(job_id, 90)
    await _check_complete(front_end, ended, seen, quantities)
    await _check_money(darkroom, front_end, {job_id: sum(quantities)})


async def _check_complete(
    front_end: FrontEnd, ended: dict[str, Any], seen: list[dict[str, Any]], quantities: tuple[int, ...]
) -> None:
    """All pictures of the job, each of its stage and to be read, in its row and its production's."""
    total, job_id = sum(quantities), ended["job_id"]
    assert (ended["job_status"], ended["completed_images"], ended["failed_images"]) == ("completed", total, 0)
    _check_only_grew([*seen, ended])
    ids = ended["generated_attach_ids"]
    assert len(set(ids)) == total
    pictures = await front_end.rows(
        "quel_attach", f"job_id=eq.{job_id}&select=attach_id,stage_index&order=stage_index,ordinal"
    )
    assert [picture["attach_id"] for picture in pictures] == ids
    assert tuple(sum(p["stage_index"] == n for p in pictures) for n in range(len(quantities))) == quantities
    for attach_id in ids:
        with Image.open(io.BytesIO(await front_end.picture(attach_id))) as picture:
            picture.load()
    await _check_production(front_end, ended, "completed")


def _check_only_grew(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        assert row["completed_images"] == len(row["generated_attach_ids"])
    for earlier, later in pairwise(rows):
        assert set(earlier["generated_attach_ids"]) <= set(later["generated_attach_ids"])


async def _check_production(front_end: FrontEnd, job: dict[str, Any], status: str) -> None:
    production = await front_end.row("quel_production_photo", "production_id", job["production_id"])
    assert production["production_status"] == status
    assert production["attach_ids"] == job["generated_attach_ids"]
    assert production["generated_image_count"] == job["completed_images"]


async def _check_money(darkroom: ProcessStack, front_end: FrontEnd, delivered: dict[UUID, int]) -> None:
    """Balance, journal and receipts say the same, and nothing is held."""
    paid = PRICE * sum(delivered.values())
    member = await front_end.row("quel_member", "quel_member_id", darkroom.user)
    assert member["quel_member_credit"] == OPENING_BALANCE - paid
    journal = await front_end.rows("quel_credits", f"user_id=eq.{darkroom.user}")
    assert {(row["transaction_type"], row["amount"]) for row in journal} == {("DEDUCT", -PRICE)}
    assert len(journal) == len({row["attach_idx"] for row in journal}) == sum(delivered.values())
    assert min(row["balance_after"] for row in journal) == OPENING_BALANCE - paid
    account = await darkroom.parts.records.account(darkroom.user)
    assert account is not None
    assert account.held == 0
    for job_id, images in delivered.items():
        receipt = await darkroom.receipt(job_id)
        assert (receipt.delivered, receipt.total.charged) == (images, images * PRICE)
        assert await darkroom.parts.storage.keys(f"staging/{job_id}") == []
    assert await darkroom.parts.records.audit() == []


OLD_JOB, OWNER, OTHER = (
    UUID(f"00000000-0000-0000-000{part}") for part in ("2-000000000006", "0-000000000007", "0-000000000001")
)
"""A job that made the pictures 1 to 147 before Darkroom; the member of its row, and another member."""


async def test_pictures_of_old_jobs_are_seen_by_the_member_of_their_row_and_by_operators_alone(
    darkroom: ProcessStack, deployment: LocalSupabase
) -> None:
    for number in (1, 10):
        path = f"generated-images/user-x/generated_{number}.webp"
        await darkroom.parts.storage.put(path, tiny_picture(), "image/webp")
    secret = new_secret()
    await darkroom.parts.records.add_api_key(
        NewApiKey(key_id=uuid4(), user_id=OTHER, name="test", operator=True, key_hash=hash_of(secret))
    )
    signing = SecretStr("what the project signs its users' tokens with")
    settings = darkroom.parts.settings.model_copy(update={"supabase_jwt_secret": signing})
    services = put_together(replace(darkroom.parts, settings=settings))
    owner, other = (token(signing.get_secret_value(), sub=str(user)) for user in (OWNER, OTHER))
    async with serving(services) as url, httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as http:

        async def get(path: str, secret: str) -> httpx.Response:
            return await http.get(path, headers={"Authorization": f"Bearer {secret}"})

        for path in ("/api/attachments/1", "/api/attachments/10", f"/api/jobs/{OLD_JOB}/images"):
            answers = [await get(path, caller) for caller in (owner, secret, other)]
            assert [answer.status_code for answer in answers] == [200, 200, 404], path
        assert [(await get("/api/attachments/148", caller)).status_code for caller in (owner, secret)] == [404, 200]
        shown = (await get(f"/api/jobs/{OLD_JOB}/images?limit=1000", owner)).json()["images"]
        assert [(image["attach_id"], image["position"]) for image in shown] == [(n + 1, n) for n in range(147)]
        for image in (shown[0], shown[9]):
            for address in (image["url"], image["thumbnail_url"]):
                assert (await http.get(address)).status_code == 200, address
        page = await get(f"/jobs/{OLD_JOB}", owner)
        assert (page.status_code, "/pictures/147" in page.text) == (200, True)
        package = await get(f"/api/jobs/{OLD_JOB}/archive.zip", owner)
        with zipfile.ZipFile(io.BytesIO(package.content)) as archive:
            assert archive.testzip() is None
            assert sorted(archive.namelist()) == [
                *("manifest.csv", "manifest.json", "missing.txt", "stage-1_001.webp", "stage-1_010.webp")
            ]
