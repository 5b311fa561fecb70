"""A process that uploads, or resumes, until it is done or killed; for the tests of what survives."""

import faulthandler
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import scipy.optimize  # before the fork, so that a child is at work at once
import scipy.stats  # noqa: F401

import scmkit
from scmkit import journal, uploading

Point = tuple[str, str, int]


def run(
    url: str, token: str, folder: Path, mode: str, point: Point | None = None, path: Path | None = None,
    per_second: float = 60.0,
) -> None:  # fmt: skip
    """Upload ``folder/table.csv``, or resume the job that the journal has; die at a point if there is one."""
    faulthandler.dump_traceback_later(60, exit=True)
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


def die_at(what: str, when: str, count: int) -> None:
    """Kill this process before or after something happens, at the given time that it does or the last one there is."""
    if what in ("post", "poll"):
        name = "_exchange"
        kind = uploading.Post if what == "post" else uploading.Poll
        patch(uploading, name, lambda _, work: isinstance(work, kind), when, count)
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
