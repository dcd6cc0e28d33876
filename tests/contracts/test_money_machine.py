"""The rules of money against a tiny model: whatever happens in whatever order, spec §4 holds."""

import asyncio
import contextlib
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from darkroom.domain.errors import RunRefused
from darkroom.domain.formats import ImageSize
from darkroom.domain.images import Settlement
from darkroom.domain.jobs import End
from darkroom.domain.money import insufficient
from darkroom.domain.rounds import allot
from darkroom.proof.invariants import broken
from darkroom.records.sqlite import SqliteRecords
from darkroom.records.supabase import SupabaseRecords
from darkroom.supabase import open_supabase
from tests.support.records.fixture import PRICE, PRICE_2K, PRICE_4K, Job, RecordsFixture
from tests.support.records.groups import attach_group, settle_group
from tests.support.records.organizations import (
    organization,
    set_membership,
    set_organization,
    spend_of_organization,
)
from tests.support.records.tables import PostgresTables, SqliteTables
from tests.support.supabase.project import Project

T = TypeVar("T")

BALANCE = st.integers(0, 300)
WALLET = st.integers(0, 3)


def prices_of(job: Job) -> list[int]:
    """Of one image of each stage."""
    price = {ImageSize.K1: PRICE, ImageSize.K2: PRICE_2K, ImageSize.K4: PRICE_4K}
    return [price[stage.image_size] if job.order.user_id else 0 for stage in job.order.stages]


@dataclass
class Model:
    """What one job must look like."""

    job: Job
    user_id: UUID | None
    """None for a free job."""
    org_id: UUID | None
    """Who pays instead of the user."""
    quantities: list[int]
    targets: list[int]
    runs: int = 1
    open: bool = False
    ended: bool = False
    whole: bool = False
    """Ended with everything delivered, as a completed job."""
    refused: bool = False
    """Whether the newest run was not opened: asked again as a restart, it is."""
    hold: int = 0
    attached: set[tuple[int, int]] = field(default_factory=set)
    delivered: set[tuple[int, int]] = field(default_factory=set)

    @property
    def charged(self) -> bool:
        return self.user_id is not None

    @property
    def wallet(self) -> UUID | None:
        return self.org_id or self.user_id

    @property
    def prices(self) -> list[int]:
        return prices_of(self.job)

    def delivered_of(self, stage: int) -> int:
        return sum(1 for index, _ in self.delivered if index == stage)

    @property
    def due(self) -> int:
        """What the missing images cost."""
        missing = (target - self.delivered_of(stage) for stage, target in enumerate(self.targets))
        return sum(images * price for images, price in zip(missing, self.prices, strict=True))


class Money(RuleBasedStateMachine):
    """Two members, two organizations of theirs, several jobs, and somebody else who spends the credits of any."""

    jobs: Bundle[Model] = Bundle("jobs")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.fixture = self.run(self.new_fixture())
        self.all: list[Model] = []
        self.grants = 0
        self.users = [UUID(int=1), UUID(int=2)]
        self.organizations = [UUID(int=11), UUID(int=12)]
        self.balances: dict[UUID, int] = {}
        self.suspended: set[UUID] = set()
        self.gone: set[tuple[UUID, UUID]] = set()
        """Members that are none any more."""

    async def new_fixture(self) -> RecordsFixture:
        records = SqliteRecords(":memory:")
        return RecordsFixture(records, SqliteTables(records))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @initialize(own=st.lists(BALANCE, min_size=2, max_size=2), shared=st.lists(BALANCE, min_size=2, max_size=2))
    def start(self, own: list[int], shared: list[int]) -> None:
        for user_id, balance in zip(self.users, own, strict=True):
            self.run(self.fixture.ensure_member(user_id, balance))
        for org_id, balance in zip(self.organizations, shared, strict=True):
            self.run(organization(self.fixture, balance, self.users, org_id))
        self.balances = dict(zip(self.users + self.organizations, own + shared, strict=True))

    @rule(wallet=WALLET, amount=st.integers(1, 100))
    def grant(self, wallet: int, amount: int) -> None:
        self.grants += 1
        whose = list(self.balances)[wallet]
        records = self.fixture.records
        granted = records.grant_organization if whose in self.organizations else records.grant
        for _ in range(2):
            self.run(granted(whose, amount, f"grant-{self.grants}"))
        self.balances[whose] += amount

    @rule(wallet=WALLET, share=st.floats(0, 1))
    def somebody_else_spends(self, wallet: int, share: float) -> None:
        whose = list(self.balances)[wallet]
        self._spend(whose, int(self.balances[whose] * share))

    def _spend(self, whose: UUID, amount: int) -> None:
        if amount and whose in self.organizations:
            self.run(spend_of_organization(self.fixture, whose, amount))
        elif amount:
            self.run(self.fixture.spend(whose, amount))
        self.balances[whose] -= amount

    @rule(which=st.integers(0, 1), pays=st.booleans())
    def an_organization_is_suspended_or_restored(self, which: int, pays: bool) -> None:
        org_id = self.organizations[which]
        self.run(set_organization(self.fixture, org_id, "active" if pays else "suspended"))
        (self.suspended.discard if pays else self.suspended.add)(org_id)

    @rule(which=st.integers(0, 1), who=st.integers(0, 1), status=st.sampled_from(["active", "left", "banned"]))
    def a_membership_changes(self, which: int, who: int, status: str) -> None:
        org_id, user_id = self.organizations[which], self.users[who]
        self.run(set_membership(self.fixture, org_id, user_id, status))
        (self.gone.discard if status == "active" else self.gone.add)((org_id, user_id))

    def _pays(self, model: Model) -> bool:
        if model.org_id is None or model.user_id is None:
            return True
        return model.org_id not in self.suspended and (model.org_id, model.user_id) not in self.gone

    @rule(model=jobs, left=st.integers(0, 45))
    def the_balance_is_emptied_under_a_running_job(self, model: Model, left: int) -> None:
        if model.open and model.wallet is not None and self.balances[model.wallet] > left:
            self._spend(model.wallet, self.balances[model.wallet] - left)
            self.deliver(model, 0, [0, 1, 2])

    @rule(
        target=jobs,
        quantities=st.lists(st.integers(1, 3), min_size=1, max_size=3),
        max_credits=st.none() | st.integers(0, 120),
        who=st.sampled_from([0, 0, 1, None]),
        org=st.sampled_from([None, 0, 0, 1]),
        at_once=st.sampled_from([True, True, False]),
        sizes=st.lists(st.sampled_from(ImageSize), min_size=3, max_size=3),
    )
    def order(  # noqa: PLR0917 - what Hypothesis draws
        self,
        quantities: list[int],
        max_credits: int | None,
        who: int | None,
        org: int | None,
        at_once: bool,
        sizes: list[ImageSize],
    ) -> Model:
        user_id = None if who is None else self.users[who]
        org_id = None if org is None or user_id is None else self.organizations[org]
        looks = [{"image_size": size} for size in sizes]
        pending = self.fixture.pending(user_id, quantities, max_credits=max_credits, org_id=org_id, looks=looks)
        job = self.run(pending)
        model = Model(job, user_id, org_id, quantities, allot(quantities, max_credits, prices_of(job)))
        self.all.append(model)
        if at_once:
            self._take_hold(model, self.run(job.open()).failure)
        return model

    @rule(model=jobs, again=st.booleans(), restart=st.booleans(), price=st.integers(1, 40))
    def open_run(self, model: Model, again: bool, restart: bool, price: int) -> None:
        first = model.job.run == model.job.named(1) and not model.open and not model.ended
        if not again and not first:
            model.runs += 1
        # The price of the settings counts once; the model's jobs all open at PRICE.
        opened = self.run(model.job.open(model.job.named(model.runs), price=PRICE if first else price, restart=restart))
        if again and model.open:
            assert opened.superseded is None
            return
        if model.ended and ((again and not model.refused) or not restart or model.whole):
            assert opened.superseded is not None
            model.refused = model.refused or not again
            return
        assert opened.superseded is None
        model.refused = False
        self._take_hold(model, opened.failure)

    def _take_hold(self, model: Model, failure: str | None) -> None:
        others = sum(other.hold for other in self.all if other is not model and other.wallet == model.wallet)
        balance = self.balances[model.wallet] if model.wallet else 0
        need, available = model.due, balance - others
        model.open, model.ended, model.whole = True, False, False
        if not self._pays(model):
            assert failure is not None
            assert "organization" in failure
            model.hold = 0
        elif model.charged and need > available:
            assert failure == insufficient(need, available)
            model.hold = 0
        else:
            assert failure is None
            model.hold = need

    @rule(model=jobs, stage=st.integers(0, 2), ordinals=st.lists(st.integers(0, 4), min_size=1, max_size=5))
    def make(self, model: Model, stage: int, ordinals: list[int]) -> None:
        self.deliver(model, stage, ordinals)

    def deliver(self, model: Model, stage: int, ordinals: list[int]) -> None:
        for ordinal in ordinals:
            self._attach(model, stage % len(model.quantities), ordinal)
            self._settle(model, stage % len(model.quantities), ordinal, model.job.run)

    @rule(model=jobs, stage=st.integers(0, 2), ordinal=st.integers(0, 4))
    def attach(self, model: Model, stage: int, ordinal: int) -> None:
        self._attach(model, stage % len(model.quantities), ordinal)

    def _attach(self, model: Model, stage: int, ordinal: int) -> None:
        if not (model.open or model.ended):
            return
        attached = self.run(model.job.attach(ordinal, stage))
        key = (stage, ordinal)
        assert (attached.attach_id is not None) == (model.open or key in model.delivered)
        if model.open:
            model.attached.add(key)

    @rule(model=jobs, late=st.booleans())
    def settle_what_is_attached(self, model: Model, late: bool) -> None:
        run = model.job.named(model.runs - 1) if late else model.job.run
        for stage, ordinal in sorted(model.attached):
            self._settle(model, stage, ordinal, run)

    def _settle(self, model: Model, stage: int, ordinal: int, run: str) -> None:
        if (stage, ordinal) in model.attached:
            settled = self.run(model.job.settle(ordinal, stage, run=run)).settlement
            assert settled is self._expected(model, stage, ordinal, run)

    def _expected(self, model: Model, stage: int, ordinal: int, run: str) -> Settlement:
        """What becomes of the image, which the model then counts as settled if it is."""
        key = (stage, ordinal)
        if key in model.delivered:
            return Settlement.SETTLED
        if run != model.job.run or not model.open or key not in model.attached:
            return Settlement.RUN_REFUSED
        if model.delivered_of(stage) >= model.targets[stage]:
            return Settlement.STAGE_FULL
        if model.wallet is not None:
            price = model.prices[stage]
            if not self._pays(model) or min(self.balances[model.wallet], model.hold) < price:
                return Settlement.INSUFFICIENT
            self.balances[model.wallet] -= price
        model.delivered.add(key)
        model.hold -= model.prices[stage]
        return Settlement.SETTLED

    @rule(model=jobs, stage=st.integers(0, 2), ordinals=st.lists(st.integers(0, 4), max_size=7))
    def make_a_group(self, model: Model, stage: int, ordinals: list[int]) -> None:
        self._attach_group(model, stage % len(model.quantities), ordinals)
        self._settle_group(model, stage % len(model.quantities), ordinals, model.job.run)

    @rule(model=jobs, stage=st.integers(0, 2), ordinals=st.lists(st.integers(0, 4), max_size=7), late=st.booleans())
    def settle_a_group(self, model: Model, stage: int, ordinals: list[int], late: bool) -> None:
        run = model.job.named(model.runs - 1) if late else model.job.run
        self._settle_group(model, stage % len(model.quantities), ordinals, run)

    def _attach_group(self, model: Model, stage: int, ordinals: list[int]) -> None:
        attached = self.run(attach_group(model.job, ordinals, stage))
        for ordinal, one in zip(ordinals, attached, strict=True):
            assert (one.attach_id is not None) == (model.open or (stage, ordinal) in model.delivered)
            assert not one.refused
            if model.open:
                model.attached.add((stage, ordinal))

    def _settle_group(self, model: Model, stage: int, ordinals: list[int], run: str) -> None:
        settled = self.run(settle_group(model.job, ordinals, stage, run=run))
        expected = [self._expected(model, stage, ordinal, run) for ordinal in ordinals]
        assert [one.settlement for one in settled] == expected

    @rule(model=jobs, end=st.sampled_from(End), drop=st.booleans())
    def close_run(self, model: Model, end: End, drop: bool) -> None:
        if not model.open:
            return
        receipt = self.run(model.job.close(end, error="bad key" if end is End.FAILED else None))
        assert receipt.delivered == len(model.delivered)
        assert receipt.total.charged == sum(model.prices[stage] for stage, _ in model.delivered)
        assert receipt.last_run.released == model.hold
        assert self.run(model.job.close(end)) == receipt
        model.open, model.ended, model.hold = False, True, 0
        model.whole = end is End.DELIVERED and len(model.delivered) == sum(model.quantities)
        if drop:
            self.run(self.fixture.records.drop_undelivered(model.job.job_id, model.job.run))
            if end is End.CANCELLED or (end is End.DELIVERED and model.delivered):
                model.attached &= model.delivered

    @rule(model=jobs)
    def an_old_run_closes(self, model: Model) -> None:
        if model.open and model.runs > 1:
            before = self.run(self.fixture.dump())
            # Closed before, it gives its receipt again; taken over, it is refused. Neither changes anything.
            with contextlib.suppress(RunRefused):
                self.run(model.job.close(End.CANCELLED, run=model.job.named(model.runs - 1)))
            assert self.run(self.fixture.dump()) == before

    @rule(model=jobs)
    def refresh(self, model: Model) -> None:
        self.run(self.fixture.records.refresh(model.job.job_id))
        row = self.run(model.job.row())
        assert row.completed_images == len(model.delivered)

    @invariant()
    def spec_4_holds(self) -> None:
        assert broken(self.run(self.fixture.dump())) == []
        assert list(self.run(self.fixture.records.audit())) == []

    @invariant()
    def the_accounts_are_the_models(self) -> None:
        records = self.fixture.records
        for whose, balance in self.balances.items():
            account = self.run(records.organization(whose) if whose in self.organizations else records.account(whose))
            assert account is not None
            assert account.balance == balance
            assert account.held == sum(model.hold for model in self.all if model.wallet == whose)

    def teardown(self) -> None:
        self.run(self.fixture.records.close())
        self.runner.close()


IN_ANY_ORDER = settings(
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # 25 steps are readable as they are; shrinking them takes minutes
    suppress_health_check=[HealthCheck.too_slow],
)


@pytest.mark.parametrize("orders", [40, pytest.param(400, marks=pytest.mark.slow)])
def test_money_rules_hold_in_any_order(orders: int) -> None:
    run_state_machine_as_test(Money, settings=settings(IN_ANY_ORDER, max_examples=orders))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("orders", [3, pytest.param(60, marks=pytest.mark.slow)])
@pytest.mark.parametrize("tables", ["migrated", "described", pytest.param("variant", marks=pytest.mark.slow)])
def test_money_rules_hold_in_any_order_on_supabase(request: pytest.FixtureRequest, tables: str, orders: int) -> None:
    project: Project = request.getfixturevalue(tables)

    class MoneyOnSupabase(Money):
        async def new_fixture(self) -> RecordsFixture:
            project.reset()
            records = SupabaseRecords(await open_supabase(project.url, project.service_role_key))
            return RecordsFixture(records, PostgresTables(project.database_uri), members_of_others=tables != "migrated")

    run_state_machine_as_test(MoneyOnSupabase, settings=settings(IN_ANY_ORDER, max_examples=orders))
