"""A Supabase project that a test can start, break and put right."""

import contextlib
import json
import os
import secrets
import sys
import tempfile
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import jwt
import psycopg
from psycopg import sql

from tests.support.supabase import rows
from tests.support.supabase.gateway import CALLS, HOST
from tests.support.supabase.postgres import PostgreSQL
from tests.support.supabase.postgrest import PostgREST
from tests.support.supabase.processes import Lifeline, Server

ROOT = Path(__file__).parents[3]
NEW_PROJECT = ROOT / "deploy" / "supabase" / "project.sql"
MIGRATIONS = ROOT / "supabase" / "migrations"
SCHEMAS = ROOT / "supabase" / "schemas"
VALID_FOR = timedelta(days=3650)

UNEXPOSED = """
alter default privileges in schema public revoke all on tables from anon, authenticated, service_role;
alter default privileges in schema public revoke all on sequences from anon, authenticated, service_role;
alter default privileges in schema public revoke all on functions from anon, authenticated, service_role;
alter default privileges revoke execute on functions from public;
"""
"""What the switch “Automatically expose new tables and functions” takes away when it is off."""


class Project:
    """A running project. Other processes need only `url` and a key."""

    def __init__(
        self, url: str, secret: str, postgres: PostgreSQL, postgrest: PostgREST, migrations: Path, *, exposed: bool
    ) -> None:
        self.url = url
        self.database_uri = postgres.uri()
        self.postgres = postgres
        self.postgrest = postgrest
        self._secret = secret
        self._migrations = migrations
        self._exposed = exposed
        self.anon_key = self._sign(role="anon")
        self.service_role_key = self._sign(role="service_role")

    def token(self, user_id: UUID | str) -> str:
        """What a user who has logged in sends instead of the anonymous key."""
        return self._sign(role="authenticated", sub=str(user_id), aud="authenticated")

    def connect(self) -> psycopg.Connection:
        """A connection as superuser that commits each statement."""
        return psycopg.connect(self.database_uri, autocommit=True)

    def migrate(self) -> list[str]:
        """Apply all migrations in the order of their names, each in one transaction; again when asked again.

        Returns:
            The names of the files that were applied; the API offers what they made.
        """
        self.prepare()
        files = sorted(self._migrations.glob("*.sql"))
        with self.connect() as connection:
            for file in files:
                with connection.transaction():
                    run_file(connection, file)
        self.reload_schema()
        return [file.name for file in files]

    def prepare(self) -> None:
        """Bring what a new project has before any migration."""
        with self.connect() as connection, connection.transaction():
            run_file(connection, NEW_PROJECT)
            if not self._exposed:
                connection.execute(UNEXPOSED)

    def reload_schema(self) -> None:
        """Have PostgREST read the schema, and wait until it has: a function made just now can be called."""
        function = f"probe_{secrets.token_hex(8)}"
        name = sql.Identifier("public", function)
        with self.connect() as connection:
            connection.execute(sql.SQL("create function {}() returns int language sql return 1").format(name))
            connection.execute(sql.SQL("grant execute on function {} to service_role").format(name))
            connection.execute("notify pgrst, 'reload schema'")
            try:
                self.postgrest.until_it_offers(function, self.service_role_key)
            finally:
                connection.execute(sql.SQL("drop function {}").format(name))

    def reset(self) -> None:
        """Empty all tables of `public` and start their sequences anew; for between tests."""
        with self.connect() as connection:
            rows.empty(connection)

    def start_postgres(self, *, wait: bool = True) -> None:
        """Start PostgreSQL on the data that are there.

        Args:
            wait: until PostgREST serves again too. That it says so is not enough: it finds connections of before in
                its pool, forgets the schema over one and tries again, up to half a minute after a long pause.
        """
        self.postgres.start()
        if wait and self.postgrest.running:
            self.postgrest.until_ready()
            self.reload_schema()

    def stop_postgres(self) -> None:
        """End PostgreSQL properly; the API then answers 503."""
        self.postgres.stop()

    def kill_postgres(self) -> None:
        """SIGKILL PostgreSQL."""
        self.postgres.kill()

    def start_postgrest(self) -> None:
        """Start PostgREST on its old port and wait until it is ready."""
        self.postgrest.start()

    def stop_postgrest(self) -> None:
        """End PostgREST properly; the gateway then answers 502."""
        self.postgrest.stop()

    def kill_postgrest(self) -> None:
        """SIGKILL PostgREST."""
        self.postgrest.kill()

    @property
    def calls(self) -> Counter[str]:
        """The requests since the last reset, by method and the first two parts: `POST rpc/darkroom_settle`."""
        return self._gateway_calls("GET")

    def reset_calls(self) -> Counter[str]:
        """Count from 0 again; gives what was counted."""
        return self._gateway_calls("DELETE")

    def _gateway_calls(self, method: str) -> Counter[str]:
        request = urllib.request.Request(self.url + CALLS, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return Counter(json.load(answer))

    def _sign(self, **claims: str) -> str:
        now = datetime.now(UTC)
        return jwt.encode({"iss": "supabase", "iat": now, "exp": now + VALID_FOR, **claims}, self._secret, "HS256")


def new_secret() -> str:
    """What the keys of a project are signed with."""
    return secrets.token_urlsafe(48)


def run_file(connection: psycopg.Connection, file: Path) -> None:
    """Run the statements of a file; without parameters all of them go to the server in one message."""
    connection.execute(file.read_bytes())


@contextmanager
def running_project(
    folder: Path,
    storage_url: str | None = None,
    *,
    migrations: Path = MIGRATIONS,
    exposed: bool = True,
    jwt_secret: str | None = None,
    durable: bool = False,
) -> Iterator[Project]:
    """A new project, not yet migrated, while the context lasts.

    Args:
        folder: for the logs. The data go to a folder of their own, because PostgreSQL's user cannot enter a folder
            that pytest makes for root, and a socket's path must be short.
        storage_url: a Storage server, to be found under `/storage/v1`; without it there is none.
        migrations: what `migrate()` applies.
        exposed: whether what is made in `public` is open to the API's roles, as in projects made before
            30 May 2026, or to nobody until it is granted, as in newer ones.
        jwt_secret: what keys are signed with, for a Storage server that has to know it too; else a new one.
        durable: whether PostgreSQL's commits wait for the disk.
    """
    folder.mkdir(parents=True, exist_ok=True)
    secret = jwt_secret or new_secret()
    data = Path(tempfile.mkdtemp(prefix="darkroom-pg-"))
    lifeline = Lifeline(data)
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(lifeline.close)
        postgres = PostgreSQL(data, lifeline, folder / "postgres.log", durable=durable)
        postgrest = PostgREST(postgres.uri("authenticator"), secret, lifeline, folder / "postgrest.log")
        gateway = Server("gateway", lifeline, folder / "gateway.log")
        for server in (postgres, postgrest, gateway):
            cleanup.callback(server.kill)
        postgres.start()
        url = _start_gateway(gateway, postgrest, storage_url)
        project = Project(url, secret, postgres, postgrest, migrations, exposed=exposed)
        project.prepare()
        postgrest.start()
        yield project


def _start_gateway(gateway: Server, postgrest: PostgREST, storage_url: str | None) -> str:
    targets = [f"rest/v1={HOST}:{postgrest.port}"]
    if storage_url is not None:
        targets.append(f"storage/v1={urlsplit(storage_url).netloc}")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    gateway.start([sys.executable, "-m", "tests.support.supabase.gateway", *targets], environment)
    gateway.until(lambda: gateway.log.read_text("utf-8").endswith("\n"))
    return f"http://{HOST}:{gateway.log.read_text('utf-8').strip()}"
