"""The same from a shell. Errors of ours are one clear sentence, never a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import click

from scmkit import __version__
from scmkit.cli.exits import HELP, Failed, code_of, sentence
from scmkit.cli.words import in_shell_words
from scmkit.core import contract
from scmkit.core.errors import ScmkitError
from scmkit.core.paths import check_destination

Option = Callable[[Any], Any]
PATH = click.Path(path_type=Path)
OUTPUT: list[Option] = [
    click.option("--json", "as_json", is_flag=True,
                 help="Write one JSON object to stdout, whatever happens; progress goes to stderr."),
    click.option("--quiet", "-q", is_flag=True, help="Say only what went wrong."),
]  # fmt: skip
# How a file is read, and what is asked of the table; `scmkit.cli.source.Source` holds them.
TABLE: list[Option] = [
    click.argument("table", type=PATH),
    click.option("--key", "keys", multiple=True, default=[contract.DEFAULT_KEY], show_default=True,
                 help="Column that selects codes; repeat it for several constraints."),
    click.option("--map", "renamed", multiple=True, metavar="COLUMN=FIELD",
                 help="Which SCM field, or key, a column of the file is: 'Lot no.=lot_number'."),
    click.option("--sheet", help="Of a workbook; by default the first that is not empty."),
    click.option("--header", type=click.IntRange(1), help="The line, or row of a sheet, that names the columns."),
    click.option("--encoding", help="Of a text file, such as cp1252; by default UTF-8, or what its first bytes say."),
    click.option("--delimiter", help="What separates the cells of a text file; by default it is found out."),
    click.option("--pad-to", multiple=True, metavar="COLUMN=WIDTH",
                 help="Fill whole numbers of a column up with zeros in front, which a spreadsheet took away."),
    click.option("--inventory", type=PATH, help="CSV or Parquet of all codes: makes the counts exact."),
    click.option("--mapping", type=PATH,
                 help="JSON of what the columns are sent as, and the key; see scmkit.Mapping."),
    click.option("--on-conflict", type=click.Choice(["error", "last", "first"]), default="error", show_default=True,
                 help="Which of several rows with one key and different values counts."),
    click.option("--fix", "fixes", multiple=True, metavar="RULE",
                 help="Apply the ready fixes of this rule before going on, or of 'all'. Rows are dropped only when "
                      "duplicate_equal or duplicate_conflict is named."),
    click.option("--findings", type=PATH, help="Write what validation finds, a line each, as .xlsx or .csv."),
]  # fmt: skip
PLAN: list[Option] = [
    *TABLE,
    click.option("--mode", type=click.Choice(["auto", "sync", "async"]), default="auto", show_default=True,
                 help="sync: calls with an answer at once; async: tasks that are followed; auto: what ends first."),
    click.option("--risk", type=float, default=0.01, show_default=True,
                 help="The timeout risk that a sync call may have at most."),
    click.option("--errors", type=click.Choice(["raise", "reject"]), default="raise", show_default=True,
                 help="Whether invalid rows forbid the upload, or are left out of it."),
]  # fmt: skip
VERIFY = click.option("--verify", is_flag=True, help="Download the codes afterwards and compare.")
BASE_URL = click.option("--base-url", help="Instead of SCANTRUST_BASE_URL.")
REPORT = click.option("--report", type=PATH, help="Write a report to hand on: one HTML file that needs nothing else.")
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
            raise Failed(in_shell_words(sentence(error)), code_of(error)) from None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]}, epilog=HELP)
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

    def command(as_json: bool, quiet: bool, **given: Any) -> None:
        from scmkit.cli import actions
        from scmkit.cli.output import Output

        out = Output(name, as_json, quiet)
        sys.exit(out.run(lambda: getattr(actions, name)(out, **given)))

    made = reduce(lambda made, option: option(made), reversed([*options, *OUTPUT]), command)
    main.command(name, help=words, epilog="Exit codes: see `scmkit --help`.")(made)


add("validate", "Say what would go wrong, before anything is sent.", *TABLE)
add("plan", "Show the calls that an upload would make, and why.", *PLAN)
add(
    "upload",
    "Bring values onto codes; asks before it sends.",
    *PLAN,
    click.option("--yes", "-y", is_flag=True, help="Send without a question, as a script must."),
    click.option("--dry-run", is_flag=True, help="Show the plan, and send nothing."),
    VERIFY,
    REPORT,
    click.option("--rejected", type=PATH,
                 help="Write the rows that were not wholly applied, and why, as a .csv or .xlsx to be uploaded again."),
    click.option("--anyway", is_flag=True, help="Although an earlier upload may still change the same codes."),
    BASE_URL,
)  # fmt: skip
add(
    "jobs",
    "List the uploads in the journal, newest last; with an ID, say what became of that one.",
    click.argument("job_id", metavar="[ID]", required=False),
    REPORT,
    click.option("--prune", type=click.FloatRange(min=0), metavar="DAYS",
                 help="Forget jobs older than this that are complete or cancelled."),
    JOURNAL,
)  # fmt: skip
add(
    "resume",
    "Carry an interrupted upload to its end.",
    click.argument("job_id", metavar="ID"),
    VERIFY,
    REPORT,
    JOURNAL,
    BASE_URL,
    click.option("--anyway", is_flag=True, help="Although a later upload may have changed the same codes."),
)
add("doctor", "Say whether all is there that an upload needs; sends questions only.", JOURNAL, BASE_URL)
add("tasks", "Ask the service for tasks by their ids.", click.argument("ids", nargs=-1, required=True), BASE_URL)


@main.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def sandbox(arguments: tuple[str, ...]) -> None:
    """Serve the contract on loopback until Ctrl-C; `scmkit sandbox --help` shows its options."""
    from scmkit.sandbox.__main__ import main as serve

    serve(list(arguments), "scmkit sandbox")
