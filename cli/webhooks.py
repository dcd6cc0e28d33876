"""`webhooks`: the secret that receivers verify with, and telling an end once more."""

import asyncio
from typing import Annotated

import typer
from pydantic import JsonValue
from rich.text import Text
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle

from cli import arguments
from cli.output import Output, one_line
from cli.session import client_for, opened_settings, run
from cli.statuses import Status, epilog
from darkroom.client.webhooks import start_webhook
from darkroom.contract import Webhook, innermost
from darkroom.domain.errors import NotPossibleNow
from darkroom.domain.webhooks import WebhookDelivered, event_id, event_of
from darkroom.settings import Settings
from darkroom.signing import deployment_secret, webhook_secret

commands = typer.Typer(
    no_args_is_help=True, help="Show the secret of webhooks, and send one again.", rich_markup_mode="rich"
)

PATIENCE = 15.0
"""Seconds that `send` waits to see how the first attempt ends."""

_USER = Annotated[str, typer.Option("--user", metavar="USER", help="Whose secret: a UUID, or `local`.")]
_ANONYMOUS = Annotated[bool, typer.Option("--anonymous", help="The secret of jobs without a user.")]


@commands.command(epilog=epilog("webhooks secret --user local", Status.DONE, Status.WRONG_INPUT))
def secret(user: _USER = "local", *, anonymous: _ANONYMOUS = False, as_json: arguments.AsJson = False) -> None:
    """Show the secret that a user's webhooks are signed with; receivers verify with it.

    It is always the same as long as API_SECRET, or what is used in its place, stays the same.
    """
    output = Output(as_json=as_json)
    settings = opened_settings()
    user_id = None if anonymous else arguments.user_id(settings, user)
    found = webhook_secret(deployment_secret(settings), user_id)
    output.result({"user_id": None if user_id is None else str(user_id), "secret": found}, Text(found))


@commands.command(
    epilog=epilog(
        "webhooks send 3f2a1c",
        *(Status.DONE, Status.NOT_ALL, Status.WRONG_INPUT, Status.NO_SERVER, Status.NOT_FOUND, Status.NOT_NOW),
        done="delivered",
        not_all="not delivered yet, tried again for a day; or refused",
        not_now="the job has not ended, or has no webhook_url",
    )
)
def send(job: arguments.Job, as_json: arguments.AsJson = False) -> None:
    """Tell the end of a job's last run once more, from now on for a day, and show how the first attempt ends.

    The event keeps its id: a receiver that has it already can tell.
    """
    raise typer.Exit(run(_send(opened_settings(), job, Output(as_json=as_json))))


async def _send(settings: Settings, job: str, output: Output) -> Status:
    async with client_for(settings, job) as (parts, client, row):
        ending = await parts.records.ending(row.job_id, row.run_id)
        if ending is None:
            raise NotPossibleNow(f"job {row.job_id} is {row.status}: nothing to tell before it ends")
        if ending.webhook_url is None:
            raise NotPossibleNow(f"job {row.job_id} has no webhook_url: nobody to tell")
        handle = await start_webhook(client, ending, again=True)
        delivered, words = await first_attempt(handle)
    output.say(f"{event_of(ending).type} of job {row.job_id}: {words}")
    told: dict[str, JsonValue] = {"job_id": str(row.job_id), "webhook_id": event_id(ending), "delivered": delivered}
    output.result({**told, "reason": None if delivered else words})
    return Status.DONE if delivered else Status.NOT_ALL


async def first_attempt(handle: WorkflowHandle[Webhook, WebhookDelivered]) -> tuple[bool, str]:
    """Whether the event is delivered, and in words what came of it so far."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while asyncio.get_running_loop().time() < deadline:
        found = await handle.describe()
        if found.status is WorkflowExecutionStatus.COMPLETED:
            return True, "delivered"
        pending = found.raw_description.pending_activities
        if pending and pending[0].HasField("last_failure"):
            return False, f"not delivered yet, tried again for a day: {one_line(pending[0].last_failure.message)}"
        if found.status is not WorkflowExecutionStatus.RUNNING:
            return False, f"not delivered, and not tried again: {await _failure(handle)}"
        await asyncio.sleep(0.2)  # the server tells of attempts only when it is asked
    return False, "not tried yet: does a worker run?"


async def _failure(handle: WorkflowHandle[Webhook, WebhookDelivered]) -> str:
    try:
        await handle.result()
    except WorkflowFailureError as error:
        return one_line(str(innermost(error.cause)))
    return "another one took its place"
