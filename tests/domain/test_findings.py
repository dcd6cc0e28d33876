"""Findings: each wrong one ends in a remedy."""

import pytest

from darkroom.domain.findings import Finding


@pytest.mark.parametrize(
    ("sentence", "told", "remedy"),
    [
        ("it is busy; try again", "it is busy", "try again"),
        ("it said: a; b; try again", "it said: a; b", "try again"),
        ("it said no", "it said no", "look at its log"),
    ],
)
def test_a_message_gives_reason_and_remedy_and_one_without_gets_one(sentence: str, told: str, remedy: str) -> None:
    found = Finding.wrong_by("server", sentence, "look at its log")
    assert (found.told, found.remedy) == (told, remedy)
