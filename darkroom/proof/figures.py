"""A run in figures."""

from collections import Counter
from typing import Any

from darkroom.proof.account import Account
from darkroom.proof.checks import dump_of, without_reason
from darkroom.proof.stack import Stack

WANTED_WITHIN = 60.0


def summary(stack: Stack) -> dict[str, Any]:
    """The run in figures."""
    dump, account = dump_of(stack), stack.account
    delivered = Counter(
        (row["job_id"], row["stage_index"]) for row in dump["quel_attach"] if row["job_id"] and row["delivered_at"]
    )
    stages = {(row["job_id"], row["stage_index"]): row["quantity"] for row in dump["quel_job_stages"]}
    prices = {row["job_id"]: row["unit_price"] or 0 for row in dump["quel_production_jobs"]}
    own = {(row["job_id"], row["stage_index"]): row.get("unit_price") for row in dump["quel_job_stages"]}
    due = 0
    for stage, count in delivered.items():
        price = own.get(stage)
        due += count * (prices[stage[0]] if price is None else price)
    charged = -sum(row["amount"] for row in dump["quel_credits"] if row["transaction_type"] == "DEDUCT")
    recovered = [seconds for moment in stack.restarts if (seconds := _recovered(account, moment)) is not None]
    return {
        "ordered": sum(job.total for job in stack.jobs),
        "delivered": delivered.total(),
        "calls": len(account.calls),
        "least": delivered.total() + account.faults,
        "in_progress": len(stack.excused),
        "failing": account.faults,
        "extra": sum(max(0, count - stages.get(stage, 0)) for stage, count in delivered.items()),
        "unexplained": sum(len(without_reason(dump, job)) for job in stack.jobs if job.ends is None),
        "mischarged": abs(charged - due),
        "kills": stack.kills,
        "slowest_recovery": max(recovered, default=None),
    }


def _recovered(account: Account, moment: float) -> float | None:
    """Seconds from a restart to the first call after it; None when none was wanted within a minute."""
    after = [call.began - moment for call in account.calls.values() if call.began > moment]
    return round(min(after), 1) if after and min(after) < WANTED_WITHIN else None
