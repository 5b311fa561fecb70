"""The private file under the journal: made whole or not at all, and every failure says what to do."""

import os
import shutil
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from scmkit.core.errors import JournalError
from scmkit.journal.storage import NoLocksError, opened, transaction, translated

OURS = 0x1234
TABLES = "create table facts (fact text)"
connect = sqlite3.connect


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "facts.sqlite3"


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[sqlite3.Connection]:
    """The connections that were made."""
    made: list[sqlite3.Connection] = []

    def noted(*args: Any, **options: Any) -> sqlite3.Connection:
        made.append(connect(*args, **options))
        return made[-1]

    monkeypatch.setattr(sqlite3, "connect", noted)
    return made


def facts(path: Path) -> list[str]:
    with closing(connect(path)) as db:
        return [fact for (fact,) in db.execute("select fact from facts")]


def test_a_file_is_marked_as_ours_from_the_first_moment(path: Path) -> None:
    """The tables and the marks that say whose they are come into being together, and are found again."""
    opened(path, OURS, 3, TABLES).close()
    with closing(opened(path, OURS, 3, "nothing that would be run again")) as db:
        marks = [db.execute(f"pragma {name}").fetchone()[0] for name in ("application_id", "user_version")]
    assert marks == [OURS, 3]
    assert facts(path) == []


def test_a_file_of_the_schema_before_is_upgraded_once(path: Path) -> None:
    """What was in it stays, the new marks are set, and nothing is done again."""
    with closing(opened(path, OURS, 1, TABLES)) as db:
        db.execute("insert into facts values ('old')")
    for _ in range(2):
        with closing(opened(path, OURS, 2, "not used", "alter table facts add column more text")) as db:
            assert db.execute("select fact, more from facts").fetchall() == [("old", None)]
            assert db.execute("pragma user_version").fetchone() == (2,)


def test_a_file_that_cannot_be_made_is_let_go(path: Path, connections: list[sqlite3.Connection]) -> None:
    """Tables that fail leave nothing half made and no connection open; the next attempt is not hindered."""
    with pytest.raises(JournalError, match="syntax error"):
        opened(path, OURS, 1, f"{TABLES}; create nonsense")
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connections[-1].execute("select 1")
    opened(path, OURS, 1, TABLES).close()
    assert facts(path) == []


def test_a_file_whose_maker_was_killed_is_made_again(path: Path, tmp_path: Path) -> None:
    """What a process had written before it was killed is taken back, although it does not say yet whose it is."""
    begun = tmp_path / "begun"
    with closing(connect(begun, isolation_level=None)) as db:
        db.execute("pragma cache_size = 1")  # pages go to the file before the transaction ends
        db.execute("begin immediate")
        db.execute("create table half (made)")
        db.executemany("insert into half values (?)", [(bytes(3000),)] * 50)
        for end in ("", "-journal"):
            shutil.copy(f"{begun}{end}", f"{path}{end}")
    assert path.stat().st_size > 0
    with closing(opened(path, OURS, 1, TABLES)) as db:
        assert db.execute("select name from sqlite_master").fetchall() == [("facts",)]


@pytest.mark.skipif(os.name != "posix", reason="a file system of POSIX without shared memory")
def test_without_a_write_ahead_log_there_is_no_journal(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where SQLite falls back to another way of writing, the file is not used."""

    def without_memory(path: Path, **options: Any) -> sqlite3.Connection:
        return connect(f"{path.as_uri()}?vfs=unix-none", uri=True, **options)

    monkeypatch.setattr(sqlite3, "connect", without_memory)
    with pytest.raises(NoLocksError, match="write-ahead log"):
        opened(path, OURS, 1, TABLES)


def test_a_file_in_the_place_of_a_folder_is_said(path: Path) -> None:
    """What the file system refuses is told with the path, and with the ways out."""
    path.touch()
    with pytest.raises(JournalError, match=r"facts.sqlite3/below cannot be used: .*journal=False"):
        opened(path / "below", OURS, 1, TABLES)


@pytest.mark.parametrize(
    ("error", "way_out"),
    [
        (sqlite3.OperationalError("database is locked"), "close that, then scmkit.resume"),
        (sqlite3.OperationalError("database or disk is full"), "Make room"),
        (OSError(28, "No space left on device"), "Make room"),
        (sqlite3.DatabaseError("database disk image is malformed"), "move it away"),
        (sqlite3.DatabaseError("file is not a database"), "move it away"),
        (zlib.error("Error -3 while decompressing data"), "move it away"),
        (msgspec.DecodeError("Input data was truncated"), "journal=False"),
        (OSError(5, "Input/output error"), "journal=False"),
    ],
)
def test_each_failure_has_a_way_out(path: Path, error: Exception, way_out: str) -> None:
    """What SQLite, the disk or the decoder say becomes one sentence: what failed, where, and what to do."""
    with pytest.raises(JournalError, match=way_out) as raised, translated(path):
        raise error
    assert str(path) in str(raised.value)
    assert str(error) in str(raised.value)
    assert not isinstance(raised.value, NoLocksError)


def test_what_is_not_about_the_file_passes_as_it_is(path: Path) -> None:
    """A bug, Ctrl-C and an error that says enough are not dressed up; missing locks have a type of their own."""
    for error in (JournalError("enough said"), ValueError("a bug"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as raised, translated(path):
            raise error
        assert raised.value is error
    with pytest.raises(NoLocksError, match="no locks that work"), translated(path):
        raise sqlite3.OperationalError("locking protocol")


def run(db: sqlite3.Connection, path: Path, *steps: str, then: BaseException | None = None) -> None:
    with transaction(db, path):
        for step in steps:
            db.execute(step)
        if then:
            raise then


def test_a_transaction_is_all_or_nothing(path: Path) -> None:
    """Whatever ends it early takes its writes back, and the next one is not hindered."""
    half, wrong = "insert into facts values ('half')", "insert into fiction values ('no')"
    with closing(opened(path, OURS, 1, TABLES)) as db:
        with pytest.raises(KeyboardInterrupt):
            run(db, path, half, then=KeyboardInterrupt())
        with pytest.raises(JournalError, match="no such table"):
            run(db, path, half, wrong)
        with transaction(db, path):
            db.execute("insert into facts values ('whole')")
            assert facts(path) == []
        assert facts(path) == ["whole"]


def test_an_error_is_not_hidden_by_the_way_back(path: Path) -> None:
    """Where SQLite has given up the transaction by itself, the first error is the one told."""
    with closing(opened(path, OURS, 1, TABLES)) as db, pytest.raises(ValueError, match="first"):
        run(db, path, "rollback", then=ValueError("first"))
