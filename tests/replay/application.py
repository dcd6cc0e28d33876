"""What the scenarios and the replay use of the application and of the tests' stack, named in this one place."""

import importlib
import pkgutil
from pathlib import Path
from uuid import UUID

import workflows
from activities import jobs as job_activities
from darkroom.domain import continuing, movement
from darkroom.domain.batches import BatchInput, NextOrdinalsInput, SetControlInput
from darkroom.domain.errors import StorageRefused
from darkroom.domain.images import AttachInput, CreditInput, GenerateInput, ImageRequest, ProviderAnswer, UploadInput
from darkroom.domain.jobs import GENERATION, Control, JobInput, NewJob, StartRun
from darkroom.domain.names import (
    JOB_QUEUES,
    LOCAL_USER,
    SearchAttribute,
    TaskQueue,
    batch_workflow_id,
    job_workflow_id,
    staging_prefix,
    webhook_workflow_id,
)
from darkroom.domain.progress import JobStatus
from darkroom.domain.storybook import Book
from darkroom.domain.webhooks import WebhookInput
from darkroom.domain.worker_reports import AskWorkers
from darkroom.records.sqlite import SqliteRecords
from tests.support.fakes.scripted import Act, Always, ScriptedProvider
from tests.support.fakes.storage import NotAtFirst
from tests.support.programs import temporal_binary
from tests.support.records.tables import SqliteTables
from tests.support.stacks.watching import (
    Between,
    events,
    heard,
    job_of,
    until_batches_ended,
    until_heard,
    without_time_skipping,
)
from tests.support.stacks.workflow import WorkflowStack, running_stack
from tests.support.until import until
from tests.support.webhooks.receiver import Receiver

__all__ = [
    "GENERATION",
    "JOB_QUEUES",
    "LOCAL_USER",
    "Act",
    "Always",
    "AskWorkers",
    "AttachInput",
    "BatchInput",
    "Between",
    "Book",
    "Control",
    "CreditInput",
    "GenerateInput",
    "ImageRequest",
    "JobInput",
    "JobStatus",
    "NewJob",
    "NextOrdinalsInput",
    "NotAtFirst",
    "ProviderAnswer",
    "Receiver",
    "ScriptedProvider",
    "SearchAttribute",
    "SetControlInput",
    "StartRun",
    "StorageRefused",
    "TaskQueue",
    "UploadInput",
    "WebhookInput",
    "WorkflowStack",
    "batch_workflow_id",
    "continuing",
    "events",
    "heard",
    "job_activities",
    "job_of",
    "job_workflow_id",
    "movement",
    "running_stack",
    "staging_prefix",
    "temporal_binary",
    "until",
    "until_batches_ended",
    "until_heard",
    "webhook_workflow_id",
    "without_time_skipping",
]  # fmt: skip

PROVIDER_ATTEMPTS = "worker.PROVIDER_ATTEMPTS"
"""The attempt after which a provider is given up; twenty take a quarter of an hour to record."""

FOLDER = Path(workflows.__file__).parent


def workflow_classes(folder: Path = FOLDER) -> list[type]:
    """Every workflow that is defined in a module of the folder, which is the package `workflows` or stands for it."""
    names = sorted(found.name for found in pkgutil.walk_packages([str(folder)], f"{folder.name}."))
    return [
        found
        for module in map(importlib.import_module, names)
        for found in vars(module).values()
        if isinstance(found, type)
        and found.__module__ == module.__name__
        and "__temporal_workflow_definition" in vars(found)
    ]


async def plant(stack: WorkflowStack, statement: str, **values: object) -> None:
    """Change the records behind everybody's back."""
    records = stack.parts.records
    assert isinstance(records, SqliteRecords)
    await SqliteTables(records).plant(statement, **values)


async def until_paused(stack: WorkflowStack, job_id: UUID) -> None:
    """Wait for a pause on the job's row."""

    async def paused() -> bool:
        return (await stack.row(job_id)).paused

    await until(paused, "the pause on the row")


async def until_completed(stack: WorkflowStack, job_id: UUID, number: int) -> None:
    """Wait until so many images are on the job's row."""

    async def completed() -> bool:
        return (await stack.row(job_id)).completed_images >= number

    await until(completed, f"{number} images on the row", 60)


async def until_staged(stack: WorkflowStack, job_id: UUID, number: int) -> None:
    """Wait until so many images of the job are in staging."""

    async def staged() -> bool:
        return len(await stack.parts.storage.keys(staging_prefix(job_id))) >= number

    await until(staged, f"{number} images in staging")
