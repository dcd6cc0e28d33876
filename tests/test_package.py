"""The package, built and installed: one wheel that works in any folder and clashes with nobody's modules."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from zipfile import ZipFile

import httpx
import pytest
from PIL import Image

from darkroom._version import __version__
from tests.support.ports import free_port
from tests.support.programs import required, temporal_binary

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
DECOYS = ("workflows", "activities", "api", "cli", "worker", "starter", "supabase", "tests")
MODULES = ("darkroom", "ctypes", "signal")
"""What a child process of ours imports, beside the parts that run jobs."""
MOVED = ("workflows", "activities", "cli", "supabase/migrations")


def files(folder: str) -> set[str]:
    """What the repository has in a folder, by paths within it."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return {path for path in listed.stdout.splitlines() if (ROOT / path).is_file()}


def build(source: Path, target: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=60)
    [built] = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "sdist", tmp_path_factory.mktemp("sdist"))


class Environment:
    """A virtual environment that has the packages of ours, and Darkroom installed from somewhere else."""

    def __init__(self, folder: Path, *what: str) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=60)
        self.bin = folder / "bin"
        python = str(self.bin / "python")
        options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
        # The packages that we run with stand behind what is installed; a .pth file of theirs is not followed.
        found = subprocess.run(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            capture_output=True,
            text=True,
            check=True,
        )
        (Path(found.stdout.strip()) / "packages.pth").write_text(sysconfig.get_path("purelib"), "utf-8")
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python, "install", *options]
        subprocess.run([*pip, *what], check=True, timeout=60)

    def variables(self, **more: str) -> dict[str, str]:
        """The environment of somebody who has activated it, and whose settings are the defaults."""
        path = [str(self.bin), str(Path(temporal_binary()).parent), os.environ["PATH"]]
        quick = {"OFFLINE_LATENCY": "0.05", "OFFLINE_SIZE": "64x36", "LOG_LEVEL": "warning"}
        return {"PATH": os.pathsep.join(path), "HOME": os.environ["HOME"], **quick, **more}

    def run(self, *words: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
        """Run one of its programs, found by its name."""
        program = [str(self.bin / words[0]) if (self.bin / words[0]).exists() else words[0], *words[1:]]
        return subprocess.run(
            program,
            cwd=cwd,
            env=self.variables(**more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("installed") / "venv", str(wheel))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's folder, whose modules have the names of ours."""
    folder = tmp_path / "mine"
    folder.mkdir()
    plant(folder, DECOYS)
    return folder


def plant(folder: Path, names: Sequence[str]) -> None:
    for name in names:
        (folder / f"{name}.py").write_text(f"raise SystemExit('{name}.py of the user was taken for ours')\n", "utf-8")


# What is in it


def test_the_wheel_holds_one_package_with_everything_in_it(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    moved = {f"darkroom/_app/{path}" for folder in MOVED for path in files(folder)}
    assert names == files("darkroom") | moved | {"darkroom/_app/worker.py"}
    assert {"darkroom/py.typed", "darkroom/records/sqlite/schema.sql", "darkroom/api/templates/job.html"} <= names
    assert {Path(name).suffix for name in names if "/static/" in name} == {".js", ".css", ".svg"}
    assert not [name for name in names if "test" in name]


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        [metadata] = [name for name in archive.namelist() if name.endswith("/METADATA")]
        text = archive.read(metadata).decode()
        licenses = {Path(name).name for name in archive.namelist() if ".dist-info/licenses/" in name}
    assert f"\nVersion: {__version__}\n" in text
    assert "\nLicense-Expression: Apache-2.0\n" in text
    assert {"LICENSE", "NOTICE"} <= licenses
    assert wheel.name == f"darkroom-{__version__}-py3-none-any.whl"


def test_the_source_distribution_builds_the_same_wheel(sdist: Path, wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    source = tmp_path / f"darkroom-{__version__}"
    assert not {path.name for path in source.iterdir()} & {"tests", "benchmarks", ".venv", ".darkroom", "node_modules"}
    again = build(source, "wheel", tmp_path / "again")
    with ZipFile(wheel) as one, ZipFile(again) as other:
        assert one.namelist() == other.namelist()
        assert all(one.read(name) == other.read(name) for name in one.namelist())


# What it does


def test_the_command_answers_in_a_folder_with_modules_of_the_same_names(installed: Environment, folder: Path) -> None:
    told = installed.run("darkroom", "--version", cwd=folder)
    assert (told.returncode, told.stdout, told.stderr) == (0, f"darkroom {__version__}\n", "")
    told = installed.run("python", "-m", "darkroom", "--version", cwd=folder)
    assert (told.returncode, told.stdout, told.stderr) == (0, f"darkroom {__version__}\n", "")
    told = installed.run("darkroom", "migrations", "out", cwd=folder)
    assert (told.returncode, told.stderr) == (0, "")
    assert {f"supabase/migrations/{path.name}" for path in (folder / "out").iterdir()} == files("supabase/migrations")
    assert "`darkroom demo` or `darkroom submit FILE`" in installed.run("darkroom", "list", cwd=folder).stdout


def test_the_library_is_imported_without_the_parts_that_run_jobs(installed: Environment, folder: Path) -> None:
    code = (
        "import sys, darkroom, darkroom.api.app, darkroom.bootstrap, darkroom.client.jobs; print(darkroom.__version__);"
        "print(sorted({'cli', 'worker', 'workflows', 'activities'} & set(sys.modules)), darkroom.__file__)"
    )
    told = installed.run("python", "-c", code, cwd=folder)
    assert told.stderr == ""
    version, loaded, *_ = told.stdout.split()
    assert (version, loaded) == (__version__, "[]")
    assert str(installed.bin.parent) in told.stdout


def test_a_job_is_run_and_fetched_with_what_was_installed(installed: Environment, folder: Path) -> None:
    plant(folder, MODULES)
    (folder / "order.yaml").write_text("stages:\n  - {prompt: a lemon, quantity: 2}\n", "utf-8")
    with running(installed, folder) as told:
        page = told["page"]
        submitted = installed.run("darkroom", "submit", "order.yaml", "--watch", "--json", cwd=folder)
        assert submitted.returncode == 0, submitted.stderr
        job = json.loads(submitted.stdout)["job_id"]
        fetched = installed.run("darkroom", "download", job, "pictures", cwd=folder)
        assert fetched.returncode == 0, fetched.stderr
        # The page comes from a process of its own, which found its templates.
        assert httpx.get(f"{page}/jobs/{job}", trust_env=False).status_code == 200
    pictures = sorted((folder / "pictures").glob("*.webp"))
    assert [picture.name for picture in pictures] == ["stage-1_001.webp", "stage-1_002.webp"]
    for picture in pictures:
        with Image.open(picture) as image:
            assert image.size == (64, 36)


def test_worker_and_api_run_beside_it_and_stop_when_asked(installed: Environment, folder: Path) -> None:
    port = str(free_port())
    with running(installed, folder, "--no-api"):
        with program(installed, folder, "api", API_PORT=port, LOG_LEVEL="info") as log:
            wait_for("api started", log)
            assert httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).status_code == 200
        with program(installed, folder, "worker", "--role", "generate", LOG_LEVEL="info") as log:
            assert "generate" in wait_for("worker started", log)


@contextmanager
def program(environment: Environment, folder: Path, *words: str, **more: str) -> Iterator[IO[str]]:
    """A command that runs until SIGTERM, and the lines that it logs; it must end with 0."""
    with subprocess.Popen(
        [environment.bin / "darkroom", *words],
        cwd=folder,
        env=environment.variables(**more),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            yield process.stderr
            process.terminate()
            process.stderr.read()
            assert process.wait(30) == 0
        finally:
            process.kill()


def wait_for(words: str, log: IO[str]) -> str:
    """The line with these words."""
    before = []
    for line in log:
        if words in line:
            return line
        before.append(line)
    raise AssertionError("".join(before))


@contextmanager
def running(environment: Environment, folder: Path, *options: str) -> Iterator[dict[str, Any]]:
    """`darkroom up` in a folder, and the document that it writes when everything runs."""
    ports = ["--port", str(free_port()), "--ui-port", str(free_port()), "--api-port", str(free_port())]
    with (
        (folder / "up.log").open("w", encoding="utf-8") as log,
        subprocess.Popen(
            [environment.bin / "darkroom", "up", "--json", *ports, *options],
            cwd=folder,
            env=environment.variables(),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            text = ""
            while not text.endswith("\n}\n"):
                line = process.stdout.readline()
                assert line, (folder / "up.log").read_text("utf-8")
                text += line
            yield json.loads(text)
            process.terminate()
            assert process.wait(30) == 0
        finally:
            process.kill()


def test_bash_completes_the_installed_command(installed: Environment, folder: Path) -> None:
    bash = required(shutil.which("bash"), "bash", "install it")
    script = (
        'eval "$(darkroom --show-completion)"; COMP_WORDS=(darkroom su); COMP_CWORD=1;'
        ' _darkroom_completion darkroom; echo "${COMPREPLY[@]}"; complete -p darkroom'
    )
    told = installed.run(bash, "--norc", "-c", script, cwd=folder)
    assert told.stdout.splitlines() == ["submit", "complete -o default -F _darkroom_completion darkroom"], told.stderr


def test_a_checkout_is_installed_to_be_worked_on(folder: Path, tmp_path: Path) -> None:
    editable = Environment(tmp_path / "venv", "--editable", str(ROOT))
    told = editable.run("darkroom", "list", cwd=folder)
    assert (told.returncode, told.stderr) == (0, "")
    assert "`darkroom demo`" in told.stdout
    where = editable.run("python", "-c", "import darkroom; print(darkroom.__file__)", cwd=folder).stdout.strip()
    assert where == str(ROOT / "darkroom/__init__.py")
