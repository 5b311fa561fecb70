"""`resume`: an upload that did not reach its end, carried there from the journal alone."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

import numpy as np

from scmkit.core.arrays import Ints
from scmkit.core.contract import TaskState
from scmkit.core.errors import ConfigurationError, JournalError
from scmkit.core.events import Settled
from scmkit.core.values import Mode, RowState, Task
from scmkit.engine import evidence
from scmkit.engine.engine import Call, EndedTask, WorkLeft
from scmkit.engine.evidence import FieldFacts
from scmkit.journal.journal import UNFINISHED, Record, StoredCall, known
from scmkit.journal.storage import or_else
from scmkit.planning.plan import Plan
from scmkit.tables.arguments import public
from scmkit.uploading.conflicts import later_jobs, overtaken_by
from scmkit.uploading.job import UploadJob
from scmkit.uploading.ledger import Ledger, stored_ledger
from scmkit.uploading.run import Run
from scmkit.uploading.waiting import wait_for
from scmkit.wire.client import Client, default_client


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
        with or_else(record.close):
            run = _rebuilt(record, client, verify, anyway)
            run.begin(before=later_jobs(record.journal, job_id, client.base_url))
    job = UploadJob(run)
    return wait_for(job, progress) if wait else job


def _rebuilt(record: Record, client: Client, verify: bool, anyway: bool) -> Run:
    book, job_id = record.journal, record.job
    ((created, service, state),) = book.query("select created, service, state from jobs where id = ?", job_id)
    check_service(service, client)
    ledger = stored_ledger(book, job_id)
    ledger.state, ledger.error = "running", None
    rows = ledger.positions(*UNFINISHED) if state != "complete" else ledger.positions()
    overtaken = None if anyway else overtaken_by(book, ledger.plan, rows, job_id, client.base_url)
    if overtaken:
        raise JournalError(
            f"job {overtaken}, made later, may have changed the same codes, or is about to: resuming would put "
            "older values over newer ones. Upload what still holds anew, or resume(..., anyway=True)"
        )
    left = WorkLeft([], 0)
    if state != "complete":
        left = work_left(ledger, rows, book.stored_calls(job_id), book.settled(job_id), book.tasks(job_id))
        record.carry_on(client.base_url)
    ledger(Settled.alike(rows, RowState.PENDING))
    began = datetime.fromtimestamp(created, UTC)
    return Run(ledger, client, record, left, started_at=began, verify=verify, anyway=anyway)


def work_left(
    ledger: Ledger, open_rows: Ints, stored_calls: Sequence[StoredCall], settled: Iterable[Settled],
    seen: Mapping[str, Task],
) -> WorkLeft:  # fmt: skip
    """Decide from the facts what is still to be sent, and what to be followed.

    Parameters
    ----------
    ledger : Ledger
        Of the job, with all that the journal has.
    open_rows : array of int64
        The rows without an end.
    stored_calls : sequence of StoredCall
        All calls, by number.
    settled : iterable of Settled
        What became of rows so far.
    seen : mapping of str to Task
        The tasks, as the service described them last.
    """
    size = len(ledger.plan.index)
    latest, in_doubt, is_open = np.full(size, -1), np.zeros(size, dtype=bool), np.zeros(size, dtype=bool)
    is_open[open_rows] = True
    for stored in stored_calls:
        latest[stored.rows] = stored.number
        in_doubt[stored.rows] |= stored.maybe_applied or has_failed(seen.get(stored.task_id or ""))
    calls: list[Call] = []
    tasks: dict[str, Call] = {}
    for stored in stored_calls:
        rows = stored.rows[is_open[stored.rows] & (latest[stored.rows] == stored.number)]
        call = replace(_call(stored), rows=rows, maybe_applied=bool(in_doubt[rows].any()))
        if len(rows) and stored.task_id is not None:
            tasks[stored.task_id] = call
        elif len(rows):
            if len(rows) == len(stored.rows):
                _check_body(ledger.plan, stored)
            calls.append(call)
    calls.sort(key=lambda call: not call.maybe_applied)
    number = len(stored_calls) and stored_calls[-1].number + 1
    sync = {stored.number for stored in stored_calls if stored.mode is Mode.SYNC}
    facts = _field_facts(ledger.plan, [event for event in settled if event.call in sync])
    return WorkLeft(calls, number, tasks, _ended_tasks(ledger, stored_calls, latest, seen), facts)


def _call(stored: StoredCall) -> Call:
    return Call(
        stored.number, stored.mode, stored.rows, stored.parent, maybe_applied=stored.maybe_applied,
        resent=stored.resent, last_status=stored.status,
    )  # fmt: skip


def has_failed(task: Task | None) -> bool:
    """Whether a task ended as failed, having changed nobody knows how much."""
    return task is not None and task.state is TaskState.FAILED


def _ended_tasks(
    ledger: Ledger, stored_calls: Sequence[StoredCall], latest: Ints, seen: Mapping[str, Task]
) -> list[EndedTask]:
    """Return the tasks that are complete, and that left their rows unverified."""
    found = []
    for stored in stored_calls:
        task = seen.get(stored.task_id or "")
        unverified = (ledger.states_of(stored.rows) == RowState.UNVERIFIED).all()
        is_open = unverified and (latest[stored.rows] == stored.number).all()
        if task is not None and task.state is TaskState.COMPLETE and is_open:
            found.append(EndedTask(_call(stored), task.codes_affected))
    return found


def _check_body(plan: Plan, stored: StoredCall) -> None:
    if stored.body is not None and hashlib.sha256(plan.body(stored.mode, stored.rows)).digest() != stored.body:
        raise JournalError(
            f"call {stored.number} as the journal has it is not what was sent: the journal is damaged, or of another "
            "version of scmkit. Nothing was sent; upload the table again"
        )


def _field_facts(plan: Plan, settled: Sequence[Settled]) -> FieldFacts:
    """Say which fields the answers to sync calls listed as stored, and which they did not."""
    facts = evidence.NOTHING
    for event in settled:
        lost = {at: names for at, row in enumerate(event.rows.tolist()) if (names := event.discarded.get(row))}
        facts |= evidence.of_stored(event.row_states, plan.sent(event.rows), lost)
    return facts


def is_of(service: str, client: Client) -> bool:
    """Whether a client is of this service; a sandbox may have come back at another port."""
    return urlsplit(service).hostname == urlsplit(client.base_url).hostname


def check_service(service: str, client: Client) -> None:
    """Refuse a client of another service than that of a job."""
    if not is_of(service, client):
        raise ConfigurationError(f"this job was an upload to {service}, and the client is of {client.base_url}")
