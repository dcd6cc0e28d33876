"""Pictures that end whoever decodes them, without a switch in what is shipped.

A `sitecustomize` on a process's PYTHONPATH looks at each file that Pillow opens there, and does to the process what
`mark` says of its digest: the child processes of a program inherit it with the environment.
"""

import json
from collections.abc import Mapping
from enum import StrEnum
from hashlib import sha256
from pathlib import Path


class Poison(StrEnum):
    """What opening a picture does."""

    CRASHES = "crashes"
    CRASHES_ONCE = "crashes_once"
    HANGS = "hangs"


_SITE = """
import hashlib, json, os, pathlib, signal
from PIL import Image

folder = pathlib.Path(__file__).parent
opens = Image.open

def poisoned(file, *args, **options):
    digest = hashlib.sha256(file.getvalue()).hexdigest() if hasattr(file, "getvalue") else ""
    act = json.loads((folder / "poison.json").read_text()).get(digest)
    if act is not None:
        with (folder / "died").open("a") as died:
            died.write(f"{digest} {os.getpid()}\\n")
        if act == "crashes" or act == "crashes_once" and (folder / "died").read_text().count(digest) == 1:
            os.kill(os.getpid(), signal.SIGSEGV)
        while act == "hangs":
            pass
    return opens(file, *args, **options)

Image.open = poisoned
"""


class PoisonedPath:
    """A folder for PYTHONPATH."""

    def __init__(self, folder: Path, pictures: Mapping[bytes, Poison]) -> None:
        folder.mkdir()
        self.folder = folder
        acts = {sha256(data).hexdigest(): str(poison) for data, poison in pictures.items()}
        (folder / "poison.json").write_text(json.dumps(acts), "utf-8")
        (folder / "sitecustomize.py").write_text(_SITE, "utf-8")

    def processes(self, data: bytes) -> list[int]:
        """The processes in which this picture was opened, in order."""
        died = self.folder / "died"
        lines = died.read_text("utf-8").splitlines() if died.exists() else []
        return [int(line.split()[1]) for line in lines if line.startswith(sha256(data).hexdigest())]
