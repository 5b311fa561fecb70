"""What a code download tells while it is read: how many codes, and which fields their campaign has."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from scmkit.core import contract
from scmkit.core.errors import NotFoundError, UnreadableAnswerError

_WHERE = "the code download"
# The columns that filters are about, beside ``scm_<field>``.
COLUMNS = {
    "extended_id": ("extended_id",), "serial_number": ("serial_number",),
    contract.DOWNLOAD_FILTERS["product"]: contract.DOWNLOAD_COLUMNS["product"],
}  # fmt: skip


def count(pieces: Iterable[bytes], filters: Mapping[str, Any], most: int | None = None) -> int:
    """Count the codes of a download, or read on until there are more than ``most``.

    A service that does not know a filter may leave it out: then the codes are others than those that were asked for,
    and their number is an error.
    """
    lines = _lines(pieces)
    header = _header(lines)
    asked = _asked(header, filters)
    found = 0
    for line in lines:
        if len(line) != len(header):
            raise _unreadable(f"line {found + 2:,} has {len(line)} cells instead of {len(header)}")
        for name, at, values in asked:
            if not any(line[i].strip().casefold() in values for i in at):
                raise _unreadable(f"it holds codes with another {name}: the service does not filter by it")
        found += 1
        if most is not None and found > most:
            break
    return found


def fields(pieces: Iterable[bytes]) -> list[str]:
    """Return the SCM fields in the header of a download that holds codes."""
    lines = _lines(pieces)
    header = _header(lines)
    if next(lines, None) is None:  # a header without codes may be nobody's
        raise NotFoundError(200, "no code is selected, so nothing is known about its fields", where=_WHERE)
    return [name for name in header if name not in contract.CODE_COLUMNS]


def _lines(pieces: Iterable[bytes]) -> Iterator[list[str]]:
    def texts() -> Iterator[str]:
        rest = ""
        for text in codecs.iterdecode(pieces, "utf-8-sig"):
            *whole, rest = (rest + text).split("\n")  # only there: cells may hold what Python calls a line
            yield from (line + "\n" for line in whole)
        yield rest

    try:
        yield from (line for line in csv.reader(texts(), strict=True) if line)
    except (UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(f"it is no CSV: {error}") from None


def _header(lines: Iterator[list[str]]) -> list[str]:
    header = next(lines, [])
    if contract.fields_in(header) is None:
        lacks = next((name for name in contract.CODE_COLUMNS if name not in header), "")
        raise _unreadable(f"its header has no column {lacks!r}")
    return header


def _asked(header: list[str], filters: Mapping[str, Any]) -> list[tuple[str, list[int], set[str]]]:
    """Return the columns that filters are about, and the values that they may have; other filters have no column."""
    found = []
    for name, value in filters.items():
        columns = (name.removeprefix("scm_"),) if name.startswith("scm_") else COLUMNS.get(name, ())
        if not set(columns) <= set(header):
            raise _unreadable(f"its campaign has no field {columns[0]!r}")
        values = [value] if isinstance(value, str) or not isinstance(value, Iterable) else value
        if columns:
            found.append((columns[0], [header.index(c) for c in columns], {str(v).strip().casefold() for v in values}))
    return found


def _unreadable(why: str) -> UnreadableAnswerError:
    return UnreadableAnswerError(200, why, where=_WHERE)
