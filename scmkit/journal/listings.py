"""What the journal holds, as frames: the jobs, their tasks, and the calls made so far."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, Literal

import numpy as np
import pandas as pd

from scmkit.core import contract
from scmkit.core.arrays import RowStates
from scmkit.core.errors import PlanError, did_you_mean
from scmkit.core.values import Mode, Outcome, RowState, Task, items_in, state_words, timed_out
from scmkit.journal.journal import UNFINISHED, Journal, existing, known, place, task_in
from scmkit.journal.stored_plans import facts_of, key_columns, stored_plan
from scmkit.tables.arguments import public

Where = str | os.PathLike[str] | None
WhereIfAny = Where | Literal[False]  # False: nothing is written down
# What a job that has ended may leave behind, and what may come out otherwise when it is sent again.
FAILED = (RowState.REJECTED, RowState.UNMATCHED, RowState.UNVERIFIED, RowState.UNKNOWN, RowState.CANCELLED)
_TIME = "datetime64[us, UTC]"
_JOBS = {
    "id": "object", "created": _TIME, "state": "object", "rows": "int64", "applied": "int64",
    "not_applied": "int64", "result": "object", "unfinished": "int64", "key": "object", "service": "object",
    "error": "object",
}  # fmt: skip
_CALLS = {
    "job": "object", "call": "int64", "at": _TIME, "key": "object", "codes": "float64",
    "items": "int64", "bytes": "int64", "seconds": "float64", "timed_out": "bool", "mode": "object",
    "outcome": "object", "service": "object", "key_value": "object", "codes_affected": "Int64",
}  # fmt: skip
_TOTALS = {"failed": "int64", "codes": "Int64", "seconds": "float64", "open_tasks": "int64"}
_TASKS = {
    "task_id": "object", "job": "object", "call": "int64", "at": _TIME, "state": "object",
    "codes_affected": "Int64", "seconds": "float64", "finished": "bool",
}  # fmt: skip


@public()
def jobs(journal: Where = None) -> pd.DataFrame:
    """List the uploads that a journal knows, newest last.

    Parameters
    ----------
    journal : path, optional
        Default: the user's own.

    Returns
    -------
    DataFrame
        ``id``, ``created``, ``state``, ``rows``, ``applied``, ``not_applied`` (rows that are neither applied nor merged
        into another), ``result`` (the state, and how many rows are applied where not all are: ``complete, 0 of 5
        applied``), ``unfinished`` (rows that `resume` would send or follow), ``key``, ``service`` (its URL) and
        ``error``. The state is ``running``, ``complete``, ``cancelled``, ``suspended`` (stopped by an error) or
        ``interrupted`` (its process is gone).
    """
    with existing(journal) as book:
        sql = "select id, created, service, state, error, rows from jobs order by rowid"
        lines = [] if book is None else [_job_line(book, book.row_states(line[0]), *line) for line in book.query(sql)]
    return _framed(lines, _JOBS)


@public()
def history(journal: Where = None) -> pd.DataFrame:
    """List the calls made so far, oldest first, ready for `ServiceTime.fit` and `estimate`.

    Parameters
    ----------
    journal : path, optional
        Default: the user's own.

    Returns
    -------
    DataFrame
        A line per attempt that has a result: ``job``, ``call``, ``at``, ``key``, ``codes`` (of a call that the gateway
        cut: those that it would have changed, by the estimate), ``items``, ``bytes``, ``seconds`` (of a task: from its
        start to its end), ``timed_out``, ``mode``, ``outcome``, ``service`` (its URL), ``key_value`` (of a call with
        one key value) and ``codes_affected`` (only what the service said).
    """
    with existing(journal) as book:
        if book is None:
            return _framed_calls([])
        jobs = book.query("select id, service from jobs order by rowid")
        return _framed_calls(
            line for job, service in jobs for line in _call_lines(book, job, service, facts_of(book, job))
        )


def overview(book: Journal, known: dict[str, Any]) -> pd.DataFrame:
    """List the uploads as `jobs` does, with what a board shows besides.

    Parameters
    ----------
    book : Journal
    known : dict
        What was read before, and is not read again where nothing can have changed; empty at first.

    Returns
    -------
    DataFrame
        Also ``failed`` (rows that `table_of` gives), ``codes`` (affected, as the answers said; a repeat counts again),
        ``seconds`` (from the first call to the last answer) and ``open_tasks``.
    """
    sql = "select id, created, service, state, error, rows, (select max(id) from settled where job = jobs.id) from jobs"
    lines = []
    for job, *facts, noted in book.query(f"{sql} order by rowid"):
        mark = (facts[2:4], noted)  # state and error
        if facts[2] == "running" or job not in known or known[job][0] != mark:
            row_states = book.row_states(job)
            known[job] = mark, _job_line(book, row_states, job, *facts) | _totals(book, row_states, job)
        lines.append(known[job][1])
    return _framed(lines, _JOBS | _TOTALS)


def tasks(book: Journal, job: str) -> pd.DataFrame:
    """List the tasks that a job made: ``job``, ``call``, ``at``, and what the service said last."""
    return _framed(_task_lines(book, job), _TASKS)


def table_of(job_id: str, journal: Where = None, states: Sequence[str] | None = None) -> pd.DataFrame:
    """Return rows of an earlier upload as a table again, to be uploaded anew.

    Parameters
    ----------
    job_id : str
        As `jobs` lists it.
    journal : path, optional
        Default: the user's own.
    states : sequence of str, optional
        Rows in these states. Default: those that may come out otherwise when they are sent again: ``rejected`` by the
        service, ``unmatched``, ``unverified``, ``unknown``, ``cancelled``.

    Returns
    -------
    DataFrame
        The key and the fields as text, under the rows' own labels. Rows that validation rejected are left out: what
        was wrong with them is not in the journal.
    """
    words = {row_state.word: row_state for row_state in RowState}
    wrong = [word for word in states or () if word not in words]
    if wrong:
        raise PlanError(f"rows are never {wrong[0]!r}{did_you_mean(wrong[0], list(words))}")
    with known(job_id, journal) as book:
        plan = stored_plan(book, job_id)
        row_states = book.row_states(job_id)
    wanted = FAILED if states is None else tuple(words[word] for word in states)
    rows = np.flatnonzero(np.isin(row_states, wanted) & (plan.row_states != RowState.REJECTED))
    columns = {column.name: column.take(rows) for column in (*plan.keys, *plan.fields)}
    return pd.DataFrame(columns, index=plan.index[rows])


def recent_calls(service: str, key: str, journal: Where = None, jobs: int = 20, calls: int = 5_000) -> pd.DataFrame:
    """List the latest calls by a key to one service, as `history` does; none where there is no journal yet.

    No more is read than that takes, however much the journal holds: an upload begins with it.
    """
    if not place(journal).exists():
        return _framed_calls([])
    latest = "select id from jobs where service = ? order by rowid desc limit ?"
    lines: list[dict[str, Any]] = []
    with Journal(journal) as book:
        for (job,) in book.query(latest, service, jobs):
            if len(lines) < calls and _key_in(facts := facts_of(book, job)) == key:
                lines += _call_lines(book, job, service, facts, calls - len(lines))
    return _framed_calls(lines)


def _framed(lines: Iterable[Any], kinds: dict[str, str]) -> pd.DataFrame:
    """Make a frame with columns of these kinds; times are seconds since 1970."""
    frame = pd.DataFrame(lines, columns=list(kinds))
    for name, kind in kinds.items():
        if kind == _TIME:
            frame[name] = pd.to_datetime(frame[name], unit="s", utc=True)
    return frame.astype(kinds)


def _framed_calls(lines: Iterable[dict[str, Any]]) -> pd.DataFrame:
    return _framed(sorted(lines, key=itemgetter("at")), _CALLS)


def _totals(book: Journal, row_states: RowStates, job: str) -> dict[str, Any]:
    sent = book.parts(job, "fates")["fates"] != RowState.REJECTED
    ((codes, began, ended),) = book.query(
        "select sum(codes), min(at), max(at + coalesce(seconds, 0)) from attempts where job = ?", job
    )
    made = list(_task_lines(book, job))
    known = [codes, *(task["codes_affected"] for task in made)]
    ends = [ended, *(task["at"] + task["seconds"] for task in made if task["seconds"] == task["seconds"])]
    return {
        "failed": (np.isin(row_states, FAILED) & sent).sum(),
        "codes": sum(n for n in known if n is not None) if any(n is not None for n in known) else pd.NA,
        "seconds": np.nan if began is None else max(ends) - began,
        "open_tasks": sum(not task["finished"] for task in made),
    }


def _task_lines(book: Journal, job: str) -> Iterator[dict[str, Any]]:
    for task_id, call, at, seen in book.query(
        "select a.task, a.call, a.at, t.seen from attempts a left join tasks t on t.job = a.job and t.id = a.task "
        "where a.job = ? and a.task is not null order by a.id", job,
    ):  # fmt: skip
        task = Task(task_id, None, "accepted") if seen is None else task_in(seen)
        yield {
            "task_id": task_id, "job": job, "call": call, "at": at,
            "state": task.state_word, "codes_affected": task.codes_affected,
            "seconds": _between(task.created_at, task.completed_at), "finished": task.finished,
        }  # fmt: skip


def _between(begun: str | None, ended: str | None) -> float:
    """Return the seconds between two times of the service, NaN where it did not say both."""
    try:
        return (datetime.fromisoformat(str(ended)) - datetime.fromisoformat(str(begun))).total_seconds()
    except (ValueError, TypeError):
        return np.nan


def _job_line(
    book: Journal, row_states: RowStates, job: str, created: float, service: str, state: str, error: str | None,
    rows: int,
) -> dict[str, Any]:  # fmt: skip
    state = book.state_now(job, state)
    applied = (row_states == RowState.APPLIED).sum()
    not_applied = rows - applied - (row_states == RowState.SUPERSEDED).sum()
    return {
        "id": job, "created": created, "state": state, "rows": rows, "applied": applied, "not_applied": not_applied,
        "result": state_words(state, rows, applied, not_applied),
        "unfinished": 0 if state == "complete" else np.isin(row_states, UNFINISHED).sum(),
        "key": _key_in(facts_of(book, job)), "service": service, "error": error,
    }  # fmt: skip


def _key_in(facts: dict[str, Any]) -> str:
    return " + ".join(facts["columns"][: facts["keys"]])


def _call_lines(
    book: Journal, job: str, service: str, facts: dict[str, Any], latest: int = -1
) -> Iterator[dict[str, Any]]:
    name, tasks = _key_in(facts), book.tasks(job)
    answered = book.answered(job, latest)
    keys = key_columns(book, job, facts) if any(len(rows) == 1 for _, rows, *_ in answered) else []
    expected = book.parts(job, "row codes")["row codes"]
    for mode, rows, call, at, size, outcome, status, seconds, codes, task_id in answered:
        cut = timed_out(mode, status)
        if mode is Mode.ASYNC and outcome == Outcome.APPLIED:
            codes, seconds, outcome = _of_task(tasks.get(task_id))
        yield {
            "job": job, "call": call, "at": at, "key": name,
            "codes": float(expected[rows].sum()) if cut and codes is None else codes,
            "items": items_in(mode, len(rows)), "bytes": size, "seconds": seconds,
            "timed_out": cut, "mode": mode.value, "outcome": outcome, "service": service,
            "key_value": keys[0].take(rows)[0] if len(rows) == len(keys) == 1 else None, "codes_affected": codes,
        }  # fmt: skip


def _of_task(task: Task | None) -> tuple[int | None, float, str]:
    """Return the codes, the seconds of work and the outcome of a task, as far as the service said."""
    if task is None or task.state is not contract.TaskState.COMPLETE:
        return None, np.nan, Outcome.UNKNOWN.value
    return task.codes_affected, _between(task.started_at, task.completed_at), Outcome.APPLIED.value
