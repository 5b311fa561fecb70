"""A process that uploads, or resumes, until it is done or killed; for the tests of what survives."""

import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import scipy.optimize  # before the fork, so that a child is at work at once
import scipy.stats  # noqa: F401

import scmkit
from scmkit.journal import journal
from scmkit.uploading import run as runs
from scmkit.uploading import threads
from scmkit.wire import turns

Point = tuple[str, str, int]


def forks() -> Any:
    """Give a context whose processes begin with everything imported; they take milliseconds to start, not seconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pytest", "uploader", "walkers"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENBLAS_NUM_THREADS", "1")  # a process that forks should have no threads
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))  # what is not found is not preloaded, without a word
        context.Process(target=int).start()
    return context


def run(
    url: str, token: str, folder: Path, mode: str, point: Point | None = None, path: Path | None = None,
    per_second: float = 60.0,
) -> None:  # fmt: skip
    """Upload ``folder/table.csv``, or resume the job that the journal has; die at a point if there is one."""
    os.environ[turns.STATE] = str(folder / "state" if path is None else path.parent)
    faulthandler.dump_traceback_later(60, exit=True)
    note_turns(folder / "turns")
    if path is None:
        path = folder / "state" / "journal.sqlite3"
        known = scmkit.jobs(path)["id"].tolist() if path.exists() else []
    else:
        known = []
    if point is not None:
        die_at(*point)
    limits = scmkit.Limits(updates_per_second=per_second, speed=20, connect_s=5, read_s=20, deadline_s=20)
    client = scmkit.Client(url, token, limits=limits)
    if known:
        scmkit.resume(known[0], client, path, progress=False)
        return
    df = scmkit.read_table(folder / "table.csv")
    plan = scmkit.plan(df, mode=mode, workers=4, assumptions=scmkit.Assumptions(max_body_bytes=400))
    scmkit.upload(plan, client, journal=path, progress=False)


def resume(url: str, token: str, path: Path, job: str, told: Connection) -> None:
    """Resume a job, and tell the error, if any."""
    os.environ[turns.STATE] = str(path.parent)
    try:
        with scmkit.Client(url, token) as client:
            scmkit.resume(job, client, path, progress=False)
    except scmkit.ScmkitError as error:
        told.send(f"{type(error).__name__}: {error}")
    else:
        told.send("")


def note_turns(file: Path) -> None:
    """Note the moment of each turn that this process takes; when its call arrives is up to the machine."""
    turnstile, clock, asked = turns.Turnstile, time.monotonic, [0.0]
    begin, wait = turnstile.__init__, turnstile.wait

    def ask() -> float:
        asked[0] = clock()
        return asked[0]

    def noted_wait(self: turns.Turnstile) -> None:
        wait(self)
        with file.open("a") as lines:
            lines.write(f"{asked[0]!r}\n")

    turnstile.__init__ = lambda self, path, interval_s: begin(self, path, interval_s, ask)  # type: ignore[method-assign]
    turnstile.wait = noted_wait  # type: ignore[method-assign]


def die_at(what: str, when: str, count: int) -> None:
    """Kill this process before or after something happens, at the given time that it does or the last one there is."""
    if what in ("post", "poll"):
        kind = threads.Post if what == "post" else threads.Poll
        patch(threads, "exchange", lambda _, work: isinstance(work, kind), when, count)
    else:
        count = 1 if what == "Ended" else count
        patch(journal.Record, "__call__", lambda _, event: type(event).__name__ == what, when, count)


def patch(where: Any, name: str, matters: Callable[..., bool], when: str, count: int) -> None:
    """Wrap a function so that it kills."""
    real, left = getattr(where, name), [count]

    def lethal(*arguments: Any) -> Any:
        left[0] -= (matter := matters(*arguments))
        fatal = matter and left[0] == 0
        if fatal and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*arguments)
        if fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(where, name, lethal)


def press_in_a_lock(url: str, token: str, folder: Path) -> None:
    """Upload, and press Ctrl-C in the very moment at which the lock of the wait is about to be let go."""

    def watch(frame: Any, event: str, _: Any) -> None:
        leaves = event == "call" and frame.f_code is threading.Condition.__exit__.__code__
        if leaves and frame.f_back.f_back.f_code.co_filename == runs.__file__:
            sys.settrace(None)
            signal.raise_signal(signal.SIGINT)

    sys.settrace(watch)
    run(url, token, folder, "sync")


def fork_with_a_client(url: str, token: str, tasks: int) -> None:
    """Use a client, then fork: each child asks for a task of its own, again and again."""
    client = scmkit.Client(url, token)
    client.me()  # from now on there is a connection that the children inherit
    children = []
    for number in range(tasks):
        if (child := os.fork()) == 0:
            answers = {client.task(f"task-{number}").id for _ in range(20)}
            os._exit(0 if answers == {f"task-{number}"} else 1)
        children.append(child)
    assert client.me()["email"] == "someone@example.com"
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * tasks


def fork_during_a_job(url: str, token: str, journal: Path, told: Connection) -> None:
    """Fork while a job runs: the child says what it hears of it, and outlives the parent."""
    os.environ[turns.STATE] = str(journal.parent)
    with scmkit.Client(url, token) as client:
        table = scmkit.read_table(journal.with_name("table.csv"))
        job = scmkit.upload(table, client, journal=journal, progress=False, wait=False)
        told.send(job.id)
        while not len(job.calls) and not Path(f"{journal}-sent").exists():
            time.sleep(0.01)
        if os.fork() == 0:
            try:
                job.result()
            except scmkit.ScmkitError as error:
                told.send(str(error))
            told.recv()
        os._exit(0)
