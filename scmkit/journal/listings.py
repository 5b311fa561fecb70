"""What the journal holds, as plans and frames: a plan into its parts and back, the jobs, the calls made so far."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from operator import itemgetter
from typing import Any, Literal

import msgspec
import numpy as np
import pandas as pd

from scmkit.core import contract
from scmkit.core.arrays import Objects, RowStates
from scmkit.core.errors import PlanError, did_you_mean
from scmkit.core.lines import lines_at
from scmkit.core.texts import TextColumn, group, our_name
from scmkit.core.values import Mode, Outcome, RowState, Task, items_in, state_words, timed_out
from scmkit.estimation.estimate import Estimate
from scmkit.estimation.fan_out import Bounds, Uncertain
from scmkit.estimation.fitting import NAMES
from scmkit.estimation.service_time import ServiceTime
from scmkit.journal.journal import UNFINISHED, Journal, Record, StoredCall, existing, known, place, task_in
from scmkit.journal.storage import NoLocksError, or_else
from scmkit.planning.layout import Layout
from scmkit.planning.load import Load, Terms
from scmkit.planning.plan import Plan
from scmkit.planning.trials import running_total
from scmkit.tables.arguments import public
from scmkit.validation.findings import Findings

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
        return _framed_calls(line for job, service in jobs for line in _call_lines(book, job, service))


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
        plan = plan_of(book.parts(job_id), book.stored_calls(job_id))
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
            if len(lines) < calls and _key_of(book, job) == key:
                lines += _call_lines(book, job, service, calls - len(lines))
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


def begin(job: str, plan: Plan, service: str, book: Journal, check: Callable[[Journal], object]) -> Record:
    """Write a new job down, unless the check raises."""
    with or_else(book.close):
        check(book)
    calls = ((Mode.ASYNC if plan.is_async[c] else Mode.SYNC, plan.rows_of(c)) for c in range(len(plan)))
    return book.create(job, service, len(plan.index), parts_of(plan), calls)


def begin_in_file(
    job: str, plan: Plan, service: str, journal: Where, check: Callable[[Journal], object]
) -> Record | None:
    """Write a new job into a file; None, with a warning, where the file system has no locks."""
    try:
        return begin(job, plan, service, Journal(journal), check)
    except NoLocksError as why:
        warnings.warn(
            f"this upload has no journal and cannot be resumed: {why}; give a path on a local disk with journal=path",
            stacklevel=6,
        )
        return None


def parts_of(plan: Plan) -> dict[str, Any]:
    """Take a plan apart into arrays and plain values."""
    columns = [*plan.keys, *plan.fields]
    parts: dict[str, Any] = {"fates": plan.row_states, "whys": plan.whys}
    for number, column in enumerate(columns):
        parts[f"codes {number}"] = column.codes.astype(np.int32)
        parts[f"texts {number}"] = column.texts.tolist()
    sources, names = pd.factorize(plan.row_codes["source"])
    parts |= {f"row {name}": plan.row_codes[name].to_numpy() for name in Uncertain._fields}
    parts |= {f"drawn {name}": getattr(plan.service_time, name) for name in NAMES}
    parts["row source"] = sources.astype(np.int8)
    parts["plan"] = {
        "columns": [c.name for c in columns], "keys": len(plan.keys), "sources": [str(n) for n in names],
        "service_time": plan.service_time.source, "level": plan.estimate.level, "risk": plan.risk,
        "timeout_s": plan.timeout_s, "workers": plan.workers, "mode": plan.mode, "choice": plan.choice,
        "assumptions": asdict(plan.assumptions), "index": _labels_of(plan.index),
        "file": plan.load.file,
        "defined_fields": None if plan.defined_fields is None else sorted(plan.defined_fields),
        "reasons": {str(r): plan.findings.message_of(r) for r in np.flatnonzero(plan.row_states).tolist()},
    }  # fmt: skip
    return parts


def plan_of(parts: dict[str, Any], stored_calls: Sequence[StoredCall]) -> Plan:
    """Put a plan together again, from its parts and the calls that it planned."""
    keys, fields = columns_of(parts)
    facts, row_states = parts["plan"], parts["fates"]
    index = _index(facts["index"], len(row_states))
    load = Load(
        keys=keys, fields=fields, index=index, row_states=row_states,
        findings=_findings(facts["reasons"], row_states, index),
        defined_fields=None if facts["defined_fields"] is None else frozenset(facts["defined_fields"]),
        file=facts.get("file", ""),  # earlier versions did not note it
    )  # fmt: skip
    planned = [call for call in stored_calls if call.parent is None]
    layout = Layout(
        order=np.concatenate([call.rows for call in planned] or [np.zeros(0, dtype=np.int64)]),
        offsets=running_total(np.array([len(call.rows) for call in planned], dtype=np.int64)),
        is_async=np.array([call.mode is Mode.ASYNC for call in planned], dtype=bool),
        whys=parts["whys"], choice=facts["choice"],
    )  # fmt: skip
    return Plan(load, _terms(parts, keys), layout)


def _terms(parts: dict[str, Any], keys: tuple[TextColumn, ...]) -> Terms:
    facts = parts["plan"]
    codes = _row_codes(parts, np.array([*facts["sources"], None], dtype=object)[parts["row source"]], facts["level"])
    same = {name: facts[name] for name in ("risk", "timeout_s", "workers", "mode")}
    assumptions = msgspec.convert(facts["assumptions"], contract.Assumptions)
    known = _estimate(keys, codes, facts["level"])
    drawn = {name: parts[f"drawn {name}"] for name in NAMES if f"drawn {name}" in parts}  # earlier versions had fewer
    service_time = ServiceTime(**drawn, source=facts["service_time"])
    return Terms(estimate=known, row_codes=codes, service_time=service_time, assumptions=assumptions, **same)


def columns_of(parts: dict[str, Any]) -> tuple[tuple[TextColumn, ...], tuple[TextColumn, ...]]:
    """Return the keys and the fields of a stored plan."""
    names, keys = parts["plan"]["columns"], parts["plan"]["keys"]
    columns = tuple(_column(parts, number, name) for number, name in enumerate(names))
    return columns[:keys], columns[keys:]


def _column(parts: dict[str, Any], number: int, name: str) -> TextColumn:
    texts = np.empty(len(parts[f"texts {number}"]), dtype=object)
    texts[:] = parts[f"texts {number}"]
    return TextColumn(name, parts[f"codes {number}"].astype(np.int64), texts, {})


def _findings(reasons: dict[str, str], row_states: RowStates, index: pd.Index) -> Findings:
    """Say again why rows are in no call; the findings about the others are not kept."""
    told = {int(row): why for row, why in reasons.items() if why}
    lost = row_states[list(told)] == RowState.SUPERSEDED
    frame = pd.DataFrame(
        {
            "row": pd.array(list(told), dtype="Int64"),
            "label": [index[row] for row in told],
            "column": "",
            "rule": np.where(lost, "duplicate_equal", "rejected"),
            "severity": np.where(lost, "info", "error"),
            "value": None,
            "message": list(told.values()),
            "fix": None,
        }
    )
    frame["line"] = lines_at(index, frame["row"].array)
    return Findings(frame, len(row_states), row_states == RowState.REJECTED, row_states == RowState.SUPERSEDED)


def _row_codes(parts: dict[str, Any], source: Objects, level: float) -> pd.DataFrame:
    """Return what is known of each row's codes; a journal from before 2026-11-24 holds their bounds only."""
    bounds = Bounds(*(parts[f"row {name}"] for name in Bounds._fields))
    assumed = Uncertain.between(bounds, level, source == "prior")._asdict()
    known = {name: parts.get(f"row {name}", values) for name, values in assumed.items()}
    return pd.DataFrame(known | {"source": source})


def _estimate(keys: tuple[TextColumn, ...], codes: pd.DataFrame, level: float) -> Estimate:
    groups, _ = group(keys, len(codes))
    _, first = np.unique(groups, return_index=True)
    names = [k.name for k in keys]
    known = {our_name(name, names): codes[name].to_numpy()[first] for name in (*Bounds._fields, "source")}
    spread = {name: codes[name].to_numpy()[first] for name in ("sd", "shared")}
    return Estimate(tuple(names), pd.DataFrame({k.name: k.take(first) for k in keys} | known), level, **spread)


def _labels_of(index: pd.Index) -> dict[str, Any] | None:
    """Return an index as plain values; None for positions, which need not be stored."""
    names = [None if name is None else str(name) for name in index.names]
    if isinstance(index, pd.RangeIndex) and index.start == 0 and index.step == 1 and names == [None]:
        return None
    return {"names": names, "labels": [_label(label) for label in index.tolist()]}


def _label(label: Any) -> Any:
    if isinstance(label, tuple):
        return [_label(part) for part in label]
    if isinstance(label, int) and not isinstance(label, bool) and abs(label) < 2**63:
        return int(label)
    return str(label).encode("utf-8", "backslashreplace").decode()


def _index(stored: dict[str, Any] | None, rows: int) -> pd.Index:
    if stored is None:
        return pd.RangeIndex(rows)
    if len(stored["names"]) > 1:
        return pd.MultiIndex.from_tuples([tuple(label) for label in stored["labels"]], names=stored["names"])
    return pd.Index(stored["labels"], name=stored["names"][0])


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
        "key": _key_of(book, job), "service": service, "error": error,
    }  # fmt: skip


def _key_of(book: Journal, job: str) -> str:
    facts = book.parts(job, "plan")["plan"]
    return " + ".join(facts["columns"][: facts["keys"]])


def _call_lines(book: Journal, job: str, service: str, latest: int = -1) -> Iterator[dict[str, Any]]:
    name, tasks = _key_of(book, job), book.tasks(job)
    answered = book.answered(job, latest)
    keys = _keys(book, job) if any(len(rows) == 1 for _, rows, *_ in answered) else []
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


def _keys(book: Journal, job: str) -> list[TextColumn]:
    """Read the key columns of a job, and not the fields."""
    facts = book.parts(job, "plan")["plan"]
    stored = {f"{kind} {n}" for kind in ("codes", "texts") for n in range(facts["keys"])}
    parts = {name: part for each in stored for name, part in book.parts(job, each).items()}
    return [_column(parts, n, facts["columns"][n]) for n in range(facts["keys"])]


def _of_task(task: Task | None) -> tuple[int | None, float, str]:
    """Return the codes, the seconds of work and the outcome of a task, as far as the service said."""
    if task is None or task.state is not contract.TaskState.COMPLETE:
        return None, np.nan, Outcome.UNKNOWN.value
    return task.codes_affected, _between(task.started_at, task.completed_at), Outcome.APPLIED.value
