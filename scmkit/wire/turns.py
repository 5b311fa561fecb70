"""What the processes of one machine share: a folder, locks that die with their process, and the pace of one service."""

from __future__ import annotations

import os
import struct
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from scmkit.core.errors import JournalError
from scmkit.wire.pacing import CATCH_UP

STATE = "SCMKIT_STATE"  # names the folder
_HERE = ("localhost", "::1")
_OPEN = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
# Turns are a tenth of a second or so apart: one that is further away was noted before the machine was started again.
FURTHEST_TURN_S = 10.0
_ASK_AGAIN_S = 0.002
_TRIES = 5
_STUCK_S = 5.0  # a turn is taken in less than a millisecond
_TURN_AT = 8  # bytes: behind the one that Windows locks

if sys.platform == "win32":
    import msvcrt

    def _locked(file: int) -> bool:
        os.lseek(file, 0, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True
else:
    import fcntl

    def _locked(file: int) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def state_folder() -> Path:
    """Return the user's folder for what outlives a process: ``SCMKIT_STATE``, else that for application state."""
    from platformdirs import user_state_dir

    return Path(os.environ.get(STATE) or user_state_dir("scmkit", False)).absolute()


def make_folder(path: Path) -> None:
    """Make a folder, and those that it is in, for this user alone, whatever the umask."""
    for folder in reversed([f for f in (path, *path.parents) if not f.exists()]):
        folder.mkdir(mode=0o700, exist_ok=True)


def place_of(service: str) -> tuple[str, int]:
    """Return host and port of a URL: one machine can have several services, as sandboxes."""
    url = urlsplit(service)
    host = (url.hostname or "").rstrip(".")
    return "127.0.0.1" if host in _HERE else host, url.port or (443 if url.scheme == "https" else 80)


def clock_s() -> float:
    """Return the time of a clock that all processes of this machine share, and that nobody can put back or forward.

    It begins anew when the machine does.
    """
    return time.monotonic()


def age_s(moment: float) -> float:
    """Return how many seconds ago this moment of the clock was, at least: exactly, unless the machine began anew."""
    now = clock_s()
    return now - moment if moment <= now else now


# Not `filelock`, which lacks three promises, each with a test in test_sharing: whoever opens the file while its last
# owner removes it holds no lock that nobody else sees (a_lock_on_a_removed_file_does_not_count: inodes are compared);
# one can ask whether a job runs without taking its lock (a_removed_file_says_nothing_about_a_new_one); and a forked
# child only closes its copy of the descriptor: to unlock it would unlock its parent's (a_forked_process_keeps_no_lock).
class FileLock:
    """A lock that the operating system lets go when the process ends, however it ends.

    Parameters
    ----------
    path : Path
        A file made for this purpose; `release` removes it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None

    def acquire(self) -> bool:
        """Take the lock if it is free.

        Raises
        ------
        OSError
            The file system has no locks.
        """
        for _ in range(_TRIES):  # somebody may just be asking whether it is held
            if self._try():
                return True
            time.sleep(_ASK_AGAIN_S)
        return False

    def _try(self) -> bool:
        file = os.open(self.path, _OPEN, 0o600)
        try:
            if _locked(file) and _is_at(file, self.path):  # else its last owner has just removed the file
                self._file = file
                _held.add(self)
                return True
            return False
        finally:
            if self._file is None:
                os.close(file)

    def release(self) -> None:
        """Let it go, and remove the file."""
        if self._file is None:
            return
        if sys.platform != "win32":  # which removes no open file: there it stays, empty
            with suppress(OSError):  # a folder that was made read-only: the file stays, and nobody holds it
                self.path.unlink(missing_ok=True)
        self.leave()

    def leave(self) -> None:
        """Close the file. After a fork, the lock is still held by the other process."""
        if self._file is not None:
            os.close(self._file)
        self._file = None


_held: weakref.WeakSet[FileLock] = weakref.WeakSet()


def leave_locks() -> None:
    """After a fork: the locks stay with the process that took them, and end when that one does."""
    global _alone
    for lock in list(_held):
        lock.leave()
    _alone = threading.Lock()  # a thread that does not exist here may have held it


if sys.platform != "win32":
    os.register_at_fork(after_in_child=leave_locks)


def is_held(path: Path) -> bool:
    """Tell whether a living process holds the lock."""
    try:
        file = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    except FileNotFoundError:
        return False
    try:
        if not _locked(file):
            return True
        return not _is_at(file, path) and is_held(path)  # its last owner has just removed the file; is there a new one?
    finally:
        os.close(file)


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


class Turnstile:
    """Lets one call through at a time, evenly spaced, whichever process it comes from.

    A file holds the time of the next turn, on the clock that all processes of a machine share. Only the spacing is
    shared; a pause after a 429 is each job's own. Where no such file can be had, a warning says that the pace is
    shared within this process only.

    Parameters
    ----------
    path : Path
        The file.
    interval_s : float
        Seconds between two calls.
    """

    def __init__(
        self, path: Path, interval_s: float,
        clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep,
    ) -> None:  # fmt: skip
        self._path, self._interval = path, interval_s
        self._clock, self._sleep = clock, sleep
        self._take: Callable[[], float | None] = self._try

    def wait(self) -> None:
        """Wait for the next turn, and take it.

        Raises
        ------
        JournalError
            A process was stopped (Ctrl-Z) just when it took its turn.
        """
        patience = self._clock() + _STUCK_S
        while (pause := self._turn()) != 0:
            now = self._clock()
            if pause is not None:
                patience = now + pause + _STUCK_S
            elif now > patience:
                raise JournalError(
                    f"another process holds {self._path} and does not go on: wake it up or end it, then "
                    "scmkit.resume() carries on"
                )
            self._sleep(_ASK_AGAIN_S if pause is None else pause)

    def _turn(self) -> float | None:
        """Take the turn if it has come; else say after how many seconds it will, None if somebody is at the file."""
        try:
            return self._take()
        except OSError as why:
            warnings.warn(
                f"processes that upload side by side cannot share their pace: {why}. Name another folder with {STATE}",
                stacklevel=1,
            )
            self._take = self._try_alone
            return self._take()

    def _try_alone(self) -> float:
        with _alone:
            now = self._clock()
            pause, _next_turns[self._path] = self._after(_next_turns.get(self._path, now), now)
            return pause

    def _try(self) -> float | None:
        make_folder(self._path.parent)
        file = os.open(self._path, _OPEN, 0o600)
        try:
            if not _locked(file):
                return None
            os.lseek(file, _TURN_AT, os.SEEK_SET)
            noted, now = os.read(file, 8), self._clock()
            pause, turn = self._after(struct.unpack("<d", noted)[0] if len(noted) == 8 else now, now)
            if pause == 0:
                os.lseek(file, _TURN_AT, os.SEEK_SET)
                os.write(file, struct.pack("<d", turn))
            return pause
        finally:
            os.close(file)

    def _after(self, turn: float, now: float) -> tuple[float, float]:
        """Return how long to wait, and which turn is next then: the one after this, if there is nothing to wait for."""
        if now < turn <= now + FURTHEST_TURN_S:
            return turn - now, turn
        turn = min(now, turn)  # in this order, since a damaged file may hold no number
        return 0.0, max(turn, now - CATCH_UP * self._interval) + self._interval


_alone = threading.Lock()
_next_turns: dict[Path, float] = {}
