"""What a proof found, in figures and in a sentence."""

from collections.abc import Sequence
from typing import Any

from darkroom.proof.plans import Plan
from darkroom.proof.runs import Run


def totals(runs: Sequence[Run], against: str | None = None) -> dict[str, Any]:
    """The figures of all runs together.

    Args:
        runs: as they were played.
        against: what they were played on instead of Darkroom.
    """

    def total(name: str) -> int:
        return sum(run.figures.get(name, 0) for run in runs)

    calls, least = total("calls"), total("least")
    recoveries = [seconds for run in runs if (seconds := run.figures.get("slowest_recovery")) is not None]
    return {
        "against": against,
        "runs": len(runs),
        "violated": sum(not run.holds for run in runs),
        "pictures": total("ordered"),
        "delivered": total("delivered"),
        "kills": total("kills"),
        "calls": calls,
        "failing_percent": round(100 * total("failing") / calls) if calls else 0,
        "missing_without_reason": total("unexplained"),
        "extra": total("extra"),
        "mischarged": total("mischarged"),
        "calls_per_least": round(calls / least, 2) if least else None,
        "slowest_recovery": max(recoveries, default=None),
        "left_out": sorted({name for run in runs for name in run.left_out}),
        "seconds": round(sum(run.seconds for run in runs), 1),
    }


def sentence(found: dict[str, Any]) -> str:
    """The verdict, for somebody who buys."""
    ratio, slowest = found["calls_per_least"], found["slowest_recovery"]
    against = "A plain worker: " if found["against"] else ""
    said = (
        f"{against}{_many(found['runs'], 'job')}, {_many(found['pictures'], 'picture')}, "
        f"{_many(found['kills'], 'kill')}, "
        f"{found['failing_percent']} % of calls failing: {found['missing_without_reason']} missing without a reason, "
        f"{found['extra']} extra, {found['mischarged']:,} credits mischarged"
    )
    if ratio is not None:
        said += f"; {ratio:.2f} calls per least possible"
    if slowest is not None:
        said += f"; slowest recovery {slowest:g} s"
    return said + (f"; {_many(found['violated'], 'run')} with violations" if found["violated"] else "; no violation")


def _many(number: int, thing: str) -> str:
    return f"{number:,} {thing}" + ("" if number == 1 else "s")


def described(plan: Plan) -> str:
    """A run's job and faults in a line."""
    return f"{plan.job_type.value}, {plan.wallet}: " + ", ".join(name.replace("_", " ") for name in plan.acts)
