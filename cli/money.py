"""`credits`: showing and granting credits."""

from typing import Annotated
from uuid import uuid4

import typer

from cli import arguments
from cli.output import Output, as_value
from cli.session import nothing_yet, opened_settings, run
from cli.statuses import NotInRecords, Status, epilog
from cli.tables import account_table
from darkroom.bootstrap import has_records, open_parts

_USER = Annotated[str, typer.Argument(metavar="USER", help="The user's UUID; `local` for the local user.")]
_AMOUNT = Annotated[int, typer.Argument(metavar="N", min=1, max=1_000_000_000, help="The number of credits.")]
_KEY = Annotated[
    str | None,
    typer.Option("--key", help="An idempotency key: the same key grants only once.", show_default=False),
]
_ROWS = Annotated[int, typer.Option("--limit", "-n", min=0, max=10_000, help="How many of the latest changes to show.")]

commands = typer.Typer(no_args_is_help=True, help="Show and grant credits.", rich_markup_mode="rich")


@commands.command(epilog=epilog("credits grant local 5000 --key invoice-17", Status.DONE, Status.WRONG_INPUT))
def grant(user: _USER, amount: _AMOUNT, key: _KEY = None, as_json: arguments.AsJson = False) -> None:
    """Grant credits to a user, creating the member row if there is none.

    Writes a GRANT row to the journal. Needs no Temporal server.
    """
    output = Output(as_json=as_json)
    settings = opened_settings()
    user_id = arguments.user_id(settings, user)

    async def work() -> None:
        async with open_parts(settings) as parts:
            if user_id == settings.local_user:
                # Whoever comes first, the local user begins with what it is promised.
                await parts.client(None).open_local_account()
            account = await parts.records.grant(user_id, amount, key or str(uuid4()))
        output.say(f"{user_id} has {account.balance:,} credits, {account.available:,} available")
        output.result({**as_value(account), "available": account.available})

    run(work())


@commands.command(
    epilog=epilog("credits show local", Status.DONE, Status.WRONG_INPUT, Status.NOT_FOUND, not_found="no such user")
)
def show(user: _USER = "local", limit: _ROWS = 20, as_json: arguments.AsJson = False) -> None:
    """Show a user's balance, the credits held for running jobs, and the latest changes."""
    output = Output(as_json=as_json)
    settings = opened_settings()
    user_id = arguments.user_id(settings, user)

    async def work() -> None:
        if not has_records(settings):
            raise NotInRecords(nothing_yet(settings))
        async with open_parts(settings) as parts:
            account = await parts.records.account(user_id)
            journal = await parts.records.journal(user_id, limit)
        if account is None:
            raise NotInRecords(f"user {user_id} has no member row; `darkroom credits grant {user_id} N` creates one")
        output.result(
            {**as_value(account), "available": account.available, "journal": [as_value(row) for row in journal]},
            account_table(account, journal),
        )

    run(work())
