"""Whole Darkrooms in real processes stay exact whatever happens; `python -m tests.harness` plays more."""

import json
from pathlib import Path
from uuid import uuid4

import pytest

from darkroom.pictures import PictureWork
from darkroom.proof.account import CALLS_FILE, read_account, saved_calls
from darkroom.proof.checks import wasted_calls
from darkroom.proof.marks import Mark, drawn, prompt_mark, read
from tests.harness.__main__ import play_all
from tests.support.children import SHARED
from tests.support.programs import temporal_binary

NIGHTLY = (
    "kill-all",
    "stop-cancel-restart",
    "disk-full-kill",
    "fails-kill",
    "pause-kill",
    "two-users",
)


async def test_a_delivered_picture_still_says_which_call_drew_it_for_which_prompt() -> None:
    marks = [Mark(prompt_mark(f"A fox [{uuid4()}.{n}]"), 2**n) for n in range(24)]
    pictures = PictureWork(90, 2, SHARED)
    for mark in marks:
        assert read(await pictures.encode(drawn(mark))) == mark
    assert read(drawn(marks[0])[:200]) is None


def test_a_picture_that_was_drawn_and_is_nowhere_is_noticed_unless_a_kill_may_have_cost_it(tmp_path: Path) -> None:
    fox, owl = prompt_mark("[fox]"), prompt_mark("[owl]")
    calls = [(1, fox, None), (2, fox, "hang"), (3, fox, "twice"), (4, owl, None)]
    lines = [
        line
        for number, mark, fault in calls
        for line in (
            {"number": number, "worker": "w0s1", "mark": mark, "fault": fault, "at": 1.0},
            {"number": number, "ended": "sent", "at": 2.0},
        )
    ]
    (tmp_path / CALLS_FILE).write_text("\n".join(map(json.dumps, lines)), "utf-8")
    staging = tmp_path / "files" / "staging"
    staging.mkdir(parents=True)
    (staging / "one").write_bytes(drawn(Mark(fox, 1)))
    (staging / ".part-two").write_bytes(drawn(Mark(fox, 3)))

    account = read_account(tmp_path)
    assert (account.good, account.faults) == ({1, 3, 4}, 1)
    assert saved_calls(tmp_path) == {1}
    assert [call.number for call in wasted_calls(account, delivered={1}, excused=set(), client_limit=6)] == [3, 4]
    # What another call of the same prompt may have cost is no excuse for the owl.
    assert [call.number for call in wasted_calls(account, delivered={3}, excused={3}, client_limit=6)] == [4]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "seed"), [(name, 1000 + n) for n, name in enumerate(NIGHTLY)])
async def test_nothing_paid_for_is_lost_and_nothing_is_paid_for_twice(name: str, seed: int) -> None:
    temporal_binary()
    [result] = await play_all([(name, seed)], at_once=1, keep=False)
    if result.skipped:
        pytest.skip(result.skipped)
    assert result.wrong == []
    assert result.calls <= result.least + result.in_progress
