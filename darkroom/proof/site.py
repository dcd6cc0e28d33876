"""What every system that a proof breaks has: processes, jobs, and what happened to them."""

import asyncio
import json
import shutil
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from darkroom.proof.account import Account, read_account, saved_calls
from darkroom.proof.processes import Process, Worker
from darkroom.proof.provider import FAULTS_FILE, PACE_FILE
from darkroom.proof.recovery import Outage
from darkroom.proof.waiting import until

ENDED = ("completed", "failed", "cancelled")
OPENING_BALANCE = 100_000
SAVED_WITHIN = 2.0
"""Seconds between an answer and its bytes on disk, on a busy machine, in which a kill may lose them."""


@dataclass
class Ordered:
    """A job of the run."""

    job_id: UUID
    user_id: UUID | None
    total: int
    org_id: UUID | None = None
    ends: str | None = "completed"
    """How it must end, with all that was ordered when `completed`; None for any end that says its reasons."""


@dataclass
class Site(ABC):
    """One system of a run, Darkroom or what it is compared with: its provider, its workers, its jobs."""

    folder: Path
    home: Path
    provider: Process
    workers: list[Worker]
    environment: Mapping[str, str]
    client_limit: float
    """Seconds after which workers give a provider call up (GEMINI_TIMEOUT)."""
    _: KW_ONLY
    jobs: list[Ordered] = field(default_factory=list)
    excused: set[int] = field(default_factory=set)
    """Provider calls that a kill, a stop, a terminate or a reset may have cost: made twice."""
    lost: set[int] = field(default_factory=set)
    """Those of them whose picture died with a worker."""
    openings: dict[str, int] = field(default_factory=dict)
    """What wallets had at first, where it is not the usual."""
    kills: int = 0
    interrupted: set[str] = field(default_factory=set)
    """Calls that were in progress when workers were killed that have not been started again."""
    outages: list[Outage] = field(default_factory=list)
    """Kills of workers that were started again while their job was to go on."""
    too_late: list[str] = field(default_factory=list)
    """Acts that began when the job had ended: they broke nothing."""
    tempo: float = 1.0
    """What the lengths of faults are multiplied by."""
    to_come: int = 0
    """Faults that are still to strike the job."""
    story: list[str] = field(default_factory=list)
    seen_wrong: list[str] = field(default_factory=list)
    """What the API told while the job ran, and must not have."""
    began: float = field(default_factory=time.time)

    def say(self, what: str) -> None:
        """Note what happened, with the seconds since the start."""
        self.story.append(f"{self.since_start(time.time()):6.1f} {what}")

    def since_start(self, moment: float) -> float:
        """Seconds."""
        return moment - self.began

    @property
    def account(self) -> Account:
        return read_account(self.folder)

    def excuse(self, *workers: Worker, killed: bool = False, unsaved: bool = False) -> None:
        """Calls of these workers (none: of all) that are in progress may be lost by what was just done.

        Args:
            workers: who made them.
            killed: whether their pictures are lost, too.
            unsaved: whether their disk was full, so that answers had nowhere to go.
        """
        names = {worker.known_as for worker in workers or self.workers}
        saved = saved_calls(self.home)
        since = 0 if unsaved else time.time() - SAVED_WITHIN
        lost = {
            call.number
            for call in self.account.calls.values()
            if call.good and call.worker in names and (call.ended_at is None or call.ended_at > since)
        } - saved
        self.say(f"calls in progress: {sorted(lost - self.excused)}")
        self.excused |= lost
        if killed:
            self.lost |= lost

    def fail_calls(self, **shares: float) -> None:
        """Let these shares of the provider's calls fail from now on."""
        new = self.folder / "faults.new"
        new.write_text(json.dumps(shares), "utf-8")
        new.replace(self.folder / FAULTS_FILE)
        self.say(f"provider faults {shares}" if shares else "provider is well")

    async def lasts(self, seconds: float) -> None:
        """Let a fault last so long, at the tempo of the run."""
        await asyncio.sleep(seconds * self.tempo)

    def pace(self, low: float, high: float) -> None:
        """The seconds that calls of the provider take from now on."""
        new = self.folder / "pace.new"
        new.write_text(json.dumps([low, high]), "utf-8")
        new.replace(self.folder / PACE_FILE)

    def free_megabytes(self) -> float:
        """Room on the disk of the run's folder."""
        return shutil.disk_usage(self.folder).free / 2**20

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """What the records say, read past everything of ours; nothing while they cannot be read."""
        with suppress(sqlite3.OperationalError):
            db = sqlite3.connect(f"file:{self.home / 'records.db'}?mode=ro", uri=True, timeout=1)
            try:
                return db.execute(statement, values).fetchall()
            finally:
                db.close()
        return []

    @abstractmethod
    def delivered(self, job: Ordered) -> int:
        """How many pictures count as delivered."""

    @abstractmethod
    def status(self, job: Ordered) -> str:
        """The status of the job's row."""

    def over(self, job: Ordered) -> bool:
        """Whether nothing more comes of the job."""
        return self.status(job) in ENDED

    @abstractmethod
    async def steer(self, job: Ordered, action: str, *, may_refuse: bool = False) -> dict[str, Any]:
        """Ask for a change of a job that runs."""

    async def until_delivered(self, job: Ordered, pictures: int, seconds: float = 90) -> None:
        """Wait until so many are settled, or the job has ended."""

        async def so() -> bool:
            return self.delivered(job) >= pictures or self.over(job)

        await until(so, f"{pictures} pictures", seconds)

    async def until_ended(self, job: Ordered, seconds: float) -> None:
        """Wait for the end of the job's row."""

        async def so() -> bool:
            return self.over(job)

        await until(so, f"the end of the job ({self.delivered(job)} of {job.total} delivered)", seconds)
        self.say(f"job is {self.status(job)}")
