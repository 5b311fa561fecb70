"""How far an upload is, and how long it will still take: for people, in a line."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

import numpy as np

from scmkit.core.arrays import Bools, Floats
from scmkit.core.display import Html, duration, escape, plural
from scmkit.core.values import RowState, state_words
from scmkit.planning.plan import Plan
from scmkit.uploading.ledger import Ledger


@dataclass(frozen=True)
class Progress:
    """How far an upload is.

    Attributes
    ----------
    state : str
        As `UploadJob.state`.
    counts : dict of str to int
        The rows in each state, ``pending`` included.
    made, answered, planned, halved : int
        Calls made, those of them with an answer, those that were planned, and those that went out as two since calls
        before them took longer than planned.
    tasks, tasks_ended : int
        Tasks made, and those of them that have ended.
    waiting : str
        What everything waits for at the moment, such as the end of a pause that the service asked for; or empty.
    left_s : float or None
        Predicted seconds to the end; None where nothing can be predicted.
    """

    id: str
    state: str
    counts: dict[str, int]
    made: int
    answered: int
    planned: int
    halved: int
    tasks: int
    tasks_ended: int
    waiting: str = ""
    left_s: float | None = None

    @classmethod
    def of(cls, job: str, ledger: Ledger, waiting: str = "", left_s: float | None = None) -> Progress:
        """Return how far a job is, by all that its ledger knows."""
        return cls(
            job, ledger.state, ledger.counts(), **ledger.tally(), planned=len(ledger.plan), halved=ledger.halved,
            waiting=waiting, left_s=left_s,
        )  # fmt: skip

    @property
    def rows(self) -> int:
        """All rows."""
        return sum(self.counts.values())

    @property
    def done(self) -> int:
        """Rows about which the service has said something, or that are not for sending."""
        return self.rows - self._in(RowState.PENDING, RowState.CANCELLED)

    @property
    def applied(self) -> int:
        """Rows that are applied."""
        return self._in(RowState.APPLIED)

    @property
    def not_applied(self) -> int:
        """Rows that are neither applied nor merged into another."""
        return self.rows - self._in(RowState.APPLIED, RowState.SUPERSEDED)

    @property
    def share(self) -> float:
        """How much of it is done."""
        return self.done / self.rows if self.rows else 1.0

    @property
    def calls(self) -> int:
        """Calls made or planned, as far as is known."""
        return max(self.made, self.planned)

    @property
    def result(self) -> str:
        """How the job stands: its state, and how many rows are applied where it has ended with less than all."""
        return state_words(self.state, self.rows, self.applied, self.not_applied)

    def words(self, now: datetime | None = None) -> str:
        """Say it in a line."""
        states = ", ".join(f"{n:,} {word}" for word, n in self.counts.items() if word != "pending")
        parts = [f"{self.done:,} of {plural(self.rows, 'row')}" + (f" ({states})" if states else "")]
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

    def summary(self) -> str:
        """Say in a line what became of the rows, and by how many calls."""
        counts = ", ".join(f"{n:,} {word}" for word, n in self.counts.items())
        made = f"{plural(self.made, 'call')}, {plural(self.tasks, 'task')}"
        if self.halved:
            made += f" ({self.planned:,} planned, {self.halved:,} halved: calls took longer than planned)"
        return f"{self.result}: {counts or 'no rows'}; {made}"

    def _in(self, *row_states: RowState) -> int:
        return sum(self.counts.get(row_state.word, 0) for row_state in row_states)


class Forecast:
    """Predicts how long the rest of a job takes, by the work: a row whose call takes a minute is more than a quick one.

    Parameters
    ----------
    plan : Plan
    open_rows : array of bool
        Rows that are still to be done.
    speed : float
        How much faster than ours the service's clock runs.
    """

    def __init__(self, plan: Plan, open_rows: Bools, speed: float) -> None:
        self._plan, self._open, self._speed = plan, open_rows, speed

    def left_s(self, open_rows: Bools, elapsed_s: float) -> float | None:
        """Predict the seconds to the end; the first time takes a moment, since the plan is played for it."""
        work = self._work
        to_do, left = (float(work[rows].sum()) for rows in (self._open, open_rows))
        if to_do <= 0 or left <= 0:  # what follows is the read-back, which no plan predicts
            return None
        planned = self._plan.seconds * to_do / float(work.sum()) / self._speed  # a part was perhaps done before
        return seconds_left(planned, elapsed_s, 1 - left / to_do)

    @cached_property
    def _work(self) -> Floats:
        """The seconds that each row takes of all workers, or of all servers of the service, by the plan."""
        plan = self._plan
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
