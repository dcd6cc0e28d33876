"""`doctor`: checks everything that jobs need."""

from typing import Annotated

import typer
from pydantic import JsonValue

from cli import arguments
from cli.adoption import examine_database
from cli.output import Output, as_value
from cli.statuses import Status
from cli.working import opened_settings, run
from darkroom.bootstrap import examine, examine_workers
from darkroom.domain.findings import State

_SIGNS = {State.GOOD: ("ok", None), State.WRONG: ("wrong", "accent"), State.UNKNOWN: ("?", "quiet")}


_LIVE = Annotated[bool, typer.Option("--live", help="Ask the running workers what they have.")]


_DATABASE = Annotated[
    str | None,
    typer.Option("--database", metavar="URL", help="Check a PostgreSQL database that is to be adopted, read-only."),
]


def doctor(live: _LIVE = False, database: _DATABASE = None, as_json: arguments.AsJson = False) -> None:
    """Check everything that jobs need: Temporal, workers, records, pictures, disk, providers, clock.

    With Supabase, also checks the service key, the migrations and the bucket. Providers that have answered
    the last jobs with nothing but errors are named. No picture is drawn and nothing is ordered.

    With `--live`, running workers say which providers, settings, disk space and schema they have, instead
    of the settings of this terminal.

    With `--database`, only the database is checked: whether the migrations can adopt its tables, by the same
    query with which the first one begins, and what anon and authenticated can reach. Nothing is changed.
    """
    output = Output(as_json=as_json)
    if database is not None:
        findings = examine_database(database)
    else:
        findings = run((examine_workers if live else examine)(opened_settings()))
    listed: list[JsonValue] = [as_value(finding) for finding in findings]
    for finding in findings:
        sign, style = _SIGNS[finding.state]
        remedy = "" if finding.remedy is None else f": {finding.remedy}"
        output.say(f"{sign:<7}{finding.what:<18} {finding.told}{remedy}", style=style)
    output.result({"findings": listed})
    wrong = any(finding.state is State.WRONG for finding in findings)
    raise typer.Exit(Status.NOT_ALL if wrong else Status.DONE)
