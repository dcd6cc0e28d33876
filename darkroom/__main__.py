"""The command `darkroom`: finds the parts that run jobs, and starts the command line.

In the wheel they are in `darkroom/_app`, in a checkout beside this package. Nothing else in the library knows them.
"""

import sys
from pathlib import Path

from darkroom.collector import without_collection


def app_folder() -> Path:
    """The folder with `workflows`, `activities`, `cli` and `worker`."""
    package = Path(__file__).parent
    shipped = package / "_app"
    return shipped if shipped.is_dir() else package.parent


def main() -> None:
    """The program; it leaves with the command's exit status."""
    # First, so that a cli.py in the user's folder or on PYTHONPATH is never taken for ours.
    sys.path.insert(0, str(app_folder()))
    with without_collection():
        from cli.app import leave  # noqa: PLC0415 - the path must be set before
        from cli.app import main as run  # noqa: PLC0415

    leave(run())


if __name__ == "__main__":
    main()
