"""`rename`: another name for a job."""

from typing import Annotated

import typer

from cli import arguments
from cli.output import Output
from cli.session import existing_parts, find_job
from cli.working import opened_settings, run
from darkroom.settings import Settings

_NAME = Annotated[
    str, typer.Argument(metavar="NAME", help='The new name, at most 120 characters; "" removes it.', show_default=False)
]


def rename(job: arguments.Job, name: _NAME, as_json: arguments.AsJson = False) -> None:
    """Rename a job, whether it is running or has ended."""
    output = Output(as_json=as_json)

    async def work(settings: Settings) -> None:
        async with existing_parts(settings) as parts:
            row = await find_job(parts, job)
            kept = await parts.client(None).rename(row.job_id, name)
            said = "has no name any more" if kept is None else f"is called {kept}"
            output.say(f"job {row.job_id} {said}")
            output.result({"job_id": str(row.job_id), "name": kept})

    run(work(opened_settings()))
