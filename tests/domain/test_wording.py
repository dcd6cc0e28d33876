"""Messages of other programs within ours."""

import pytest

from darkroom.domain.wording import in_a_sentence


@pytest.mark.parametrize(
    ("message", "within"),
    [
        ("Input should be a valid integer", "input should be a valid integer"),
        ("UUID input should be a string", "UUID input should be a string"),
        ("JSON input should be string", "JSON input should be string"),
        ("A list", "a list"),
        ("already small", "already small"),
        ("", ""),
    ],
)
def test_an_abbreviation_keeps_its_capitals_and_another_word_does_not(message: str, within: str) -> None:
    assert in_a_sentence(message) == within
