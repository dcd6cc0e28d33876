"""The embedded server's Web UI: it works at its address, and no page of another site reaches the jobs through it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import psutil
import pytest
import uvicorn
from playwright.async_api import expect
from starlette.responses import HTMLResponse
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter

from darkroom.embedded.address import EmbeddedServer
from darkroom.embedded.launching import child_environment
from darkroom.embedded.ports import listening
from darkroom.embedded.server import embedded_server
from darkroom.embedded.ui_files import UiFiles
from darkroom.settings import Settings
from tests.support.browser.chromium import running_browser
from tests.support.until import until

QUEUE = "nobody-works-here"
RUNNING = WorkflowExecutionStatus.RUNNING
WORKFLOWS = "/api/v1/namespaces/default/workflows"
SIGNAL = f"{WORKFLOWS}/job-1/signal/pause"
TERMINATE = f"{WORKFLOWS}/job-1/terminate"
BATCH = f"{WORKFLOWS}/job-1%2Fstage-0%2Fround-0%2Fbatch-0"


@asynccontextmanager
async def _running_job(home: Path) -> AsyncIterator[tuple[EmbeddedServer, WorkflowHandle[object, object]]]:
    async with embedded_server(Settings(_env_file=None, darkroom_home=home), port=0, ui_port=0) as server:
        client = await Client.connect(server.address, data_converter=pydantic_data_converter)
        yield server, await client.start_workflow("PipelineJob", id="job-1", task_queue=QUEUE)


@pytest.fixture
async def listener(tmp_path: Path) -> AsyncIterator[tuple[EmbeddedServer, WorkflowHandle[object, object]]]:
    async with _running_job(tmp_path) as running:
        yield running


def _ports_of(server: EmbeddedServer) -> list[int]:
    """Every port of the server's process but gRPC: a web page can try them all."""
    grpc = int(server.address.rpartition(":")[2])
    listens = (link for link in psutil.Process(server.pid).net_connections("tcp") if link.status == psutil.CONN_LISTEN)
    return sorted(link.laddr.port for link in listens if link.laddr.port != grpc)


async def _signals(job: WorkflowHandle[object, object]) -> int:
    history = await job.fetch_history()
    return sum(event.HasField("workflow_execution_signaled_event_attributes") for event in history.events)


async def _untouched(job: WorkflowHandle[object, object]) -> bool:
    return (await job.describe()).status == RUNNING and await _signals(job) == 0


async def test_the_servers_own_ports_obey_no_text_plain_body_of_a_web_page(tmp_path: Path) -> None:
    async with _running_job(tmp_path) as (server, job), httpx.AsyncClient(trust_env=False, timeout=5) as http:
        answers = []
        for port in _ports_of(server):
            for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"evil.example:{port}"):
                for path in (SIGNAL, TERMINATE):
                    headers = {"Host": host, "Content-Type": "text/plain", "Origin": "http://evil.example"}
                    try:
                        answer = await http.post(f"http://127.0.0.1:{port}{path}", content="{}", headers=headers)
                    except httpx.HTTPError:  # not a port that speaks HTTP/1
                        continue
                    answers.append(answer.status_code)
        assert 403 in answers
        assert 200 not in answers
        assert await _untouched(job)


FOREIGN: tuple[dict[str, str], ...] = (
    {"Host": "evil.example"},
    {"Host": "127.0.0.1.evil.example"},
    {"Host": "evil.example@127.0.0.1"},
    {"Host": ""},
    {"Host": "[::1", "Origin": "http://[::1"},
    {"Host": "evil.example", "Origin": "http://evil.example"},
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": "same-site"},
    {},
    {"Sec-Fetch-Site": "cross-site"},
)
METHODS = ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
PATHS = (SIGNAL, TERMINATE, f"{BATCH}/terminate", f"{WORKFLOWS}/job-1/cancel", f"/x/..{TERMINATE}", f"/{TERMINATE}")


async def test_the_listener_refuses_what_does_not_come_from_its_own_pages(
    listener: tuple[EmbeddedServer, WorkflowHandle[object, object]],
) -> None:
    server, job = listener
    got_in = []
    async with httpx.AsyncClient(trust_env=False) as http:
        for method in METHODS:
            for path in PATHS:
                # As it stands here: the client would tidy `..` away.
                url = httpx.URL(server.ui_url).copy_with(raw_path=path.encode())
                for foreign in FOREIGN:
                    headers = {"Content-Type": "text/plain", **foreign}
                    answer = await http.request(method, url, content="{}", headers=headers)
                    if answer.status_code not in (400, 403, 405):
                        got_in.append((method, path, foreign, answer.status_code))
    assert got_in == []
    assert await _untouched(job)


async def test_pages_of_other_sites_read_nothing(
    listener: tuple[EmbeddedServer, WorkflowHandle[object, object]],
) -> None:
    server, _ = listener
    async with httpx.AsyncClient(base_url=server.ui_url, trust_env=False) as http:
        for path in (WORKFLOWS, "/api/v1/settings", "/"):
            for host in ("evil.example", f"evil.example:{httpx.URL(server.ui_url).port}", "127.0.0.1.nip.io"):
                assert (await http.get(path, headers={"Host": host})).status_code == 403
        for site in ("cross-site", "same-site"):
            headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"}
            assert (await http.get(WORKFLOWS, headers=headers)).status_code == 403
        answer = await http.get(WORKFLOWS, headers={"Origin": "http://evil.example"})
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert answer.headers["x-frame-options"] == "DENY"


def _shape(found: object) -> object:
    """What is where in JSON, without the values; ids of requests are names there."""
    if isinstance(found, dict):
        return {name: _shape(value) for name, value in found.items() if name != "requestIdInfos"}
    return [_shape(one) for one in found] if isinstance(found, list) else type(found).__name__


async def test_a_batch_is_shown_and_steered_like_a_job(
    listener: tuple[EmbeddedServer, WorkflowHandle[object, object]],
) -> None:
    """The server's own API takes the slashes in a batch's id for ends of names."""
    server, _ = listener
    client = await Client.connect(server.address, data_converter=pydantic_data_converter)
    batch = await client.start_workflow("PipelineJob", id="job-1/stage-0/round-0/batch-0", task_queue=QUEUE)
    async with httpx.AsyncClient(base_url=server.ui_url, trust_env=False) as http:
        for what in ("", "/history?maximumPageSize=10&waitNewEvent=false", "/history-reverse"):
            of_batch, of_job = [await http.get(f"{one}{what}") for one in (BATCH, f"{WORKFLOWS}/job-1")]
            assert (of_batch.status_code, of_job.status_code) == (200, 200), of_batch.text
            assert _shape(of_batch.json()) == _shape(of_job.json())
        of_run = await http.get(f"{BATCH}?execution.runId={batch.first_execution_run_id}")
        info = of_run.json()["workflowExecutionInfo"]
        assert info["execution"] == {"workflowId": batch.id, "runId": batch.first_execution_run_id}
        assert (await http.get(f"{BATCH}?execution.runId=00000000-0000-4000-8000-000000000000")).status_code == 404
        assert (await http.get(f"{BATCH}/history?maximumPageSize=many")).status_code == 400
        assert (await http.get(f"{BATCH}/unknown")).status_code == 404

        ours = {"Origin": server.ui_url}
        assert (await http.post(f"{BATCH}/terminate", content="[", headers=ours)).status_code == 400
        assert (await http.post(f"{BATCH}/signal/control", json={}, headers=ours)).status_code == 200
        assert await _signals(batch) == 1
        assert (await http.post(f"{BATCH}/terminate", json={"reason": "tried"}, headers=ours)).status_code == 200
        assert (await batch.describe()).status == WorkflowExecutionStatus.TERMINATED


@asynccontextmanager
async def _another_site() -> AsyncIterator[str]:
    sock = listening(0, "", any_port=True)
    page = HTMLResponse("<title>evil</title>")
    server = uvicorn.Server(uvicorn.Config(page, log_config=None, lifespan="off"))
    task = asyncio.create_task(server._serve([sock]))
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


_ATTACK = """async urls => {
    for (const url of urls) {
        await fetch(url, {method: "POST", mode: "no-cors", body: "{}"}).catch(() => null);
    }
}"""
_SIGNAL_AS_THE_PAGES_DO = """async ([url, payload]) => (await fetch(url, {
    method: "POST", body: JSON.stringify({signalName: "pause", input: {payloads: [payload]}})
})).status"""


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_in_a_browser_another_site_pauses_nothing_and_the_web_ui_works(tmp_path: Path) -> None:
    async with _running_job(tmp_path) as (server, job), _another_site() as evil, running_browser() as browser:
        page = await browser.new_page()
        await page.goto(evil)
        targets = [f"http://127.0.0.1:{port}" for port in _ports_of(server)] + [server.ui_url]
        await page.evaluate(_ATTACK, [f"{base}{path}" for base in targets for path in (SIGNAL, TERMINATE)])
        assert await _untouched(job)

        await page.goto(f"{server.ui_url}/namespaces/default/workflows", timeout=60_000)
        row = page.get_by_role("link", name="job-1").first
        await expect(row).to_be_visible(timeout=60_000)
        await row.click()
        await expect(page.get_by_text("Running").first).to_be_visible(timeout=30_000)
        payload = {"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "Mw=="}
        assert await page.evaluate(_SIGNAL_AS_THE_PAGES_DO, [SIGNAL, payload]) == 200
        assert await _signals(job) == 1
        history = await job.fetch_history()
        client = await Client.connect(server.address)
        batch = await client.start_workflow("Batch", id="job-1/stage-0/round-0/batch-0", task_queue=QUEUE)
        await page.goto(f"{server.ui_url}/namespaces/default/workflows", timeout=60_000)
        await page.get_by_role("link", name=batch.id).first.click()
        await expect(page.get_by_role("heading", name=batch.id)).to_be_visible(timeout=30_000)
        await expect(page.get_by_text("Running").first).to_be_visible(timeout=30_000)
        given = history.events[-1].workflow_execution_signaled_event_attributes.input.payloads[0]
        assert given.data == b"3"


async def test_the_second_server_runs_only_while_somebody_looks(tmp_path: Path) -> None:
    files = UiFiles(tmp_path / "ui.log", idle=0.2)
    try:
        assert _pid(files) is None
        for _ in range(2):
            await files.address()
            started = _pid(files)
            assert started is not None

            async def stopped(pid: int = started) -> bool:
                return not psutil.pid_exists(pid)

            await until(stopped, "an idle Web UI to be stopped")
        await files.address()
    finally:
        await files.close()
    assert _pid(files) is None


def _pid(files: UiFiles) -> int | None:
    return None if files.process is None else files.process.pid


async def test_the_servers_file_is_its_users_alone(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    async with _running_job(tmp_path / "home"):
        modes = {file.name: file.stat().st_mode & 0o777 for file in (tmp_path / "home").glob("temporal.db*")}
    assert set(modes.values()) == {0o600}, modes


async def test_the_server_is_given_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "a-secret-of-ours-with-32-characters"
    for name in ("GEMINI_API_KEY", "SUPABASE_SERVICE_ROLE_KEY", "API_SECRET", "DATABASE_URL", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, secret)
    async with _running_job(tmp_path) as (server, _):
        environment = psutil.Process(server.pid).environ()
    assert secret not in environment.values()
    assert set(environment) - set(child_environment(environment)) <= {"LC_CTYPE"}  # Python's own, of the launcher
