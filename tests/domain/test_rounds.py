"""What a stage still misses, which ordinals come next, how long to wait, when to stop (spec §2)."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from darkroom.domain.rounds import PAGE, allot, next_ordinals, refusals_stop_stage, report_step, top_up_delay

ordinals = st.integers(0, 60)


@given(
    highest=st.none() | ordinals, decided=st.frozensets(ordinals), limit=st.integers(-1, 80), page=st.integers(1, 90)
)
def test_next_ordinals_are_ascending_undecided_and_skip_none(
    highest: int | None, decided: frozenset[int], limit: int, page: int
) -> None:
    top = -1 if highest is None else highest
    decided = frozenset(ordinal for ordinal in decided if ordinal <= top)
    found = next_ordinals(highest, decided, limit, page)
    assert len(found) == max(0, min(limit, page))
    assert found == sorted(set(found))
    assert not decided & set(found)
    left = [ordinal for ordinal in range(top + 1) if ordinal not in decided]
    assert found[: len(left)] == left[: len(found)]
    assert found[len(left) :] == list(range(top + 1, top + 1 + len(found[len(left) :])))


@given(quantity=st.integers(1, 40), lost=st.data())
def test_rounds_deliver_exactly_the_quantity_and_use_no_ordinal_twice(quantity: int, lost: st.DataObject) -> None:
    highest: int | None = None
    delivered: set[int] = set()
    decided: set[int] = set()
    while len(delivered) < quantity:
        made = next_ordinals(highest, decided, quantity - len(delivered))
        assert not decided & set(made)
        missed = lost.draw(st.sets(st.sampled_from(made), max_size=len(made) - 1))
        decided |= set(made)
        delivered |= set(made) - missed
        highest = max(made[-1], highest or 0)
    assert len(delivered) == quantity
    assert decided == set(range(len(decided)))


def test_a_page_is_never_exceeded() -> None:
    assert next_ordinals(None, (), 10_000) == list(range(PAGE))


def test_next_ordinals_take_any_collection() -> None:
    assert next_ordinals(3, [0, 2], 3) == next_ordinals(3, {0, 2}, 3) == [1, 3, 4]


def test_a_top_up_waits_2_4_8_seconds() -> None:
    waits = [top_up_delay(round_, timedelta(seconds=2)).total_seconds() for round_ in range(8)]
    assert waits == [0, 2, 4, 8, 16, 32, 60, 60]


@given(round_=st.integers(-3, 10_000), first=st.timedeltas(timedelta(0), timedelta(seconds=60)))
def test_a_top_up_never_waits_more_than_a_minute_nor_less_than_before(round_: int, first: timedelta) -> None:
    wait = top_up_delay(round_, first)
    assert timedelta(0) <= wait <= timedelta(seconds=60)
    assert wait <= top_up_delay(round_ + 1, first)
    if round_ >= 1:
        assert wait >= min(first, timedelta(seconds=60))


@given(st.integers(0, 10), st.integers(0, 3))
def test_three_refusals_stop_a_stage_that_has_delivered_nothing(refusals: int, delivered: int) -> None:
    assert refusals_stop_stage(refusals, delivered) == (refusals >= 3 and delivered == 0)


@given(
    stages=st.lists(st.tuples(st.integers(1, 50), st.integers(0, 60)), max_size=10),
    max_credits=st.none() | st.integers(0, 5_000),
)
def test_each_stage_takes_what_the_ones_before_leave_at_its_own_price(
    stages: list[tuple[int, int]], max_credits: int | None
) -> None:
    parts = allot([quantity for quantity, _ in stages], max_credits, [price for _, price in stages])
    if max_credits is None:
        assert parts == [quantity for quantity, _ in stages]
        return
    left = max_credits
    for part, (quantity, price) in zip(parts, stages, strict=True):
        assert 0 <= part <= quantity
        left -= part * price
        assert left >= 0
        assert part == quantity or left < price  # one more would be too many


@given(
    quantities=st.lists(st.integers(1, 50), max_size=10),
    max_credits=st.none() | st.integers(0, 5_000),
    price=st.integers(0, 60),
)
def test_parts_of_max_credits_go_to_the_stages_in_order(
    quantities: list[int], max_credits: int | None, price: int
) -> None:
    parts = allot(quantities, max_credits, [price] * len(quantities))
    assert len(parts) == len(quantities)
    assert all(0 <= part <= quantity for part, quantity in zip(parts, quantities, strict=True))
    if max_credits is None or price == 0:
        assert parts == quantities
        return
    assert sum(parts) == min(sum(quantities), max_credits // price)
    short = [position for position, part in enumerate(parts) if part < quantities[position]]
    if short:
        assert not any(parts[short[0] + 1 :])


@given(st.integers(1, 30_000))
def test_a_child_reports_at_most_2000_times(total: int) -> None:
    step = report_step(total)
    assert step >= 1
    assert -(-total // step) <= 2_000
    assert step == 1 or total > 2_000


def test_report_steps_of_known_sizes() -> None:
    assert [report_step(total) for total in (0, 1, 2_000, 2_001, 4_000, 30_000)] == [1, 1, 1, 2, 2, 15]
