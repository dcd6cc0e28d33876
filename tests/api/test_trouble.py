"""A provider that fails and a worker that does not run are seen by those who look at a job."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.runtime import Runtime, TelemetryConfig

from darkroom.client.workers import WorkerWatch, queues_without_worker
from darkroom.doctor import ask_workers
from darkroom.domain.errors import ServerNotReachable
from darkroom.domain.findings import State
from darkroom.domain.names import JOB_QUEUES
from tests.support.fakes.scripted import Act, Always
from tests.support.stacks.api import ApiStack, is_a_problem, running_api
from tests.support.until import until
from worker import running_workers


async def test_a_provider_that_fails_is_seen_in_the_job_and_its_stages_until_it_answers(
    temporal: Client, tmp_path: Path
) -> None:
    provider = Always(Act.FAULT)
    async with running_api(temporal, tmp_path, provider=provider) as api:
        job_id = await api.order(5)
        shown: dict[str, Any] = {}

        async def failing() -> bool:
            shown.update(await api.job(job_id))
            return bool(shown["failing"]) and shown["failing"][0]["retrying"] == 5

        await until(failing, "five pictures that are retried")
        [fault] = shown["failing"]
        assert (fault["provider"], fault["reason"]) == ("offline", "503 from the provider")
        [stage] = shown["stages"]
        assert (stage["retrying"], stage["fault"]) == (5, "503 from the provider")
        assert stage["since"] == fault["since"]
        assert (shown["eta_seconds"], shown["stalled"], shown["without_worker"]) == (None, False, [])
        page = (await api.http.get(f"/jobs/{job_id}", headers={"Accept": "text/html"})).text
        assert "Offline is failing (503 from the provider) since " in page
        assert "503 from the provider, attempt " in page
        seen = False
        async for event in api.events(job_id):
            if event.name == "stage" and event.data["retrying"] == 5:
                seen = True
                provider.act = Act.DRAW
                assert {frame["reason"] for frame in event.data["frames"]} == {"503 from the provider"}
                assert all(frame["attempt"] >= 1 for frame in event.data["frames"])
            if event.name == "end":
                assert (event.data["failing"], event.data["status"]) == ([], "completed")
        assert seen


async def test_a_full_disk_is_said_by_readyz_and_by_the_workers_that_doctor_asks(
    api: ApiStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await api.http.get("/readyz")).status_code == 200
    live = await ask_workers(api.parts.settings)
    assert [finding.what for finding in live] == [
        "worker darkroom", "worker darkroom-generate", "worker darkroom-publish",
    ]  # fmt: skip
    assert {finding.state for finding in live} == {State.GOOD}
    assert "can call offline; free disk " in live[0].told
    assert "; STALLED_AFTER=120.0" in live[0].told
    monkeypatch.setattr("darkroom.disk.ROOM_NEEDED", 2**62)
    answer = await api.http.get("/readyz")
    is_a_problem(answer)
    assert answer.status_code == 503
    assert answer.json()["detail"].startswith(f"The disk that holds {api.parts.settings.darkroom_home} is full: ")
    assert answer.json()["detail"].endswith("; make room on it, and work continues by itself")
    told = await ask_workers(api.parts.settings)
    assert {finding.state for finding in told} == {State.WRONG}
    assert all("The disk that holds " in finding.told for finding in told)


async def test_no_worker_is_said_by_the_job_its_page_and_readyz_until_one_runs(
    temporal_of_its_own: Client, tmp_path: Path
) -> None:
    async with running_api(temporal_of_its_own, tmp_path, workers=False) as quiet:
        job_id = await quiet.order(1)
        every = ["darkroom", "darkroom-generate", "darkroom-publish"]
        answer = await quiet.http.get("/readyz")
        is_a_problem(answer)
        assert answer.status_code == 503
        assert answer.json()["detail"].startswith("no worker is running; start one with `darkroom up`")

        async def seen() -> bool:
            return bool((await quiet.job(job_id))["without_worker"] == every)

        await until(seen, "a job that says that no worker runs")
        page = (await quiet.http.get(f"/jobs/{job_id}", headers={"Accept": "text/html"})).text
        assert "Waiting to start: no worker is running<" in page.replace("\n", "")
        async with running_workers(quiet.parts, quiet.temporal):

            async def ready() -> bool:
                return (await quiet.http.get("/readyz")).status_code == 200

            await until(ready, "a worker that is seen", 20)
            assert (await quiet.ended(job_id))["without_worker"] == []


async def test_a_worker_that_is_too_busy_to_poll_is_known_by_its_heartbeat(
    temporal_of_its_own: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = temporal_of_its_own.service_client.config.target_host
    often = Runtime(telemetry=TelemetryConfig(), worker_heartbeat_interval=timedelta(seconds=1))
    client = await Client.connect(server, data_converter=pydantic_data_converter, runtime=often)
    async with running_api(client, tmp_path):
        # As if nothing had been polled for long.
        monkeypatch.setattr("darkroom.client.workers.SEEN_WITHIN", timedelta(0))

        async def heard() -> bool:
            return not await queues_without_worker(client)

        await until(heard, "heartbeats of the workers")
    monkeypatch.setattr("darkroom.client.workers.HEARD_WITHIN", timedelta(0))
    assert await queues_without_worker(client) == JOB_QUEUES


@pytest.mark.parametrize(("ours", "lacking"), [(True, JOB_QUEUES), (False, ())])
async def test_without_a_server_of_ours_no_worker_runs_and_of_another_ones_nothing_is_known(
    ours: bool, lacking: tuple[str, ...]
) -> None:
    asked = 0

    async def nobody() -> Client:
        nonlocal asked
        asked += 1
        raise ServerNotReachable("no Temporal server")

    watch = WorkerWatch(nobody, server_is_ours=lambda: ours)
    assert watch.latest() == ()
    assert {await watch.look() for _ in range(20)} == {lacking}
    assert (watch.latest(), asked) == (lacking, 1)
    await watch.close()
