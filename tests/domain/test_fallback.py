"""Whose turn it is: an order's providers in their order, the ones that can."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from darkroom.domain.fallback import Quotas, Turns

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
ALL = ("gemini", "runware", "offline")


def test_the_first_keeps_its_turn_while_it_can() -> None:
    turns = Turns(ALL)
    assert [turns.choose(ALL) for _ in range(3)] == ["gemini"] * 3


def test_one_that_is_down_passes_its_turn_on_and_gets_it_again_after_the_others() -> None:
    turns = Turns(ALL)
    asked = []
    for _ in range(4):
        provider = turns.choose(ALL)
        assert provider is not None
        asked.append(provider)
        turns.note_down(provider)
    assert asked == ["gemini", "runware", "offline", "gemini"]


def test_one_alone_is_asked_again_however_often_it_is_down() -> None:
    turns = Turns(("gemini",))
    turns.note_down("gemini")
    assert turns.choose(("gemini",)) == "gemini"
    assert not turns.has_other("gemini")


def test_one_that_refuses_is_not_asked_again() -> None:
    turns = Turns(("gemini", "runware"))
    assert turns.give_up("gemini")
    turns.note_down("runware")
    assert turns.choose(ALL) == "runware"
    assert not turns.give_up("runware")
    assert turns.choose(ALL) is None


def test_refusals_are_counted_for_each_by_itself() -> None:
    turns = Turns(("gemini", "runware"))
    turns.note_refusals("gemini", 2)
    assert (turns.refusals("gemini"), turns.refusals("runware")) == (2, 0)


def test_what_one_refuses_the_next_is_asked_for_in_the_next_round() -> None:
    turns = Turns(ALL)
    turns.note_refusals("gemini", 1)
    assert turns.choose(ALL) == "gemini", "the round goes on with whom it began"
    turns.begin_round()
    assert turns.choose(ALL) == "runware"
    turns.begin_round()
    assert turns.choose(ALL) == "runware", "nobody refused anything since"
    turns.note_refusals("runware", 0)
    turns.begin_round()
    assert turns.choose(("gemini", "runware")) == "runware"
    turns.note_refusals("runware", 2)
    turns.begin_round()
    assert turns.choose(("gemini", "runware")) == "gemini", "two have refused and the third is out of quota"


def test_one_alone_is_asked_again_for_what_it_refused() -> None:
    turns = Turns(("gemini",))
    turns.note_refusals("gemini", 1)
    turns.begin_round()
    assert turns.choose(("gemini",)) == "gemini"


def test_a_spent_quota_tells_its_reason() -> None:
    quotas = Quotas(("gemini", "runware"))
    quotas.spend("gemini", NOON, "back at midnight")
    assert quotas.reason("gemini") == "back at midnight"
    assert "daily quota" in quotas.reason("runware")


def test_a_spent_quota_is_back_when_it_says() -> None:
    quotas = Quotas(("gemini", "runware"))
    quotas.spend("gemini", NOON + timedelta(hours=2))
    assert quotas.free(NOON) == ("runware",)
    assert quotas.back_at("gemini") == quotas.first_back == NOON + timedelta(hours=2)
    assert quotas.free(NOON + timedelta(hours=2)) == ("gemini", "runware")


def test_an_older_word_of_a_spent_quota_does_not_bring_it_back_sooner() -> None:
    quotas = Quotas(("gemini",))
    quotas.spend("gemini", NOON + timedelta(hours=2))
    quotas.spend("gemini", NOON + timedelta(hours=1))
    assert quotas.free(NOON + timedelta(minutes=90)) == ()


def test_somebody_who_knows_better_lifts_all() -> None:
    quotas = Quotas(("gemini",))
    quotas.spend("gemini", NOON + timedelta(hours=2))
    quotas.forget()
    assert quotas.free(NOON) == ("gemini",)
    assert quotas.first_back is None


@given(
    steps=st.lists(st.tuples(st.sampled_from(["down", "refuses", "spent"]), st.integers(0, 2)), max_size=30),
)
def test_the_chosen_is_always_free_and_willing_and_nobody_means_that_none_is(steps: list[tuple[str, int]]) -> None:
    turns, quotas = Turns(ALL), Quotas(ALL)
    for what, which in steps:
        if what == "down":
            turns.note_down(ALL[which])
        elif what == "refuses":
            turns.give_up(ALL[which])
        else:
            quotas.spend(ALL[which], NOON + timedelta(hours=1))
        free = quotas.free(NOON)
        chosen = turns.choose(free)
        possible = set(free) & set(turns.willing)
        assert (chosen in possible) if possible else (chosen is None)
