"""`keys`: the keys of the HTTP API."""

from typing import Annotated
from uuid import UUID, uuid4

import typer
from pydantic import JsonValue
from rich.text import Text

from cli import arguments
from cli.output import Output, as_value
from cli.session import existing_parts
from cli.statuses import InputRejected, NotInRecords, Status, epilog
from cli.tables import key_table
from cli.working import opened_settings, run
from darkroom.bootstrap import open_parts
from darkroom.domain.clean_text import refuse_unclean
from darkroom.domain.keys import NewApiKey, hash_of, new_secret
from darkroom.settings import Settings

commands = typer.Typer(no_args_is_help=True, help="Create, list and revoke API keys.", rich_markup_mode="rich")

_USER = Annotated[str, typer.Argument(metavar="USER", help="The key's user: a UUID, or `local`.")]
_NAME = Annotated[str, typer.Option("--name", help="What the key is for.")]
_OPERATOR = Annotated[bool, typer.Option("--operator", help="Give access to the jobs of all users and to statistics.")]
_KEY = Annotated[str, typer.Argument(metavar="KEY_ID", help="The key's id, as shown by `keys list`.")]


@commands.command(
    "create",
    epilog=epilog("keys create local --name 'the shop'", Status.DONE, Status.WRONG_INPUT),
)
def create(
    user: _USER = "local", name: _NAME = "", *, operator: _OPERATOR = False, as_json: arguments.AsJson = False
) -> None:
    """Create an API key. It is shown once: only its hash is stored."""
    output = Output(as_json=as_json)
    settings = opened_settings()
    user_id = arguments.user_id(settings, user)
    try:
        name = refuse_unclean(name.strip()) or "unnamed"
    except ValueError as error:
        raise InputRejected("--name", str(error)) from None
    run(_create(settings, user_id, name, operator=operator, output=output))


async def _create(settings: Settings, user_id: UUID, name: str, *, operator: bool, output: Output) -> None:
    secret = new_secret()
    key = NewApiKey(key_id=uuid4(), user_id=user_id, name=name[:100], operator=operator, key_hash=hash_of(secret))
    async with open_parts(settings) as parts:
        if user_id == settings.local_user:
            await parts.client(None).open_local_account()
        elif await parts.records.account(user_id) is None:
            raise InputRejected(
                "USER", f"{user_id} has no member row; `darkroom credits grant {user_id} N` creates one"
            )
        await parts.records.add_api_key(key)
    output.say(f"key {key.key_id} of user {user_id}{', operator' if operator else ''}; it is not shown again")
    created: dict[str, JsonValue] = {**as_value(key), "secret": secret}
    del created["key_hash"]
    output.result(created, Text(secret))


@commands.command("list", epilog=epilog("keys list --json", Status.DONE, Status.WRONG_INPUT))
def list_keys(as_json: arguments.AsJson = False) -> None:
    """List all keys, newest first."""
    output = Output(as_json=as_json)

    async def work(settings: Settings) -> None:
        async with existing_parts(settings) as parts:
            found = await parts.records.api_keys()
        if not found:
            output.say("no keys: create one with `darkroom keys create`")
        output.result([as_value(key) for key in found], key_table(found) if found else None)

    run(work(opened_settings()))


@commands.command(
    "revoke",
    epilog=epilog("keys revoke 2b7d…", Status.DONE, Status.WRONG_INPUT, Status.NOT_FOUND, not_found="no such key"),
)
def revoke(key: _KEY, as_json: arguments.AsJson = False) -> None:
    """Revoke a key. It stops working with the next request."""
    output = Output(as_json=as_json)
    key_id = arguments.uuid("KEY_ID", key)

    async def work(settings: Settings) -> None:
        async with existing_parts(settings) as parts:
            if not await parts.records.revoke_api_key(key_id):
                raise NotInRecords(f"key {key_id} does not exist; `darkroom keys list` shows all keys")
        output.say(f"key {key_id} revoked")
        output.result({"key_id": str(key_id), "revoked": True})

    run(work(opened_settings()))
