"""Files to frames, undamaged, and columns to text: the one place where a cell becomes what is sent.

A cell is text, or missing. Missing (``NaN``, ``None``, ``NaT``, ``pd.NA``) is left out of a call; ``""`` clears a
field. Everything else has one text form, or is a finding:

====================================  =====================================================
a cell holds                          its text
====================================  =====================================================
text                                  itself, blanks and all
a whole number, of any dtype          ``12``, never ``12.0``
another finite number                 the shortest digits that give it back: ``12.5``
a ``Decimal``                         its digits, without an exponent
a truth value                         ``true`` or ``false``
a date, a time stamp at midnight      ``2026-11-23``
====================================  =====================================================
"""

from __future__ import annotations

import datetime as dt
import math
import uuid
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scmkit.errors import MissingColumnError

MISSING = -1
Ints = NDArray[np.int64]
Objects = NDArray[np.object_]


@dataclass(frozen=True)
class TextColumn:
    """A column as the texts it holds and, for each row, which of them.

    Independent of the DataFrame it came from: what is planned is what is sent, whatever happens to the frame in
    between. Equal cells share one text, so equal rows are found by comparing integers.

    Parameters
    ----------
    name : str
        The column's name.
    codes : array of int64, shape (rows,)
        Position in ``texts``, or -1 where the cell is missing or has no text form.
    texts : array of str, shape (distinct,)
        The distinct texts.
    problems : dict of int to str
        Row position to what is wrong, for cells that have no text form.
    """

    name: str
    codes: Ints
    texts: Objects
    problems: dict[int, str]

    def take(self, rows: Ints) -> Objects:
        """Give the texts of these rows, None where missing."""
        return np.append(self.texts, None)[self.codes[rows]]

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Rows without a text."""
        return self.codes == MISSING


def text_column(column: pd.Series, name: str | None = None) -> TextColumn:
    """Turn a column of any dtype into text, see the table at the top of this module."""
    name = str(column.name) if name is None else name
    if isinstance(column.dtype, pd.CategoricalDtype):
        inner = text_column(pd.Series(column.cat.categories), name)
        codes = np.append(inner.codes, MISSING)[column.cat.codes.to_numpy()]
        at = dict.fromkeys(inner.problems)
        problems = {int(r): inner.problems[c] for r, c in enumerate(column.cat.codes) if c in at}
        return TextColumn(name, codes, inner.texts, problems)
    if column.dtype == object and pd.api.types.infer_dtype(column, skipna=True) not in ("string", "empty"):
        return _mixed(column, name)  # 1, True and 1.0 are equal to a hash, but are not the same text
    codes, distinct = pd.factorize(column)
    return _of_distinct(name, codes.astype(np.int64), list(distinct))


def text_table(frame: pd.DataFrame, columns: Iterable[Hashable] | None = None) -> dict[str, TextColumn]:
    """Turn columns of a frame into text; a name that is there twice or not at all is an error."""
    wanted = list(frame.columns) if columns is None else list(columns)
    table: dict[str, TextColumn] = {}
    for label in wanted:
        if label not in frame.columns:
            raise MissingColumnError.of(label, frame.columns)
        column = frame[label]
        if isinstance(column, pd.DataFrame) or str(label) in table:
            raise MissingColumnError(f"column {str(label)!r} is there more than once: rename or drop one of them")
        table[str(label)] = text_column(column, str(label))
    return table


def columns_of(frame: pd.DataFrame, key: str | Sequence[str]) -> list[str]:
    """Give the key as a list of column names, after checking that the frame has them."""
    keys = [key] if isinstance(key, str) else list(key)
    names = [str(c) for c in frame.columns]
    for name in keys:
        if name not in names:
            raise MissingColumnError.of(name, names, "key")
    if not keys or len(set(keys)) < len(keys):
        raise MissingColumnError(f"a key is one or more different columns, not {key!r}")
    return keys


def group(columns: Sequence[TextColumn], rows: int) -> tuple[Ints, int]:
    """Number the distinct combinations of these columns, by first appearance.

    Returns
    -------
    groups : array of int64, shape (rows,)
        The number of each row's combination; a missing cell is a value of its own.
    count : int
        How many combinations there are.
    """
    groups = np.zeros(rows, dtype=np.int64)
    count = min(rows, 1)
    for column in columns:
        pairs = groups * (len(column.texts) + 1) + column.codes + 1
        groups, distinct = pd.factorize(pairs)
        groups, count = groups.astype(np.int64), len(distinct)
    return groups, count


def _mixed(column: pd.Series, name: str) -> TextColumn:
    texts: dict[str, int] = {}
    codes = np.full(len(column), MISSING, dtype=np.int64)
    problems: dict[int, str] = {}
    for row, value in enumerate(column):
        text, problem = text_of(value)
        if problem is not None:
            problems[row] = problem
        elif text is not None:
            codes[row] = texts.setdefault(text, len(texts))
    return TextColumn(name, codes, _objects(texts), problems)


def _of_distinct(name: str, codes: Ints, distinct: list[Any]) -> TextColumn:
    """Normalise each distinct value once; different values may still have one text (1.0 and 1)."""
    texts: dict[str, int] = {}
    at = np.full(len(distinct) + 1, MISSING, dtype=np.int64)
    broken: dict[int, str] = {}
    for i, value in enumerate(distinct):
        text, problem = text_of(value)
        if problem is not None:
            broken[i] = problem
        elif text is not None:
            at[i] = texts.setdefault(text, len(texts))
    problems: dict[int, str] = {}
    if broken:
        rows = np.flatnonzero(np.isin(codes, list(broken)))
        problems = {int(row): broken[int(codes[row])] for row in rows}
    return TextColumn(name, at[codes], _objects(texts), problems)


def text_of(value: Any) -> tuple[str | None, str | None]:
    """Give a cell's text and what is wrong with it; a missing cell has neither."""
    if isinstance(value, str):
        return _checked(str(value))
    if isinstance(value, np.generic):
        value = value.item() if not isinstance(value, np.datetime64) else pd.Timestamp(value)
    if value is None or value is pd.NA or value is pd.NaT:
        return None, None
    if isinstance(value, bool):
        return ("true" if value else "false"), None
    if isinstance(value, int):
        return str(value), None
    if isinstance(value, float | Decimal):
        return _number(value)
    if isinstance(value, dt.datetime):
        if value.time() != dt.time.min:
            return None, "has a time of day, and SCM dates have none: use the date alone (.dt.normalize())"
        return value.date().isoformat(), None
    if isinstance(value, dt.date):
        return value.isoformat(), None
    if isinstance(value, pd.Period) and value.freqstr == "D":
        return str(value), None
    if isinstance(value, uuid.UUID):
        return str(value), None
    return None, f"a {type(value).__name__} has no text form: turn the column into text first"


def _number(value: float | Decimal) -> tuple[str | None, str | None]:
    if math.isnan(value):
        return None, None
    if math.isinf(value):
        return None, "an infinite number has no text form"
    if isinstance(value, float):
        if value.is_integer() and abs(value) > 2**53:
            return None, "a float of more than 15 digits has lost its last ones: read the column as text"
        return (str(int(value)) if value.is_integer() else format(Decimal(repr(value)), "f")), None
    return format(value if value else Decimal(0), "f"), None


def _checked(text: str) -> tuple[str | None, str | None]:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return None, "holds half of a character (a lone surrogate): no JSON text exists for it"
    if "\0" in text:
        return None, "holds a NUL character, which the service cannot store"
    return text, None


def _objects(texts: Iterable[str]) -> Objects:
    listed = list(texts)
    array = np.empty(len(listed), dtype=object)
    array[:] = listed
    return array
