"""A process that is killed while it writes a picture leaves nothing that stays for ever."""

import asyncio
import sys
from pathlib import Path

import pytest

from darkroom.storage.files import FileStorage
from tests.support.commands import ROOT

pytestmark = pytest.mark.asyncio(loop_scope="session")

WRITER = """
import asyncio, os, sys, time
from pathlib import Path
from darkroom.storage.files import FileStorage

def hang(handle):
    print("writing", flush=True)
    time.sleep(60)

os.fsync = hang
asyncio.run(FileStorage(Path(sys.argv[1])).put("staging/job/0-0", b"half", "image/png"))
"""


async def test_what_a_killed_process_had_begun_to_write_goes_with_the_next_look_and_no_sooner(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path)
    writer = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WRITER, str(tmp_path)), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert writer.stdout is not None
        assert await writer.stdout.readline() == b"writing\n"
        assert await storage.keys("staging/") == []
        assert len(list((tmp_path / "staging" / "job").iterdir())) == 1
    finally:
        writer.kill()
        await writer.wait()
    assert await storage.keys("staging/") == []
    assert not (tmp_path / "staging" / "job").exists()
