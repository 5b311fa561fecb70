"""A journal in memory, for the jobs of a client that have no file."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scmkit.core.values import Task, in_doubt
from scmkit.journal import storage
from scmkit.journal.journal import TABLES, Journal, Record
from scmkit.wire.order import JobOrder


class MemoryJournal(Journal):
    """A journal that ends with its client; all jobs write into the one connection, each from its own thread."""

    lasting = False

    def __init__(self) -> None:
        self.path = Path("(in memory)")
        self.db = storage.in_memory(TABLES)
        self._one_at_a_time = threading.RLock()
        self._running: set[str] = set()

    def create(self, *facts: Any) -> Record:
        """Write down a new job, and forget those that can change nothing any more."""
        with self.transaction():
            made = self.query("select distinct job, outcome, status from attempts")
            lost = {job for job, outcome, status in made if in_doubt(outcome, status)}
            ended = self.query("select id from jobs where state = 'complete'")
            self.forget([job for (job,) in ended if job not in lost and not self.is_running(job)])
        return super().create(*facts)

    def query(self, sql: str, *values: Any) -> list[Any]:
        """Ask the journal."""
        with self._one_at_a_time:
            return super().query(sql, *values)

    def each(self, sql: str) -> Iterator[Any]:
        """Ask the journal; all at once, since others write meanwhile."""
        yield from self.query(sql)

    def see(self, job: str, call: int, task: Task) -> None:
        """Note what the service says about a task."""
        with self._one_at_a_time:
            super().see(job, call, task)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do all of it or nothing, while the other threads wait."""
        with self._one_at_a_time, super().transaction():
            yield

    def is_running(self, job: str) -> bool:
        """Tell whether the job runs; nobody but this process knows of it."""
        return job in self._running

    def check_in_place(self) -> None:
        """Nobody can remove it."""

    def close(self) -> None:
        """It ends with its client."""

    def _lock_on(self, job: str) -> Running:
        return Running(self._running, job)


class Running:
    """That a job runs, for as long as it holds this, as a `FileLock` says it among processes."""

    def __init__(self, jobs: set[str], job: str) -> None:
        self._jobs, self._job = jobs, job

    def acquire(self) -> bool:
        """Note that it runs, unless it does already."""
        free = self._job not in self._jobs
        self._jobs.add(self._job)
        return free

    def release(self) -> None:
        """Note that it has ended."""
        self._jobs.discard(self._job)


def in_memory(order: JobOrder) -> MemoryJournal:
    """Return the journal of those jobs of a client that have no file."""
    if order.memory is None:
        order.memory = MemoryJournal()
    journal: MemoryJournal = order.memory
    return journal


def elsewhere(order: JobOrder, job: str | None, journal: Path) -> Iterator[tuple[Journal, set[str]]]:
    """Open the other journals in which there are jobs that come before this one, or all, and name these jobs."""
    for path, jobs in order.earlier_elsewhere(job, journal).items():
        if order.memory is not None and path == order.memory.path:
            yield order.memory, jobs
        elif path.exists():
            with Journal(path) as book:
                yield book, jobs
