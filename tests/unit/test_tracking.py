"""Following tasks is a decision about times that are passed in."""

import numpy as np
import pytest

from scmkit.core.contract import TaskState
from scmkit.core.errors import (
    AnswerLostError,
    GatewayTimeoutError,
    NotFoundError,
    NotSentError,
    ServiceError,
    ThrottledError,
    UnavailableError,
    UnreadableAnswerError,
)
from scmkit.core.values import Task
from scmkit.engine.tasks import AWAY, LAST_POLL_S, FollowedTask

PENDING = Task("t", TaskState.PENDING, "pending")


def polls(count: int, speed: float = 1.0) -> np.ndarray:
    """The times at which a task is asked for that never ends."""
    followed, times = FollowedTask.begin("t", 3, 100.0, speed), []
    for _ in range(count):
        times.append(followed.due - 100.0)
        followed = followed.asked(followed.due, PENDING, speed)
    return np.array(times)


def test_polls_come_later_and_later() -> None:
    """A task is asked for after a second, then at intervals that grow by 40 % up to a quarter of a minute."""
    gaps = np.diff(polls(12))
    assert polls(1) == [1.0]
    assert gaps[:8] == pytest.approx(1.4 ** np.arange(1, 9))
    assert np.all(gaps[8:] == LAST_POLL_S)
    assert LAST_POLL_S == 15.0
    followed = FollowedTask.begin("t", 0, 0.0, speed=0.01)
    assert followed.asked(1.0, PENDING).interval == LAST_POLL_S  # unless told otherwise, the service's clock is ours


def test_polls_follow_the_clock_of_the_service() -> None:
    """A service whose clock runs 20 times faster is asked 20 times as often."""
    assert polls(12, speed=20) == pytest.approx(polls(12) / 20)


def test_a_service_that_asks_for_more_time_gets_it() -> None:
    """A wait that is longer than the interval counts, a shorter one does not, and neither lengthens the next."""
    followed = FollowedTask.begin("t", 0, 0.0)
    patient, usual = followed.asked(1.0, None, wait_s=30.0), followed.asked(1.0, None, wait_s=0.5)
    assert (patient.due, usual.due) == (31.0, pytest.approx(2.4))
    assert patient.interval == usual.interval


def test_what_was_said_last_is_kept() -> None:
    """A poll without an answer does not make forget what an earlier one said, whichever call made the task."""
    followed = FollowedTask.begin("t", 3, 0.0).asked(1.0, PENDING).asked(2.0, None, error=NotFoundError(404))
    assert (followed.task_id, followed.call, followed.since) == ("t", 3, 0.0)
    assert (followed.last, followed.failed.why) == (PENDING, "the service answered 404")
    assert followed.asked(3.0, PENDING).failed.why == ""


@pytest.mark.parametrize(
    ("task", "age", "words"),
    [
        (PENDING, 3600, None),
        (PENDING, 3601, "task t is still 'pending' after 1.0 h: ask for it later"),
        (Task("t", None, "resting"), 9000, "task t is still 'resting' after 2.5 h: ask for it later"),
        (None, 3601, "task t is still 'unknown' after 1.0 h: ask for it later"),
    ],
)
def test_patience_with_tasks_ends(task: Task | None, age: float, words: str | None) -> None:
    """A task that never ends is given up after an hour of the service's clock."""
    followed = FollowedTask.begin("t", 0, 1024.0).asked(1025.0, task)
    assert followed.lost(1024.0 + age) == words
    assert followed.lost(1024.0 + age / 16, speed=16) == words


@pytest.mark.parametrize(
    ("error", "patience"),
    [
        (NotFoundError(404), 100.0),
        (UnreadableAnswerError(200, "not JSON"), 100.0),
        (AnswerLostError("garbage"), 100.0),
        (ServiceError(418), 100.0),
        (UnavailableError(503), 600.0),
        (ThrottledError(429), 600.0),
        (NotSentError("refused"), 600.0),
        (GatewayTimeoutError(504), 600.0),
    ],
)
@pytest.mark.parametrize("last", [None, PENDING])
def test_patience_with_failures_ends(last: Task | None, error: Exception, patience: float) -> None:
    """Wrong answers in a row, from the first of them on, are borne for less than two minutes, outages for ten."""
    followed = (
        FollowedTask.begin("t", 0, 0.0).asked(5.0, last).asked(16.0, None, error=error).asked(32.0, None, error=error)
    )
    assert followed.lost(16.0 + patience) is None
    assert followed.lost(16.0 + patience / 16, speed=16) is None
    assert followed.lost(16.0 + patience + 8) == (
        f"task t was accepted, and for {patience + 8:,.0f} s nothing could be learnt: {error}. "
        "Resume the job to ask again"
    )
    assert followed.asked(40.0, PENDING).lost(16.0 + patience + 8) is None
    assert patience + LAST_POLL_S < 120 or isinstance(error, AWAY)


def test_wrong_answers_during_an_outage_are_part_of_it() -> None:
    """A service that comes back sends odd answers between its errors: then the longer patience holds."""
    followed = FollowedTask.begin("t", 0, 0.0).asked(1.0, None, error=NotFoundError(404))
    followed = followed.asked(90.0, None, error=UnavailableError(502)).asked(105.0, None, error=NotFoundError(404))
    assert followed.lost(204.0) is None
    assert followed.lost(206.0) is not None
    assert followed.asked(590.0, None, error=UnavailableError(502)).lost(602.0) is not None
