"""The page of a job in the Temporal Web UI shows the jobs of everybody: only operators are told where it is."""

from pathlib import Path
from uuid import uuid4

from temporalio.client import Client

from tests.support.stacks.api import running_api

WEB_UI = "https://temporal.example"


async def test_only_operators_are_shown_the_link(temporal: Client, tmp_path: Path) -> None:
    settings = {"api_host": "0.0.0.0", "temporal_ui_url": WEB_UI}
    async with running_api(temporal, tmp_path, settings=settings) as api:
        customer = api.as_user(await api.key(uuid4()))
        operator = api.as_user(await api.key(uuid4(), operator=True))
        ordered = await api.http.post("/api/jobs", json={"prompt": "a lake", "quantity": 1}, headers=customer)
        assert WEB_UI not in ordered.text
        job_id = ordered.json()["job_id"]
        await api.ended_row(job_id)
        for path in (f"/api/jobs/{job_id}", f"/jobs/{job_id}", f"/api/jobs/{job_id}/events"):
            shown = await api.http.get(path, headers=customer, timeout=30)
            assert (shown.status_code, WEB_UI in shown.text) == (200, False), path
            assert WEB_UI in (await api.http.get(path, headers=operator, timeout=30)).text, path
