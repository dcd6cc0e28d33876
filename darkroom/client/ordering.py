"""Ordering: a document is checked once, and what was checked becomes a job."""

import asyncio
import copy
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Protocol
from uuid import UUID, uuid4

from darkroom.client.executions import JobExecutions
from darkroom.client.results import CheckedOrder, Submitted
from darkroom.domain.errors import JobNotFound, RecordsRefused
from darkroom.domain.jobs import JobRow, NewJob
from darkroom.domain.money import Account
from darkroom.domain.names import OPENING_CREDITS
from darkroom.domain.orders import ReferenceOwner
from darkroom.orders import as_stored, opened, priority_of
from darkroom.orders.intake import Intake
from darkroom.orders.references import NewUpload, Uploads, with_references
from darkroom.records.jobs import JobRecords
from darkroom.records.money import AccountRecords

Storing = AbstractAsyncContextManager[None]
"""What lasts while a job is stored, such as a limit that the next order is compared with; it may refuse the job."""

HIGHEST_ATTACH_ID = 2**31 - 1
"""References that are not stored yet stand under ids counted down from here."""


class OrderingRecords(JobRecords, AccountRecords, Protocol):
    """Jobs, and the account of the local user."""


async def as_ordered(records: JobRecords, job: JobRow) -> JobRow:
    """A job that a front end inserted, with the priority of its document: its row has it when it first opens.

    Its workflow, and so its first activity, are scheduled before.
    """
    if job.run_id is not None:
        return job
    try:
        source = await records.order_source(job.job_id)
    except (JobNotFound, RecordsRefused):
        return job  # its run says what is wrong with it
    return job.model_copy(update={"priority": priority_of(source.document) or job.priority})


class Ordering:
    """Checks orders, stores them as jobs and starts those.

    Args:
        local_user: whose account is opened with the first order; None where users are made elsewhere.
    """

    def __init__(
        self,
        records: OrderingRecords,
        intake: Intake,
        uploads: Uploads,
        executions: JobExecutions,
        local_user: UUID | None,
    ) -> None:
        self._records = records
        self._intake = intake
        self._uploads = uploads
        self._executions = executions
        self._local_user = local_user

    async def check(
        self,
        document: object,
        user_id: UUID | None,
        references: Sequence[NewUpload],
        org_id: UUID | None,
        *,
        own_only: bool,
    ) -> CheckedOrder:
        promised = {
            attach_id: ReferenceOwner(attach_id=attach_id, user_id=user_id)
            for attach_id in range(HIGHEST_ATTACH_ID, HIGHEST_ATTACH_ID - len(references), -1)
        }
        document = opened(document)
        complete = document
        if isinstance(document, dict):
            complete = await asyncio.to_thread(with_references, document, list(zip(promised, references, strict=True)))
        opening = None
        if user_id is not None and user_id == self._local_user:
            opening = Account(user_id=user_id, balance=OPENING_CREDITS, held=0)
        admitted = await self._intake.check(
            complete, user_id, org_id=org_id, promised=promised, opening=opening, own_only=own_only
        )
        assert isinstance(document, dict), "the intake admits nothing else"
        return CheckedOrder(
            # A copy: what the caller does with the document after the check must not change what is stored.
            document=await asyncio.to_thread(lambda: copy.deepcopy(as_stored(document))),
            order=admitted.order,
            unknown_keys=admitted.unknown_keys,
            more_unknown_keys=admitted.more_unknown_keys,
            references=tuple(references),
            account=admitted.account,
            opens_account=admitted.opens_account,
        )

    async def submit(self, checked: CheckedOrder, job_id: UUID | None, storing: Storing | None) -> Submitted:
        async with nullcontext() if storing is None else storing:
            new = await self._store(checked, job_id or uuid4())
        if isinstance(new, JobRow):
            return await self.resubmit(new)
        await self._executions.start(new, restart=False)
        return Submitted(job_id=new.job_id, found=False, total_images=new.total_images, warnings=checked.warnings)

    async def _store(self, checked: CheckedOrder, job_id: UUID) -> NewJob | JobRow:
        """Store it as a pending job, or find the one whose id it has."""
        if checked.opens_account:
            await self.open_local_account()
        stored = [(await self._uploads.store(upload, checked.user_id), upload) for upload in checked.references]
        new = NewJob(
            job_id=job_id,
            job_type=checked.order.job_type,
            user_id=checked.user_id,
            org_id=checked.order.org_id,
            production_id=checked.order.production_id,
            name=checked.order.name,
            document=with_references(checked.document, stored),
            total_images=checked.order.total_images,
            priority=checked.order.priority,
            webhook_url=checked.order.webhook_url,
        )
        if await self._records.create_job(new):
            return new
        existing = await self._records.job(new.job_id)
        assert existing is not None, "its id is taken"
        return existing

    async def resubmit(self, job: JobRow) -> Submitted:
        if not job.status.ended:
            await self._executions.start(job, restart=False)
        return Submitted(job_id=job.job_id, found=True, total_images=job.total_images)

    async def open_local_account(self) -> None:
        if self._local_user is not None:
            await self._records.ensure_member(self._local_user, OPENING_CREDITS)
