"""What processes share: a lock that ends with its owner, and the turns of one service."""

import importlib.util
import os
import stat
import struct
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from scmkit.core.errors import JournalError
from scmkit.wire import turns
from scmkit.wire.pacing import CATCH_UP
from scmkit.wire.turns import FileLock, Turnstile, is_held, place_of

POSIX = pytest.mark.skipif(os.name != "posix", reason="Windows removes no open file")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


def test_a_lock_has_one_owner(path: Path) -> None:
    """A second lock on the file is refused until the first is released; nothing is left behind."""
    one, two = FileLock(path), FileLock(path)
    assert one.acquire()
    assert not two.acquire()
    one.release()
    assert two.acquire()
    two.release()
    assert not path.exists() or os.name != "posix"


def test_whoever_did_not_get_the_lock_takes_nothing_away(path: Path) -> None:
    """A release without a lock, or a second one, leaves the owner's file and lock alone."""
    owner, other = FileLock(path), FileLock(path)
    other.release()
    assert owner.acquire()
    assert not other.acquire()
    other.release()
    assert path.exists()
    assert is_held(path)
    owner.release()
    assert other.acquire()
    owner.release()
    assert is_held(path)
    other.release()


def test_a_lock_is_held_as_long_as_its_owner_lives(path: Path) -> None:
    """Without a file, with one that a killed process has left, and after asking: the lock is free."""
    assert not is_held(path)
    code = (
        "import os, pathlib, signal, sys\nfrom scmkit.wire.turns import FileLock\n"
        "lock = FileLock(pathlib.Path(sys.argv[1]))\nprint(lock.acquire(), flush=True)\nsys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "True\n"
        assert is_held(path)
        assert not FileLock(path).acquire()
        owner.kill()
    assert path.exists()
    assert not is_held(path)
    lock = FileLock(path)
    assert lock.acquire()
    lock.release()


@POSIX
def test_the_file_of_a_lock_is_private_and_may_vanish(path: Path) -> None:
    """Only its owner may read it, whatever the umask; if somebody removes it, the lock ends without an error."""
    before = os.umask(0)
    try:
        lock = FileLock(path)
        assert lock.acquire()
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.unlink()
    lock.release()
    assert lock.acquire()
    lock.release()


@POSIX
@pytest.mark.parametrize("made_again", [False, True])
def test_a_lock_on_a_removed_file_does_not_count(path: Path, monkeypatch: pytest.MonkeyPatch, made_again: bool) -> None:
    """Whoever opens the file while its last owner removes it locks the new one, which all others see."""
    real, moments = turns._locked, iter([True])

    def removed_before(file: int) -> bool:
        if next(moments, False):
            path.unlink()
            if made_again:
                path.touch()
        return real(file)

    monkeypatch.setattr(turns, "_locked", removed_before)
    lock = FileLock(path)
    assert lock.acquire()
    assert is_held(path)
    assert not FileLock(path).acquire()
    lock.release()


@POSIX
@pytest.mark.parametrize("made_again", [False, True])
def test_a_removed_file_says_nothing_about_a_new_one(
    path: Path, monkeypatch: pytest.MonkeyPatch, made_again: bool
) -> None:
    """Whoever opens the file while its owner removes it asks the one that is there now, if there is one."""
    real, moments, owner = turns._locked, iter([True]), FileLock(path)
    path.touch()

    def removed_before(file: int) -> bool:
        if next(moments, False):
            path.unlink()
            if made_again:
                assert owner.acquire()
        return real(file)

    monkeypatch.setattr(turns, "_locked", removed_before)
    assert is_held(path) is made_again
    owner.release()


def test_a_lock_in_a_folder_that_became_read_only_ends(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be removed stays, and nobody holds it (F57)."""

    def unlink(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", unlink)
    lock = FileLock(path)
    assert lock.acquire()
    lock.release()
    assert not is_held(path)
    assert lock.acquire()
    lock.release()


@POSIX
def test_a_forked_process_keeps_no_lock(path: Path) -> None:
    """A child leaves its parent's locks alone, and does not hold them when the parent has ended (F55)."""
    lock = FileLock(path)
    assert lock.acquire()
    parents = os.dup(lock._file)  # as after a fork: two descriptors of one lock
    for _ in range(2):
        turns.leave_locks()
    assert is_held(path)
    lock.release()
    assert is_held(path)
    os.close(parents)
    assert not is_held(path)


def test_without_locks_nothing_stays_open(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of a file system without locks goes on to the caller, and the file is closed."""
    opened = []

    def no_locks(file: int) -> bool:
        opened.append(file)
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(turns, "_locked", no_locks)
    for ask in (FileLock(path).acquire, lambda: is_held(path), Turnstile(path, 0.1)._try):
        with pytest.raises(OSError, match="not supported"):
            ask()
        with pytest.raises(OSError, match="descriptor"):
            os.fstat(opened[-1])


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now, self.naps = 100.0, list[float]()

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds

    def turnstile(self, path: Path, module: ModuleType = turns) -> Turnstile:
        return module.Turnstile(path, 0.1, lambda: self.now, self.sleep)


def test_a_moment_is_never_said_to_be_older_than_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a restart of the machine a moment before it counts from the restart (F54)."""
    monkeypatch.setattr(turns, "clock_s", lambda: 50.0)
    assert [turns.age_s(moment) for moment in (20.0, 50.0, 80.0)] == [30.0, 0.0, 50.0]


def test_turns_are_spaced_whoever_asks(path: Path) -> None:
    """The next turn is an interval after the last, whichever process had that."""
    clock = Clock()
    for turnstile in [clock.turnstile(path), clock.turnstile(path)] * 2:
        turnstile.wait()
    assert clock.naps == pytest.approx([0.1] * 3)


@pytest.mark.parametrize("late", [0.01, 5.0])
def test_lateness_is_made_up_for_in_part(path: Path, late: float) -> None:
    """After a turn that was taken late, the next one comes up to a fifth of an interval earlier, never more."""
    clock = Clock()
    clock.turnstile(path).wait()
    clock.now += 0.1 + late
    for _ in range(2):
        clock.turnstile(path).wait()
    assert clock.naps == pytest.approx([0.1 - min(late, CATCH_UP * 0.1)])


@pytest.mark.parametrize(
    ("noted", "naps"),
    [
        (struct.pack("<d", 110.0), [10.0]),
        (struct.pack("<d", 110.001), []),  # the machine was started again, and its clock begins anew
        (struct.pack("<d", 100.0), []),
        (b"\0\0\0", []),
        (b"", []),
    ],
    ids=["far", "too far", "now", "half written", "new"],
)
def test_a_note_that_cannot_be_true_is_ignored(path: Path, noted: bytes, naps: list[float]) -> None:
    """A turn up to ten seconds ahead is waited for; one beyond that, or half a note, is none."""
    path.write_bytes(bytes(8) + noted)
    clock = Clock()
    clock.turnstile(path).wait()
    assert clock.naps == pytest.approx(naps)
    clock.turnstile(path).wait()
    assert clock.naps == pytest.approx([*naps, 0.1])


def test_without_a_file_the_pace_is_that_of_this_process(path: Path) -> None:
    """Where no file can be had a warning says so, once, and all turns of this process are still spaced (F56)."""
    path.mkdir()
    clock = Clock()
    gates = [clock.turnstile(path), clock.turnstile(path)]
    for gate in gates:
        with pytest.warns(UserWarning, match="cannot share their pace.*SCMKIT_STATE"):
            gate.wait()
    for gate in gates:
        gate.wait()
    assert clock.naps == pytest.approx([0.1] * 3)


@POSIX
def test_the_folder_of_the_pace_is_made_again(tmp_path: Path) -> None:
    """A folder that somebody removed while jobs run is made again, for its owner alone, and so is the file."""
    path = tmp_path / "state" / "pace"
    clock, before = Clock(), os.umask(0)
    try:
        for _ in range(2):
            clock.turnstile(path).wait()
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
            path.unlink()
            path.parent.rmdir()
    finally:
        os.umask(before)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://api.example.com", "https://API.example.com.:443/x", True),
        ("http://localhost:8080", "http://127.0.0.1:8080", True),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8081", False),
        ("http://127.0.0.1", "https://127.0.0.1", False),
    ],
)
def test_a_service_is_known_by_host_and_port(one: str, other: str, same: bool) -> None:
    """However its URL is written, it is the same service."""
    assert (place_of(one) == place_of(other)) is same


def test_whoever_finds_the_turnstile_busy_asks_again(path: Path) -> None:
    """While another process is at the file, one asks again after a moment, and takes no turn."""
    lock, clock = FileLock(path), Clock()
    assert lock.acquire()

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        if len(clock.naps) == 3:
            lock.release()

    Turnstile(path, 0.1, lambda: clock.now, sleep).wait()
    assert 0 < max(clock.naps) < 0.01
    assert len(clock.naps) == 3


def test_whoever_finds_the_turnstile_stuck_gives_up(path: Path) -> None:
    """A process that was stopped in its turn keeps the others for seconds, not for ever, and they say why."""
    lock, clock = FileLock(path), Clock()
    assert lock.acquire()
    with pytest.raises(JournalError, match=r"another process holds .* wake it up or end it"):
        clock.turnstile(path).wait()
    assert clock.now == pytest.approx(105.0, abs=0.01)
    lock.release()


@pytest.fixture
def on_windows(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module as Windows loads it, with a `msvcrt` that locks the byte at which the file stands."""
    fcntl = pytest.importorskip("fcntl")

    def locking(file: int, mode: int, count: int) -> None:
        assert (mode, count, os.lseek(file, 0, os.SEEK_CUR)) == (2, 1, 0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PermissionError(13, "Permission denied") from None

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(LK_NBLCK=2, locking=locking))
    spec = importlib.util.spec_from_file_location("sharing_on_windows", turns.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_windows_keeps_the_file_and_the_promises(path: Path, on_windows: ModuleType) -> None:
    """On Windows, too, a lock has one owner and turns are spaced; the file stays, for it cannot be removed."""
    one, two = on_windows.FileLock(path), on_windows.FileLock(path)
    assert one.acquire()
    assert not two.acquire()
    assert on_windows.is_held(path)
    one.release()
    assert path.exists()
    assert not on_windows.is_held(path)
    assert two.acquire()
    two.release()
    clock = Clock()
    for _ in range(3):
        clock.turnstile(path, on_windows).wait()
    assert clock.naps == pytest.approx([0.1, 0.1])
