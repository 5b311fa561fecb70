"""Where the names of the columns stand in a file that people made: below titles, or which choice to make is said."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from typing import Any

TOP = 30  # rows in which a header is looked for
_TITLES = 6  # rows of one cell that may stand above a table
_LIKE_A_VALUE = re.compile(r"[-+]?\d[-\d.,:/ eE+]*")  # a number or a date, not a column's name
_LONG, _LONG_LINE = 1_000_000, 100_000  # of the beginning that is looked at, and of a line of it
Row = Sequence[Any]


def is_blank(cell: Any) -> bool:
    """Whether nothing is seen in a cell."""
    return cell is None or (isinstance(cell, str) and not cell.strip())


def is_like_a_value(name: object) -> bool:
    """Whether a cell is no column's name: no text, or text that is a number or a date."""
    return not isinstance(name, str) or _LIKE_A_VALUE.fullmatch(name.strip()) is not None


def below_titles(rows: Sequence[Row]) -> int:
    """Return which row is the header: the first that is not blank, or the one below titles and a blank row.

    Titles are a few rows of one cell each. The header below them names two columns or more, and a row follows.
    """
    counts = [_filled(row) for row in rows[:TOP]]
    first = next((at for at, count in enumerate(counts) if count), 0)
    wide = next((at for at, count in enumerate(counts) if count > 1), 0)
    is_below = 0 < wide < len(counts) - 1 and counts[wide - 1] == 0 and counts[:wide].count(1) <= _TITLES
    return wide if is_below and counts[wide + 1] > 1 and _are_names(rows[wide]) else first


def suggested(rows: Sequence[Row]) -> int | None:
    """Return which row, other than the first, names most columns, as most rows below have, and so may be the header."""
    counts = [_filled(row) for row in rows[:TOP]]
    widest = next((at for at, row in enumerate(rows[:TOP]) if counts[at] == max(counts) and _are_names(row)), 0)
    below = [count for count in counts[widest + 1 :] if count]
    return widest if any(counts[:widest]) and 2 * below.count(counts[widest]) > len(below) else None


def cells_of(text: str, sign: str) -> list[list[str]]:
    """Split the first lines of a text at a delimiter; a quoted line break ends a line, too."""
    return [next(csv.reader([line], delimiter=sign), []) for line in _top(text)]


def lines_above(text: str, signs: Sequence[str]) -> int:
    """Return how many lines stand above the header of a delimited text: titles that no delimiter divides."""
    splits = [cells_of(text, sign) for sign in signs]
    if any(_filled(next(filter(_filled, rows), [])) > 1 for rows in splits):
        return 0
    found = [(below_titles(rows), rows) for rows in splits]
    at, rows = max(found, key=lambda pair: _filled(pair[1][pair[0]]))
    return 0 if '"' in "".join(_top(text)[:at]) or not any(map(_filled, rows[:at])) else at


def narrow_above_wide(text: str, signs: Sequence[str]) -> tuple[str, int] | None:
    """Tell a first line of one cell above lines that one of these signs divides into as many cells each."""
    for sign in signs if '"' not in _top(text)[0] else ():
        counts = [count for count in map(_filled, cells_of(text, sign)) if count]
        if len(counts) > 2 and counts[0] == 1 and len(set(counts[1:])) == 1 and counts[1] > 1:
            return sign, counts[1]
    return None


def _top(text: str) -> list[str]:
    lines = re.split(r"\r\n|\r|\n", text[:_LONG], maxsplit=TOP)[:TOP]
    return [line[:_LONG_LINE] for line in lines]


def _filled(row: Row) -> int:
    return sum(not is_blank(cell) for cell in row)


def _are_names(row: Row) -> bool:
    names = [cell for cell in row if not is_blank(cell)]
    return len(names) > 1 and not any(map(is_like_a_value, names)) and len(set(names)) == len(names)
