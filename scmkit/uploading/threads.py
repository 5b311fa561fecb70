"""The real transport: worker threads around one client, which make the exchanges and decide nothing."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from scmkit.core.errors import UnsettledError
from scmkit.core.values import AsyncAnswer, Mode, SyncAnswer, Task
from scmkit.engine.engine import Poll, Post, Reply
from scmkit.wire.client import Client

LOOK_S = 0.05  # between two looks whether it is over


class Threads:
    """Daemon threads around one client, so that they never hold up the end of a kernel."""

    def __init__(self, client: Client, workers: int) -> None:
        self._client = client
        self._work: queue.SimpleQueue[Post | Poll | None] = queue.SimpleQueue()
        self._replies: queue.SimpleQueue[Reply | None] = queue.SimpleQueue()
        self._workers = [
            threading.Thread(target=self._run, name=f"scmkit-worker-{i}", daemon=True) for i in range(workers)
        ]
        for worker in self._workers:
            worker.start()

    def now(self) -> float:
        """Return the monotonic time."""
        return time.monotonic()

    def start(self, work: Post | Poll) -> None:
        """Hand work to the next free worker."""
        self._work.put(work)

    def wait(self, seconds: float | None) -> Reply | None:
        """Wait for a reply."""
        try:
            return self._replies.get(timeout=seconds)
        except queue.Empty:
            return None

    def wake(self) -> None:
        """End a wait."""
        self._replies.put(None)

    def close(self) -> None:
        """Tell the workers to end when they are free."""
        for _ in self._workers:
            self._work.put(None)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            begun = time.monotonic()
            answer, error = None, None
            try:
                answer = exchange(self._client, work)
            except Exception as caught:  # noqa: BLE001 - whatever it is, the engine decides
                error = caught
            self._replies.put(Reply(work, answer, error, time.monotonic() - begun))


def asked_until(over: Callable[[], bool], ask: Callable[[Callable[[float], None]], Any]) -> Any:
    """Ask in a thread of its own, which is left alone once nobody may wait any more: a host that is gone can hold it.

    Parameters
    ----------
    over : callable
        Whether nobody may wait any more.
    ask : callable
        Is given a way to sleep, which ends when it is over.

    Raises
    ------
    UnsettledError
        It was over before the answer came.
    """
    answers: queue.SimpleQueue[tuple[Any, Exception | None]] = queue.SimpleQueue()
    left, too_late = threading.Event(), UnsettledError("the job was cancelled before the service answered")

    def sleep(seconds: float) -> None:
        if left.wait(seconds):
            raise too_late

    def answer() -> None:
        try:
            answers.put((ask(sleep), None))
        except Exception as caught:  # noqa: BLE001 - raised again below, in the thread of who asked
            answers.put((None, caught))

    threading.Thread(target=answer, name="scmkit-question", daemon=True).start()
    while not over():
        with suppress(queue.Empty):
            found, error = answers.get(timeout=LOOK_S)
            if error is not None:
                raise error
            return found
    left.set()
    raise too_late


def exchange(client: Client, work: Post | Poll) -> SyncAnswer | AsyncAnswer | Task:
    """Make one exchange with the service."""
    if isinstance(work, Poll):
        return client.task(work.followed.task_id)
    if work.call.mode is Mode.SYNC:
        return client.upload_sync(work.body, in_turn=True)
    return client.upload_async(work.body, in_turn=True)
