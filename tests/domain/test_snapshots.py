"""Which frame a picture is shown in: one of its own, from which nothing that happens later moves it."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darkroom.domain.rounds import next_ordinals
from darkroom.domain.snapshots import Frame, FrameState, Placement, Undelivered, place

MAKING, MISSED, REFUSED = FrameState.MAKING, FrameState.MISSED, FrameState.REFUSED
EPOCH = datetime(2026, 11, 1, tzinfo=UTC)


def word(ordinal: int, state: FrameState, second: int = 0, round_: int = 0) -> Undelivered:
    lost_at = None if state is MAKING else EPOCH + timedelta(seconds=second)
    return Undelivered(stage_index=0, ordinal=ordinal, state=state, round=round_, reason="why", lost_at=lost_at)


def frames(placement: Placement) -> list[tuple[int, int, FrameState]]:
    return [(frame.position, frame.ordinal, frame.state) for frame in placement.frames]


def test_an_ordinal_begins_in_the_frame_of_its_number() -> None:
    found = place(4, [2], [word(0, MAKING), word(3, REFUSED)])
    assert found.positions == {0: 0, 2: 2, 3: 3}
    assert frames(found) == [(0, 0, MAKING), (3, 3, REFUSED)]


def test_a_frame_says_why_it_is_empty() -> None:
    [frame] = place(1, [], [word(0, MISSED, round_=2)]).frames
    assert frame == Frame(position=0, ordinal=0, state=MISSED, round=2, reason="why")


def test_a_top_up_takes_over_the_frame_of_what_it_makes_up_for() -> None:
    found = place(3, [0, 2], [word(1, MISSED), word(3, MAKING, round_=1)])
    assert found.positions == {0: 0, 1: 1, 2: 2, 3: 1}
    assert frames(found) == [(1, 3, MAKING)]
    assert place(3, [0, 2, 3], [word(1, MISSED)]).frames == ()


def test_a_top_up_of_a_top_up_stays_in_the_frame() -> None:
    lost = [word(1, MISSED, 1), word(3, REFUSED, 2, 1), word(4, MISSED, 3, 2)]
    assert frames(place(3, [0, 2], lost)) == [(1, 4, MISSED)]
    assert place(3, [0, 2, 5], lost).positions[5] == 1


def test_a_lower_ordinal_that_is_lost_later_takes_no_picture_from_its_frame() -> None:
    before = place(2, [2], [word(0, MAKING, round_=1), word(1, MISSED, 1)])
    after = place(2, [2], [word(0, MISSED, 2, 1), word(1, MISSED, 1)])
    assert before.positions[2] == after.positions[2] == 1
    assert frames(after) == [(0, 0, MISSED)]


def test_a_top_up_that_comes_before_its_sibling_is_in_its_own_frame_from_the_first() -> None:
    lost = [word(0, MISSED, 1), word(1, MISSED, 2)]
    assert place(2, [3], lost).positions[3] == place(2, [2, 3], lost).positions[3] == 1


@pytest.mark.parametrize("lost", [[], [word(1, MISSED)]])
def test_a_picture_is_shown_even_when_nobody_knows_what_it_made_up_for(lost: list[Undelivered]) -> None:
    found = place(3, [0, 4, 5], lost)
    assert {found.positions[ordinal] for ordinal in (0, 4, 5)} == {0, 1, 2}
    assert found.frames == ()


def test_what_is_delivered_is_not_shown_as_anything_else() -> None:
    assert place(1, [0], [word(0, MISSED)]) == Placement(positions={0: 0}, frames=())


class Stage:
    """A stage as rounds, crashes and restarts treat it; what is shown of it is checked after every step."""

    def __init__(self, quantity: int, target: int) -> None:
        self.quantity = quantity
        self.target = target
        self.words: dict[int, Undelivered] = {}
        """The last word on what is not delivered."""
        self.tried: set[int] = set()
        self.home: dict[int, int] = {}
        """The frame in which each delivered ordinal was first shown."""
        self.left_open: set[int] = set()
        """Calls of runs that are over; they may still end."""
        self._second = 0

    def ask(self) -> list[int]:
        decided = self.home.keys() | self.lost
        return next_ordinals(max(self.tried, default=None), decided, self.target - len(self.home))

    @property
    def lost(self) -> set[int]:
        return {ordinal for ordinal, one in self.words.items() if one.state is not MAKING}

    def begin(self, ordinal: int) -> bool:
        """False when an earlier call has decided it meanwhile."""
        if ordinal in self.lost:
            return False
        self.tried.add(ordinal)
        self.left_open.discard(ordinal)
        self.words[ordinal] = word(ordinal, MAKING)
        self.check()
        return True

    def end(self, ordinal: int, state: FrameState | None) -> None:
        """A call ends: missed, refused, or with nothing that lasts (a fault, a pause)."""
        del self.words[ordinal]
        if state is not None:
            self._second += 1
            self.words[ordinal] = word(ordinal, state, self._second)
        self.check()

    def deliver(self, ordinal: int) -> None:
        del self.words[ordinal]
        self.home[ordinal] = -1
        self.home[ordinal] = self.place().positions[ordinal]
        self.check()

    def crash(self, open_: Iterable[int]) -> None:
        for ordinal in open_:
            del self.words[ordinal]
            self.left_open.add(ordinal)
        self.check()

    def end_late(self, ordinal: int) -> None:
        self.left_open.remove(ordinal)
        self.words[ordinal] = word(ordinal, MAKING)
        self.end(ordinal, MISSED)

    def place(self) -> Placement:
        return place(self.quantity, self.home, self.words.values())

    def check(self) -> None:
        found = self.place()
        assert {ordinal: found.positions[ordinal] for ordinal in self.home} == self.home
        shown = [*self.home, *(frame.ordinal for frame in found.frames)]
        assert len({found.positions[ordinal] for ordinal in shown}) == len(shown)
        assert {found.positions[ordinal] for ordinal in shown} <= set(range(self.quantity))
        assert [frame.position for frame in found.frames] == sorted(frame.position for frame in found.frames)
        assert {frame.ordinal for frame in found.frames if frame.state is MAKING} == self.words.keys() - self.lost
        assert all(found.positions[frame.ordinal] == frame.position for frame in found.frames)


ENDS: Sequence[FrameState | None] = (MISSED, REFUSED, None)


def one_round(stage: Stage, data: st.DataObject, *, breaks_off: bool) -> None:
    """Begin what is asked for in any order and end it in any other, as several calls at once do."""
    waiting = data.draw(st.permutations(stage.ask()), "order")
    open_: list[int] = []
    while waiting or open_:
        if breaks_off and data.draw(st.integers(0, 5), "crash") == 0:
            break
        if stage.left_open and data.draw(st.integers(0, 5), "late") == 0:
            stage.end_late(data.draw(st.sampled_from(sorted(stage.left_open)), "which is late"))
        if waiting and (not open_ or data.draw(st.booleans(), "begin another")):
            ordinal = waiting.pop()
            open_ += [ordinal] if stage.begin(ordinal) else []
            continue
        if not open_:
            continue
        ordinal = open_.pop(data.draw(st.integers(0, len(open_) - 1), "which ends"))
        if data.draw(st.booleans(), "delivered"):
            stage.deliver(ordinal)
        else:
            stage.end(ordinal, data.draw(st.sampled_from(ENDS), "end"))
    stage.crash(open_)


@settings(max_examples=300)
@given(quantity=st.integers(1, 7), data=st.data())
def test_whatever_happens_in_rounds_and_restarts_each_picture_has_a_frame_of_its_own_for_good(
    quantity: int, data: st.DataObject
) -> None:
    stage = Stage(quantity, data.draw(st.integers(1, quantity), "target"))
    for _ in range(data.draw(st.integers(1, 6), "rounds")):
        if len(stage.home) == stage.target:
            break
        one_round(stage, data, breaks_off=data.draw(st.booleans(), "breaks off"))
