"""A run in figures."""

from collections import Counter
from typing import Any

from darkroom.proof.checks import balances, dump_of, without_reason
from darkroom.proof.recovery import recovered
from darkroom.proof.stack import Stack


def summary(stack: Stack) -> dict[str, Any]:
    """The run in figures."""
    dump, account = dump_of(stack), stack.account
    delivered = Counter(
        (row["job_id"], row["stage_index"]) for row in dump["quel_attach"] if row["job_id"] and row["delivered_at"]
    )
    stages = {(row["job_id"], row["stage_index"]): row["quantity"] for row in dump["quel_job_stages"]}
    attempts = sorted(dump["quel_generation_attempts"], key=lambda row: row["started_at"])
    recoveries = [seconds for outage in stack.outages if (seconds := recovered(outage, attempts)) is not None]
    return {
        "ordered": sum(job.total for job in stack.jobs),
        "delivered": delivered.total(),
        "calls": len(account.calls),
        "least": delivered.total() + account.faults,
        "in_progress": len(stack.excused),
        "failing": account.faults,
        "extra": sum(max(0, count - stages.get(stage, 0)) for stage, count in delivered.items()),
        "unexplained": sum(sum(without_reason(dump, job).values()) for job in stack.jobs),
        "mischarged": sum(abs(has - due) for has, due in balances(stack, dump)),
        "kills": stack.kills,
        "slowest_recovery": max(recoveries, default=None),
    }
