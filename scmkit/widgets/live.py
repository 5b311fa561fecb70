"""An upload in a notebook: a line that moves while it runs, and the summary when it has ended. No widgets needed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from scmkit.display import Html, escape, plural
from scmkit.widgets.desk import SPACING_S, Desk

if TYPE_CHECKING:
    from scmkit.uploading import UploadJob


@dataclass(frozen=True)
class Progress:
    """How far an upload is.

    Attributes
    ----------
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
            parts.append(f"{_about(self.left_s)} left, until {end:%H:%M:%S}")
        return f"{self.state}, {self.share:.0%}: {'; '.join(parts)}"

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
        self._began, self._told = clock(), job._ledger.told

    def look(self, predict: bool = True) -> Progress:
        """Say how far the job is; a prediction may take a moment the first time, since the plan is played for it."""
        job, told, rows = self._job, self._job._ledger.told, len(self._job.plan.index)
        calls, answered, tasks, ended = job._ledger.tally()
        return Progress(
            job.id, job.state, told, rows, job.counts(), answered, max(calls, len(job.plan)), ended, tasks,
            job.waiting, self._left_s(told, rows) if predict else None,
        )  # fmt: skip

    def _left_s(self, told: int, rows: int) -> float | None:
        """Blend what was planned with what was seen since: the further it is, the more the latter counts."""
        to_do = rows - self._told
        if to_do <= 0:
            return None
        done = (told - self._told) / to_do
        planned = self._job.plan.seconds / self._job._client.limits.speed * to_do / rows
        return (1 - done) * ((1 - done) * planned + (self._clock() - self._began))


@dataclass(frozen=True)
class Shown:
    """HTML for a notebook, and text."""

    html: Html
    words: str

    def __repr__(self) -> str:
        return self.words

    def _repr_html_(self) -> str:
        return str(self.html)


class LiveLine:
    """A line in a notebook's output that follows a job to its end, where the job's summary takes its place.

    Parameters
    ----------
    job : UploadJob

    Attributes
    ----------
    shown : Shown
        What there is to see at present.
    """

    def __init__(self, job: UploadJob) -> None:
        self._job, self._watcher = job, Watcher(job)
        self.shown = self._now(predict=False)  # on the kernel's thread, which must not wait
        self.desk = Desk(f"scmkit-line-{job.id}", self._give_up)

    def follow(self, put: Callable[[Shown], Any]) -> None:
        """Put what is new in the place of what was there, at most four times a second, and at last the summary."""
        self.desk.do("line", lambda: self._step(put), after_s=SPACING_S)

    def _step(self, put: Callable[[Shown], Any]) -> None:
        ended = self._job.done()  # before the look: what is shown last is the end
        now = self._now()
        if now != self.shown:
            self.shown = now
            put(now)
        if not ended:
            self.follow(put)

    def _now(self, predict: bool = True) -> Shown:
        if self._job.done():
            return Shown(Html(self._job._repr_html_()), repr(self._job))
        progress = self._watcher.look(predict)
        return Shown(progress.html(), f"<UploadJob {progress.id} {progress.words()}>")

    def _give_up(self, error: Exception) -> None:
        """Leave the line as it is: the job goes on without it, and shows itself whenever it is asked."""
        self.desk.close()


def show(job: UploadJob) -> None:
    """Show a job in a notebook as a line that moves.

    Raises
    ------
    NotImplementedError
        There is nothing to move: the job has ended, or there is no kernel to show it. IPython then shows it as it
        shows anything else.
    """
    if job.done() or not _in_a_kernel():
        raise NotImplementedError
    from IPython.display import display

    line = LiveLine(job)
    line.follow(display(line.shown, display_id=True).update)


def _in_a_kernel() -> bool:
    from IPython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None


def _about(seconds: float) -> str:
    if seconds < 90:
        return f"about {max(seconds, 1):.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"
