"""Whether a job moves: calls that are retried, providers that fail, and when something last happened.

A workflow sees neither its activities' retries nor the clock between two tasks, so whoever shows a job merges these
from the attempts' rows and its own clock.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from darkroom.domain.model import Value
from darkroom.domain.progress import FailingProvider, JobStatus, Progress, StageProgress, eta_seconds
from darkroom.domain.rounds import StageStatus

FAULTS_OF_A_FAILING_PROVIDER = 3
"""Faults in a row, without any other answer to the job in between. One or two happen with every provider."""

PACE_OVER = timedelta(seconds=60)
"""The pace, and the time left at it, are those of the last minute: a job may have been paused for days."""


STALLED_AFTER = timedelta(seconds=120)
"""How long nothing may be delivered or missed, unless a setting says otherwise."""


JUST_NOW = timedelta(seconds=2)
"""What happened so lately shows that somebody works, or was asked too lately for that: a worker may be starting."""


class Retried(Value):
    """An image whose call failed and is retried: it is in back-off, or in its next attempt."""

    stage_index: int
    ordinal: int
    provider: str
    attempt: int
    """Of its newest call, from 1."""
    reason: str
    """Of its newest fault."""
    faults: int
    """Since the job last got another answer."""
    since: datetime
    """The first of these; the first of the image when there is none."""
    failed_at: datetime
    """When its newest fault ended."""


class Movement(Value):
    """What the attempts' rows know that a job's workflow does not."""

    news_at: datetime
    """When an image was last delivered or missed, or the job was opened or controlled."""
    opened_at: datetime | None
    """When the present run was opened."""
    delivered: int
    """Images delivered since the moment that was asked for."""
    retried: tuple[Retried, ...]
    """By stage and ordinal; none while the job is paused, cancelled or about to fail."""

    def failing(self) -> tuple[FailingProvider, ...]:
        """The providers that have answered the job with nothing but faults for a while."""
        found = []
        for provider in sorted({one.provider for one in self.retried}):
            calls = [one for one in self.retried if one.provider == provider]
            of_now = [one for one in calls if one.faults]
            if sum(one.faults for one in of_now) >= FAULTS_OF_A_FAILING_PROVIDER:
                since = min(one.since for one in of_now)
                found.append(
                    FailingProvider(provider=provider, reason=_newest(calls), since=since, retrying=len(calls))
                )
        return tuple(found)


TABLE_REFRESHED_EVERY = timedelta(seconds=60)
"""Of the table in the Temporal Web UI, while nothing moves."""

ROOM_FOR_FAULTS = 10 * 1024
"""Bytes of the history for the stages that a job is told of at a time; the first ones show what is wrong."""


class StageFaults(Value):
    """What a stage's workflow does not see of it."""

    stage_index: int
    retrying: int
    fault: str
    since: datetime


class Faults(Value):
    """What a job's workflow does not see of it, at one moment; only stages that have any."""

    stages: tuple[StageFaults, ...] = ()
    stalled: bool = False
    failing: tuple[FailingProvider, ...] = ()


def faults_of(progress: Progress) -> Faults:
    """What was merged into progress, apart from it."""
    stages: list[StageFaults] = []
    room = ROOM_FOR_FAULTS
    for stage in progress.stages:
        if stage.retrying and stage.since is not None:
            told = StageFaults(
                stage_index=stage.stage_index, retrying=stage.retrying, fault=stage.fault or "", since=stage.since
            )
            room -= len(told.model_dump_json().encode())
            if room < 0:
                break
            stages.append(told)
    return Faults(stages=tuple(stages), stalled=progress.stalled, failing=progress.failing)


def with_faults(progress: Progress, faults: Faults) -> Progress:
    """A workflow's own progress with what it was told last; for its page in the Temporal Web UI."""
    told = {one.stage_index: one.model_dump(exclude={"stage_index"}) for one in faults.stages}
    stages = tuple(
        stage.model_copy(update=told[stage.stage_index]) if stage.stage_index in told else stage
        for stage in progress.stages
    )
    merged = progress.model_copy(update={"stages": stages, "stalled": faults.stalled, "failing": faults.failing})
    return merged.model_copy(update={"eta_seconds": None}) if merged.keeps_still else merged


class RecentCalls(Value):
    """How the calls to one provider ended lately, over all jobs."""

    provider: str
    faults: int
    """Since the provider last gave another answer."""
    reason: str | None
    """Of the newest fault; None without one."""
    since: datetime | None
    """The first of these faults."""

    @property
    def failing(self) -> bool:
        """Whether it has answered with nothing but faults for a while."""
        return self.faults >= FAULTS_OF_A_FAILING_PROVIDER


def with_movement(
    progress: Progress,
    movement: Movement,
    now: datetime,
    stalled_after: timedelta,
    without_worker: Iterable[str] = (),
) -> Progress:
    """Progress as it is at this moment.

    Args:
        progress: from the job's workflow, or from the records.
        movement: with the images delivered since `PACE_OVER` ago.
        now: by the clock of whoever shows it.
        stalled_after: how long nothing may be delivered or missed.
        without_worker: task queues that the job needs and no worker serves.
    """
    missing = progress.total_images - progress.completed_images
    unfinished = progress.status in (JobStatus.PENDING, JobStatus.PROCESSING)
    wanted = unfinished and not progress.paused and not progress.cancel_requested and missing > 0
    if not wanted:
        return progress.model_copy(update={"eta_seconds": None})
    merged = progress.model_copy(
        update={
            "stages": tuple(_stage(stage, movement) for stage in progress.stages),
            "stalled": now - movement.news_at >= stalled_after,
            "failing": movement.failing(),
            "without_worker": tuple(without_worker) if now - movement.news_at >= JUST_NOW else (),
        }
    )
    began = now - PACE_OVER if movement.opened_at is None else max(movement.opened_at, now - PACE_OVER)
    left = eta_seconds(movement.delivered, missing, (now - began).total_seconds())
    return merged.model_copy(update={"eta_seconds": None if merged.keeps_still else left})


def _stage(stage: StageProgress, movement: Movement) -> StageProgress:
    calls = [one for one in movement.retried if one.stage_index == stage.stage_index]
    if not calls:
        return stage
    status = stage.status
    if status is StageStatus.WAITING:
        # The records tell a stage whose calls are all in back-off from one that has not begun by nothing else.
        status = StageStatus.TOPPING_UP if stage.round else StageStatus.DELIVERING
    since = min(one.since for one in calls)
    told = {"retrying": len(calls), "fault": _newest(calls), "since": since, "status": status}
    return stage.model_copy(update=told)


def _newest(calls: Iterable[Retried]) -> str:
    return max(calls, key=lambda one: one.failed_at).reason
