"""`webhooks`: the secret that receivers verify with, and resending an event."""

import asyncio
from typing import Annotated

import typer
from pydantic import JsonValue
from rich.text import Text
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle

from cli import arguments
from cli.output import Output, one_line
from cli.session import client_for
from cli.statuses import Status, epilog
from cli.working import opened_settings, run
from darkroom.client.webhooks import start_webhook
from darkroom.contract import Webhook, innermost
from darkroom.domain.errors import NotPossibleNow
from darkroom.domain.webhooks import WebhookDelivered, event_id, event_of
from darkroom.settings import Settings
from darkroom.signing import deployment_secret, webhook_secret

commands = typer.Typer(no_args_is_help=True, help="Show webhook secrets and resend webhooks.", rich_markup_mode="rich")

PATIENCE = 15.0
"""Seconds that `send` waits to see how the first attempt ends."""

_USER = Annotated[str, typer.Option("--user", metavar="USER", help="The user: a UUID, or `local`.")]
_ANONYMOUS = Annotated[bool, typer.Option("--anonymous", help="Show the secret of jobs without a user.")]


@commands.command(epilog=epilog("webhooks secret --user local", Status.DONE, Status.WRONG_INPUT))
def secret(user: _USER = "local", *, anonymous: _ANONYMOUS = False, as_json: arguments.AsJson = False) -> None:
    """Show the secret that a user's webhooks are signed with, for receivers to verify them.

    It only changes when API_SECRET, or the secret used in its place, changes.
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
        not_all="not delivered yet and retrying for a day, or given up",
        not_now="the job has not ended, or has no webhook_url",
    )
)
def send(job: arguments.Job, as_json: arguments.AsJson = False) -> None:
    """Resend the webhook of a job's last run, retrying for a day, and show how the first attempt ends.

    The event keeps its id, so a receiver that already has it can ignore it.
    """
    raise typer.Exit(run(_send(opened_settings(), job, Output(as_json=as_json))))


async def _send(settings: Settings, job: str, output: Output) -> Status:
    async with client_for(settings, job) as (parts, client, row):
        ending = await parts.records.ending(row.job_id, row.run_id)
        if ending is None:
            raise NotPossibleNow(f"job {row.job_id} is {row.status}: its webhook is sent when it ends")
        if ending.webhook_url is None:
            raise NotPossibleNow(f"job {row.job_id} has no webhook_url: there is nothing to send")
        handle = await start_webhook(client, ending, again=True)
        delivered, words = await first_attempt(handle)
    output.say(f"{event_of(ending).type} of job {row.job_id}: {words}")
    sent: dict[str, JsonValue] = {"job_id": str(row.job_id), "webhook_id": event_id(ending), "delivered": delivered}
    output.result({**sent, "reason": None if delivered else words})
    return Status.DONE if delivered else Status.NOT_ALL


async def first_attempt(handle: WorkflowHandle[Webhook, WebhookDelivered]) -> tuple[bool, str]:
    """Whether the event is delivered, and the outcome so far in words."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while asyncio.get_running_loop().time() < deadline:
        found = await handle.describe()
        if found.status is WorkflowExecutionStatus.COMPLETED:
            return True, "delivered"
        pending = found.raw_description.pending_activities
        if pending and pending[0].HasField("last_failure"):
            return False, f"not delivered yet, retrying for a day: {one_line(pending[0].last_failure.message)}"
        if found.status is not WorkflowExecutionStatus.RUNNING:
            return False, f"not delivered, giving up: {await _failure(handle)}"
        await asyncio.sleep(0.2)  # the server reports attempts only when asked
    return False, "not attempted yet: is a worker running?"


async def _failure(handle: WorkflowHandle[Webhook, WebhookDelivered]) -> str:
    try:
        await handle.result()
    except WorkflowFailureError as error:
        return one_line(str(innermost(error.cause)))
    return "replaced by a newer one"
