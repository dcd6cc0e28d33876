"""The command that a deployment serves its Web UI with: real servers behind it, and the tries of other sites."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import yaml
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle

from darkroom.embedded.launching import child_environment, server_command, ui_command
from darkroom.embedded.processes import start_tied, stop
from tests.support.ports import free_port
from tests.support.until import until

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "deploy/temporal/config.sh"
WORKFLOWS = "/api/v1/namespaces/default/workflows"
TERMINATE = f"{WORKFLOWS}/job-1/terminate"
PATIENCE = 40.0


def configured(folder: Path) -> tuple[str, dict[str, list[dict[str, object]]]]:
    """What the script writes for the server and for the listener."""
    subprocess.run(["sh", str(CONFIG), str(folder)], check=True, timeout=10)
    written = yaml.safe_load((folder / "dynamic-config.yaml").read_text("utf-8"))
    return (folder / "http-host").read_text("utf-8").strip(), written


def test_the_script_writes_a_name_that_nobody_can_guess_once(tmp_path: Path) -> None:
    name, written = configured(tmp_path)
    label, _, domain = name.partition(".")
    assert (len(bytes.fromhex(label)), domain) == (16, "invalid")
    kept = yaml.safe_load((ROOT / "deploy/temporal/dynamic-config.yaml").read_text("utf-8"))
    assert written == kept | {"frontend.httpAllowedHosts": [{"value": [name]}]}
    assert configured(tmp_path) == (name, written)
    (tmp_path / "another").mkdir()
    assert configured(tmp_path / "another")[0] != name


@asynccontextmanager
async def _process(command: list[str], folder: Path, name: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await start_tied(command, folder / f"{name}.log", child_environment(), folder)
    try:
        yield process
    finally:
        if process.returncode is None:
            await stop(process, 10)


async def _until_listening(port: int) -> None:
    async def so() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    await until(so, f"port {port} to listen", PATIENCE)


@asynccontextmanager
async def _deployment(folder: Path) -> AsyncIterator[tuple[str, int, WorkflowHandle[object, object]]]:
    """The listener's address, the port of the server's HTTP API, and a running job."""
    name, _ = configured(folder)
    grpc, http, other, ui, own = (free_port() for _ in range(5))
    listener = [sys.executable, "-m", "darkroom.embedded.web_ui_listener", "--port", str(own)]
    listener += [
        "--files",
        f"http://127.0.0.1:{ui}",
        "--api",
        f"http://127.0.0.1:{http}",
        "--grpc",
        f"127.0.0.1:{grpc}",
    ]
    listener += ["--api-host-file", str(folder / "http-host"), "--name", "temporal.example"]
    async with (
        _process(server_command(grpc, http, name), folder, "server"),
        _process(ui_command(other, ui), folder, "ui"),
    ):
        for port in (grpc, http, ui):
            await _until_listening(port)
        # As in its container: from the checkout's root, and without anything of ours in the environment.
        process = await start_tied(listener, folder / "listener.log", child_environment(), ROOT)
        try:
            await _until_listening(own)
            client = await Client.connect(f"127.0.0.1:{grpc}")
            job = await client.start_workflow("PipelineJob", id="job-1", task_queue="nobody-works-here")
            yield f"http://127.0.0.1:{own}", http, job
        finally:
            await stop(process, 10)
        assert process.returncode == 0, (folder / "listener.log").read_text("utf-8")


@pytest.mark.timeout(150)
async def test_the_web_ui_works_at_its_address_and_for_nobody_elses_pages(tmp_path: Path) -> None:
    async with _deployment(tmp_path) as (url, api_port, job), httpx.AsyncClient(trust_env=False, timeout=30) as http:
        page = await http.get(f"{url}/")
        assert (page.status_code, page.headers["x-frame-options"]) == (200, "DENY")
        assert "Content-Security-Policy" in page.headers
        settings = await http.get(f"{url}/api/v1/settings")
        assert settings.status_code == 200

        async def listed() -> bool:
            return "job-1" in (await http.get(f"{url}{WORKFLOWS}")).text

        await until(listed, "the job to be listed", 20)
        here = {"Host": "temporal.example", "Origin": "https://temporal.example"}
        assert (await http.get(f"{url}{WORKFLOWS}", headers=here)).status_code == 200

        host = url.removeprefix("http://")
        for foreign in (
            {"Host": "evil.example", "Origin": "http://evil.example"},
            {"Host": "temporal.example.evil.example"},
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
            {},
            {"Sec-Fetch-Site": "cross-site"},
        ):
            answer = await http.post(
                f"{url}{TERMINATE}", content="{}", headers={"Host": host, "Content-Type": "text/plain", **foreign}
            )
            assert answer.status_code == 403, (foreign, answer.text)
        for at in (host, f"127.0.0.1:{api_port}", f"localhost:{api_port}", "evil.example"):
            answer = await http.post(
                f"http://127.0.0.1:{api_port}{TERMINATE}",
                content="{}",
                headers={"Host": at, "Content-Type": "text/plain"},
            )
            assert answer.status_code == 403, answer.text
        assert (await job.describe()).status is WorkflowExecutionStatus.RUNNING

        ended = await http.post(f"{url}{TERMINATE}", content="{}", headers={"Origin": url})
        assert ended.status_code == 200, ended.text
        assert (await job.describe()).status is WorkflowExecutionStatus.TERMINATED


@pytest.mark.parametrize(
    ("changed", "status", "said"),
    [
        (["--files", "temporal-ui:8080"], 2, "--files temporal-ui:8080: must be a URL"),
        (["--api", "http://temporal:7243/api"], 2, "--api http://temporal:7243/api: must be a URL without a path"),
        (["--api-host-file", "/nowhere/http-host"], 2, "--api-host-file /nowhere/http-host: No such file"),
        (["--api-host-file", "{short}"], 2, "must hold a name of at least 16"),
        (["--port", "{taken}"], 5, "is in use: choose another one with --port"),
    ],
)
def test_wrong_arguments_end_it_in_one_line(changed: list[str], status: int, said: str, tmp_path: Path) -> None:
    (tmp_path / "http-host").write_text("0123456789abcdef0123456789abcdef.invalid\n", "ascii")
    (tmp_path / "short").write_text("short", "ascii")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        filled = [one.format(short=tmp_path / "short", taken=taken.getsockname()[1]) for one in changed]
        given = {"--files": "http://ui:8080", "--api": "http://temporal:7243", "--grpc": "temporal:7233"}
        given |= {"--api-host-file": str(tmp_path / "http-host"), filled[0]: filled[1]}
        asked = subprocess.run(
            [
                sys.executable,
                "-m",
                "darkroom.embedded.web_ui_listener",
                *(part for one in given.items() for part in one),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert (asked.returncode, asked.stdout) == (status, "")
    assert said in asked.stderr
    assert len(asked.stderr.splitlines()) == 1
