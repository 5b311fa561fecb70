"""What a command says: words for people, or one JSON object for programs; tables as wide as the terminal."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any

import click
import pandas as pd

from scmkit.cli.exits import Exit, Failed, code_of, sentence
from scmkit.cli.words import in_shell_words
from scmkit.core.errors import ScmkitError, in_a_line

MOST_LINES = 30
NARROWEST = 8  # of a column that is cut; where even that does not fit, each line of the table becomes several
WHOLE = {"id", "task_id", "created"}  # columns that are never cut, as numbers are not
GAP = "  "


class Output:
    """Where a command says what it does.

    Parameters
    ----------
    command : str
    as_json : bool
        Say nothing to people, and write one JSON object with the facts at the end, whatever the end is.
    quiet : bool
        Say only what went wrong.

    Attributes
    ----------
    facts : dict
        What the object holds.
    """

    def __init__(self, command: str, as_json: bool, quiet: bool) -> None:
        self.quiet, self.as_json = quiet, as_json
        self.facts: dict[str, Any] = {"command": command}

    def say(self, text: str) -> None:
        """Say something to people."""
        if not (self.quiet or self.as_json):
            click.echo(in_shell_words(text))

    def show(self, frame: pd.DataFrame, most: int = MOST_LINES) -> None:
        """Show the first lines of a table, as wide as the terminal."""
        said = {name: frame[name].map(in_shell_words) for name in {"message", "why"} & set(frame.columns)}
        if len(frame) and not (self.quiet or self.as_json):
            click.echo(fitted(frame.assign(**said).head(most), terminal_width()))
        if len(frame) > most:
            self.say(f"... and {len(frame) - most:,} more: --json lists all")

    def run(self, action: Callable[[], Exit | None]) -> Exit:
        """Do what a command is for; whatever happens is a sentence, and a code."""
        try:
            code = action() or Exit.OK
        except BrokenPipeError:  # who reads has seen enough, as `head` has: click ends without a word
            raise
        except click.ClickException as error:
            self.end(error.exit_code, {"type": "Usage", "message": error.format_message()})
            raise
        except (ScmkitError, OSError, KeyboardInterrupt, click.Abort) as error:
            if isinstance(error, click.Abort):
                click.echo(err=True)  # the line of the question ends
            code, words = code_of(error), in_shell_words(sentence(error))
            self.end(code, {"type": type(error).__name__, "message": words})
            raise Failed(words, code) from None
        self.end(code)
        return code

    def end(self, code: int, error: dict[str, str] | None = None) -> None:
        """Write the JSON object, if it was asked for."""
        if self.as_json:
            known = self.facts.pop("error", None)
            told = self.facts | {"ok": code == Exit.OK, "exit_code": int(code), "error": known or error}
            click.echo(json.dumps(told, allow_nan=False))


def can_ask() -> bool:
    """Whether somebody sits there who can answer."""
    return sys.stdin is not None and sys.stdin.isatty()


def terminal_width() -> int | None:
    """Return how many characters a line of the terminal has; None for a file or a pipe, where nothing is cut."""
    if not (sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit()):
        return None
    return shutil.get_terminal_size().columns


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the lines of a table as JSON has them; what is missing is null."""
    names = [str(name) for name in frame.columns]
    return [dict(zip(names, map(_plain, line), strict=True)) for line in frame.itertuples(index=False, name=None)]


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    if pd.isna(value) or value in (float("inf"), float("-inf")):
        return None
    if isinstance(value, bool):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    return value.isoformat() if isinstance(value, pd.Timestamp) else str(value)


def fitted(frame: pd.DataFrame, width: int | None) -> str:
    """Write a table in lines no longer than this: long texts are cut; where that is not enough, each cell has a line.

    Parameters
    ----------
    frame : DataFrame
        The index is not shown.
    width : int or None
        None for as wide as it is.
    """
    columns = [[_text(value) for value in frame.iloc[:, at]] for at in range(frame.shape[1])]
    names = [str(name) for name in frame.columns]
    right = [pd.api.types.is_numeric_dtype(dtype) for dtype in frame.dtypes]
    whole = [is_number or name in WHOLE for name, is_number in zip(names, right, strict=True)]
    natural = [max(map(len, (name, *cells))) for name, cells in zip(names, columns, strict=True)]
    widths = _narrowed(natural, whole, width)
    if widths is None:
        return _one_below_the_other(names, columns, width or 0)
    lines = [_line(cells, widths, right) for cells in (names, *zip(*columns, strict=True))]
    return "\n".join(line.rstrip() for line in lines)


def _narrowed(natural: Sequence[int], whole: Sequence[bool], width: int | None) -> Sequence[int] | None:
    """Return how wide columns are so that a line fits; None where those that can be cut would be too narrow."""
    room = (width or 0) - len(GAP) * (len(natural) - 1)
    if width is None or sum(natural) <= room:
        return natural
    for most in range(max(natural), NARROWEST - 1, -1):
        widths = [needed if kept else min(needed, most) for needed, kept in zip(natural, whole, strict=True)]
        if sum(widths) <= room:
            return widths
    return None


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    cut = [_cut(cell, width) for cell, width in zip(cells, widths, strict=True)]
    return GAP.join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(cut, widths, right, strict=True))


def _one_below_the_other(names: Sequence[str], columns: Sequence[Sequence[str]], width: int) -> str:
    longest = max(map(len, names))
    blocks = [
        "\n".join(_cut(f"{name:<{longest}}{GAP}{cell}", width) for name, cell in zip(names, cells, strict=True) if cell)
        for cells in zip(*columns, strict=True)
    ]
    return "\n\n".join(blocks)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: max(width - 1, 0)]}…"


def _text(value: Any) -> str:
    """Write a cell in one line, harmless to a terminal."""
    if isinstance(value, tuple | list):
        return ", ".join(map(_text, value))
    if pd.isna(value):
        return ""
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, Integral) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, Real) and not isinstance(value, bool):
        return f"{value:.3g}"
    return in_a_line(str(value))
