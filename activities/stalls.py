"""Says in the log that a job stalls: nothing was delivered or missed for a while, although something is wanted."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

import structlog
from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from darkroom.domain.errors import DarkroomError, RecordsRefused
from darkroom.domain.movement import Movement, with_movement
from darkroom.domain.names import job_of_workflow
from darkroom.domain.progress import Progress

log = structlog.get_logger(__name__)

LOOKS_A_LIMIT = 4
"""How often within the time that makes a stall the jobs are looked at."""

LONGEST_PAUSE = 30.0
"""Seconds between two looks."""


class StallRecords(Protocol):
    """How jobs stand."""

    async def progress(self, job_id: UUID) -> Progress | None:
        """Progress as the records know it."""
        ...

    async def movement(self, job_id: UUID, since: datetime) -> Movement | None:
        """Whether a job moves."""
        ...


class StallLines(Interceptor):
    """One line for each time that a job, for which this process has worked, stalls.

    A job that moves is looked at once in the time that makes a stall.
    """

    def __init__(self, records: StallRecords, stalled_after: timedelta) -> None:
        self._records = records
        self._stalled_after = stalled_after
        self._look_at: dict[UUID, datetime] = {}
        """By job: when it stalls at the earliest."""
        self._said: dict[UUID, datetime] = {}
        """By job that stalls: since when nothing has happened."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - the SDK's name
        return _Noting(next, self)

    def note(self, job_id: UUID) -> None:
        """This process works for a job."""
        if job_id not in self._look_at:
            self._look_at[job_id] = datetime.now(UTC) + self._stalled_after

    async def keep_looking(self) -> None:
        """Look at the jobs again and again, until this task is cancelled."""
        pause = min(LONGEST_PAUSE, self._stalled_after.total_seconds() / LOOKS_A_LIMIT)
        while True:
            await asyncio.sleep(pause)
            try:
                await self.look(datetime.now(UTC))
            except DarkroomError as error:
                # Outages have lines of their own.
                log.debug("jobs not looked at", reason=str(error))

    async def look(self, now: datetime) -> None:
        """Say which jobs stall at this moment."""
        for job_id in [job_id for job_id, due in self._look_at.items() if due <= now]:
            try:
                progress = await self._records.progress(job_id)
                movement = await self._records.movement(job_id, now)
            except RecordsRefused as error:
                # A row that cannot be read must not hide the other jobs.
                log.warning("job not looked at", job_id=str(job_id), reason=str(error))
                self._look_at[job_id] = now + self._stalled_after
                continue
            if progress is None or movement is None or progress.status.ended:
                self._look_at.pop(job_id)
                self._said.pop(job_id, None)
                continue
            shown = with_movement(progress, movement, now, self._stalled_after)
            if not shown.stalled:
                # Not before it can stall; one that is paused or being cancelled is asked for as seldom.
                stalls_at = movement.news_at + self._stalled_after
                self._look_at[job_id] = stalls_at if stalls_at > now else now + self._stalled_after
            elif self._said.get(job_id) != movement.news_at:
                self._say(shown, movement, now)

    def _say(self, progress: Progress, movement: Movement, now: datetime) -> None:
        self._said[progress.job_id] = movement.news_at
        log.warning(
            "job stalled",
            job_id=str(progress.job_id),
            completed=progress.completed_images,
            total=progress.total_images,
            seconds=round((now - movement.news_at).total_seconds()),
            retrying=len(movement.retried),
            reason=next((stage.fault for stage in progress.stages if stage.fault), None),
        )


class _Noting(ActivityInboundInterceptor):
    def __init__(self, following: ActivityInboundInterceptor, lines: StallLines) -> None:
        super().__init__(following)
        self._lines = lines

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - the SDK's name
        job_id = job_of_workflow(activity.info().workflow_id or "")
        if job_id is not None:
            self._lines.note(job_id)
        return await super().execute_activity(input)
