"""Pace, repeats and claims are decisions about times that are passed in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scmkit.wire.pacing import CATCH_UP, HEADROOM, Budget, Claim, Pace, backoff_s, probe_pause_s


def play(pace: Pace, calls: int, step: float = 0.0) -> np.ndarray:
    """Take permits as soon as they are there, and give their times."""
    now, times = 0.0, []
    for _ in range(calls):
        now = max(now + step, pace.ready_at)
        pace.take(now)
        times.append(now)
    return np.array(times)


def most_in_a_second(times: np.ndarray) -> int:
    return int((np.searchsorted(times, times + 1.0) - np.arange(len(times))).max())


def test_at_most_ten_in_any_second_and_at_least_nine() -> None:
    """The default pace uses at least 90 % of what is allowed, and never more than all of it."""
    times = play(Pace(10), 1000)
    assert times[0] == 0.0
    assert most_in_a_second(times) <= 10
    assert 999 / times[-1] >= 9.0


@given(st.lists(st.floats(0, 3), min_size=1, max_size=200), st.floats(0.5, 500))
def test_idle_time_is_not_saved_up(steps: list[float], rate: float) -> None:
    """However irregular the demand, never more than ten permits in the time of ten, and never two at once."""
    pace, now, times = Pace(rate), 0.0, []
    for step in steps:
        now = max(now + step, pace.ready_at)
        pace.take(now)
        times.append(now)
    assert (np.searchsorted(times, np.array(times) + 10 / rate) - np.arange(len(times))).max() <= 10
    assert np.all(np.diff(times) >= (1 - CATCH_UP) / rate / HEADROOM - 1e-9)


def test_a_pause_holds_everybody_and_the_pace_recovers() -> None:
    """After a 429 nothing goes out for the pause, then slowly, then at the normal pace again."""
    pace = Pace(10)
    pace.pause(0.0, 3.0)
    pace.slow_down()
    slow = play(pace, 5)
    assert slow[0] == 3.0
    assert np.diff(slow) == pytest.approx(2 / 9.5)
    pace.pause(slow[-1], 0.1)
    assert pace.ready_at == slow[-1] + 2 / 9.5  # a pause never brings the next call forward
    pace.recover()
    assert np.diff(play(pace, 5))[1:] == pytest.approx(1.8 / 9.5)
    for _ in range(20):
        pace.recover()
    assert np.diff(play(pace, 5))[1:] == pytest.approx(1 / 9.5)


def test_a_service_that_always_throttles_is_still_asked() -> None:
    """The pace halves with each 429 down to a sixteenth, and no further."""
    pace, paces = Pace(10), []
    for _ in range(6):
        paces.append(9.5 * np.diff(play(pace, 3))[-1])
        pace.slow_down()
    assert paces == pytest.approx([1, 2, 4, 8, 16, 16])


def test_a_little_lateness_costs_nothing() -> None:
    """Calls that go out a fifth of an interval late keep the pace; what is beyond that is lost, not saved up."""
    for late, lost in ((0.2, 0.0), (0.3, 0.1)):
        pace, times = Pace(1 / HEADROOM), []  # a call a second
        for _ in range(50):
            now = pace.ready_at + late
            pace.take(now)
            times.append(now)
        assert np.diff(times)[1:] == pytest.approx(1 + lost)


def test_repeats_are_bounded_by_what_succeeds() -> None:
    """The allowance is spent once; after that, two successes buy one repeat."""
    budget = Budget(3, 0.5)
    assert [budget.spend() for _ in range(5)] == [True] * 3 + [False] * 2
    budget.earn()
    assert not budget.spend()
    budget.earn()
    budget.earn()
    assert [budget.spend(), budget.spend()] == [True, False]
    for _ in range(20):
        budget.earn()
    assert [budget.spend() for _ in range(4)] == [True] * 3 + [False]  # never more than the allowance


def test_a_job_may_repeat_a_hundred_calls_for_nothing() -> None:
    """The usual allowance is 100 repeats, and one more for two calls that succeed."""
    budget = Budget()
    assert [budget.spend() for _ in range(101)] == [True] * 100 + [False]
    for _ in range(21):
        budget.earn()
    assert [budget.spend() for _ in range(12)] == [True] * 10 + [False] * 2


@given(st.floats(0, 1))
def test_probes_come_slower_and_slower(jitter: float) -> None:
    """The pause before a probe doubles up to half a minute, and is never next to nothing."""
    pauses = np.array([probe_pause_s(n, lambda: jitter) for n in range(9)])
    assert pauses == pytest.approx((0.5 + 0.5 * jitter) * np.array([0.5, 1, 2, 4, 8, 16, 30, 30, 30]))
    assert probe_pause_s(2, lambda: jitter, speed=20) == pytest.approx(pauses[2] / 20)
    assert [backoff_s(n, lambda: jitter) for n in (1, 2, 9)] == pytest.approx([0.5 * jitter, jitter, 30 * jitter])


@pytest.mark.parametrize(
    ("other", "meets"),
    [
        (Claim({"lot": frozenset({"1", "9"})}, frozenset({"a"})), True),
        (Claim({"lot": frozenset({"9"})}, frozenset({"a"})), False),
        (Claim({"lot": frozenset({"1"})}, frozenset({"c"})), False),
        (Claim({"rfid": frozenset({"9"})}, frozenset({"a"})), True),
        (Claim({"lot": frozenset({"1"}), "rfid": frozenset({"9"})}, frozenset({"a"})), True),
        (Claim({"rfid": frozenset({"9"})}, frozenset({"lot"})), True),
        (Claim({"a": frozenset({"9"})}, frozenset({"c"})), True),
        (Claim({"rfid": frozenset({"9"})}, frozenset({"c"})), False),
    ],
)
def test_jobs_collide_that_may_change_the_same(other: Claim, meets: bool) -> None:
    """Same codes and fields collide, different keys may, and so does what moves codes that the other selects."""
    mine = Claim({"lot": frozenset({"1", "2"})}, frozenset({"a", "b"}))
    assert mine.meets(other) is other.meets(mine) is meets
