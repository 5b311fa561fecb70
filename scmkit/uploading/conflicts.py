"""Fences: which earlier jobs may still change the same codes, whatever process or client they belong to.

The journal knows: those that run, in this process or another, and those that nobody works on any more, whose lost calls
and tasks may still take effect. Jobs of one client in different journals know of each other by its `JobOrder`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from scmkit.core.arrays import Bools, Ints
from scmkit.core.errors import NotFoundError, ScmkitError, UnsettledError
from scmkit.core.texts import TextColumn
from scmkit.core.values import Mode, RowState, Task, in_doubt
from scmkit.engine import evidence
from scmkit.engine.evidence import Change
from scmkit.engine.tasks import LATE_S
from scmkit.journal.journal import Journal
from scmkit.journal.memory import elsewhere
from scmkit.journal.stored_plans import columns_of
from scmkit.planning.plan import Plan
from scmkit.wire.order import JobOrder
from scmkit.wire.pacing import Claim
from scmkit.wire.turns import age_s, place_of

ASK_BEYOND_S = 180.0  # of the service's clock; nobody should wait for longer without having been asked
# From a call's note in the journal to its arrival at the gateway: its turn, the connection, the body. [assumed]
TRAVEL_S = 15.0
LONGEST_CALL_S = 120.0  # the client gives up after 90 s


def claim_of(plan: Plan, rows: Ints | None = None) -> Claim:
    """Say what a plan changes, or some of its rows."""
    keys = {k.name: frozenset(k.take(plan.order if rows is None else rows)) for k in plan.keys}
    return Claim(keys, frozenset(f.name for f in plan.fields))


class EarlierJobs:
    """What earlier jobs forbid.

    Parameters
    ----------
    book : Journal
        In which the job is, or will be.
    claim : Claim
        What is to be changed.
    service : str
        The URL of the service.
    speed : float
        How much faster than ours its clock runs.
    task : callable
        Asks the service for a task by its id, as `Client.task` does.
    job : str, optional
        The job whose claim it is; None when it is not written down yet.
    order : JobOrder, optional
        Of the client's jobs.
    """

    def __init__(
        self, book: Journal, claim: Claim, service: str, speed: float, task: Callable[[str], Task],
        job: str | None = None, order: JobOrder | None = None,
    ) -> None:  # fmt: skip
        self._book, self._claim, self._speed, self._job, self._order = book, claim, speed, job, order
        self._task = task
        self._place = place_of(service)
        self._meets: dict[str, bool] = {}

    def held_s(self) -> float:
        """Return the seconds for which earlier jobs may still change the same; infinite while one of them runs.

        Raises
        ------
        UnsettledError
            A job that nobody works on has tasks under way, or may still change codes for longer than one would wait.
        """
        mine = "select id, state, service from jobs where ? is null or rowid < (select rowid from jobs where id = ?)"
        held = self._held_by(self._book, self._book.query(mine, self._job, self._job))
        others = [] if self._order is None else elsewhere(self._order, self._job, self._book.path)
        for book, jobs in others:
            lines = book.query("select id, state, service from jobs")
            held = max(held, self._held_by(book, [line for line in lines if line[0] in jobs]))
        return held

    def _held_by(self, book: Journal, jobs: Sequence[tuple[str, str, str]]) -> float:
        """Return the seconds for which these jobs of a journal may still change the same."""
        held, doubts = 0.0, self._doubts(book)
        for job, state, service in jobs:
            if place_of(service) != self._place:
                continue
            if state != "complete" and book.is_running(job):
                held = float("inf") if self._collides(book, job) else held
                continue
            left = doubts.get(job, 0.0)
            open_tasks = [] if state == "complete" else self._open_tasks(book, job)
            if (open_tasks or left) and self._collides(book, job):
                self._refuse(book, job, next(self._under_way(book, job, open_tasks), None), left)
                held = max(held, left)
        return held

    def _doubts(self, book: Journal) -> dict[str, float]:
        """Return for each job the seconds for which its lost calls may still take effect."""
        left = dict[str, float]()
        longest = (max(LATE_S.values()) + LONGEST_CALL_S) / self._speed
        sql = "select job, call, clock, seconds, outcome, status from attempts order by id desc"
        for job, call, began, seconds, outcome, status in book.each(sql):
            age = age_s(began)
            if age > longest:  # and whatever was numbered before it is older
                break
            if in_doubt(outcome, status):
                late, lasted = LATE_S[_mode(book, job, call)] / self._speed, max(seconds or 0.0, TRAVEL_S) / self._speed
                left[job] = max(left.get(job, 0.0), min(late, lasted + late - age))
        return left

    def _open_tasks(self, book: Journal, job: str) -> list[tuple[str, int, float]]:
        """Return the tasks of which the journal knows no end, with the call that made each, and when."""
        seen = book.tasks(job)
        made = book.query("select task, call, clock from attempts where job = ? and task is not null", job)
        return [line for line in made if line[0] not in seen or not seen[line[0]].finished]

    def _under_way(self, book: Journal, job: str, tasks: Sequence[tuple[str, int, float]]) -> Iterator[str]:
        """Ask the service which of these tasks have really not ended, and note those that have."""
        for task, call, began in tasks:
            try:
                told = self._task(task)
            except NotFoundError:
                if age_s(began) < LATE_S[Mode.ASYNC] / self._speed:  # it may not be visible yet
                    yield task
            except ScmkitError:
                yield task
            else:
                book.see(job, call, told)
                if not told.finished:
                    yield task

    def _collides(self, book: Journal, job: str) -> bool:
        if job not in self._meets:
            self._meets[job] = self._claim.meets(_claim_in(book, job))
        return self._meets[job]

    def _refuse(self, book: Journal, job: str, task: str | None, left: float) -> None:
        """Raise where one would have to wait for a task that nobody follows, or for long."""
        if task is not None:
            way_on = (
                f"scmkit.resume({job!r}) follows it to its end" if book.lasting else f"client.task({task!r}) tells when"
            )
            why = f"its task {task} is still under way. {way_on}"
        elif left * self._speed > ASK_BEYOND_S:
            why = (
                "the answer to one of its async calls was lost, and the task that it may have made can still run for "
                f"{left / 60:.0f} min. Wait for that"
            )
        else:
            return
        new = self._job is None or not self._book.lasting
        word = "upload(..., anyway=True)" if new else f"scmkit.resume({self._job!r}, anyway=True)"
        raise UnsettledError(
            f"job {job} may still change the same fields of the same codes: {why}; or, if an older value over a newer "
            f"one does no harm, {word}"
        )


def _mode(book: Journal, job: str, call: int) -> Mode:
    ((mode,),) = book.query("select mode from calls where job = ? and number = ?", job, call)
    return Mode(mode)


def later_jobs(book: Journal, job: str, service: str) -> list[str]:
    """Name the jobs of a service that were written down after this one."""
    later = book.query("select id, service from jobs where rowid > (select rowid from jobs where id = ?)", job)
    return [other for other, its in later if place_of(its) == place_of(service)]


def overtaken_by(book: Journal, plan: Plan, rows: Ints, job: str, service: str) -> str | None:
    """Name a later job that may have changed what these rows would change, or is about to.

    One that is running counts, whether it has sent anything or not: it has perhaps just found this one at rest. Each
    of the two takes hold of its job before it looks for the other, so that at least one of them sees the other.
    """
    if not len(rows):
        return None
    ours = claim_of(plan, rows)
    sent = "select exists (select 1 from attempts where job = ?)"
    later = (j for j in later_jobs(book, job, service) if book.query(sent, j)[0][0] or book.is_running(j))
    return next((other for other in later if ours.meets(_claim_in(book, other))), None)


def changes_since(book: Journal, job: str, service: str) -> list[Change]:
    """Return what other jobs of a service may have changed since the first call of this one."""
    first = "(select min(id) from attempts where job = ?)"
    others = book.query(
        f"select distinct a.job, j.service from attempts a join jobs j on j.id = a.job where a.id > {first} "  # noqa: S608
        "and a.job <> ?", job, job,
    )  # fmt: skip
    return [_change_in(book, other) for other, its in others if place_of(its) == place_of(service)]


def _change_in(book: Journal, job: str) -> Change:
    parts = book.parts(job)
    sent = (parts["fates"] == RowState.PENDING) & ~np.isin(book.row_states(job), evidence.CHANGED_NOTHING)
    keys, fields = ({c.name: _texts(c, sent) for c in columns} for columns in columns_of(parts))
    return Change(keys, {name: values for name, values in fields.items() if values})


def _texts(column: TextColumn, rows: Bools) -> frozenset[str]:
    return frozenset(column.texts[np.unique(column.codes[rows & ~column.missing])])


def _claim_in(book: Journal, job: str) -> Claim:
    keys, fields = columns_of(book.parts(job))
    return Claim({k.name: frozenset(k.texts) for k in keys}, frozenset(f.name for f in fields))
