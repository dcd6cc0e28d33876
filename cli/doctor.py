"""`doctor`: checks everything that jobs need."""

import typer
from pydantic import JsonValue

from cli import arguments
from cli.output import Output, as_value
from cli.session import opened_settings, run
from cli.statuses import Status
from darkroom.bootstrap import examine
from darkroom.domain.findings import State

_SIGNS = {State.GOOD: ("ok", None), State.WRONG: ("wrong", "accent"), State.UNKNOWN: ("?", "quiet")}


def doctor(as_json: arguments.AsJson = False) -> None:
    """Check everything that jobs need: Temporal, records, pictures, providers, clock.

    With Supabase, also checks the service key, the migrations and the bucket. No picture is drawn and
    nothing is ordered.
    """
    output = Output(as_json=as_json)
    findings = run(examine(opened_settings()))
    listed: list[JsonValue] = [as_value(finding) for finding in findings]
    for finding in findings:
        sign, style = _SIGNS[finding.state]
        remedy = "" if finding.remedy is None else f": {finding.remedy}"
        output.say(f"{sign:<7}{finding.what:<19}{finding.told}{remedy}", style=style)
    output.result({"findings": listed})
    wrong = any(finding.state is State.WRONG for finding in findings)
    raise typer.Exit(Status.NOT_ALL if wrong else Status.DONE)
