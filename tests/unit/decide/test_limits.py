"""Rates are kept by arithmetic on handed-in time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from posthouse.decide.limits import Pace, RollingCount
from posthouse.decide.loops import judge_hops
from posthouse.mail.verdict import Accept, Refuse


def test_a_burst_passes_and_the_rest_waits_its_turn() -> None:
    pace = Pace(per_minute=30, burst=3)
    assert [pace.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert pace.wait_seconds(100.0) == 2.0
    assert pace.take(102.0)
    assert not pace.take(102.0)


def test_reserved_turns_are_one_interval_apart() -> None:
    pace = Pace(per_minute=60, burst=2)
    assert [pace.reserve(10.0) for _ in range(4)] == [0.0, 0.0, 1.0, 2.0]


@given(st.lists(st.floats(0.0, 5.0), max_size=200), st.integers(1, 120), st.integers(1, 10))
def test_no_window_of_a_minute_ever_holds_more_than_rate_and_burst(gaps: list[float], rate: int, burst: int) -> None:
    pace, now, taken = Pace(rate, burst), 1000.0, []
    for gap in gaps:
        now += gap
        if pace.take(now):
            taken.append(now)
    for start in taken:
        assert sum(start <= t < start + 60 for t in taken) <= rate + burst


def test_a_rolling_day_forgets_what_is_older_than_a_day() -> None:
    count = RollingCount(window=86400, slots=288)
    count.add(0.0, 5)
    count.add(80_000.0, 7)
    assert count.total(86_000.0) == 12
    assert count.total(86_400.0 + 301) == 7
    assert count.total(200_000.0) == 0


def test_a_rolling_day_needs_bounded_memory() -> None:
    count = RollingCount(window=86400, slots=288)
    for second in range(0, 400_000, 10):
        count.add(float(second), 1)
    assert len(count._slots) <= 290


def test_thirty_hops_pass_and_thirty_one_are_a_loop_that_names_its_way() -> None:
    hops = [f"mx{n}.example" for n in range(31)]
    assert isinstance(judge_hops(hops[:30], 0, 30), Accept)
    verdict = judge_hops(hops, 0, 30)
    assert isinstance(verdict, Refuse)
    assert str(verdict.reply).startswith("554 5.4.14")
    assert "mx0.example <- mx1.example" in verdict.reason
    assert "31 in all" in verdict.reason


def test_a_message_that_comes_back_to_this_node_again_and_again_is_a_loop() -> None:
    assert isinstance(judge_hops(["a", "b"], 3, 30), Accept)
    assert isinstance(judge_hops(["a", "b"], 4, 30), Refuse)
