"""Jobs as the contract tests set them up: short words for the port's calls, nothing of their own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from darkroom.domain.attempts import Attempt, AttemptEnd, BegunAttempt
from darkroom.domain.ceilings import Ceilings
from darkroom.domain.images import AttachInput, AttachResult, ImageKey, Outcome
from darkroom.domain.jobs import CloseRun, Control, End, JobRow, NewJob, OpenedRun, StartRun
from darkroom.domain.money import Account, SettledImage, Terms
from darkroom.domain.orders import JobType, Order, Reference, Stage
from darkroom.domain.receipts import Receipt, StageEnd
from darkroom.proof.tables import Dump
from darkroom.records import Records
from tests.support.records.tables import Tables

PRICE = 20
PRICE_2K, PRICE_4K = 30, 70
EPOCH = datetime(2026, 11, 1, tzinfo=UTC)


def moment(run_id: str) -> datetime:
    """When a run was started: `run-2` after `run-1`."""
    return EPOCH + timedelta(minutes=int(run_id.rpartition("-")[2]))


@dataclass
class Job:
    """One job in the records, and what its run does with it."""

    records: Records
    order: Order
    job_id: UUID = field(default_factory=uuid4)
    run: str = ""
    """The run that acts unless a call names another."""

    def __post_init__(self) -> None:
        self.run = self.run or self.named(1)

    def named(self, number: int) -> str:
        """The id of this job's n-th run."""
        return f"{self.job_id}-run-{number}"

    async def create(self) -> bool:
        return await self.records.create_job(
            NewJob(
                job_id=self.job_id,
                job_type=self.order.job_type,
                user_id=self.order.user_id,
                org_id=self.order.org_id,
                production_id=self.order.production_id,
                name=self.order.name,
                document={"prompt": "as it came"},
                total_images=self.order.total_images,
                priority=self.order.priority,
                webhook_url=self.order.webhook_url,
            )
        )

    async def open(
        self,
        run: str | None = None,
        *,
        price: int = PRICE,
        restart: bool = False,
        rejection: str | None = None,
    ) -> OpenedRun:
        """Open a run as `open_job` does: with the order only when the stages are not stored yet."""
        self.run = run or self.run
        source = await self.records.order_source(self.job_id)
        return await self.records.open_run(
            StartRun(job_id=self.job_id, run_id=self.run, started_at=moment(self.run), restart=restart),
            None if source.opened or rejection else self.order,
            Terms(
                unit_price=price,
                unit_price_2k=price + PRICE_2K - PRICE,
                unit_price_4k=price + PRICE_4K - PRICE,
                max_top_ups=5,
                providers=("offline",),
            ),
            rejection,
        )

    def key(self, ordinal: int, stage: int = 0) -> ImageKey:
        return ImageKey(job_id=self.job_id, stage_index=stage, ordinal=ordinal)

    async def begin(
        self,
        ordinal: int,
        stage: int = 0,
        *,
        run: str | None = None,
        call: UUID | None = None,
        looked: bool = False,
        round_: int = 0,
        provider: str = "offline",
        model: str | None = None,
        attempt: int = 1,
        taken_at: datetime | None = None,
        ceilings: Ceilings | None = None,
        through: Records | None = None,
    ) -> BegunAttempt:
        return await (through or self.records).begin_attempt(
            Attempt(
                key=self.key(ordinal, stage),
                run_id=run or self.run,
                call_id=call or uuid4(),
                round=round_,
                provider=provider,
                model=model,
                attempt=attempt,
                taken_at=taken_at,
                ceilings=ceilings,
            ),
            looked=looked,
        )

    async def end(self, call: UUID, outcome: Outcome, reason: str | None = None, *, final: bool = False) -> None:
        await self.records.finish_attempt(call, AttemptEnd(outcome=outcome, reason=reason, final=final, seconds=1.5))

    async def tried(
        self,
        ordinal: int,
        outcome: Outcome,
        stage: int = 0,
        *,
        final: bool = False,
        round_: int = 0,
        attempt: int = 1,
        provider: str = "offline",
        reason: str | None = None,
    ) -> UUID:
        """One call that ended otherwise than with a picture."""
        call = uuid4()
        await self.begin(ordinal, stage, call=call, round_=round_, attempt=attempt, provider=provider)
        await self.end(call, outcome, reason or f"the provider said {outcome}", final=final)
        return call

    async def attach(
        self,
        ordinal: int,
        stage: int = 0,
        *,
        run: str | None = None,
        call: UUID | None = None,
        path: str | None = None,
    ) -> AttachResult:
        key = self.key(ordinal, stage)
        return await self.records.attach(
            AttachInput(
                key=key,
                run_id=run or self.run,
                call_id=call,
                path=path or key.final(self.order.user_id),
                size=1000 + ordinal,
                sha256=f"{stage:032x}{ordinal:032x}",
            )
        )

    async def make(self, ordinal: int, stage: int = 0, *, round_: int = 0) -> int:
        """A picture generated, stored and attached, not yet settled; its attachment's id."""
        call = uuid4()
        await self.begin(ordinal, stage, call=call, round_=round_)
        attached = await self.attach(ordinal, stage, call=call)
        assert attached.attach_id is not None, attached.reason
        return attached.attach_id

    async def settle(self, ordinal: int, stage: int = 0, *, run: str | None = None) -> SettledImage:
        return await self.records.settle(self.key(ordinal, stage), run or self.run)

    async def deliver(self, ordinals: Sequence[int], stage: int = 0, *, round_: int = 0) -> list[int]:
        """Pictures made and settled; their attachments' ids."""
        ids = []
        for ordinal in ordinals:
            ids.append(await self.make(ordinal, stage, round_=round_))
            await self.settle(ordinal, stage)
        return ids

    async def control(self, version: int, run: str | None = None, **asked: object) -> int | None:
        control = Control.model_validate({"version": version, **asked})
        return await self.records.set_control(self.job_id, run or self.run, control)

    async def close(
        self,
        end: End = End.DELIVERED,
        *,
        run: str | None = None,
        error: str | None = None,
        stages: tuple[StageEnd, ...] = (),
    ) -> Receipt:
        return await self.records.close_run(
            CloseRun(job_id=self.job_id, run_id=run or self.run, end=end, error_message=error, stages=stages)
        )

    async def row(self) -> JobRow:
        row = await self.records.job(self.job_id)
        assert row is not None
        return row


@dataclass
class RecordsFixture:
    """Records under test, their tables, and a second connection to the same data where there can be one."""

    records: Records
    tables: Tables
    others: Sequence[Records] = ()
    members_of_others: bool = False
    """Whether members are created by another application, with values that Darkroom does not know."""

    @property
    def connections(self) -> list[Records]:
        """All connections to the data: work is spread over them to happen at once."""
        return [self.records, *self.others]

    async def dump(self) -> Dump:
        return await self.tables.dump()

    async def member(self, balance: int = 1_000) -> UUID:
        user_id = uuid4()
        await self.ensure_member(user_id, balance)
        return user_id

    async def ensure_member(self, user_id: UUID, balance: int) -> None:
        """As the port makes one, or as the application does that owns the table."""
        if not self.members_of_others:
            await self.records.ensure_member(user_id, balance)
            return
        await self.tables.plant(
            "insert into quel_member (quel_member_id, quel_member_credit, quel_email, provider, provider_sub)"
            " values (:user, :balance, 'a@example.com', 'google', :number) on conflict do nothing",
            user=str(user_id),
            number=user_id.hex,
            balance=balance,
        )

    async def account(self, user_id: UUID) -> Account:
        account = await self.records.account(user_id)
        assert account is not None
        return account

    async def spend(self, user_id: UUID, amount: int) -> None:
        """Somebody else takes credits from the member, as another program with the same tables would."""
        await self.tables.change(
            "insert into quel_credits (user_id, transaction_type, amount, balance_after, created_at)"
            " select quel_member_id, 'DEDUCT', -cast(:amount as integer), quel_member_credit - :amount, :now"
            " from quel_member where quel_member_id = :user",
            user=str(user_id),
            amount=amount,
            now=datetime.now(UTC).isoformat(),
        )
        await self.tables.change(
            "update quel_member set quel_member_credit = quel_member_credit - :amount where quel_member_id = :user",
            user=str(user_id),
            amount=amount,
        )

    async def said_of_production(self, status: str) -> str:
        """What the row of a pending production says then; without a word for it, it stays as it is (spec §8)."""
        return await self.tables.word("production_status", status) or "pending"

    async def production(self, user_id: UUID | None, attach_ids: str = "[]", images: int = 0) -> UUID:
        production_id = uuid4()
        await self.tables.plant(
            "insert into quel_production_photo"
            " (production_id, quel_member_id, production_status, attach_ids, generated_image_count)"
            " values (:id, :user, 'pending', :attach_ids, :images)",
            id=str(production_id),
            user=None if user_id is None else str(user_id),
            attach_ids=attach_ids,
            images=images,
        )
        return production_id

    def job(
        self,
        user_id: UUID | None,
        quantities: Sequence[int] = (3,),
        *,
        max_credits: int | None = None,
        production_id: UUID | None = None,
        org_id: UUID | None = None,
        looks: Sequence[Mapping[str, Any]] = (),
    ) -> Job:
        """A job that is not stored yet; `looks` are more fields of its first stages."""
        order = Order(
            job_type=JobType.PIPELINE_STAGE,
            user_id=user_id,
            org_id=org_id,
            production_id=production_id,
            stages=tuple(
                Stage(
                    stage_index=index,
                    label=f"stage {index}",
                    prompt=f"a quiet lake, {index}",
                    quantity=quantity,
                    references=(Reference(attach_id=7, type="model"),),
                    **(looks[index] if index < len(looks) else {}),
                )
                for index, quantity in enumerate(quantities)
            ),
            max_credits=max_credits,
        )
        return Job(self.records, order)

    async def pending(
        self,
        user_id: UUID | None,
        quantities: Sequence[int] = (3,),
        *,
        max_credits: int | None = None,
        production_id: UUID | None = None,
        org_id: UUID | None = None,
        looks: Sequence[Mapping[str, Any]] = (),
    ) -> Job:
        job = self.job(
            user_id, quantities, max_credits=max_credits, production_id=production_id, org_id=org_id, looks=looks
        )
        assert await job.create()
        return job

    async def opened(
        self,
        user_id: UUID | None,
        quantities: Sequence[int] = (3,),
        *,
        max_credits: int | None = None,
        production_id: UUID | None = None,
        org_id: UUID | None = None,
        looks: Sequence[Mapping[str, Any]] = (),
    ) -> Job:
        job = await self.pending(
            user_id, quantities, max_credits=max_credits, production_id=production_id, org_id=org_id, looks=looks
        )
        opened = await job.open()
        assert opened.failure is None
        assert opened.superseded is None
        return job
