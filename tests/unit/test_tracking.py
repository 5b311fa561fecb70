"""Following tasks is a decision about times that are passed in."""

import numpy as np
import pytest

from scmkit.contract import TaskState
from scmkit.models import Task
from scmkit.tracking import LAST_POLL_S, Watch

PENDING = Task("t", TaskState.PENDING, "pending")


def polls(count: int, speed: float = 1.0) -> np.ndarray:
    """The times at which a task is asked for that never ends."""
    watch, times = Watch.begin("t", 3, 100.0, speed), []
    for _ in range(count):
        times.append(watch.due - 100.0)
        watch = watch.asked(watch.due, PENDING, speed)
    return np.array(times)


def test_polls_come_later_and_later() -> None:
    """A task is asked for after a second, then at intervals that grow by 40 % up to a quarter of a minute."""
    gaps = np.diff(polls(12))
    assert polls(1) == [1.0]
    assert gaps[:8] == pytest.approx(1.4 ** np.arange(1, 9))
    assert np.all(gaps[8:] == LAST_POLL_S)
    assert LAST_POLL_S == 15.0
    watch = Watch.begin("t", 0, 0.0, speed=0.01)
    assert watch.asked(1.0, PENDING).interval == LAST_POLL_S  # unless told otherwise, the service's clock is ours


def test_polls_follow_the_clock_of_the_service() -> None:
    """A service whose clock runs 20 times faster is asked 20 times as often."""
    assert polls(12, speed=20) == pytest.approx(polls(12) / 20)


def test_a_service_that_asks_for_more_time_gets_it() -> None:
    """A wait that is longer than the interval counts, a shorter one does not, and neither lengthens the next."""
    watch = Watch.begin("t", 0, 0.0)
    patient, usual = watch.asked(1.0, None, wait_s=30.0), watch.asked(1.0, None, wait_s=0.5)
    assert (patient.due, usual.due) == (31.0, pytest.approx(2.4))
    assert patient.interval == usual.interval


def test_what_was_said_last_is_kept() -> None:
    """A poll without an answer does not make forget what an earlier one said, whichever call made the task."""
    watch = Watch.begin("t", 3, 0.0).asked(1.0, PENDING).asked(2.0, None, missing=True)
    assert (watch.task_id, watch.call, watch.since) == ("t", 3, 0.0)
    assert (watch.last, watch.missing) == (PENDING, True)
    assert not watch.asked(3.0, None).missing


@pytest.mark.parametrize(
    ("task", "age", "words"),
    [
        (None, 200, None),
        (None, 201, "task t was accepted, but cannot be found after 201 s"),
        (PENDING, 3600, None),
        (PENDING, 3601, "task t is still 'pending' after 1.0 h: ask for it later"),
        (Task("t", None, "resting"), 9000, "task t is still 'resting' after 2.5 h: ask for it later"),
    ],
)
def test_patience_with_tasks_ends(task: Task | None, age: float, words: str | None) -> None:
    """A task that is never found is given up after 200 s, one that never ends after an hour of the service's clock."""
    watch = Watch.begin("t", 0, 1024.0).asked(1025.0, task, missing=task is None)
    assert watch.lost(1024.0 + age) == words
    assert watch.lost(1024.0 + age / 16, speed=16) == words


def test_only_tasks_that_were_never_seen_are_missing() -> None:
    """Only a 404 says that a task cannot be found: not a poll that failed, nor a 404 after the task was seen."""
    assert Watch.begin("t", 0, 0.0).lost(300.0) is None
    watch = Watch.begin("t", 0, 0.0).asked(1.0, None)
    assert watch.lost(300.0) is None
    assert watch.lost(3601.0) == "task t is still 'unknown' after 1.0 h: ask for it later"
    assert watch.asked(2.0, None, missing=True).lost(300.0) is not None
    assert watch.asked(2.0, PENDING).asked(3.0, None, missing=True).lost(300.0) is None
