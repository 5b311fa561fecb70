"""Pace and task polling are decisions about times that are passed in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scmkit.contract import TaskState
from scmkit.models import Task
from scmkit.pacing import CATCH_UP, HEADROOM, Budget, Claim, Claims, Pace, probe_pause_s
from scmkit.tracking import LAST_POLL_S, Watch


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
    for _ in range(20):
        pace.recover()
    assert np.diff(play(pace, 5))[1:] == pytest.approx(1 / 9.5)


def test_polls_come_later_and_later() -> None:
    """A task is asked for after a second, then at growing intervals up to a quarter of a minute."""
    watch, gaps = Watch.begin("t", 0, 0.0), []
    for _ in range(12):
        gaps.append(watch.due)
        watch = watch.asked(watch.due, Task("t", TaskState.PENDING, "pending"))
    assert gaps[0] == 1.0
    assert np.all(np.diff(gaps, n=2) >= -1e-9)
    assert np.diff(gaps)[-1] == LAST_POLL_S


@pytest.mark.parametrize(
    ("task", "age", "lost"),
    [
        (None, 199, False), (None, 201, True),
        (Task("t", TaskState.PENDING, "pending"), 3599, False), (Task("t", None, "resting"), 3601, True),
    ],
)  # fmt: skip
def test_patience_with_tasks_ends(task: Task | None, age: float, lost: bool) -> None:
    """A task that is never found is given up after 200 s, one that never ends after an hour."""
    watch = Watch.begin("t", 0, 0.0).asked(1.0, task, missing=task is None)
    assert (watch.lost(float(age)) is not None) == lost
    assert watch.lost(age / 20, speed=20) == watch.lost(float(age))


def test_failed_polls_are_not_missing_tasks() -> None:
    """Only a 404 says that a task cannot be found; a poll that failed says nothing."""
    watch = Watch.begin("t", 0, 0.0).asked(1.0, None)
    assert watch.lost(300.0) is None
    assert watch.asked(2.0, None, missing=True).lost(300.0) is not None


def test_repeats_are_bounded_by_what_succeeds() -> None:
    """The allowance is spent once; after that, two successes buy one repeat."""
    budget = Budget(3, 0.5)
    assert [budget.spend() for _ in range(5)] == [True] * 3 + [False] * 2
    budget.earn()
    assert not budget.spend()
    budget.earn()
    budget.earn()
    assert [budget.spend(), budget.spend()] == [True, False]


@given(st.floats(0, 1))
def test_probes_come_slower_and_slower(jitter: float) -> None:
    """The pause before a probe doubles up to half a minute, and is never next to nothing."""
    pauses = np.array([probe_pause_s(n, lambda: jitter) for n in range(9)])
    assert np.all((pauses >= 0.25) & (pauses <= 30))
    assert pauses[:6] == pytest.approx(pauses[0] * 2.0 ** np.arange(6))


@pytest.mark.parametrize(
    ("other", "meets"),
    [
        (Claim({"lot": frozenset({"1", "9"})}, frozenset({"a"})), True),
        (Claim({"lot": frozenset({"9"})}, frozenset({"a"})), False),
        (Claim({"lot": frozenset({"1"})}, frozenset({"c"})), False),
        (Claim({"rfid": frozenset({"9"})}, frozenset({"a"})), True),
        (Claim({"lot": frozenset({"1"}), "rfid": frozenset({"9"})}, frozenset({"a"})), True),
    ],
)
def test_jobs_that_may_collide_wait_for_each_other(other: Claim, meets: bool) -> None:
    """Same codes and fields collide, different keys may; the later one waits until the earlier cannot act any more."""
    mine = Claim({"lot": frozenset({"1", "2"})}, frozenset({"a", "b"}))
    claims = Claims()
    claims.enter(other)
    claims.enter(mine)
    assert claims.held_until(mine, 5.0) == (float("inf") if meets else 5.0)
    assert claims.held_until(other, 5.0) == 5.0
    claims.leave(other, 60.0)
    assert claims.held_until(mine, 5.0) == (60.0 if meets else 5.0)
    assert claims.held_until(mine, 60.0) == 60.0
