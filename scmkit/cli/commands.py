"""The same from a shell. Errors of ours are one clear sentence, never a traceback."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pandas as pd

from scmkit import __version__
from scmkit.cli.words import in_shell_words
from scmkit.core import contract
from scmkit.core.errors import ScmkitError
from scmkit.core.lines import numbered
from scmkit.core.paths import check_destination
from scmkit.core.texts import ours
from scmkit.journal.journal import existing
from scmkit.journal.stored import jobs as list_jobs
from scmkit.planning.plan import Plan
from scmkit.tables import writing
from scmkit.tables.inventory import columns_in
from scmkit.tables.reading import read_table
from scmkit.uploading.job import UploadJob, wait_for
from scmkit.uploading.job import upload as upload_plan
from scmkit.uploading.ledger import not_wholly_applied
from scmkit.uploading.plans import plan as make_plan
from scmkit.uploading.resume import resume as resume_job
from scmkit.validation.validate import validate as find
from scmkit.wire.client import Client

TABLE = click.argument("table", type=click.Path(path_type=Path))
KEY = click.option(
    "--key", "keys", multiple=True, default=[contract.DEFAULT_KEY], show_default=True,
    help="Column that selects codes; repeat it for several constraints.",
)  # fmt: skip
PAD_TO = click.option(
    "--pad-to", multiple=True, metavar="COLUMN=WIDTH",
    help="Fill whole numbers of a column up with zeros in front, which a spreadsheet took away.",
)  # fmt: skip
INVENTORY = click.option(
    "--inventory",
    type=click.Path(path_type=Path),
    help="CSV or Parquet of all codes: makes the counts exact.",
)
PLAN_OPTIONS: list[Callable[[Any], Any]] = [
    TABLE,
    KEY,
    PAD_TO,
    INVENTORY,
    click.option("--mode", type=click.Choice(["auto", "sync", "async"]), default="auto", show_default=True),
    click.option("--risk", type=float, default=0.01, show_default=True, help="Bearable timeout risk of a sync call."),
    click.option("--on-conflict", type=click.Choice(["error", "last", "first"]), default="error", show_default=True),
    click.option("--errors", type=click.Choice(["raise", "reject"]), default="raise", show_default=True,
                 help="Whether invalid rows forbid the upload, or are left out of it."),
]  # fmt: skip


class Commands(click.Group):
    """Shows errors of ours as a sentence."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # who reads has seen enough, as `head` has: click ends without a word
            raise
        except (ScmkitError, OSError) as error:
            words = str(error)
            if isinstance(error, FileNotFoundError) and not isinstance(error, ScmkitError):
                words = f"{error.strerror}: {error.filename}"
            raise click.ClickException(in_shell_words(words)) from None


def plan_options(command: Any) -> Any:
    """Add the options that `plan` and `upload` share."""
    for option in reversed(PLAN_OPTIONS):
        command = option(command)
    return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Supply-chain data onto Scantrust codes: validate, plan, upload, prove.

    The service is taken from SCANTRUST_BASE_URL and SCANTRUST_UAT_TOKEN. Without an account, `scmkit demo` shows
    everything on a built-in sandbox.
    """


@main.command()
@click.option("--report", type=click.Path(path_type=Path), default=Path("report.html"), show_default=True)
def demo(report: Path) -> None:
    """Show the whole way on the built-in sandbox, in under a minute."""
    from scmkit.cli.demo import run

    sys.exit(0 if run(check_destination(report), click.echo) else 1)


@main.command()
@click.option("--port", type=click.IntRange(0, 65_535), default=0, help="Default: a free one.")
@click.option("--no-browser", is_flag=True, help="Show the address, and do not open it.")
def app(port: int, no_browser: bool) -> None:
    """Upload by mouse: the panel and the task board in a browser, on this machine only."""
    from scmkit.cli.app import serve

    serve(port, not no_browser, click.echo)


@main.command()
@TABLE
@KEY
@PAD_TO
@INVENTORY
@click.option("--on-conflict", type=click.Choice(["error", "last", "first"]), default="error", show_default=True)
def validate(
    table: Path, keys: tuple[str, ...], pad_to: tuple[str, ...], inventory: Path | None, on_conflict: str
) -> None:
    """Say what would go wrong, before anything is sent."""
    df = _read(table, pad_to)
    findings = find(df, _key(keys), _fields(inventory), on_conflict, inventory=inventory)
    _say(findings.summary())
    sys.exit(0 if findings.ok else 1)


@main.command()
@plan_options
def plan(table: Path, pad_to: tuple[str, ...], **options: Any) -> None:
    """Show the calls that an upload would make, and why."""
    made = _plan(_read(table, pad_to), **options)
    _say_plan(made)
    _say(made.calls.to_string(max_rows=30))


@main.command()
@plan_options
@click.option("--verify", is_flag=True, help="Download the codes afterwards and compare.")
@click.option("--report", type=click.Path(path_type=Path), help="Write an HTML report.")
@click.option(
    "--rejected",
    type=click.Path(path_type=Path),
    help="Write the rows that were not wholly applied, and why, as a .csv or .xlsx to be uploaded again.",
)
@click.option("--anyway", is_flag=True, help="Although an earlier upload may still change the same codes.")
@click.option("--base-url", help="Instead of SCANTRUST_BASE_URL.")
def upload(
    verify: bool, report: Path | None, rejected: Path | None, anyway: bool, base_url: str | None, table: Path,
    pad_to: tuple[str, ...], **options: Any,
) -> None:  # fmt: skip
    """Bring a table's values onto the codes."""
    for destination, check in ((rejected, writing.check), (report, check_destination)):
        if destination is not None:
            check(destination)
    df = _read(table, pad_to)
    made = _plan(df, service=base_url and base_url.rstrip("/"), **options)
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


@main.command()
@click.option(
    "--prune",
    type=click.FloatRange(min=0),
    metavar="DAYS",
    help="Forget jobs older than this that are complete or cancelled.",
)
@click.option("--journal", type=click.Path(path_type=Path), help="Instead of SCMKIT_JOURNAL or the user's own.")
def jobs(prune: float | None, journal: Path | None) -> None:
    """List the uploads in the journal, newest last."""
    if prune is not None:
        with existing(journal) as book:
            forgotten = 0 if book is None else book.prune(time.time() - prune * 86_400)
            click.echo(f"forgot {forgotten:,} jobs")
    known = list_jobs(journal)
    shown = known.assign(state=known["result"]).drop(columns=["service", "result"])
    click.echo(shown.to_string(index=False) if len(known) else "no uploads yet")


@main.command()
@click.argument("job_id", metavar="ID")
@click.option("--verify", is_flag=True, help="Download the codes afterwards and compare.")
@click.option("--journal", type=click.Path(path_type=Path), help="Instead of SCMKIT_JOURNAL or the user's own.")
@click.option("--base-url", help="Instead of SCANTRUST_BASE_URL.")
@click.option("--anyway", is_flag=True, help="Although a later upload may have changed the same codes.")
def resume(job_id: str, verify: bool, journal: Path | None, base_url: str | None, anyway: bool) -> None:
    """Carry an upload to its end that was killed, cancelled or stopped by an error."""
    asked = {"journal": journal, "base_url": base_url}
    job = resume_job(job_id, Client(base_url), journal, wait=False, verify=verify, anyway=anyway)
    _leave(_ended(job, **asked), **asked)


@main.command()
@click.argument("ids", nargs=-1, required=True)
@click.option("--base-url", help="Instead of SCANTRUST_BASE_URL.")
def tasks(ids: tuple[str, ...], base_url: str | None) -> None:
    """Ask the service for tasks by their ids."""
    client = Client(base_url)
    for task_id in ids:
        task = client.task(task_id)
        affected = "" if task.codes_affected is None else f", {task.codes_affected:,} codes"
        click.echo(f"{task.id}: {task.word}{affected}, created {task.created_at}, completed {task.completed_at}")


@main.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def sandbox(arguments: tuple[str, ...]) -> None:
    """Serve the contract on loopback until Ctrl-C; `scmkit sandbox --help` shows its options."""
    from scmkit.sandbox.__main__ import main as serve

    serve(list(arguments), "scmkit sandbox")


def _key(keys: tuple[str, ...]) -> str | list[str]:
    return keys[0] if len(keys) == 1 else list(keys)


def _read(table: Path, pad_to: tuple[str, ...]) -> pd.DataFrame:
    widths = {}
    for told in pad_to:
        name, _, width = told.rpartition("=")
        if not (name and width.isascii() and width.isdigit()):
            raise click.BadParameter(f"{told!r} is not COLUMN=WIDTH, such as lot_number=6", param_hint="--pad-to")
        widths[name] = int(width)
    return read_table(table, pad_to=widths)


def _fields(inventory: Path | None) -> frozenset[str] | None:
    """Return the campaign's fields, as far as the header of a code download tells them."""
    return None if inventory is None else contract.fields_in(columns_in(inventory))


def _plan(df: pd.DataFrame, keys: tuple[str, ...], inventory: Path | None, **options: Any) -> Plan:
    return make_plan(df, key=_key(keys), inventory=inventory, fields=_fields(inventory), **options)


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
