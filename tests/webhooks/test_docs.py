"""What docs/webhooks.md tells receivers to do works."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from darkroom.domain.webhooks import EventType
from darkroom.signing import webhook_secret
from darkroom.webhooks.target import LONGEST_URL
from workflows.policies import WEBHOOK

PAGE = Path(__file__).parents[2].joinpath("docs/webhooks.md").read_text("utf-8")


def test_the_code_for_receivers_takes_ours_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    secret = webhook_secret(b"x", None)
    program: dict[str, Any] = {}
    exec(code.replace("whsec_…", secret), program)
    body, moment = '{"type":"job.failed","data":{"job_id":"17"}}', datetime.now(UTC)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Webhook(secret).sign("msg_1", moment, body),
    }
    assert program["receive"](body.encode(), headers) == 204
    assert capsys.readouterr().out == "job.failed 17\n"
    assert program["receive"](b" " + body.encode(), headers) == 400


def test_its_numbers_and_events_are_ours() -> None:
    assert set(re.findall(r"^\| `(job\.\w+)`", PAGE, re.MULTILINE)) == set(EventType)
    hours = WEBHOOK["schedule_to_close_timeout"].total_seconds() / 3600
    assert f"for {hours:g} h;" in PAGE
    assert f"{LONGEST_URL:,} characters" in PAGE
