"""What a client remembers: the order of its jobs in several journals, and those that are in no file."""

import threading
from pathlib import Path

import numpy as np
import pytest

from scmkit.core import events
from scmkit.core.values import Mode, Outcome, RowState, Task
from scmkit.journal.journal import Journal, Record
from scmkit.journal.memory import MemoryJournal, elsewhere, in_memory
from scmkit.wire.order import JobOrder

SERVICE = "https://api.example.com"
ROWS = np.arange(4)


def new_job(book: Journal, job: str) -> Record:
    return book.create(job, SERVICE, 4, {"fates": np.zeros(4, dtype=np.int8)}, [(Mode.SYNC, ROWS)])


def send(record: Record, outcome: Outcome = Outcome.APPLIED, state: str = "complete") -> None:
    """Let a job make its call and end."""
    record(events.Sending(0, Mode.SYNC, ROWS, b"body"))
    record(events.Attempted(0, Mode.SYNC, ROWS, 1, outcome, 200, 0.1, 4))
    record(events.Settled.alike(ROWS, RowState.APPLIED, 0))
    record(events.Ended(state))
    record.close()


def known(book: Journal) -> list[str]:
    return [job for (job,) in book.query("select id from jobs order by rowid")]


def test_a_journal_in_memory_keeps_facts_and_says_who_runs() -> None:
    """Jobs write into one journal that no close ends; what they wrote is there for the others."""
    book = MemoryJournal()
    one, two = new_job(book, "one"), new_job(book, "two")
    assert (book.is_running("one"), book.is_running("three")) == (True, False)
    send(one)
    book.see("two", 0, Task("t1", None, "running"))
    assert (book.is_running("one"), book.is_running("two")) == (False, True)
    assert book.row_states("one").tolist() == [RowState.APPLIED] * 4
    assert list(book.tasks("two")) == ["t1"]
    assert list(book.each("select id from jobs")) == [("one",), ("two",)]
    two.close()
    assert not book.lasting


def test_what_can_change_nothing_any_more_is_forgotten() -> None:
    """A client that lives long keeps of its jobs only those that run, were lost, or did not come to their end."""
    book = MemoryJournal()
    for job, outcome, state in (
        ("done", Outcome.APPLIED, "complete"), ("lost", Outcome.UNKNOWN, "complete"),
        ("cancelled", Outcome.APPLIED, "cancelled"),
    ):  # fmt: skip
        send(new_job(book, job), outcome, state)
    running = new_job(book, "running")
    assert known(book) == ["lost", "cancelled", "running"]
    running.close()


def test_threads_write_one_after_the_other() -> None:
    """Jobs of one client write at the same time, and no note is lost."""
    book = MemoryJournal()
    records = [new_job(book, f"job-{i}") for i in range(4)]
    threads = [
        threading.Thread(target=lambda r=r: [r(events.Sending(0, Mode.SYNC, ROWS, b"")) for _ in range(50)])
        for r in records
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert book.query("select job, count(*) from attempts group by job") == [(f"job-{i}", 50) for i in range(4)]


def test_a_job_in_memory_has_one_owner() -> None:
    """A second hold on a job that runs is refused."""
    book = MemoryJournal()
    record = new_job(book, "one")
    with pytest.raises(OSError, match="is running"):
        book.reopen("one")
    record.close()
    book.reopen("one").close()


def names(order: JobOrder, job: str | None, journal: Path) -> list[tuple[Path, set[str]]]:
    return [(book.path, jobs) for book, jobs in elsewhere(order, job, journal)]


def test_earlier_jobs_in_other_journals_are_named(tmp_path: Path) -> None:
    """Each journal is opened with the jobs in it that came before; one that is gone is not made again."""
    order, (a, b) = JobOrder(), (tmp_path / "a", tmp_path / "b")
    Journal(a).close()
    for job, path in (("a1", a), ("m1", in_memory(order).path), ("b1", b), ("a2", a)):
        order.enter(job, path)
    assert names(order, "a1", a) == []
    assert names(order, "m1", in_memory(order).path) == [(a, {"a1"})]
    assert names(order, "a2", a) == [(in_memory(order).path, {"m1"})]
    assert names(order, None, b) == [(a, {"a1", "a2"}), (in_memory(order).path, {"m1"})]
    assert not b.exists()


def test_a_job_that_goes_on_comes_before_those_made_later(tmp_path: Path) -> None:
    """A resumed job takes its place before later ones of its journal, or else the last."""
    order, (a, b) = JobOrder(), (tmp_path / "a", tmp_path / "b")
    for path in (a, b):
        Journal(path).close()
    for job, path, before in (("a1", a, ()), ("b1", b, ()), ("a2", a, ()), ("a1", a, ("a2", "a3"))):
        order.enter(job, path, before)
    assert names(order, "b1", b) == []
    assert names(order, "a1", a) == [(b, {"b1"})]
