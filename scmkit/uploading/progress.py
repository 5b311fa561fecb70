"""How far an upload is, and how long it will still take: for people, in a line."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from scmkit.core.arrays import Floats
from scmkit.core.display import Html, duration, escape, plural

if TYPE_CHECKING:
    from scmkit.uploading.job import UploadJob

EVERY_S = 5.0  # between two lines in a log
SOON_S = 1.0  # and where there is news


@dataclass(frozen=True)
class Progress:
    """How far an upload is.

    Attributes
    ----------
    result : str
        How the job stands: its state, and how many rows are applied where that has ended with less than all.
    told, rows : int
        Rows about which the service has said something, and all rows.
    answered, calls : int
        Calls with an answer, and all that were made or are planned.
    tasks_ended, tasks : int
    waiting : str
        What everything waits for, if for anything.
    left_s : float or None
        Predicted seconds to the end.
    """

    id: str
    state: str
    result: str
    told: int
    rows: int
    counts: dict[str, int]
    answered: int
    calls: int
    tasks_ended: int
    tasks: int
    waiting: str
    left_s: float | None

    @property
    def share(self) -> float:
        """How much of it is done."""
        return self.told / self.rows if self.rows else 1.0

    def words(self, now: datetime | None = None) -> str:
        """Say it in a line."""
        states = ", ".join(f"{n:,} {word}" for word, n in self.counts.items() if word != "pending")
        parts = [f"{self.told:,} of {plural(self.rows, 'row')}" + (f" ({states})" if states else "")]
        parts.append(f"{self.answered:,} of {plural(self.calls, 'call')} answered")
        if self.tasks:
            parts.append(f"{self.tasks_ended:,} of {plural(self.tasks, 'task')} ended")
        if self.waiting:
            parts.append(f"waiting: {self.waiting}")
        elif self.left_s is not None:
            end = (now or datetime.now()) + timedelta(seconds=self.left_s)
            left = duration(max(round(self.left_s), 1))
            parts.append(f"about {left} left, until {end:%H:%M:%S}")
        how = self.result if self.result != self.state else f"{self.state}, {self.share:.0%}"
        return f"{how}: {'; '.join(parts)}"

    def html(self, now: datetime | None = None) -> Html:
        """Show it in a line, with a bar."""
        bar = (
            f'<progress max="100" value="{100 * self.share:.1f}" aria-label="rows done" style="width:12em;height:1em;'
            f'vertical-align:middle">{self.share:.0%}</progress>'
        )
        return Html(f'<div style="color:inherit"><b>Upload {escape(self.id)}</b> {bar} {escape(self.words(now))}</div>')


class Watcher:
    """Follows a job from now on.

    Parameters
    ----------
    job : UploadJob
    clock : callable
        Gives seconds.
    """

    def __init__(self, job: UploadJob, clock: Callable[[], float] = time.monotonic) -> None:
        self._job, self._clock = job, clock
        self._began, self._open = clock(), job._ledger.open_rows()

    def look(self, predict: bool = True) -> Progress:
        """Say how far the job is; a prediction may take a moment the first time, since the plan is played for it."""
        job, told, rows = self._job, self._job._ledger.told, len(self._job.plan.index)
        calls, answered, tasks, ended = job._ledger.tally()
        return Progress(
            job.id, job.state, job._ledger.words, told, rows, job.counts(), answered, max(calls, len(job.plan)),
            ended, tasks, job.waiting, self._left_s() if predict and not job.done() else None,
        )  # fmt: skip

    def _left_s(self) -> float | None:
        """Predict the rest by the work that is left: a row whose call takes a minute is more of it than a quick one."""
        work, plan = self._work, self._job.plan
        to_do, left = (float(work[rows].sum()) for rows in (self._open, self._job._ledger.open_rows()))
        if to_do <= 0 or left <= 0:  # what follows is the read-back, which no plan predicts
            return None
        planned = plan.seconds * to_do / float(work.sum()) / self._job.speed  # another process may have done a part
        return seconds_left(planned, self._clock() - self._began, 1 - left / to_do)

    @cached_property
    def _work(self) -> Floats:
        """The seconds that each row takes of all workers, or of all servers of the service, by the plan."""
        plan = self._job.plan
        schedule, work = plan.schedule, np.zeros(len(plan.index))
        at_once = np.where(schedule.is_async, schedule.assumed.parallel_tasks, schedule.workers)
        work[plan.order] = np.repeat(schedule.seconds / at_once / schedule.rows, schedule.rows)
        return work


def seconds_left(predicted: float, elapsed: float, done: float) -> float:
    """Predict the rest: by the plan at first, by the pace so far at the end.

    Parameters
    ----------
    predicted, elapsed : float
        Seconds.
    done : float
        The share of the work that is done, 0 to 1.
    """
    by_plan = max(predicted - elapsed, 0.0)
    by_pace = elapsed / done * (1 - done) if done > 0 else by_plan
    return (1 - done) * by_plan + done * by_pace


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
        self._watcher, self._waiting = Watcher(job, clock), ""
        self._said = clock()

    def look(self) -> None:
        """Write a line if it is time, or if the job has begun to wait for something else."""
        waiting, silent_s = self._job.waiting, self._clock() - self._said
        news = waiting != "" and waiting != self._waiting
        if silent_s >= EVERY_S or (news and (silent_s >= SOON_S or not self._waiting)):
            self._waiting = waiting or self._waiting
            self.say()

    def say(self) -> None:
        """Write a line."""
        self._said = self._clock()
        self._write(f"upload: {self._watcher.look().words()}")


def can_move() -> bool:
    """Tell whether what was written can be written over: in a terminal, or in a notebook."""
    return sys.stderr.isatty() or in_a_kernel()


def in_a_kernel() -> bool:
    """Tell whether a notebook shows what is put out; IPython is not loaded to find out."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None
