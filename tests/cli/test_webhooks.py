"""`webhooks`: the secret a receiver needs, and what `send` says where there is nothing to send."""

from pathlib import Path
from uuid import uuid4

import pytest

from cli import webhooks
from cli.working import run as run_work
from darkroom.domain.jobs import NewJob
from darkroom.domain.names import LOCAL_USER
from darkroom.domain.orders import JobType
from darkroom.records.sqlite import SqliteRecords
from tests.cli.conftest import Run


def stored(home: Path, webhook_url: str | None, *, cancelled: bool) -> str:
    """A job that no run has opened."""
    job_id = uuid4()

    async def store() -> None:
        records = SqliteRecords(home / "records.db")
        new = NewJob(
            job_id=job_id,
            job_type=JobType.PIPELINE_STAGE,
            user_id=LOCAL_USER,
            production_id=None,
            document={},
            total_images=3,
            priority=3,
            webhook_url=webhook_url,
        )
        await records.create_job(new)
        if cancelled:
            await records.cancel_pending(job_id, None)
        await records.close()

    run_work(store())
    return str(job_id)


def test_a_users_secret_is_always_the_same_and_nobody_elses(home: Path, run: Run) -> None:
    other = str(uuid4())
    shown = [
        run("webhooks", "secret", *arguments).out.strip()
        for arguments in ([], ["--user", "local"], ["--user", str(LOCAL_USER)], ["--user", other], ["--anonymous"])
    ]
    assert all(secret.startswith("whsec_") for secret in shown)
    assert len(set(shown[:3])) == 1
    assert len(set(shown)) == 3
    told = run("webhooks", "secret", "--user", other, "--json")
    assert (told.status, told.document) == (0, {"user_id": other, "secret": shown[3]})


def test_a_secret_is_shown_of_a_uuid_alone(home: Path, run: Run) -> None:
    told = run("webhooks", "secret", "--user", "me")
    assert (told.status, told.error) == (2, "USER: 'me' is not a UUID")


@pytest.mark.parametrize(
    ("url", "cancelled", "words"),
    [
        ("https://shop.example/", False, "its webhook is sent when it ends"),
        (None, True, "has no webhook_url: there is nothing to send"),
    ],
)
def test_only_an_ended_job_with_a_webhook_url_is_sent_again(
    connected: Path, run: Run, url: str | None, cancelled: bool, words: str
) -> None:
    job = stored(connected, url, cancelled=cancelled)
    told = run("webhooks", "send", job)
    assert told.status == 5
    assert words in told.error


def test_sending_is_left_to_workers_and_a_server(connected: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "PATIENCE", 0.5)
    job = stored(connected, "https://shop.example/?token=xyzzy", cancelled=True)
    told = run("webhooks", "send", job[:8], "--json")
    assert told.status == 1
    assert told.document["webhook_id"] == f"msg_{job}"
    assert (told.document["delivered"], told.document["reason"]) == (False, "not attempted yet: is a worker running?")
    assert "xyzzy" not in told.out + told.err
    monkeypatch.delenv("TEMPORAL_ADDRESS")
    assert run("webhooks", "send", job).status == 3
    assert run("webhooks", "send", str(uuid4())).status == 4
