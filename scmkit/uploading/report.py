"""A page about an upload for somebody who was not there: what came of it, the proof, and what is left to do."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from scmkit.core import display, results
from scmkit.core.display import BAD, DOUBTFUL, GOOD, Html, duration, plural
from scmkit.core.lines import numbered
from scmkit.core.paths import check_destination, replacing
from scmkit.core.texts import ours
from scmkit.core.values import RowState
from scmkit.journal.journal import Journal
from scmkit.planning.plan import Plan
from scmkit.uploading.ledger import Ledger, not_wholly_applied, stored_ledger
from scmkit.uploading.progress import Progress

MOST_ROWS = 500
JOURNAL_SILENT = "this was written from the journal, which does not say whether the codes were read back"
SAMPLE = 5  # rows of which values are shown, and fields
CALLS = ["mode", "rows", "codes", "attempts", "outcome", "status", "seconds", "task_id", "message"]
COLOURS = {"applied": GOOD, "superseded": "#5e8f6a", "rejected": BAD, "unmatched": "#d9822b", "discarded": "#a0522d",
           "unverified": "#b8a12a", "unknown": "#8e5ea2", "cancelled": "#777777", "pending": "#9aa5b1"}  # fmt: skip
WAYS = {
    "applied": "Everything else in these rows is stored. The campaign does not define the fields that are named: have "
    "them added to the campaign, or correct the names of the columns.",
    "rejected": "Correct these rows, and upload them again; the others can stay as they are.",
    "unmatched": "Look for zeros that a spreadsheet took away, and for typing errors; or the codes are not there yet.",
    "discarded": "The campaign defines none of the fields of these rows: have them added to the campaign, or correct "
    "the names of the columns.",
    "unverified": "The service changed codes and did not say which: scmkit resume {id} --verify reads them back.",
    "unknown": "Sent, and no answer came: scmkit resume {id} sends them again, which does no harm.",
    "cancelled": "Never sent: scmkit resume {id} sends them.",
    "pending": "Not sent yet: scmkit resume {id} sends them.",
}


@dataclass(frozen=True, eq=False)
class Told:
    """What a report is made of, whether the job runs here or a journal knows it.

    Attributes
    ----------
    progress : Progress
    ledger : Ledger
    service : str
    started_at, ended_at : datetime
        The end is None where it is not known.
    who : str
        Whose account it was; empty where nobody knows.
    ok : bool
        Whether the job is complete, every row applied, and nothing found that speaks against it.
    differences : DataFrame or None
        What the read-back found; None where there was none, or the journal does not tell.
    unproven : str
        Why the read-back did not prove all; empty where it did, or there was none.
    """

    progress: Progress
    ledger: Ledger
    service: str
    started_at: datetime
    ended_at: datetime | None
    who: str
    ok: bool
    differences: pd.DataFrame | None = None
    unproven: str = ""

    @property
    def plan(self) -> Plan:
        """What was sent."""
        return self.ledger.plan


def of_stored(book: Journal, job: str) -> Told:
    """Return what a journal tells about a job."""
    ((created, service),) = book.query("select created, service from jobs where id = ?", job)
    ((last,),) = book.query("select max(at) from attempts where job = ?", job)
    ledger = stored_ledger(book, job)
    ledger.state = book.state_now(job, ledger.state)
    ended = None if last is None else datetime.fromtimestamp(last, UTC)
    ok = ledger.state == "complete" and ledger.whole
    now = Progress.of(job, ledger)
    return Told(
        now, ledger, service, datetime.fromtimestamp(created, UTC), ended, who_made(ledger), ok, unproven=JOURNAL_SILENT
    )


def write(told: Told, path: str | os.PathLike[str]) -> None:
    """Write a report.

    Raises
    ------
    DestinationError
        No file can be written there.
    """
    with replacing(check_destination(path)) as beside:
        beside.write_text(page(told), encoding="utf-8")


def who_made(ledger: Ledger) -> str:
    """Return whose account the service names as the maker of the tasks."""
    makers = [str(maker) for maker in ledger.tasks()["created_by"].dropna().unique()]
    return ", ".join(makers[:3])


def page(told: Told) -> Html:
    """Make the page."""
    return display.page(
        f"Upload {told.progress.id}", display.light(*verdict(told)), _facts(told), _rows(told),
        *_left(told), *_proof(told), *_pictures(told.plan), *_details(told),
    )  # fmt: skip


def verdict(told: Told) -> tuple[str, str]:
    """Return the colour of the light, and the sentence that says what came of the upload."""
    now, wrong = told.progress, 0 if told.differences is None else len(told.differences)
    if wrong:
        return BAD, f"{plural(wrong, 'value')} on the codes {_are(wrong)} not what was sent."
    if told.ok:
        proof = "" if told.differences is None else ", and reading the codes back proves it"
        return GOOD, f"All is well: {_all(now.rows)} on the codes{proof}."
    if now.state == "running":
        return DOUBTFUL, f"Still running: {now.done:,} of {plural(now.rows, 'row')} done."
    return _not_all(told)


def _not_all(told: Told) -> tuple[str, str]:
    """Say what came of an upload that ended with less than everything."""
    now, left = told.progress, told.progress.not_applied
    stored, rows = now.rows - left, plural(now.rows, "row")
    stopped = "" if now.state == "complete" else "Stopped before the end: "
    if not stored:
        return BAD, f"{stopped or 'Nothing applied: '}0 of {rows} {_are(0)} on the codes."
    if left:
        return DOUBTFUL, f"{stopped}{stored:,} of {rows} {_are(stored)} on the codes, {left:,} {_are(left)} not."
    if told.ledger.whole:
        return DOUBTFUL, f"{_all(now.rows).capitalize()} on the codes; that is not proven by reading all of them back."
    return DOUBTFUL, f"{_all(now.rows).capitalize()} on the codes, but not all fields: the campaign lacks some."


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _all(rows: int) -> str:
    return "the one row is" if rows == 1 else f"all {rows:,} rows are"


def _facts(told: Told) -> Html:
    now, calls, tasks = told.progress, told.ledger.calls(), told.ledger.tasks()
    codes = int(calls.loc[calls["outcome"] == "applied", "codes"].sum() + tasks["codes_affected"].sum())
    facts = {
        "when": _when(told.started_at, told.ended_at),
        "by": told.who,
        "service": told.service,
        "file": told.plan.load.file,
        "codes selected by": " + ".join(told.plan.key),
        "fields": ", ".join(field.name for field in told.plan.fields),
        "rows": f"{now.rows:,}, of which {now.rows - now.not_applied:,} on the codes",
        "codes changed": f"{codes:,}, as the service counted",
        "calls": f"{plural(now.made, 'call')}, {plural(now.tasks, 'task')}",
        "stopped by": "" if told.ledger.error is None else str(told.ledger.error),
    }
    return display.facts({name: words for name, words in facts.items() if words})


def _when(begun: datetime, ended: datetime | None) -> str:
    begun = begun.astimezone()
    seconds = 0.0 if ended is None else (ended - begun).total_seconds()
    took = f", took {duration(seconds)}" if seconds >= 1 else ""
    return f"{begun:%Y-%m-%d %H:%M} {begun:%Z}{took}"


def _rows(told: Told) -> Html:
    counts = told.progress.counts
    return display.section("What became of the rows", display.shares(counts, COLOURS), *_sample(told))


def _sample(told: Told) -> list[str]:
    """Show what a few rows brought onto their codes."""
    plan, rows = told.plan, told.ledger.positions(RowState.APPLIED)[:SAMPLE]
    columns = {column.name: column.take(rows) for column in (*plan.keys, *plan.fields[:SAMPLE])}
    frame = numbered(pd.DataFrame({"row": rows} | columns, index=plan.index[rows]), plan.index) if len(rows) else None
    return [] if frame is None else [display.folded("Some of what was stored", display.table(frame))]


def _left(told: Told) -> list[Html]:
    """Say what was not applied, why, and what to do about it."""
    bad = not_wholly_applied(told.ledger.rows())
    if not len(bad):
        return []
    parts: list[str] = []
    for state, lines in bad.groupby(ours(bad, "state").name, sort=False):
        messages = Counter(ours(lines, "message").replace("", pd.NA).dropna())
        why = messages.most_common(1)[0][0] if messages else ""
        more = f" (and {plural(len(messages) - 1, 'other reason')})" if len(messages) > 1 else ""
        named = "applied without all fields" if state == "applied" else str(state)
        told_way = WAYS[str(state)].format(id=told.progress.id)
        parts.append(display.facts({named: plural(len(lines), "row"), "why": f"{why}{more}", "what to do": told_way}))
    beside = [ours(bad, name).name for name in ("call", "task_id", "discarded_fields")]  # messages name lost fields
    shown = numbered(bad.drop(columns=beside), told.plan.index)
    listed = display.folded(f"These {plural(len(bad), 'row')}", display.table(shown, max_rows=MOST_ROWS))
    return [display.section("What was not applied, and what to do", *parts, listed)]


def _proof(told: Told) -> list[Html]:
    """Say what reading the codes back proved, or that nobody did; about rows that were not sent there is no proof."""
    if not len(told.ledger.positions(RowState.APPLIED, RowState.UNVERIFIED, RowState.UNKNOWN)):
        return []
    if told.differences is None:
        words = told.unproven or "the codes were not read back"
        words = f"Not proven: {words}. To do it now: scmkit resume {told.progress.id} --verify"
        return [display.section("Proof", words)]
    count = len(told.differences)
    words = f"The codes were downloaded afterwards and compared, field by field: {plural(count, 'difference')}."
    shown = numbered(told.differences, told.plan.index)
    parts = [display.folded("The differences", display.table(shown, max_rows=MOST_ROWS))] if count else []
    more = [f"Not all could be compared: {told.unproven}."] if told.unproven else []
    return [display.section("Proof", words, *more, *parts)]


def _pictures(plan: Plan) -> list[Html]:
    """Draw the calls, where there are several, and the codes behind key values, where these differ."""
    if len(plan) < 2:
        return []
    shown: list[tuple[Any, str]] = [
        (plan, "Each call by the codes that it changes, and its risk of running into the time limit.")
    ]
    codes = plan.row_codes["codes"]
    if codes.min() != codes.max():
        words = "How many codes each key value stands for, largest first: it decides between sync calls and tasks."
        shown.append((plan.estimate, words))
    drawn = [display.captioned(results.draw(result).figure, words) for result, words in shown]
    return [display.section("How it was sent", display.side_by_side(*drawn))]


def _details(told: Told) -> list[Html]:
    calls, tasks = told.ledger.calls(), told.ledger.tasks()
    planned = [line for line in told.plan.summary().splitlines() if ", see plan" not in line]
    parts = [display.folded("The plan", *planned)]
    if len(calls):
        calls = calls[CALLS]
        parts.append(display.folded(f"Calls ({len(calls):,})", display.table(calls, max_rows=MOST_ROWS)))
    if len(tasks):
        parts.append(display.folded(f"Tasks ({len(tasks):,})", display.table(tasks, max_rows=MOST_ROWS)))
    return parts
