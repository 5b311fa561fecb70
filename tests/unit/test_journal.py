"""The journal alone: what it keeps, who may open it, and what it does when the disk says no."""

import os
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scmkit.core import contract, events
from scmkit.core.errors import JournalError
from scmkit.core.values import Mode, Outcome, RowState, Task
from scmkit.journal import journal as journals
from scmkit.journal import storage
from scmkit.journal.journal import Journal, Record
from scmkit.journal.storage import NoLocksError
from scmkit.wire import turns

SERVICE = "https://api.example.com"
ROWS = np.arange(6)
POSIX = pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "state" / "journal.sqlite3"


def new_job(path: Path, job: str = "job-1") -> Record:
    parts = {"fates": np.zeros(6, dtype=np.int8), "plan": {"key": ["lot"], "héllo": None}}
    calls = [(Mode.SYNC, ROWS[:4]), (Mode.ASYNC, ROWS[4:])]
    return Journal(path).create(job, SERVICE, 6, parts, calls)


def sending(call: int, rows: Any, mode: Mode = Mode.SYNC, **facts: Any) -> events.Sending:
    return events.Sending(call, mode, rows, f"body {call}".encode(), **facts)


def attempted(call: int, rows: Any, mode: Mode = Mode.SYNC, **facts: Any) -> events.Attempted:
    facts = {"outcome": Outcome.APPLIED, "status": 200, "seconds": 0.5, "bytes": 6} | facts
    return events.Attempted(call, mode, rows, 1, **facts)


def in_a_process(code: str, path: Path) -> subprocess.CompletedProcess[str]:
    start = f"import sys\nfrom scmkit.journal.journal import *\npath = {str(path)!r}\n"
    return subprocess.run([sys.executable, "-c", start + code], capture_output=True, text=True, check=False)


def test_facts_come_back_as_they_went_in(path: Path) -> None:
    """Columns, calls, attempts, tasks and row_states are the same after the file was closed and opened again."""
    record = new_job(path)
    task = Task("t1", contract.TaskState.COMPLETE, "success", codes_affected=7, started_at="2026-11-23T10:00:00Z")
    told: list[Any] = [
        sending(0, ROWS[:4]),
        attempted(0, ROWS[:4], codes=4),
        events.Settled(ROWS[:4], np.array([1, 1, 2, 3], dtype=np.int8), 0, {2: ("colour",)}, "because"),
        sending(1, ROWS[4:], Mode.ASYNC),
        attempted(1, ROWS[4:], Mode.ASYNC, task_id="t1"),
        events.TaskSeen(task, 1),
    ]
    for event in told:
        record(event)
    record.close()
    with Journal(path) as again:
        parts = again.parts("job-1")
        first, second, seen, settled = again.events("job-1")
        row_states = again.row_states("job-1")
    assert parts["plan"] == {"key": ["lot"], "héllo": None}
    assert parts["fates"].dtype == np.int8
    assert (first.codes, first.seconds, first.outcome, first.final) == (4, 0.5, Outcome.APPLIED, True)
    assert (second.task_id, second.mode, second.rows.tolist()) == ("t1", Mode.ASYNC, [4, 5])
    assert seen == events.TaskSeen(task, 1)
    assert (settled.discarded, settled.message) == ({2: ("colour",)}, "because")
    assert row_states.tolist() == [1, 1, 2, 3, 0, 0]


def test_an_intent_without_a_result_may_have_been_applied(path: Path) -> None:
    """Whoever is killed between intent and result leaves a call that is known to be in doubt."""
    record = new_job(path)
    record(sending(0, ROWS[:4]))
    record(sending(1, ROWS[4:], Mode.ASYNC))
    record(attempted(1, ROWS[4:], Mode.ASYNC, outcome=Outcome.NOT_APPLIED, status=401))
    record(sending(2, ROWS[:2], parent=0, resent=True))
    record.close()
    with Journal(path) as again:
        stored_calls = again.stored_calls("job-1")
    assert [t.maybe_applied for t in stored_calls] == [True, False, True]
    assert [t.status for t in stored_calls] == [None, 401, None]
    assert (stored_calls[2].parent, stored_calls[2].resent, stored_calls[2].rows.tolist()) == (0, True, [0, 1])


def test_an_intent_is_on_disk_when_the_call_goes_out(path: Path) -> None:
    """Another connection sees the intent as soon as the record has taken note, and the result with the row_states."""
    record = new_job(path)
    with Journal(path) as other:
        record(sending(0, ROWS[:4]))
        assert other.query("select count(*) from attempts where outcome is null") == [(1,)]
        record(attempted(0, ROWS[:4]))
        record(events.Settled.alike(ROWS[:4], RowState.APPLIED, 0))
        assert other.query("select outcome from attempts") == [("applied",)]
        assert other.row_states("job-1").tolist() == [1, 1, 1, 1, 0, 0]
    assert record.journal.query("pragma journal_mode") == [("wal",)]
    assert record.journal.query("pragma synchronous") == [(2,)]
    record.close()


@POSIX
def test_the_journal_is_for_its_owner_alone(path: Path) -> None:
    """Files are 0600 and folders 0700, even when the umask allows everything (S08)."""
    before = os.umask(0)
    try:
        record = new_job(path)
        record(sending(0, ROWS[:4]))
        found = {p.name: stat.S_IMODE(p.stat().st_mode) for p in path.parent.iterdir()}
        record.close()
    finally:
        os.umask(before)
    assert len(found) >= 4  # the file, -wal, -shm, and the job's lock
    assert set(found.values()) == {0o600}
    assert {stat.S_IMODE(p.stat().st_mode) for p in (path.parent, path.parent.parent)} == {0o700}


@POSIX
def test_a_journal_that_others_could_read_is_closed_to_them(path: Path) -> None:
    """A file of ours that was made readable is made private again."""
    new_job(path).close()
    path.chmod(0o644)
    Journal(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def damaged(content: bytes, at: int, by: bytes) -> bytes:
    return content[:at] + by + content[at + len(by) :]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c[: len(c) // 2], "move it away"),
        (lambda c: c[:50], "not a journal"),
        (lambda c: damaged(c, 4096, b"\xff" * 4096), "move it away"),
        (lambda c: damaged(c, 60, (99).to_bytes(4)), "upgrade scmkit"),
        (lambda c: damaged(c, 68, bytes(4)), "not a journal"),
        (lambda c: b"extended_id,lot\nA,1\n", "not a journal"),
    ],
    ids=["truncated", "cut short", "damaged", "newer", "another application's", "a table"],
)
def test_an_unsound_file_is_refused_untouched(path: Path, change: Any, words: str) -> None:
    """What is damaged, newer or not ours stays as it is, byte for byte, and the error says what to do."""
    new_job(path).close()
    path.write_bytes(change(path.read_bytes()))
    before = path.read_bytes()
    with pytest.raises(JournalError, match=words):
        Journal(path)
    assert path.read_bytes() == before


def test_another_database_is_not_taken_over(tmp_path: Path) -> None:
    """The SQLite file of somebody else is refused, untouched."""
    path = tmp_path / "music.sqlite3"
    db = sqlite3.connect(path)
    db.execute("create table songs (name)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(JournalError, match="not a journal of scmkit"):
        Journal(path)
    assert path.read_bytes() == before


@POSIX
@pytest.mark.parametrize("end", ["", "-wal", "-shm"])
def test_a_link_is_not_followed(path: Path, tmp_path: Path, end: str) -> None:
    """Neither the journal nor what lies beside it may point to another file (S09)."""
    new_job(path).close()
    target = tmp_path / "target"
    target.write_bytes(b"" if end else path.read_bytes())
    link = path.with_name(path.name + end)
    link.unlink(missing_ok=True)
    link.symlink_to(target)
    before = target.read_bytes()
    with pytest.raises(JournalError, match="link"):
        Journal(path)
    assert target.read_bytes() == before


@POSIX
def test_the_journal_of_another_user_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes into the file of somebody else may be tricked into it (S09)."""
    new_job(path).close()
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(JournalError, match="another user"):
        Journal(path)


def test_a_full_disk_is_said_and_leaves_the_rest_intact(path: Path) -> None:
    """A write that finds no room fails whole; what was there before is still there, and sound."""
    record = new_job(path)
    record(sending(0, ROWS[:4]))
    pages = record.journal.query("pragma page_count")[0][0]
    record.journal.query(f"pragma max_page_count = {pages}")
    with pytest.raises(JournalError, match="Make room"):
        record(sending(2, np.random.default_rng(0).integers(0, 1 << 60, 9_999), Mode.ASYNC))
    record.close()
    with Journal(path) as again:
        assert again.query("pragma integrity_check") == [("ok",)]
        assert [t.maybe_applied for t in again.stored_calls("job-1")] == [True, False]


def test_a_locked_journal_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that another program holds up for too long is an error, not a wait without end."""
    monkeypatch.setattr(storage, "BUSY_S", 0.05)
    record = new_job(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("begin immediate")
    with pytest.raises(JournalError, match="Another program"):
        record(sending(0, ROWS[:4]))
    other.execute("rollback")
    record(sending(1, ROWS[4:], Mode.ASYNC))
    assert record.journal.query("select call from attempts") == [(0,), (1,)]
    other.close()
    record.close()


def test_a_job_has_one_owner(path: Path) -> None:
    """A second process, and a second thread, are refused while the job runs; afterwards they are not."""
    record = new_job(path)
    code = "Journal(path).reopen('job-1')"
    assert "is running" in in_a_process(code, path).stderr
    with Journal(path) as again, pytest.raises(JournalError, match="is running"):
        again.reopen("job-1")
    with Journal(path) as again:
        assert again.is_running("job-1")
    record.close()
    assert in_a_process(code, path).returncode == 0
    with Journal(path) as again:
        assert not again.is_running("job-1")


def test_a_killed_process_lets_its_job_go(path: Path) -> None:
    """The lock of a process that was killed is nobody's; what it had written is there."""
    code = (
        "import os, signal, numpy as np\nfrom scmkit.core.values import Mode\nfrom scmkit.core.events import Sending\n"
        "record = Journal(path).create('job-1', 'u', 1, {'fates': np.zeros(1, 'i1')}, [(Mode.SYNC, np.arange(1))])\n"
        "record(Sending(0, Mode.SYNC, np.arange(1), b'x'))\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    assert in_a_process(code, path).returncode < 0
    with Journal(path) as again:
        assert not again.is_running("job-1")
        assert again.stored_calls("job-1")[0].maybe_applied
        again.reopen("job-1").close()


def test_an_unknown_job_is_told_with_the_nearest(path: Path) -> None:
    """A wrong id names the job that was probably meant."""
    new_job(path, "20261123-101500-abcdef").close()
    with Journal(path) as again, pytest.raises(JournalError, match="did you mean '20261123-101500-abcdef'"):
        again.reopen("20261123-101500-abcdee")


def test_without_locks_there_is_no_journal(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that cannot keep two processes apart is noticed before anything is written about a job."""

    def no_locks(file: int) -> bool:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(turns, "_locked", no_locks)
    with pytest.raises(NoLocksError):
        new_job(path)


def test_pruning_forgets_only_what_is_settled(path: Path) -> None:
    """Old jobs that are complete go, with all their facts; unfinished and recent ones stay."""
    kinds = {"done": "complete", "stuck": "suspended", "recent": "complete", "resumed": "cancelled"}
    for job, state in kinds.items():
        record = new_job(path, job)
        record(sending(0, ROWS[:4]))
        record(events.Ended(state))
        record.close()
    with Journal(path) as again:
        again.db.execute("update jobs set created = created - 864000 where id <> 'recent'")
        again.db.execute("update attempts set at = at - 864000 where job not in ('recent', 'resumed')")
        (now,) = again.query("select unixepoch()")[0]
        assert again.prune(now - 5 * 86400) == 1
        assert {j for (j,) in again.query("select distinct job from attempts")} == kinds.keys() - {"done"}
        assert {j for (j,) in again.query("select id from jobs")} == kinds.keys() - {"done"}


@POSIX
@pytest.mark.parametrize("ends", [("",), ("-wal",), ("", "-wal", "-shm"), "emptied", "replaced"])
def test_what_is_written_elsewhere_is_not_written(path: Path, ends: Any) -> None:
    """An intent that went into a file which nobody will find again is an error, and so is each one after it (F57)."""
    record = new_job(path)
    record(sending(0, ROWS[:4]))
    if ends == "emptied":
        os.truncate(path, 0)
    elif ends == "replaced":
        Journal(path.with_name("other")).close()
        path.with_name("other").replace(path)
    else:
        for end in ends:
            path.with_name(path.name + end).unlink()
    for _ in range(2):
        with pytest.raises(JournalError, match="removed or replaced during the upload"):
            record(sending(1, ROWS[4:]))
    record.close()


@pytest.mark.parametrize(("noted_ago", "age"), [(100.0, 100.0), (-3600.0, 0.0)], ids=["plausible", "in the future"])
def test_a_journal_of_schema_1_is_carried_over(path: Path, noted_ago: float, age: float) -> None:
    """Its calls keep their age by the wall clock, and what cannot be true counts from now (F54)."""
    record = new_job(path)
    record(sending(0, ROWS[:4]))
    record.journal.db.execute("update attempts set at = ?", (time.time() - noted_ago,))
    record.journal.db.execute("alter table attempts drop column clock")
    record.journal.db.execute("pragma user_version = 1")
    record.close()
    with Journal(path) as again:
        ((clock,),) = again.query("select clock from attempts")
        assert turns.age_s(clock) == pytest.approx(age, abs=2.0)


def test_the_place_is_the_users_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A path wins over the variable for it, that over the variable for the folder, and this over the user's own."""
    monkeypatch.setenv("SCMKIT_JOURNAL", str(tmp_path / "b"))
    assert journals.place(tmp_path / "a") == tmp_path / "a"
    assert journals.place() == tmp_path / "b"
    monkeypatch.delenv("SCMKIT_JOURNAL")
    monkeypatch.setenv("SCMKIT_STATE", str(tmp_path / "c"))
    assert journals.place() == tmp_path / "c" / "journal.sqlite3"
    monkeypatch.delenv("SCMKIT_STATE")
    assert journals.place().name == "journal.sqlite3"
    assert "scmkit" in str(journals.place())


def test_half_a_character_from_the_service_does_not_stop_a_job(path: Path) -> None:
    """Words that are not proper text are kept in a readable form."""
    record = new_job(path)
    record(sending(0, ROWS[:4]))
    record(attempted(0, ROWS[:4], outcome=Outcome.UNKNOWN, status=500, message="bad \ud800"))
    assert record.journal.query("select message from attempts") == [("bad \\ud800",)]
    record.close()


def test_whoever_is_refused_keeps_nothing_open(path: Path) -> None:
    """A job that is taken or unknown closes the journal of the caller, and leaves that of the owner alone."""
    record = new_job(path)
    for refused in (lambda book: book.create("job-1", SERVICE, 0, {}, []), lambda book: book.reopen("job-2")):
        book = Journal(path)
        with pytest.raises(JournalError, match=r"is running|no job 'job-2'"):
            refused(book)
        with pytest.raises(JournalError, match="closed"):
            book.query("select 1")
    record(sending(0, ROWS[:4]))
    record.close()


def test_a_job_is_written_down_whole_or_not_at_all(path: Path) -> None:
    """A job whose calls cannot be written leaves no stored, and its name is free again."""

    def calls() -> Any:
        yield Mode.SYNC, ROWS
        raise MemoryError

    book = Journal(path)
    with pytest.raises(MemoryError):
        book.create("job-1", SERVICE, 6, {"fates": ROWS}, calls())
    with Journal(path) as again:
        assert not again.is_running("job-1")
        assert [again.query(f"select count(*) from {table}") for table in ("jobs", "parts", "calls")] == [[(0,)]] * 3
    new_job(path).close()


def test_no_more_is_read_than_is_taken(path: Path) -> None:
    """A long answer is read line by line: what follows the last line that is taken is never looked at."""
    damaged_later = "select json(column1) from (values ('1'), ('2'), ('{'))"
    with Journal(path) as book:
        lines = book.each(damaged_later)
        assert next(lines) == ("1",)
        lines.close()
        for whole in (lambda: list(book.each(damaged_later)), lambda: book.query(damaged_later)):
            with pytest.raises(JournalError, match="JSON"):
                whole()
        assert list(book.each("select 1 union all select 2")) == [(1,), (2,)]


def test_tasks_are_known_as_they_were_last_seen(path: Path) -> None:
    """A task has one line, the latest, also in a state of which we do not know the word."""
    first = Task("t1", contract.TaskState.PENDING, "pending")
    last, other = Task("t1", contract.TaskState.COMPLETE, "success", codes_affected=7), Task("t2", None, "resting")
    record = new_job(path)
    for task in (first, other, last):
        record(events.TaskSeen(task, 1))
    record.close()
    with Journal(path) as again:
        assert again.tasks("job-1") == {"t1": last, "t2": other}
        assert again.tasks("job-2") == {}


def test_a_job_that_goes_on_is_running_again(path: Path) -> None:
    """Its error is forgotten, and its service is the one with which it goes on."""
    record = new_job(path)
    record(events.Ended("suspended", JournalError("the disk is full")))
    record.carry_on("http://127.0.0.1:8001")
    assert record.journal.query("select state, error, service from jobs") == [
        ("running", None, "http://127.0.0.1:8001")
    ]
    record(events.Ended("suspended", JournalError("half a character: \ud800")))
    assert record.journal.query("select state, error from jobs") == [("suspended", "half a character: \\ud800")]
    record.close()


def test_pruning_leaves_alone_what_is_held(path: Path) -> None:
    """A job that somebody holds stays, however old and complete; where nothing is to be forgotten, nothing changes."""
    record = new_job(path)
    record(events.Ended("complete"))
    with Journal(path) as again:
        assert again.prune(float("inf")) == 0
        record.close()
        assert again.prune(0.0) == 0
        assert again.prune(float("inf")) == 1
        assert again.query("select count(*) from calls") == [(0,)]


def test_a_pause_is_no_fact(path: Path) -> None:
    """What only people want to hear is not written down, and holds up nothing that is."""
    record = new_job(path)
    record(events.Paused(1.0, "the service asked for a pause"))
    record(sending(0, ROWS[:4]))
    record(attempted(0, ROWS[:4]))
    record(events.Paused(1.0, "the service asked for a pause"))
    record(events.Settled.alike(ROWS[:4], RowState.APPLIED, 0))
    record.close()
    with Journal(path) as again:
        assert [type(event) for event in again.events("job-1")] == [events.Attempted, events.Settled]


def test_rows_without_an_end_wait_for_the_next_write(path: Path) -> None:
    """That rows are cancelled or unknown is believed by nobody, and is written down with the end of the job."""
    record = new_job(path)
    with Journal(path) as other:
        record(events.Settled.alike(ROWS[:4], RowState.CANCELLED))
        record(events.Settled.alike(ROWS[4:], RowState.UNKNOWN))
        assert not other.row_states("job-1").any()
        record(events.Ended("cancelled"))
        assert other.row_states("job-1").tolist() == [RowState.CANCELLED] * 4 + [RowState.UNKNOWN] * 2
    record.close()
