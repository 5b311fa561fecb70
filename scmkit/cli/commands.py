"""The same from a shell. Errors of ours are one clear sentence, never a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import click

from scmkit import __version__
from scmkit.cli.words import in_shell_words
from scmkit.core import contract
from scmkit.core.errors import ScmkitError
from scmkit.core.paths import check_destination

Option = Callable[[Any], Any]
PATH = click.Path(path_type=Path)
CONFLICT = click.option(
    "--on-conflict", type=click.Choice(["error", "last", "first"]), default="error", show_default=True
)
TABLE: list[Option] = [
    click.argument("table", type=PATH),
    click.option("--key", "keys", multiple=True, default=[contract.DEFAULT_KEY], show_default=True,
                 help="Column that selects codes; repeat it for several constraints."),
    click.option("--pad-to", multiple=True, metavar="COLUMN=WIDTH",
                 help="Fill whole numbers of a column up with zeros in front, which a spreadsheet took away."),
    click.option("--inventory", type=PATH, help="CSV or Parquet of all codes: makes the counts exact."),
    click.option("--mapping", type=PATH,
                 help="JSON of what the columns are sent as, and the key; see scmkit.Mapping."),
]  # fmt: skip
PLAN: list[Option] = [
    *TABLE,
    click.option("--mode", type=click.Choice(["auto", "sync", "async"]), default="auto", show_default=True),
    click.option("--risk", type=float, default=0.01, show_default=True, help="Bearable timeout risk of a sync call."),
    CONFLICT,
    click.option("--errors", type=click.Choice(["raise", "reject"]), default="raise", show_default=True,
                 help="Whether invalid rows forbid the upload, or are left out of it."),
]  # fmt: skip
VERIFY = click.option("--verify", is_flag=True, help="Download the codes afterwards and compare.")
BASE_URL = click.option("--base-url", help="Instead of SCANTRUST_BASE_URL.")
JOURNAL = click.option("--journal", type=PATH, help="Instead of SCMKIT_JOURNAL or the user's own.")


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


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Supply-chain data onto Scantrust codes: validate, plan, upload, prove.

    The service is taken from SCANTRUST_BASE_URL and SCANTRUST_UAT_TOKEN. Without an account, `scmkit demo` shows
    everything on a built-in sandbox.
    """


@main.command()
@click.option("--report", type=PATH, default=Path("report.html"), show_default=True)
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


def add(name: str, words: str, *options: Option) -> None:
    """Add a command that `scmkit.cli.actions` does, which is loaded then: help is there at once."""

    def command(**given: Any) -> None:
        from scmkit.cli import actions

        getattr(actions, name)(**given)

    main.command(name, help=words)(reduce(lambda made, option: option(made), reversed(options), command))


add("validate", "Say what would go wrong, before anything is sent.", *TABLE, CONFLICT)
add("plan", "Show the calls that an upload would make, and why.", *PLAN)
add(
    "upload",
    "Bring a table's values onto the codes.",
    *PLAN,
    VERIFY,
    click.option("--report", type=PATH, help="Write an HTML report."),
    click.option("--rejected", type=PATH,
                 help="Write the rows that were not wholly applied, and why, as a .csv or .xlsx to be uploaded again."),
    click.option("--anyway", is_flag=True, help="Although an earlier upload may still change the same codes."),
    BASE_URL,
)  # fmt: skip
add(
    "jobs",
    "List the uploads in the journal, newest last.",
    click.option("--prune", type=click.FloatRange(min=0), metavar="DAYS",
                 help="Forget jobs older than this that are complete or cancelled."),
    JOURNAL,
)  # fmt: skip
add(
    "resume",
    "Carry an upload to its end that was killed, cancelled or stopped by an error.",
    click.argument("job_id", metavar="ID"),
    VERIFY,
    JOURNAL,
    BASE_URL,
    click.option("--anyway", is_flag=True, help="Although a later upload may have changed the same codes."),
)
add("tasks", "Ask the service for tasks by their ids.", click.argument("ids", nargs=-1, required=True), BASE_URL)


@main.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def sandbox(arguments: tuple[str, ...]) -> None:
    """Serve the contract on loopback until Ctrl-C; `scmkit sandbox --help` shows its options."""
    from scmkit.sandbox.__main__ import main as serve

    serve(list(arguments), "scmkit sandbox")
