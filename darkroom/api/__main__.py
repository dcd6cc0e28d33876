"""Runs the HTTP API and the page until SIGTERM or Ctrl-C.

    python -m darkroom.api

Exit status: 0 stopped, 2 wrong settings, 5 the port is in use, 1 anything else that is wrong.
"""

import os
import sys

import uvloop

from darkroom.collector import without_collection

with without_collection():
    from darkroom import logs
    from darkroom.api.server import serve
    from darkroom.domain.errors import DarkroomError, NotPossibleNow, SettingRejected
    from darkroom.settings import read_settings


def main() -> int:
    """The program; gives its exit status."""
    try:
        settings = read_settings()
        logs.configure(settings)
        uvloop.run(serve(settings))
    except KeyboardInterrupt:
        return 0
    except DarkroomError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the one line a user reads
        return 2 if isinstance(error, SettingRejected) else 5 if isinstance(error, NotPossibleNow) else 1
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # A process that used a Temporal client aborts now and then while the interpreter shuts down
    # (sdk-python #300), which would turn success into status 134.
    os._exit(status)
