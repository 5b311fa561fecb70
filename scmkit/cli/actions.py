"""What the commands do. Apart from them, so that help is there at once: this takes pandas and all rooms along."""

from __future__ import annotations

import shlex
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import pandas as pd

from scmkit.cli.doctor import checks
from scmkit.cli.exits import Exit, Failed, code_of
from scmkit.cli.output import Output, can_ask, records
from scmkit.cli.source import Source
from scmkit.cli.words import in_shell_words
from scmkit.core.display import percent, plural
from scmkit.core.errors import AuthenticationError, ScmkitError, in_a_line
from scmkit.core.lines import numbered
from scmkit.core.paths import check_destination
from scmkit.core.texts import ours
from scmkit.journal.journal import existing
from scmkit.journal.journal import known as known_job
from scmkit.journal.listings import jobs as stored_jobs
from scmkit.planning.plan import Plan
from scmkit.tables import writing
from scmkit.uploading import report as reports
from scmkit.uploading.job import UploadJob
from scmkit.uploading.ledger import not_wholly_applied
from scmkit.uploading.progress import Progress
from scmkit.uploading.resume import resume as resume_job
from scmkit.uploading.upload import upload as upload_plan
from scmkit.uploading.waiting import wait_for
from scmkit.wire.client import Client


def validate(out: Output, **options: Any) -> Exit:
    """Say what would go wrong, before anything is sent."""
    source = Source.of(options)
    found = source.validated(source.read(out))
    out.facts |= {
        "rows": found.rows, "errors": found.errors, "warnings": found.warnings,
        "rejected": int(found.rejected.sum()), "superseded": int(found.superseded.sum()),
        "findings": records(found.frame),
    }  # fmt: skip
    out.say(found.summary())
    return Exit.OK if found.ok else Exit.FINDINGS


def plan(out: Output, **options: Any) -> None:
    """Show the calls that an upload would make, and why."""
    source = Source.of(options)
    made = source.planned(source.read(out), **options)
    _tell_plan(out, made)
    _show_calls(out, made)


def upload(
    out: Output, *, yes: bool, dry_run: bool, verify: bool, report: Path | None, rejected: Path | None, anyway: bool,
    base_url: str | None, **options: Any,
) -> Exit:  # fmt: skip
    """Bring a table's values onto the codes."""
    for destination, check in ((rejected, writing.check), (report, check_destination)):
        if destination is not None:
            check(destination)
    source = Source.of(options)
    df = source.read(out)
    made = source.planned(df, service=base_url and base_url.rstrip("/"), **options)
    _tell_plan(out, made)
    out.facts["dry_run"] = dry_run
    if dry_run:
        _show_calls(out, made)
        out.say("--dry-run: nothing was sent")
        return Exit.OK
    client = _agreed(made, base_url, yes)  # after the table was looked at: it may ask for a token
    job = _ended(out, upload_plan(made, client, wait=False, verify=verify, anyway=anyway), base_url=base_url)
    if rejected is not None:
        bad = not_wholly_applied(job.rows)
        bad = bad.assign(message=bad["message"].map(in_shell_words))
        writing.write_rows(writing.with_notes(df, bad), rejected)
        out.facts["rejected_file"] = str(rejected)
        out.say(f"rows to look at: {rejected}")
    _write_report(out, job.report, report)
    return _leave(out, job, base_url=base_url)


def jobs(
    out: Output, job_id: str | None, report: Path | None, prune: float | None, journal: Path | None
) -> Exit | None:
    """List the uploads in the journal, newest last, or tell of one."""
    if job_id is not None:
        return _one_job(out, job_id, report, journal)
    if report is not None:
        raise click.UsageError("--report is about one upload: scmkit jobs --report FILE ID")
    if prune is not None:
        with existing(journal) as book:
            forgotten = 0 if book is None else book.prune(time.time() - prune * 86_400)
        out.facts["forgotten"] = forgotten
        out.say(f"forgot {forgotten:,} jobs")
    known = stored_jobs(journal)
    out.facts["jobs"] = records(known)
    shown = known.assign(state=known["result"])[["id", "created", "state", "rows", "unfinished", "key", "error"]]
    out.show(shown, most=len(shown))
    if not len(known):
        out.say("no uploads yet")
    return None


def _one_job(out: Output, job_id: str, report: Path | None, journal: Path | None) -> Exit:
    """Say what the journal knows of a job, and write it down."""
    with known_job(job_id, journal) as book:
        told = reports.of_stored(book, job_id)
    rows, index = told.ledger.rows(), told.plan.index
    out.say(f"upload {job_id}\n{told.progress.summary()}")
    _show_rows(out, rows, index)
    _note_rows(out, told.progress, rows, index)
    out.facts |= {"service": told.service, "error_of_job": told.ledger.error and str(told.ledger.error)}
    _write_report(out, partial(reports.write, told), report)
    return Exit.OK if told.ok else Exit.PARTLY


def resume(
    out: Output, job_id: str, journal: Path | None, base_url: str | None, report: Path | None, **options: bool
) -> Exit:
    """Carry an upload to its end that was killed, cancelled or stopped by an error."""
    if report is not None:
        check_destination(report)
    asked = {"journal": journal, "base_url": base_url}
    job = _ended(out, resume_job(job_id, Client(base_url), journal, wait=False, **options), **asked)
    _write_report(out, job.report, report)
    return _leave(out, job, **asked)


def tasks(out: Output, ids: tuple[str, ...], base_url: str | None) -> None:
    """Ask the service for tasks by their ids."""
    client = Client(base_url)
    out.facts["tasks"] = []
    for task_id in ids:
        task = client.task(task_id)
        affected = "" if task.codes_affected is None else f", {task.codes_affected:,} codes"
        out.say(f"{task.id}: {task.word}{affected}, created {task.created_at}, completed {task.completed_at}")
        names = ("id", "word", "finished", "codes_affected", "created_at", "completed_at")
        out.facts["tasks"].append({name: getattr(task, name) for name in names})


def doctor(out: Output, base_url: str | None, journal: Path | None) -> Exit:
    """Say whether all is there that an upload needs."""
    found = []
    for check in checks(base_url, journal):
        found.append(check)
        bad = check.code is not Exit.OK
        line = f"{'PROBLEM' if bad else 'ok':<8}{check.name:<14}{in_a_line(in_shell_words(check.words))}"
        if bad and out.quiet:
            click.echo(line, err=True)
        out.say(line)
    out.facts["checks"] = [{"name": c.name, "ok": c.code is Exit.OK, "message": c.words} for c in found]
    return next((check.code for check in found if check.code is not Exit.OK), Exit.OK)


def _tell_plan(out: Output, made: Plan) -> None:
    """Say what will happen, and what is odd about the table: nobody looks it up after an upload."""
    warnings = [line for line in made.findings.summary().splitlines()[1:] if line.startswith("warning")]
    out.say("\n".join([made.summary(), *warnings]))
    out.facts["plan"] = {
        "rows": len(made.index), "rows_sent": len(made.order), "calls": records(made.calls.reset_index()),
        "seconds": made.seconds if len(made) else 0.0, "summary": made.summary().splitlines(),
        "findings": records(made.findings.frame),
    }  # fmt: skip


def _show_calls(out: Output, made: Plan) -> None:
    calls = made.calls.reset_index()
    shown = calls[["call", "mode", "rows"]].assign(codes=calls["codes_mid"])
    shown["at most"] = calls["codes_high"]
    shown["timeout risk"] = [percent(risk) if risk > 0 else "" for risk in calls["timeout_risk"]]
    out.show(shown.assign(seconds=calls["seconds"], why=calls["why"]))


def _agreed(made: Plan, base_url: str | None, yes: bool) -> Client:
    """Return the client, once somebody has said yes."""
    if yes:
        return Client(base_url)
    if not can_ask():
        raise Failed(
            "nothing was sent, since there is no terminal at which to ask: --yes sends without a question, --dry-run "
            "only shows the plan",
            Exit.USAGE,
        )
    client = Client(base_url)
    what = "No row selects a code of the inventory. Send them all the same" if made.selects_nothing else "Send"
    what += f" {plural(len(made.order), 'row')} in {plural(len(made), 'call')} to {client.base_url}{_as_whom(client)}?"
    if not click.confirm(what, default=False, err=True):
        raise Failed("nothing was sent", Exit.USAGE)
    return client


def _as_whom(client: Client) -> str:
    """Say whose token it is, where the service tells; one that it refuses is said now."""
    try:
        who = client.me().get("email")
    except AuthenticationError:
        raise
    except ScmkitError:
        return ""
    return f" as {who}" if isinstance(who, str) else ""


def _ended(out: Output, job: UploadJob, **asked: Any) -> UploadJob:
    """Wait for a job's end, and show it; where it cannot be waited for, say how to go on."""
    out.facts["id"] = job.id
    out.say(f"upload {job.id}")
    try:
        wait_for(job, progress=not out.quiet)
    except (KeyboardInterrupt, Exception) as error:  # noqa: BLE001 - the job goes on without us, and can be resumed
        if not isinstance(error, KeyboardInterrupt | ScmkitError | OSError):  # a mistake of ours: shown whole
            traceback.print_exc()
        words = "interrupted" if isinstance(error, KeyboardInterrupt) else in_shell_words(str(error))
        _tell_job(out, job, job.rows, **asked)
        out.facts["error"] = {"type": type(error).__name__, "message": words}
        end = "; " if isinstance(error, KeyboardInterrupt) else "\n"
        raise Failed(f"{words}{end}{way_on(job.id, **asked)}", code_of(error)) from None
    rows = job.rows  # made anew each time, in seconds where there are a million
    _show(out, job, rows)
    _tell_job(out, job, rows, **asked)
    return job


def way_on(job_id: str, **asked: Any) -> str:
    """Say how an upload that did not reach its end is carried there."""
    return f"to carry on with what is left: {_command(job_id, **asked)}"


def _command(job_id: str, **asked: Any) -> str:
    told = [f"--{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in asked.items() if value]
    return " ".join(["scmkit resume", job_id, *told])


def _unfinished(job: UploadJob) -> bool:
    return job.state != "complete" and bool({"cancelled", "unknown", "pending"} & job.counts().keys())


def _leave(out: Output, job: UploadJob, **asked: Any) -> Exit:
    """Say how to go on, and return what the end of a job means."""
    words = in_shell_words(job.summary())
    if _unfinished(job):
        words = way_on(job.id, **asked)
        click.echo(words, err=out.quiet or out.as_json)
    elif out.quiet and not job.ok:
        click.echo(f"upload {job.id} {words}", err=True)
    if job.ok:
        return Exit.OK
    if job.state == "cancelled":
        return Exit.INTERRUPTED
    return Exit.PARTLY if job.error is None or code_of(job.error) is Exit.ERROR else code_of(job.error)


def _tell_job(out: Output, job: UploadJob, rows: pd.DataFrame, **asked: Any) -> None:
    """Note the facts about a job for programs."""
    _note_rows(out, job.progress(predict=False), rows, job.plan.index)
    out.facts |= {
        "service": job.service,
        "differences": None if job.differences is None else len(job.differences), "not_read_back": job.unproven or None,
        "resume": _command(job.id, **asked) if _unfinished(job) or job.state == "running" else None,
    }  # fmt: skip


def _note_rows(out: Output, now: Progress, rows: pd.DataFrame, index: pd.Index) -> None:
    out.facts |= {
        "id": now.id, "state": now.state, "rows": now.rows, "applied": now.applied, "counts": now.counts,
        "calls": now.made, "tasks": now.tasks,
        "not_applied": records(_with_lines(numbered(not_wholly_applied(rows), index))),
    }  # fmt: skip


def _write_report(out: Output, write: Callable[[Path], None], report: Path | None) -> None:
    if report is not None:
        write(report)
        out.facts["report_file"] = str(report)
        out.say(f"report: {report}")


def _show(out: Output, job: UploadJob, rows: pd.DataFrame) -> None:
    out.say(job.summary())
    _show_rows(out, rows, job.plan.index)
    if job.differences is not None:
        out.say(f"read-back: {len(job.differences):,} differences")


def _show_rows(out: Output, rows: pd.DataFrame, index: pd.Index) -> None:
    bad = not_wholly_applied(rows)
    if len(bad):
        shown = bad.drop(columns=[ours(bad, name).name for name in ("call", "task_id")])
        out.show(_with_lines(numbered(shown, index)), most=20)
        out.say(f"{len(bad):,} of {len(rows):,} rows were not wholly applied")


def _with_lines(frame: pd.DataFrame) -> pd.DataFrame:
    """Show the lines of the file, which stand in the index, before the rest."""
    return frame.reset_index(allow_duplicates=True) if frame.index.name == "line" else frame
