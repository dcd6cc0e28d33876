"""Orders that are read without a thread: only what takes no time (spec §1)."""

import threading
from typing import Any

import pytest

from darkroom.orders.short import MOST_CHARACTERS, MOST_KEYS, MOST_STAGES, is_short, read_aside

STAGE = {"prompt": "a red chair", "quantity": 2, "size": "1K"}


@pytest.mark.parametrize(
    "document",
    [
        {"stages": [STAGE]},
        {"stages": [STAGE] * MOST_STAGES, "name": "chairs", "priority": 3, "webhook_url": None},
        {"stages": [{"prompt": "x" * MOST_CHARACTERS}]},
        {"stages": []},
    ],
)
async def test_a_few_stages_are_read_at_once(document: dict[str, Any]) -> None:
    assert is_short(document)
    assert await read_aside(document, threading.current_thread) is threading.current_thread()


@pytest.mark.parametrize(
    "document",
    [
        "text",
        [STAGE],
        {},
        {"stages": "text"},
        {"stages": [STAGE] * (MOST_STAGES + 1)},
        {"stages": [{"prompt": "x" * (MOST_CHARACTERS + 1)}]},
        {"stages": [STAGE], "name": "x" * (MOST_CHARACTERS + 1)},
        {"stages": [{**STAGE, "references": [1]}]},
        {"stages": [STAGE, "text"]},
        {"stages": [dict.fromkeys(map(str, range(MOST_KEYS + 1)))]},
        {"stages": [STAGE], **dict.fromkeys(map(str, range(MOST_KEYS)))},
        {"stages": [STAGE], "unknown": {"deep": 1}},
        {"stages": [STAGE], "rows": [{"chair": "red"}], "job_type": "template"},
    ],
)
async def test_all_others_leave_the_event_loop_to_other_requests(document: object) -> None:
    assert not is_short(document)
    assert await read_aside(document, threading.current_thread) is not threading.current_thread()


@pytest.mark.parametrize("document", [{"stages": [STAGE]}, {"stages": [STAGE] * 100}])
async def test_an_error_is_raised_as_it_is(document: dict[str, Any]) -> None:
    def read() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match=r"^no$"):
        await read_aside(document, read)
