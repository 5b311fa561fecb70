"""Waiting for the end of a job in the foreground: Ctrl-C, and a bar or lines that say how far it is."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from scmkit.engine.engine import GRACE_S
from scmkit.uploading.job import UploadJob

EVERY_S = 5.0  # between two lines in a log
SOON_S = 1.0  # and where there is news


def wait_for(job: UploadJob, progress: bool) -> UploadJob:
    """Wait for the end of a job, as `upload` does: Ctrl-C stops feeding, and a second one is a KeyboardInterrupt."""
    with _hearing_ctrl_c(job) as presses:
        _watch_progress(job, progress, presses)
    if len(presses) > 1:
        raise KeyboardInterrupt
    return job if presses else job.result()


@contextmanager
def _hearing_ctrl_c(job: UploadJob) -> Iterator[list[float]]:
    """Let Ctrl-C be a request; gives the times until which each of them lets us wait.

    As an exception it may strike anywhere, also between two statements of what is to be done about it.
    """
    presses: list[float] = []

    def pressed(*_: object) -> None:
        grace_s = 0.0 if presses else GRACE_S
        presses.append(time.monotonic() + grace_s + 1.0)
        job.cancel(grace_s)

    before = signal.getsignal(signal.SIGINT) if threading.current_thread() is threading.main_thread() else None
    if not callable(before):  # another thread never sees it; or somebody ignores it
        yield presses
        return
    signal.signal(signal.SIGINT, pressed)
    try:
        yield presses
    finally:
        signal.signal(signal.SIGINT, before)


def _watch_progress(job: UploadJob, show: bool, presses: Sequence[float]) -> None:
    follow = _only_wait if not show else _move_a_bar if can_move() else _write_lines
    follow(job, lambda: job.wait(0.1) or bool(presses and time.monotonic() > presses[-1]))


def _only_wait(_: UploadJob, ended: Callable[[], bool]) -> None:
    while not ended():
        pass


def _write_lines(job: UploadJob, ended: Callable[[], bool]) -> None:
    lines = Lines(job, _to_stderr)
    while not ended():
        lines.look()
    lines.say()


def _to_stderr(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _move_a_bar(job: UploadJob, ended: Callable[[], bool]) -> None:
    from tqdm.auto import tqdm

    now, waiting = job.progress(predict=False), ""
    with tqdm(total=now.rows, unit="row", desc="upload", mininterval=0.25) as bar:
        while not ended():
            now = job.progress(predict=False)
            bar.n = now.done
            bar.refresh() if bar.n == 0 else bar.update(0)
            if waiting != (waiting := now.waiting):
                bar.set_postfix_str(f"waiting: {waiting}" if waiting else "")
        now = job.progress(predict=False)
        bar.n = now.rows - now.not_applied  # at the end, a full bar says that all is well
        bar.set_postfix_str(", ".join(f"{n:,} {word}" for word, n in now.counts.items()), refresh=True)


class Lines:
    """Progress where nothing can move, such as in a pipe or a log: a line every few seconds, and one at the end.

    Parameters
    ----------
    job : UploadJob
    write : callable
        Takes a line.
    """

    def __init__(
        self, job: UploadJob, write: Callable[[str], Any], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._job, self._write, self._clock = job, write, clock
        self._said, self._waiting = clock(), ""

    def look(self) -> None:
        """Write a line if it is time, or if the job has begun to wait for something else."""
        waiting, silent_s = self._job.progress(predict=False).waiting, self._clock() - self._said
        news = waiting != "" and waiting != self._waiting
        if silent_s >= EVERY_S or (news and (silent_s >= SOON_S or not self._waiting)):
            self._waiting = waiting or self._waiting
            self.say()

    def say(self) -> None:
        """Write a line."""
        self._said = self._clock()
        self._write(f"upload: {self._job.progress().words()}")


def can_move() -> bool:
    """Tell whether what was written can be written over: in a terminal, or in a notebook."""
    return sys.stderr.isatty() or in_a_kernel()


def in_a_kernel() -> bool:
    """Tell whether a notebook shows what is put out; IPython is not loaded to find out."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None
