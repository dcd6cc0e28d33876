"""Which errors of a database pass, and which retrying cannot help: the one place where both adapters look.

What is listed here passes: the database or the way to it is in trouble, or an operator mends it while jobs wait. All
else is unknown: a broken constraint, data of another shape, an undefined column, a missing permission. Retried, it
would keep a job and its hold open without end and say nothing.
"""

import re
import sqlite3
from enum import Enum

_PASSING_STATES = re.compile(
    "08..."  # the connection
    "|28..."  # PostgREST may not sign in to PostgreSQL (yet)
    "|40..."  # rolled back: deadlocks, serialization failures
    "|53..."  # disk full, memory, too many connections
    "|55P03|55006"  # a lock was not to be had, an object is in use
    "|57..."  # statement time-outs, shutdowns, crashes, starting up
    "|58..."  # input and output
    "|25006|25P03"  # a standby, or read-only because the disk is full; idle for too long
    "|PGRST00."  # PostgREST has no connection, or no schema cache yet
)
_SCHEMA_CACHE = re.compile("PGRST20[25]|404")
"""A function that PostgREST does not know: its cache is reloading, or the migrations are yet to be applied."""

_KEY = re.compile("PGRST30.|401|403")
_NOT_OUR_FUNCTIONS = re.compile('permission denied for function "?darkroom_')
"""They are the service role's alone. What a trigger or a policy of the project forbids reads otherwise."""

_DATABASE = re.compile("[0-9A-Z]{5}|PGRST...")
"""Codes by PostgreSQL and PostgREST. Others are HTTP statuses, by whatever stands before them."""

_REFUSED_REQUESTS = frozenset({"400", "405", "406", "411", "413", "414", "415", "422", "431"})
"""The request itself is wrong, and will be the next time."""

GIVE_UP = "retrying cannot help; fix the database, then restart the job"


class Fault(Enum):
    """What kind of trouble an answer of PostgREST, or of a gateway before it, is."""

    PASSING = "passing"
    WRONG_KEY = "wrong key"
    """Passes too: when an operator has set the right one, running jobs continue."""
    NOT_MIGRATED = "not migrated"
    """Passes too: when the migrations are applied, or PostgREST has noticed that they are."""
    UNKNOWN = "unknown"


def fault_of(code: str, message: str) -> Fault:
    """The kind of fault.

    Args:
        code: PostgreSQL's SQLSTATE, PostgREST's code, or the HTTP status of an answer that is neither's.
        message: what it said.
    """
    if _KEY.fullmatch(code) or (code == "42501" and _NOT_OUR_FUNCTIONS.match(message)):
        return Fault.WRONG_KEY
    if _SCHEMA_CACHE.fullmatch(code):
        return Fault.NOT_MIGRATED
    refused = _DATABASE.fullmatch(code) or code in _REFUSED_REQUESTS
    return Fault.UNKNOWN if refused and not _PASSING_STATES.fullmatch(code) else Fault.PASSING


_PASSING_RESULTS = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_PROTOCOL,  # locks of a WAL file, after a crash
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        # Nothing can be written to these, a job's end included: it waits until the file is restored.
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
    }
)


def passes(error: Exception) -> bool:
    """Whether an error of SQLite may be gone the next time."""
    code = getattr(error, "sqlite_errorcode", None)  # absent where Python's own wrapper complains
    return code is not None and code & 0xFF in _PASSING_RESULTS
