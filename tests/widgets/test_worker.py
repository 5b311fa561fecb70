"""The worker: one thing after another, off the caller's thread, and the latest always."""

import itertools
import threading
import time

from waiting import wait_for

from scmkit.widgets.worker import Worker


def nothing(error: Exception) -> None:
    raise AssertionError(error)


def test_work_is_done_elsewhere() -> None:
    """Work runs on the worker's own daemon thread, which is gone when there is nothing more to do."""
    worker, seen = Worker("scmkit-test", nothing), []
    worker.do("a", lambda: seen.append(threading.current_thread()))
    wait_for(worker.idle)
    assert [(t.name, t.daemon) for t in seen] == [("scmkit-test", True)]
    wait_for(lambda: not seen[0].is_alive())


def test_what_waits_is_replaced() -> None:
    """Of what waits under one name, only the latest is done; other names are left alone."""
    worker, done, go = Worker("scmkit-test", nothing), [], threading.Event()
    worker.do("first", lambda: go.wait(10))
    for number in range(100):
        worker.do("number", lambda number=number: done.append(number))
    worker.do("other", lambda: done.append("other"))
    go.set()
    wait_for(worker.idle)
    assert sorted(map(str, done)) == ["99", "other"]


def test_runs_of_a_name_are_spaced_and_the_last_state_arrives() -> None:
    """However often it is asked for, a name runs at most once in its spacing, and once more after the last request."""
    worker, state, shown = Worker("scmkit-test", nothing), [0], []
    for number in range(1, 501):
        state[0] = number
        worker.do("show", lambda: shown.append((worker._ran["show"], state[0])), spacing_s=0.05)
        time.sleep(0.0005)
    wait_for(worker.idle)
    assert len(shown) > 2
    assert min(later - earlier for (earlier, _), (later, _) in itertools.pairwise(shown)) >= 0.05
    assert shown[-1][1] == 500


def test_later_work_waits_until_things_rest() -> None:
    """Work that is asked for again before it is due starts to wait anew: a slider that moves."""
    worker, done = Worker("scmkit-test", nothing), []
    begun = time.monotonic()
    for number in range(5):
        worker.do("slider", lambda number=number: done.append((number, time.monotonic() - begun)), after_s=0.2)
        time.sleep(0.02)
    wait_for(worker.idle)
    assert [number for number, _ in done] == [4]
    assert done[0][1] >= 0.28


def test_an_error_is_told_and_the_next_work_is_done() -> None:
    """What raises is given to `on_error`, and does not stop the worker."""
    errors: list[Exception] = []
    worker, done = Worker("scmkit-test", errors.append), []
    worker.do("bad", lambda: 1 // 0)
    worker.do("good", lambda: done.append(1), after_s=0.01)
    wait_for(worker.idle)
    assert (len(errors), type(errors[0]), done) == (1, ZeroDivisionError, [1])


def test_a_closed_worker_forgets_and_refuses() -> None:
    """After `close`, nothing that waited is done, nothing is taken, and the thread ends."""
    worker, done = Worker("scmkit-test", nothing), []
    worker.do("later", lambda: done.append(1), after_s=60)
    worker.close()
    worker.do("after", lambda: done.append(2))
    wait_for(worker.idle)
    wait_for(lambda: not any(t.name == "scmkit-test" for t in threading.enumerate()))
    assert done == []


def test_work_may_ask_for_more() -> None:
    """Work can ask for itself again: it runs until it stops asking."""
    worker, done = Worker("scmkit-test", nothing), []

    def again() -> None:
        done.append(1)
        if len(done) < 5:
            worker.do("again", again, spacing_s=0.001)

    worker.do("again", again)
    wait_for(lambda: worker.idle() and len(done) == 5)
