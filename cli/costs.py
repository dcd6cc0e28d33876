"""What provider calls cost, in tables: for operators, as everything of the command line."""

from collections.abc import Sequence
from decimal import Decimal

from cli.output import plural
from darkroom.domain.costs import Cause, Costs
from darkroom.domain.receipts import Tally

WITHOUT_PICTURE = {
    Cause.MISSED: "misses",
    Cause.REFUSED: "refusals",
    Cause.FAULT: "faults",
    Cause.UNUSED: "unused pictures",
    Cause.UNKNOWN: "calls without an outcome",
}


def dollars(usd: Decimal | None) -> str:
    """An amount: to the cent, or to a hundredth of one where it is below a dollar."""
    if usd is None:
        return "–"
    sign = "-" if usd < 0 else ""
    return f"{sign}${abs(usd):,.2f}" if abs(usd) >= 1 else f"{sign}${abs(usd):.4f}"


def lines(columns: Sequence[Tally]) -> list[tuple[str, list[str], str]]:
    """The lines of a receipt about cost; none where no call cost anything."""
    costs = [tally.costs for tally in columns]
    accounts = [None if one is None else one.account for one in costs]
    if not any(account and (account.usd or account.unknown_calls) for account in accounts):
        return []
    found = [
        ("cost", [dollars(None if one is None else one.usd) for one in accounts], "what the providers ask for"),
        (
            "  without a picture",
            [dollars(None if one is None else one.usd_without_picture) for one in accounts],
            ", ".join(by_cause(costs[0])),
        ),
        (
            "  cost unknown",
            [f"{one.unknown_calls if one else 0:,}" for one in accounts],
            "calls whose cost the providers did not say, in no amount",
        ),
        (
            "margin",
            [dollars(None if one is None else one.margin_usd) for one in accounts],
            "charged credits at CREDIT_USD, less the cost",
        ),
    ]
    empty = {"  without a picture": dollars(Decimal(0)), "  cost unknown": "0", "margin": dollars(None)}
    return [line for line in found if set(line[1]) != {empty.get(line[0])}]


def by_cause(costs: Costs | None) -> list[str]:
    """What calls without a delivered picture cost, each cause that cost something."""
    shares = {} if costs is None else {name: costs.of(cause) for cause, name in WITHOUT_PICTURE.items()}
    return [f"{name} {dollars(share.usd)}" for name, share in shares.items() if share.usd]


def unknown(costs: Costs | None) -> str:
    """How many calls have an unknown cost."""
    account = None if costs is None else costs.account
    return plural(account.unknown_calls, "call") if account and account.unknown_calls else "–"
