"""A group is what its images would be one after another, whatever was before: the same answers, the same rows."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from darkroom.domain.errors import RecordsRefused
from darkroom.domain.images import Settlement
from darkroom.proof.invariants import broken
from darkroom.records.sqlite import SqliteRecords
from darkroom.records.supabase import SupabaseRecords
from tests.support.records.fixture import PRICE, Job, RecordsFixture
from tests.support.records.groups import attach_group, settle_group
from tests.support.records.tables import PostgresTables, SqliteTables
from tests.support.supabase.clients import open_project
from tests.support.supabase.project import Project


@st.composite
def some_ordinals(draw: st.DrawFn) -> list[int]:
    """Some of six images in any order, now and then one of them twice."""
    some = draw(st.permutations(range(6)))[: draw(st.integers(1, 6))]
    return [*some, *draw(st.sampled_from([[], [], some[:1]]))]


STEP = st.one_of(
    st.tuples(st.sampled_from(["settle", "settle", "settle", "attach", "settle late"]), some_ordinals()),
    st.tuples(st.just("spend"), st.integers(0, 4)),
)
STEPS = st.builds(
    lambda first, others: [("attach", first), *others], some_ordinals(), st.lists(STEP, min_size=2, max_size=6)
)
REFUSING = (
    "create unique index refusing_images on quel_attach (job_id) where ordinal in (1, 2)",
    "create unique index refusing_deliveries on quel_attach (job_id)"
    " where delivered_at is not null and ordinal in (0, 3, 4)",
)
"""Of these images there may be one: the second is refused as it is attached, or as it is settled."""

Said = list[tuple[Any, ...]]


@dataclass
class Side:
    """One of two jobs that are alike, each of a member of its own."""

    fixture: RecordsFixture
    job: Job
    said: Said = field(default_factory=list)

    def own(self, text: str | None) -> str | None:
        """A reason, without what is this side's alone."""
        return None if text is None else text.replace(str(self.job.job_id), "JOB")

    async def spend(self, images: int) -> None:
        user_id = self.job.order.user_id
        assert user_id is not None
        account = await self.fixture.account(user_id)
        await self.fixture.spend(user_id, min(account.balance, images * PRICE + 1))

    async def state(self) -> Said:
        """What is there: images as ordinals, with what was charged for them."""
        await self.fixture.records.refresh(self.job.job_id)
        dump, job_id = await self.fixture.dump(), str(self.job.job_id)
        images = {row["attach_id"]: row for row in dump["quel_attach"] if row["job_id"] == job_id}
        [row] = [row for row in dump["quel_production_jobs"] if row["job_id"] == job_id]
        return [
            *(("image", one["ordinal"], one["delivered_at"] is not None, one["sha256"]) for one in images.values()),
            ("row", [images[attach_id]["ordinal"] for attach_id in row["generated_attach_ids"]]),
            *(("held", hold["amount"]) for hold in dump["quel_credit_holds"] if hold["job_id"] == job_id),
            *(
                ("charged", images[one["attach_idx"]]["ordinal"], one["amount"], one["balance_after"])
                for one in dump["quel_credits"]
                if one["job_id"] == job_id
            ),
            *(("stage", one["delivered_images"]) for one in dump["quel_job_stages"] if one["job_id"] == job_id),
        ]


class Alone(Side):
    """Each image by itself."""

    async def attach(self, ordinals: list[int]) -> None:
        """In the order in which a group attaches them: PostgreSQL's takes its locks in that of the ordinals."""
        places = list(range(len(ordinals)))
        if isinstance(self.fixture.tables, PostgresTables):
            places.sort(key=ordinals.__getitem__)
        said = {}
        for place in places:
            try:
                attached = await self.job.attach(ordinals[place])
                said[place] = (attached.attach_id is not None, self.own(attached.reason), False)
            except RecordsRefused as refused:
                said[place] = (False, self.own(str(refused)), True)
        self.said += [said[place] for place in range(len(ordinals))]

    async def settle(self, ordinals: list[int], run: str) -> None:
        for ordinal in ordinals:
            try:
                one = await self.job.settle(ordinal, run=run)
                self.said.append((one.settlement, one.attach_id is not None, self.own(one.reason)))
            except RecordsRefused as refused:
                self.said.append((Settlement.REFUSED, False, self.own(str(refused))))


class Together(Side):
    """All of them as a group."""

    async def attach(self, ordinals: list[int]) -> None:
        attached = await attach_group(self.job, ordinals)
        self.said += [(one.attach_id is not None, self.own(one.reason), one.refused) for one in attached]

    async def settle(self, ordinals: list[int], run: str) -> None:
        settled = await settle_group(self.job, ordinals, run=run)
        self.said += [(one.settlement, one.attach_id is not None, self.own(one.reason)) for one in settled]


async def check(fixture: RecordsFixture, quantity: int, steps: list[tuple[str, Any]], refusing: bool) -> None:
    sides = [
        side(fixture, await fixture.opened(await fixture.member(6 * PRICE), (quantity,))) for side in (Alone, Together)
    ]
    for statement in REFUSING if refusing else ():
        await fixture.tables.plant(statement)
    for side in sides:
        for step, given_ in steps:
            if step == "spend":
                await side.spend(given_)
            elif step == "attach":
                await side.attach(given_)
            else:
                await side.settle(given_, side.job.named(2) if step == "settle late" else side.job.run)
    alone, together = sides
    assert together.said == alone.said
    assert sorted(map(str, await together.state())) == sorted(map(str, await alone.state()))
    assert broken(await fixture.dump()) == []
    assert list(await fixture.records.audit()) == []


ANY = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@settings(ANY)
@given(st.integers(1, 4), STEPS, st.booleans())
def test_a_group_is_its_images_one_after_another(quantity: int, steps: list[tuple[str, Any]], refusing: bool) -> None:
    async def compare() -> None:
        records = SqliteRecords(":memory:")
        await check(RecordsFixture(records, SqliteTables(records)), quantity, steps, refusing)
        await records.close()

    asyncio.run(compare())


@pytest.mark.parametrize("examples", [8, pytest.param(150, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
@pytest.mark.parametrize("kind", ["migrated", "described", pytest.param("variant", marks=pytest.mark.slow)])
def test_a_group_is_its_images_one_after_another_on_supabase(
    request: pytest.FixtureRequest, kind: str, examples: int
) -> None:
    project: Project = request.getfixturevalue(kind)

    @settings(ANY, max_examples=examples)
    @given(st.integers(1, 4), STEPS, st.booleans())
    def property_(quantity: int, steps: list[tuple[str, Any]], refusing: bool) -> None:
        async def compare() -> None:
            project.reset()
            records = SupabaseRecords(await open_project(project))
            tables = PostgresTables(project.database_uri)
            try:
                fixture = RecordsFixture(records, tables, members_of_others=kind != "migrated")
                await check(fixture, quantity, steps, refusing)
            finally:
                await records.close()
                if refusing:
                    for index in ("refusing_images", "refusing_deliveries"):
                        await tables.plant(f"drop index if exists {index}")

        asyncio.run(compare())

    property_()
