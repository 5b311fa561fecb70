"""A private SQLite file: made for one user, checked before it is opened, and never half written."""

from __future__ import annotations

import os
import sqlite3
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import msgspec

from scmkit.core.errors import JournalError
from scmkit.wire.turns import make_folder

BUSY_S = 5.0  # how long a write waits for another one
_HEADER = 100  # bytes; the SQLite file format holds the version at 60 and the application at 68


class NoLocksError(JournalError):
    """The file system cannot keep two processes apart; there is no journal then."""


def opened(path: Path, application: int, schema: int, tables: str, upgrade: str = "") -> sqlite3.Connection:
    """Open a file that is sound and ours, or make it.

    Parameters
    ----------
    path : Path
    application, schema : int
        The marks in the file's header that say whose it is, and which tables it has.
    tables : str
        The statements that make them.
    upgrade : str
        The statements that make them out of those of the schema before.

    Raises
    ------
    JournalError
        The file cannot be used; it is left as it is.
    NoLocksError
        The file system has no locks.
    """
    with translated(path):
        _make(path)
        _check_owner(path)
        _check_content(path, application, schema)
        # Made in the caller's thread, then used by the job's own only.
        db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        with or_else(db.close):
            marks = f"pragma application_id = {application}; pragma user_version = {schema}"
            _set_up(db, path, schema, f"{tables}; {marks}", f"{upgrade}; {marks}")
        return db


def in_memory(tables: str) -> sqlite3.Connection:
    """Make tables that are in no file."""
    db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    _run_each(db, tables)
    return db


def identity(path: Path) -> list[tuple[int, int]]:
    """Return what tells an open file, and its log, from others in their places; SQLite goes on without looking there.

    Raises
    ------
    JournalError
        One of the two is not there, or the file is empty.
    """
    with translated(path):
        found = [path.stat(), _beside(path, "-wal").stat()]
        if not found[0].st_size:
            raise JournalError(f"the journal {path} is empty")
        return [(each.st_dev, each.st_ino) for each in found]


@contextmanager
def or_else(close: Callable[[], object]) -> Iterator[None]:
    """On an error, Ctrl-C included, close what nobody will hold: a job would stay locked while this process lives."""
    try:
        yield
    except BaseException:
        close()
        raise


@contextmanager
def transaction(db: sqlite3.Connection, path: Path) -> Iterator[None]:
    """Do all of it, durably, or nothing."""
    with translated(path):
        db.execute("begin immediate")
        try:
            yield
            db.execute("commit")
        except BaseException:
            with suppress(sqlite3.Error):
                db.execute("rollback")
            raise


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn what SQLite and the file system say into one sentence that says what to do."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locking protocol" in str(error):
            raise NoLocksError(f"the file system of {path} has no locks that work") from None
        raise _said(path, error) from None
    except (sqlite3.Error, zlib.error, msgspec.MsgspecError, OSError) as error:
        if isinstance(error, JournalError):
            raise
        raise _said(path, error) from None


def _said(path: Path, error: Exception) -> JournalError:
    return JournalError(f"the journal {path} cannot be used: {error}. {_way_out(str(error))}")


def _way_out(words: str) -> str:
    if "is locked" in words:
        return "Another program holds it: close that, then scmkit.resume() carries on"
    if "is full" in words or "No space left" in words:
        return "Make room on the disk, then scmkit.resume() carries on"
    if "malformed" in words or "not a database" in words or "decompressing" in words:
        return "It is damaged and was left as it is: move it away, or give another with journal=path"
    return "Give another with journal=path, or do without: journal=False"


def _make(path: Path) -> None:
    """Make what is not there yet, for this user alone, whatever the umask."""
    make_folder(path.parent)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _check_owner(path: Path) -> None:
    for name in (path, *(_beside(path, end) for end in ("-wal", "-shm", "-journal"))):
        with suppress(FileNotFoundError):
            found = name.lstat()
            if not stat.S_ISREG(found.st_mode):
                raise JournalError(f"{name} is a link or no plain file, and a journal is never written through one")
            if hasattr(os, "geteuid") and found.st_uid != os.geteuid():
                raise JournalError(f"{name} belongs to another user: give a journal of your own with journal=path")


def _check_content(path: Path, application: int, schema: int) -> None:
    """Refuse what is damaged or not ours, without changing it."""
    with path.open("rb") as file:
        header = file.read(_HEADER)
    if not header or _beside(path, "-journal").exists():
        return  # new, or its maker was killed while it was: SQLite takes that back
    if header[:16] != b"SQLite format 3\0" or int.from_bytes(header[68:72]) != application:
        raise JournalError(f"{path} is not a journal of scmkit: give another path")
    if (version := int.from_bytes(header[60:64])) > schema:
        raise JournalError(f"{path} is of a newer scmkit (schema {version}, this one knows {schema}): upgrade scmkit")
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=BUSY_S)) as db:
        ((verdict,),) = db.execute("pragma quick_check(1)")
    if verdict != "ok":
        raise sqlite3.DatabaseError(f"malformed: {verdict}")
    if os.name == "posix" and path.stat().st_mode & 0o077:
        path.chmod(0o600)


def _set_up(db: sqlite3.Connection, path: Path, schema: int, make: str, upgrade: str) -> None:
    for pragma in ("synchronous = full", "fullfsync = on", "trusted_schema = off"):
        db.execute(f"pragma {pragma}")
    with transaction(db, path):
        if (version := db.execute("pragma user_version").fetchone()[0]) < schema:
            _run_each(db, upgrade if version else make)
    # After the tables, so that the file's own header tells from the first moment whose it is.
    if db.execute("pragma journal_mode = wal").fetchone()[0] != "wal":
        raise NoLocksError(f"the file system of {path} cannot keep a write-ahead log")
    with transaction(db, path):  # from now on there is a log, the same until all have closed the file
        pass


def _run_each(db: sqlite3.Connection, statements: str) -> None:
    """Run statements one by one, within the caller's transaction, which `executescript` would end."""
    for statement in statements.split(";"):
        db.execute(statement)


def _beside(path: Path, end: str) -> Path:
    return path.with_name(path.name + end)
