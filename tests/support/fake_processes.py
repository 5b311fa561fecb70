"""Several processes on one clock, with the real upload, journal and resume, and one fake service behind them.

Each job has its own thread, as ever, but only one runs at a time: whoever has something to do first. A process can be
killed at any of its *points*: before and after a commit, before and after a call goes out, and while it waits.
"""

import contextlib
import functools
import heapq
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pandas as pd
from fake_service import FIELDS, Service

import scmkit
from scmkit.core.contract import CODE_COLUMNS
from scmkit.core.values import Task
from scmkit.engine import engine
from scmkit.engine.engine import Poll, Post, Reply
from scmkit.engine.tasks import FollowedTask
from scmkit.journal import journal
from scmkit.uploading import run as runs
from scmkit.wire import turns

EPOCH = 1_700_000_000.0
MOST_S = 5 * 3600.0  # for all jobs; one task can take an hour


class Killed(BaseException):
    """The process is gone."""


class Process(scmkit.Client):
    """What a process has of its own: a client, and the jobs that go through it."""

    def __init__(self, stage: "Stage") -> None:
        super().__init__("https://api.example.com", "no-token")
        self.stage = stage
        self.points_left: int | None = None  # until it is killed, if it is

    def point(self) -> None:
        """Die here, if the time has come; a dead process does nothing any more."""
        if self.points_left == 0:
            raise Killed
        if self.points_left is not None:
            self.points_left -= 1

    def task(self, task_id: str) -> Task:
        reply = self.stage.service.answer(Poll(FollowedTask.begin(task_id, 0, self.stage.service.clock)))
        if reply.error is not None:
            raise reply.error
        assert isinstance(reply.answer, Task)
        return reply.answer

    def download_codes(self, **_: object) -> Path:
        service, path = self.stage.service, self.stage.folder / "codes.csv"
        held = service.held(service.clock)
        codes = pd.DataFrame([{"extended_id": code} | held.get(code, {}) for code in sorted(service.codes)])
        codes.reindex(columns=[*CODE_COLUMNS, *FIELDS]).to_csv(path, index=False)
        return path


class Port:
    """The transport of a job; its thread goes on only when the stage says so."""

    def __init__(self, process: Process, workers: int) -> None:
        self.process, self.stage = process, process.stage
        self.turn = threading.Semaphore(0)
        self.wakes_at = 0.0
        self._replies: list[tuple[float, int, Reply]] = []

    def now(self) -> float:
        return self.stage.service.clock

    def start(self, work: Post | Poll) -> None:
        self.process.point()
        reply = self.stage.service.answer(work)
        heapq.heappush(self._replies, (self.now() + reply.seconds, next(self.stage.numbers), reply))
        self.process.point()

    def wait(self, seconds: float | None) -> Reply | None:
        times = [moment for moment, *_ in self._replies[:1]]
        self.park(min([self.now() + seconds, *times] if seconds is not None else times))
        return heapq.heappop(self._replies)[2] if self._replies and self._replies[0][0] <= self.now() else None

    def wake(self) -> None:
        self.wakes_at = self.now()

    def close(self) -> None:
        pass

    def park(self, until: float) -> None:
        """Let others go on until then."""
        self.process.point()
        self.wakes_at = until
        self.stage.back.release()
        self.turn.acquire()
        self.process.point()


class Stage:
    """Processes, a service and a journal, on one clock."""

    def __init__(self, service: Service, folder: Path) -> None:
        self.service, self.folder = service, folder
        self.journal = folder / "journal.sqlite3"
        self.ports: list[Port] = []  # of the jobs under way
        self.back = threading.Semaphore(0)
        self.wall_off = 0.0  # by which somebody has put the wall clock forward
        self.numbers = itertools.count()
        self._on: Port | None = None  # whose turn it is
        self.failures: list[BaseException] = []  # that broke jobs off

    @contextlib.contextmanager
    def set_up(self) -> Iterator[None]:
        """Put the product on this stage."""
        turnstile = functools.partial(turns.Turnstile, clock=lambda: self.service.clock, sleep=self._sleep)
        with (
            mock.patch("time.time", self.time_s),
            mock.patch.object(turns, "clock_s", self.clock_s),
            mock.patch.object(runs, "Threads", Port),
            mock.patch.object(engine, "LOOK_AGAIN_S", 1.0),  # fewer steps
            mock.patch("scmkit.wire.client.Turnstile", turnstile),
            mock.patch.dict(os.environ, {turns.STATE: str(self.folder)}),
            mock.patch.object(journal.Journal, "transaction", self._transaction(journal.Journal.transaction)),
            mock.patch.object(runs.Run, "run", self._run(runs.Run.run)),
        ):
            yield

    def launch(self, start: Callable[[], scmkit.UploadJob]) -> scmkit.UploadJob:
        """Begin or resume a job, up to the first moment at which it waits for its turn."""
        job = start()
        self.back.acquire()
        return job

    def step(self) -> None:
        """Let the job go on that has something to do first."""
        self._on = min(self.ports, key=lambda port: port.wakes_at)
        self.service.clock = max(self.service.clock, self._on.wakes_at)
        self._on.turn.release()
        self.back.acquire()
        self._on = None

    def settle(self) -> None:
        """Let all jobs come to their ends, which none of them puts off for long."""
        begun = self.service.clock
        while self.ports:
            assert self.service.clock < begun + MOST_S, "jobs that never end"
            self.step()

    def kill(self, process: Process, points: int = 0) -> None:
        """Let a process die some points from now; it leaves nothing but what is in the journal."""
        process.points_left = points
        while any(port.process is process for port in self.ports):
            self.step()
        process.points_left = 0

    def time_s(self) -> float:
        return EPOCH + self.wall_off + self.service.clock + 1e-6 * next(self.numbers)  # no two moments are the same

    def clock_s(self) -> float:
        return self.service.clock

    def _sleep(self, seconds: float) -> None:
        assert self._on is not None
        self._on.park(self.service.clock + seconds)

    def _transaction(self, real: Callable) -> Callable:
        @contextlib.contextmanager
        def transaction(book: journal.Journal) -> Iterator[None]:
            point = self._on.process.point if self._on else lambda: None
            point()
            with real(book):
                yield
            point()

        return transaction

    def _run(self, real: Callable) -> Callable:
        def run(job: runs.Run) -> None:
            port = job.transport
            self.ports.append(port)
            try:
                port.park(self.service.clock)
                real(job)
                if job.failure is not None and not isinstance(job.failure, Killed):
                    self.failures.append(job.failure)
            except Killed:
                job.ended.set()
            finally:
                if port.process.points_left == 0:
                    job.recorder.close()  # the operating system does
                self.ports.remove(port)
                self.back.release()

        return run
