"""`credits`: showing and granting credits."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated
from uuid import UUID, uuid4

import typer

from cli import arguments
from cli.output import Output, as_value
from cli.session import nothing_yet
from cli.statuses import NotInRecords, Status, epilog
from cli.tables import account_table
from cli.working import opened_settings, run
from darkroom.bootstrap import has_records, open_parts
from darkroom.domain.wallets import OrganizationAccount
from darkroom.records.money import AccountRecords
from darkroom.settings import Settings

_USER = Annotated[
    str,
    typer.Argument(
        metavar="USER", help="The user's UUID, or the organization's with --org; `local` for the local user."
    ),
]
_ORG = Annotated[bool, typer.Option("--org", help="USER is the UUID of an organization.")]
_AMOUNT = Annotated[int, typer.Argument(metavar="N", min=1, max=1_000_000_000, help="The number of credits.")]
_KEY = Annotated[
    str | None,
    typer.Option("--key", help="An idempotency key: the same key grants only once.", show_default=False),
]
_ROWS = Annotated[int, typer.Option("--limit", "-n", min=0, max=10_000, help="How many of the latest changes to show.")]

commands = typer.Typer(no_args_is_help=True, help="Show and grant credits.", rich_markup_mode="rich")


@commands.command(
    epilog=epilog(
        "credits grant local 5000 --key invoice-17",
        Status.DONE,
        Status.WRONG_INPUT,
        Status.NOT_FOUND,
        not_found="no such organization",
    )
)
def grant(
    user: _USER, amount: _AMOUNT, *, key: _KEY = None, org: _ORG = False, as_json: arguments.AsJson = False
) -> None:
    """Grant credits to a user, creating the member row if there is none, or to an organization.

    Writes a GRANT row to the journal. Needs no Temporal server.
    """
    output = Output(as_json=as_json)
    settings = opened_settings()
    if org:
        run(_grant_organization(settings, arguments.uuid("ORG", user), amount, key or str(uuid4()), output))
        return
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
    epilog=epilog(
        "credits show local",
        Status.DONE,
        Status.WRONG_INPUT,
        Status.NOT_FOUND,
        not_found="no such user or organization",
    )
)
def show(user: _USER = "local", *, limit: _ROWS = 20, org: _ORG = False, as_json: arguments.AsJson = False) -> None:
    """Show the balance of a user or an organization, the credits held for running jobs, and the latest changes."""
    output = Output(as_json=as_json)
    settings = opened_settings()
    if org:
        run(_show_organization(settings, arguments.uuid("ORG", user), limit, output))
        return
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


async def _grant_organization(settings: Settings, org_id: UUID, amount: int, key: str, output: Output) -> None:
    async with _records_of(settings) as records:
        await _organization(records, org_id)
        account = await records.grant_organization(org_id, amount, key)
    output.say(f"organization {org_id} has {account.balance:,} credits, {account.available:,} available")
    output.result({**as_value(account), "available": account.available})


async def _show_organization(settings: Settings, org_id: UUID, limit: int, output: Output) -> None:
    async with _records_of(settings) as records:
        account = await _organization(records, org_id)
        journal = await records.organization_journal(org_id, limit)
    output.result(
        {**as_value(account), "available": account.available, "journal": [as_value(row) for row in journal]},
        account_table(account, journal),
    )


@asynccontextmanager
async def _records_of(settings: Settings) -> AsyncIterator[AccountRecords]:
    if not has_records(settings):
        raise NotInRecords(nothing_yet(settings))
    async with open_parts(settings) as parts:
        yield parts.records


async def _organization(records: AccountRecords, org_id: UUID) -> OrganizationAccount:
    found = await records.organization(org_id)
    if found is None:
        raise NotInRecords(f"organization {org_id} does not exist; check its UUID")
    return found
