"""Rows as a file for people: harmless in a spreadsheet program, and ready to be uploaded again.

Spreadsheet programs take text that begins with ``=``, ``+``, ``-`` or ``@`` for a formula and compute it, also where
blanks, a tab or a line break stand before. Codes may begin with ``-``, and a message may repeat anything. So an
apostrophe is written before such text. `read_table` takes it off again and gives the values as they were; it knows the
file by the columns `NOTES`, and leaves these out.

===================================  ==============================================
a cell holds                         the file holds
===================================  ==============================================
nothing                              an empty cell
text that begins as a formula may    an apostrophe, then the text
``""`` or blanks                     an apostrophe, then the text: it clears a field
what has no text form                ``'!``, then the value as it came
everything else                      its text, as it would be sent, see `scmkit.core.texts`
===================================  ==============================================
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scmkit.core.errors import DestinationError, MissingDependencyError, TableError, in_a_line
from scmkit.core.lines import lines_of
from scmkit.core.paths import check_destination, expanded
from scmkit.core.texts import cells_of, ours, text_column

NOTES = ("scmkit_line", "scmkit_state", "scmkit_message")  # the line is that of the file that was uploaded
_UNREADY = "'!"
# Full-width signs are signs, too, to some programs. Text that begins as a mark of ours would be taken for one.
_TO_MARK = re.compile(r"'*(?:[\t\r\n]|\s*(?:[-=+@＝＋－＠]|\Z))|'+!")
# XML has no such characters, or changes them.
_NOT_IN_A_WORKBOOK = re.compile(r"[\x00-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]")
_LIKE_ESCAPED = re.compile(r"_(?=x[0-9A-Fa-f]{4}_)")  # a workbook's own way to write a character
_LONGEST_IN_A_WORKBOOK = 32_767


def with_notes(table: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the lines of an uploaded table that lines of ``job.rows`` tell about, and what became of them.

    Parameters
    ----------
    table : DataFrame
        What was uploaded.
    rows : DataFrame
        ``job.rows``, or some of its lines.

    Returns
    -------
    DataFrame
        The columns of ``table``, then `NOTES`; the line is empty where the table came from no file.
    """
    lines = table.iloc[ours(rows, "row").to_numpy()].set_axis([str(label) for label in table.columns], axis=1)
    known = lines_of(lines.index)
    told = [[None] * len(lines) if known is None else known, *(ours(rows, n).to_numpy() for n in ("state", "message"))]
    return lines.assign(**dict(zip(NOTES, told, strict=True)))


def write_rows(rows: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write rows as a file that a spreadsheet program shows and `read_table` reads.

    Parameters
    ----------
    rows : DataFrame
        What `with_notes` gives; without the columns `NOTES`, these are written empty. The index is not written.
    path : path
        ``.csv`` or ``.xlsx``; what is there is replaced.

    Raises
    ------
    TableError
        Another kind of file, or text that a workbook cannot hold.
    MissingDependencyError
        A workbook needs openpyxl.
    """
    names = [str(name) for name in rows.columns]
    columns = [_written_column(rows.iloc[:, at]) for at, name in enumerate(names) if name not in NOTES]
    columns += [_notes(rows, name) for name in NOTES]
    header = [_written(name) for name in names if name not in NOTES]
    _write(path, [[*header, *NOTES], *zip(*columns, strict=True)])


def write_cells(frame: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write a table for people, such as findings, as a file that a spreadsheet program shows; the index is left out.

    Parameters
    ----------
    frame : DataFrame
    path : path
        ``.csv`` or ``.xlsx``; what is there is replaced.

    Raises
    ------
    TableError, MissingDependencyError
        As `write_rows`.
    """
    columns = [["" if pd.isna(cell) else _note(cell) for cell in frame.iloc[:, at]] for at in range(frame.shape[1])]
    _write(path, [[_note(name) for name in frame.columns], *zip(*columns, strict=True)])


def check(path: str | os.PathLike[str]) -> Path:
    """Refuse a file that `write_rows` could not write, before there is anything to write; return its path."""
    path = expanded(path)
    if path.suffix.lower() not in (".csv", ".xlsx"):
        raise DestinationError(f"{path.name}: rows are written as .csv or .xlsx")
    check_destination(path)
    if path.suffix.lower() == ".xlsx":
        try:
            import openpyxl  # noqa: F401
        except ImportError:
            raise MissingDependencyError.of("openpyxl", "files", "writing .xlsx") from None
    return path


def restored(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table as it was before `write_rows` wrote it; any other table is left alone."""
    if not set(NOTES) <= set(table.columns):
        return table
    names = [name for name in table.columns if name not in NOTES]
    columns = {_read(name): [_read(cell) for cell in table[name]] for name in names}
    series = {name: pd.Series(cells, index=table.index, dtype=object) for name, cells in columns.items()}
    return pd.DataFrame(series, index=table.index)


def _written_column(column: pd.Series) -> list[str]:
    sent = text_column(column)
    lines = ["" if text is None else _written(text) for text in sent.take()]
    cells = cells_of(column) if sent.problems else ()
    return [f"{_UNREADY}{_as_it_came(cells[at])}" if at in sent.problems else line for at, line in enumerate(lines)]


def _as_it_came(cell: Any) -> str:
    if isinstance(cell, int):  # Python refuses to write one of more than 4,300 digits
        return str(Decimal(cell))
    return str(cell) if isinstance(cell, np.number) else repr(cell)


def _written(text: str) -> str:
    return f"'{text}" if _TO_MARK.match(text) else text


def _read(cell: Any) -> Any:
    """Undo `_written`; what had no text form comes back as a list, which has none either."""
    if not isinstance(cell, str):
        return cell
    if cell.startswith(_UNREADY):
        return [cell.removeprefix(_UNREADY)]
    return cell[1:] if cell.startswith("'") and _TO_MARK.match(cell[1:]) else cell or None


def _notes(rows: pd.DataFrame, name: str) -> list[str]:
    """Return our own columns; what a service says may hold characters that no file can."""
    if name not in rows.columns:
        return [""] * len(rows)
    return ["" if cell is None else _note(cell) for cell in rows[name]]


def _note(cell: Any) -> str:
    plain = in_a_line(str(cell))[:1000]
    return _written(plain) if plain else ""


def _write(path: str | os.PathLike[str], lines: Sequence[Sequence[str]]) -> None:
    path = check(path)
    write = _write_csv if path.suffix.lower() == ".csv" else _write_workbook
    write(path, lines)


def _write_csv(path: Path, lines: Sequence[Sequence[str]]) -> None:
    # The mark in front tells spreadsheet programs that it is UTF-8. Quotes around every cell keep line breaks, and
    # delimiters in names, from being taken for the file's own.
    with path.open("w", encoding="utf-8-sig", errors="backslashreplace", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows(lines)


def _write_workbook(path: Path, lines: Sequence[Sequence[str]]) -> None:
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell

    for number, line in enumerate(lines, 1):
        for text in line:
            if len(text) > _LONGEST_IN_A_WORKBOOK or _NOT_IN_A_WORKBOOK.search(text):
                raise TableError(f"{path.name}, row {number}: {text[:40]!r} cannot stand in a workbook: write a .csv")
    book = Workbook(write_only=True)
    sheet = book.create_sheet("rows")
    for line in lines:
        cells = [_LIKE_ESCAPED.sub("_x005F_", text) for text in line]
        sheet.append([_text_cell(WriteOnlyCell(sheet, text)) if text else None for text in cells])
    book.save(path)


def _text_cell(cell: Any) -> Any:
    """Make a cell hold text for good: openpyxl takes ``#N/A`` for an error, and people type into cells."""
    cell.data_type, cell.number_format = "s", "@"
    return cell
