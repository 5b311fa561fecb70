"""`resume`: an upload that did not reach its end, carried there from the journal alone."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import urlsplit

import numpy as np

from scmkit.core.arrays import Bools, Ints
from scmkit.core.contract import TaskState
from scmkit.core.errors import ConfigurationError, JournalError
from scmkit.core.events import Settled
from scmkit.core.values import Mode, RowState, Task
from scmkit.engine.engine import Call, Counted, Start
from scmkit.engine.evidence import FieldFacts
from scmkit.journal.journal import UNFINISHED, Record, StoredCall, known
from scmkit.journal.stored import plan_of
from scmkit.planning.plan import Plan
from scmkit.tables.arguments import public
from scmkit.uploading.earlier_jobs import later_jobs, overtaken_by
from scmkit.uploading.job import UploadJob, let_go_on_error, wait_for
from scmkit.wire.client import Client, default_client

# The answers after which a call is not sent again as it was: its rows are halved, or a single one goes async.
TOO_MUCH = (400, 413, 500, 504)


@public(depths=False)
def resume(
    job_id: str,
    client: Client | None = None,
    journal: str | os.PathLike[str] | None = None,
    wait: bool = True,
    progress: bool = True,
    *,
    verify: bool = False,
    anyway: bool = False,
) -> UploadJob:
    """Carry an upload to its end: one that was killed, cancelled, or stopped by an error.

    Rows that have reached an end stay as they are. Calls of which nobody knows whether they were applied go out first;
    they only set values, so a repeat does no harm. A job that is complete sends nothing.

    Parameters
    ----------
    job_id : str
        As `jobs` lists it.
    client : Client, optional
        Of the same service; it may have a new token. Default: as in `upload`.
    journal : path, optional
        Default: the user's own.
    wait, progress, verify : see `upload`
    anyway : bool, default False
        Carry on now, although a later upload may have changed the same fields of the same codes, or an earlier one may
        still do so.

    Returns
    -------
    UploadJob
        With the calls and rows of the earlier sessions, too.

    Raises
    ------
    JournalError
        No such job, a job that is running, one that a later upload has overtaken, or a journal that cannot be used.
    ConfigurationError
        The client is of another service.
    """
    client = client or default_client()
    with client.order.in_turn:
        record = known(job_id, journal).reopen(job_id)
        with let_go_on_error(record):
            job = _rebuilt(record, client, verify, anyway)
            job._start(before=later_jobs(record.journal, job_id, client.base_url))
    return wait_for(job, progress) if wait else job


def _rebuilt(record: Record, client: Client, verify: bool, anyway: bool) -> UploadJob:
    book, job_id = record.journal, record.job
    ((created, service, state),) = book.query("select created, service, state from jobs where id = ?", job_id)
    check_service(service, client)
    stored_calls = book.stored_calls(job_id)
    plan = plan_of(book.parts(job_id), stored_calls)
    open_rows = np.isin(book.row_states(job_id), UNFINISHED) & (state != "complete")
    overtaken = None if anyway else overtaken_by(book, plan, np.flatnonzero(open_rows), job_id, client.base_url)
    if overtaken:
        raise JournalError(
            f"job {overtaken}, made later, may have changed the same codes, or is about to: resuming would put "
            "older values over newer ones. Upload what still holds anew, or resume(..., anyway=True)"
        )
    settled = list(book.settled(job_id))
    start = Start([], len(stored_calls))
    if state != "complete":
        unverified = book.row_states(job_id) == RowState.UNVERIFIED
        start = left_over(plan, stored_calls, open_rows, settled, unverified, book.tasks(job_id))
        record.carry_on(client.base_url)
    job = UploadJob(plan, client, verify, record, start, anyway=anyway)
    job.started_at = datetime.fromtimestamp(created, UTC)
    for event in book.events(job_id):
        job._ledger(event)
    job._ledger(Settled.alike(np.flatnonzero(open_rows), RowState.PENDING))
    return job


def left_over(
    plan: Plan, stored_calls: Sequence[StoredCall], open_rows: Bools, settled: Sequence[Settled],
    unverified: Bools, seen: Mapping[str, Task],
) -> Start:  # fmt: skip
    """Decide from the facts what is still to be sent, and what to be followed.

    Parameters
    ----------
    plan : Plan
    stored_calls : sequence of StoredCall
        All calls, by number.
    open_rows : array of bool
        Rows without an end.
    settled : sequence of Settled
        What became of rows so far.
    unverified : array of bool
        Rows of which a task did not prove enough; what becomes known about the campaign's fields may.
    seen : mapping of str to Task
        The tasks, as the service described them last.
    """
    latest = np.full(len(open_rows), -1, dtype=np.int64)
    in_doubt = np.zeros(len(open_rows), dtype=bool)
    for stored in stored_calls:
        latest[stored.rows] = stored.number
        in_doubt[stored.rows] |= stored.maybe_applied
    numbers = itertools.count(len(stored_calls) and stored_calls[-1].number + 1)
    calls: list[Call] = []
    tasks: dict[str, Call] = {}
    for stored in stored_calls:
        rows = stored.rows[open_rows[stored.rows] & (latest[stored.rows] == stored.number)]
        if not len(rows):
            continue
        doubt = bool(in_doubt[rows].any())
        call = Call(stored.number, stored.mode, rows, stored.parent, maybe_applied=doubt, resent=stored.resent)
        if stored.task_id is not None:
            tasks[stored.task_id] = call
            continue
        if len(rows) == len(stored.rows):
            _check_body(plan, stored)
        calls += _next(call, stored.status, numbers)
    calls.sort(key=lambda call: not call.maybe_applied)
    sync = {stored.number for stored in stored_calls if stored.mode is Mode.SYNC}
    facts = _field_facts(plan, [event for event in settled if event.call in sync])
    return Start(calls, next(numbers), tasks, _counted(stored_calls, latest, unverified, seen), facts)


def _counted(
    stored_calls: Sequence[StoredCall],
    latest: Ints,
    unverified: Bools,
    seen: Mapping[str, Task],
) -> list[Counted]:
    """Return the tasks that are complete, and that left their rows unverified."""
    found = []
    for stored in stored_calls:
        task = seen.get(stored.task_id or "")
        is_open = unverified[stored.rows].all() and (latest[stored.rows] == stored.number).all()
        if task is not None and task.state is TaskState.COMPLETE and is_open:
            call = Call(stored.number, stored.mode, stored.rows, stored.parent, maybe_applied=stored.maybe_applied)
            found.append(Counted(call, stored.rows, task.codes_affected))
    return found


def _next(call: Call, status: int | None, numbers: Iterator[int]) -> list[Call]:
    """Return the call again, or what has to take its place because the service had too much of it."""
    if status not in TOO_MUCH or (len(call.rows) == 1 and call.mode is Mode.ASYNC):
        return [call]
    if len(call.rows) == 1:
        pieces, mode = [call.rows], Mode.ASYNC if status == 504 else call.mode
    else:
        pieces, mode = np.array_split(call.rows, 2), call.mode
    return [
        Call(next(numbers), mode, rows, call.number, maybe_applied=call.maybe_applied, resent=call.resent)
        for rows in pieces
    ]


def _check_body(plan: Plan, stored: StoredCall) -> None:
    if stored.body is not None and hashlib.sha256(plan.body(stored.mode, stored.rows)).digest() != stored.body:
        raise JournalError(
            f"call {stored.number} as the journal has it is not what was sent: the journal is damaged, or of another "
            "version of scmkit. Nothing was sent; upload the table again"
        )


def _field_facts(plan: Plan, settled: Sequence[Settled]) -> FieldFacts:
    """Say which fields the answers to sync calls listed as stored, and which they did not."""
    seen: set[str] = set()
    missed: set[str] = set()
    for event in settled if plan.assumptions.missing_field_is_discarded else ():
        missed.update(*event.discarded.values())
        matched = event.rows[np.isin(event.row_states, (RowState.APPLIED, RowState.DISCARDED))]
        for field in plan.fields:
            lost = [row for row, names in event.discarded.items() if field.name in names]
            if len(np.setdiff1d(matched[~field.missing[matched]], lost)):
                seen.add(field.name)
    return FieldFacts(frozenset(seen), frozenset(missed))


def is_of(service: str, client: Client) -> bool:
    """Whether a client is of this service; a sandbox may have come back at another port."""
    return urlsplit(service).hostname == urlsplit(client.base_url).hostname


def check_service(service: str, client: Client) -> None:
    """Refuse a client of another service than that of a job."""
    if not is_of(service, client):
        raise ConfigurationError(f"this job was an upload to {service}, and the client is of {client.base_url}")
