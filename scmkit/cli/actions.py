"""What the commands do. Apart from them, so that help is there at once: this takes pandas and all rooms along."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import Any

import click
import pandas as pd

from scmkit.cli.words import in_shell_words
from scmkit.core import contract
from scmkit.core.errors import ScmkitError
from scmkit.core.lines import numbered
from scmkit.core.paths import check_destination
from scmkit.core.texts import ours
from scmkit.journal.journal import existing
from scmkit.journal.stored import jobs as stored_jobs
from scmkit.planning.plan import Plan
from scmkit.tables import writing
from scmkit.tables.inventory import columns_in
from scmkit.tables.reading import read_table
from scmkit.uploading import plans
from scmkit.uploading.job import UploadJob
from scmkit.uploading.ledger import not_wholly_applied
from scmkit.uploading.resume import resume as resume_job
from scmkit.uploading.upload import upload as upload_plan
from scmkit.uploading.waiting import wait_for
from scmkit.validation.validate import validate as find
from scmkit.wire.client import Client


def validate(table: Path, pad_to: tuple[str, ...], **options: Any) -> None:
    """Say what would go wrong, before anything is sent."""
    findings = find(_read(table, pad_to), **_known(**options))
    _say(findings.summary())
    sys.exit(0 if findings.ok else 1)


def plan(table: Path, pad_to: tuple[str, ...], **options: Any) -> None:
    """Show the calls that an upload would make, and why."""
    made = plans.plan(_read(table, pad_to), **_known(**options))
    _say_plan(made)
    _say(made.calls.to_string(max_rows=30))


def upload(
    table: Path, pad_to: tuple[str, ...], verify: bool, report: Path | None, rejected: Path | None, anyway: bool,
    base_url: str | None, **options: Any,
) -> None:  # fmt: skip
    """Bring a table's values onto the codes."""
    for destination, check in ((rejected, writing.check), (report, check_destination)):
        if destination is not None:
            check(destination)
    df = _read(table, pad_to)
    made = plans.plan(df, service=base_url and base_url.rstrip("/"), **_known(**options))
    client, asked = Client(base_url), {"base_url": base_url}  # after the table was looked at: it may ask for a token
    _say_plan(made)
    job = _ended(upload_plan(made, client, wait=False, verify=verify, anyway=anyway), **asked)
    if rejected is not None:
        bad = not_wholly_applied(job.rows)
        bad = bad.assign(message=bad["message"].map(in_shell_words))
        writing.write_rows(writing.with_notes(df, bad), rejected)
        click.echo(f"rows to look at: {rejected}")
    if report is not None:
        job.report(report)
        click.echo(f"report: {report}")
    _leave(job, **asked)


def jobs(prune: float | None, journal: Path | None) -> None:
    """List the uploads in the journal, newest last."""
    if prune is not None:
        with existing(journal) as book:
            forgotten = 0 if book is None else book.prune(time.time() - prune * 86_400)
            click.echo(f"forgot {forgotten:,} jobs")
    known = stored_jobs(journal)
    shown = known.assign(state=known["result"]).drop(columns=["service", "result"])
    click.echo(shown.to_string(index=False) if len(known) else "no uploads yet")


def resume(job_id: str, journal: Path | None, base_url: str | None, **options: bool) -> None:
    """Carry an upload to its end that was killed, cancelled or stopped by an error."""
    asked = {"journal": journal, "base_url": base_url}
    _leave(_ended(resume_job(job_id, Client(base_url), journal, wait=False, **options), **asked), **asked)


def tasks(ids: tuple[str, ...], base_url: str | None) -> None:
    """Ask the service for tasks by their ids."""
    client = Client(base_url)
    for task_id in ids:
        task = client.task(task_id)
        affected = "" if task.codes_affected is None else f", {task.codes_affected:,} codes"
        click.echo(f"{task.id}: {task.word}{affected}, created {task.created_at}, completed {task.completed_at}")


def _read(table: Path, pad_to: tuple[str, ...]) -> pd.DataFrame:
    widths = {}
    for told in pad_to:
        name, _, width = told.rpartition("=")
        if not (name and width.isascii() and width.isdigit()):
            raise click.BadParameter(f"{told!r} is not COLUMN=WIDTH, such as lot_number=6", param_hint="--pad-to")
        widths[name] = int(width)
    return read_table(table, pad_to=widths)


def _known(keys: tuple[str, ...], inventory: Path | None, **options: Any) -> dict[str, Any]:
    """Return the options of Python; the campaign's fields are known as far as the header of a code download goes."""
    fields = None if inventory is None else contract.fields_in(columns_in(inventory))
    return {"key": keys[0] if len(keys) == 1 else list(keys), "inventory": inventory, "fields": fields, **options}


def _say(text: str) -> None:
    click.echo(in_shell_words(text))


def _say_plan(made: Plan) -> None:
    """Say what will happen, and what is odd about the table: nobody looks it up after an upload."""
    _say(made.summary())
    for line in made.findings.summary().splitlines()[1:]:
        if line.startswith("warning"):
            _say(line)


def _ended(job: UploadJob, **asked: Any) -> UploadJob:
    """Wait for a job's end, and show it; where it cannot be waited for, say how to go on."""
    click.echo(f"upload {job.id}")
    try:
        wait_for(job, progress=True)
    except KeyboardInterrupt:
        raise click.ClickException(f"interrupted; {_way_on(job, **asked)}") from None
    except (ScmkitError, OSError) as error:
        raise click.ClickException(f"{in_shell_words(str(error))}\n{_way_on(job, **asked)}") from None
    _show(job)
    return job


def _way_on(job: UploadJob, **asked: Any) -> str:
    """Say how an upload that did not reach its end is carried there."""
    told = [f"--{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in asked.items() if value]
    return f"to carry on with what is left: {' '.join(['scmkit resume', job.id, *told])}"


def _leave(job: UploadJob, **asked: Any) -> None:
    if job.state != "complete" and {"cancelled", "unknown", "pending"} & job.counts().keys():
        click.echo(_way_on(job, **asked))
    sys.exit(0 if job.ok else 1)


def _show(job: UploadJob) -> None:
    _say(job.summary())
    rows = job.rows
    bad = not_wholly_applied(rows)
    if len(bad):
        shown = bad.drop(columns=[ours(bad, name).name for name in ("call", "task_id")]).head(20)
        _say(numbered(shown, job.plan.index).to_string())
        click.echo(f"{len(bad):,} of {len(rows):,} rows were not wholly applied")
    if job.differences is not None:
        click.echo(f"read-back: {len(job.differences):,} differences")
