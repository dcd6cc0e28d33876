"""What was asked of a job, and when it keeps calls from starting."""

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from darkroom.domain.jobs import Control
from darkroom.domain.money import Account, insufficient

TOMORROW = datetime(2026, 11, 2, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("control", "on_hold", "ending"),
    [
        (Control(), False, False),
        (Control(paused=True), True, False),
        (Control(quota_until=TOMORROW), True, False),
        (Control(cancel_requested=True), False, True),
        (Control(failing=True), False, True),
        (Control(paused=True, cancel_requested=True), True, True),
    ],
)
def test_a_control_holds_when_paused_out_of_quota_or_ending(control: Control, on_hold: bool, ending: bool) -> None:
    assert (control.on_hold, control.ending, control.holds) == (on_hold, ending, on_hold or ending)


def test_values_are_never_changed_in_place_and_know_their_fields() -> None:
    with pytest.raises(ValidationError):
        setattr(Control(), "paused", True)  # noqa: B010 - mypy would not let it stand otherwise
    with pytest.raises(ValidationError):
        Control.model_validate({"pause": True})


def test_money_is_explained_in_the_words_of_the_specification() -> None:
    assert insufficient(3_000, 580) == "insufficient credits: need 3000, available 580"
    account = Account.model_validate({"user_id": "00000000-0000-0000-0000-000000000001", "balance": 100, "held": 60})
    assert account.available == 40
