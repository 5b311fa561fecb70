"""Columns to text: the one place where a cell becomes what is sent.

A cell is text, or missing. Missing (``NaN``, ``None``, ``NaT``, ``pd.NA``) is left out of a call; ``""`` clears
a field. Everything else has one text form, or is a finding:

====================================  =====================================================
a cell holds                          its text
====================================  =====================================================
text                                  itself, blanks and all
a whole number, of any dtype          ``12``, never ``12.0``
another finite number                 the shortest digits that give it back: ``12.5``
a ``Decimal``                         its digits, without an exponent: ``12.50``
a truth value                         ``true`` or ``false``
a date, a time stamp at midnight      ``2026-11-23``
a ``Period`` of one day, a ``UUID``   ``2026-11-23``, ``6fa459ea-ee8a-3ca4-894e-db77e160355e``
====================================  =====================================================
"""

from __future__ import annotations

import datetime as dt
import math
import re
import uuid
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from scmkit.core.arrays import Bools, Floats, Ints, Objects
from scmkit.core.errors import MissingColumnError

MISSING = -1
OURS = "scmkit_"
_ALPHANUMERIC = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SAMPLE = 1_000  # first cells of a column that tell whether all may differ
LONGEST_NUMBER = 100  # digits; beyond, a number is a mistake, and Python itself refuses to print some
_ESCAPED = {'"', "\\", *map(chr, range(32))}  # what JSON writes otherwise
_EXACT_BELOW = {np.float16: 2**11, np.float32: 2**24}  # from there on, whole numbers share a float (else 2**53)


@dataclass(frozen=True)
class TextColumn:
    """A column as the texts it holds and, for each row, which of them.

    Independent of the DataFrame it came from: what is planned is what is sent, whatever happens to the frame
    in between. Equal cells share one text, so equal rows are found by comparing integers.

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

    def take(self, rows: Ints | slice = slice(None)) -> Objects:
        """Return the texts of these rows, or of all, None where missing."""
        codes = self.codes[rows]
        if not (codes == MISSING).any():
            return np.asarray(self.texts[codes])
        taken = np.full(len(codes), None, dtype=object)
        taken[codes != MISSING] = self.texts[codes[codes != MISSING]]
        return taken

    @cached_property
    def signs(self) -> frozenset[str]:
        """The characters of all texts beside ASCII letters and digits: what is not among them need not be looked for.

        Found at the pace of memory, so a rule about a sign that nobody uses costs nothing a text.
        """
        return frozenset("".join(self.texts).encode().translate(None, _ALPHANUMERIC).decode())

    @cached_property
    def lengths(self) -> range:
        """From the characters of the shortest text to those of the longest; empty without texts."""
        sizes = set(map(len, self.texts))
        return range(min(sizes), max(sizes) + 1) if sizes else range(0)

    @cached_property
    def json_texts(self) -> Objects:
        """The texts as they stand between the quotes of JSON, and an empty one for -1."""
        plain = self.signs.isdisjoint(_ESCAPED)
        return np.append(self.texts if plain else _objects(map(json_string, self.texts)), "")

    @cached_property
    def json_sizes(self) -> Ints:
        """The bytes of these."""
        texts = self.json_texts
        sized: Iterable[Any] = texts if "".join(self.signs).isascii() else map(str.encode, texts)
        return np.fromiter(map(len, sized), np.int64, len(texts))

    @property
    def missing(self) -> Bools:
        """Rows without a text."""
        return np.asarray(self.codes == MISSING)

    def cleared(self, rows: Ints | slice = slice(None)) -> int:
        """Count the rows, of these, whose text is empty: it clears the field."""
        return int(np.isin(self.codes[rows], np.flatnonzero(self.texts == "")).sum())


def json_string(text: str) -> str:
    """Return a text as it stands between the quotes of JSON."""
    return msgspec.json.encode(text)[1:-1].decode()


def text_column(column: pd.Series, name: str | None = None) -> TextColumn:
    """Turn a column of any dtype into text, see the table at the top of this module.

    Parameters
    ----------
    column : pandas.Series
        It is not changed, and its index plays no part.
    name : str, optional
        The name to give it instead of its own.

    Returns
    -------
    TextColumn
        With one entry a row; what `text_of` says of each cell, found once for each distinct number or time.
    """
    name = str(column.name) if name is None else name
    column = _decoded(column)
    if isinstance(column.dtype, pd.CategoricalDtype):
        used = column.cat.remove_unused_categories().cat
        inner = text_column(pd.Series(used.categories), name)
        return _spread(inner, used.codes.to_numpy().astype(np.int64))
    if column.dtype.kind in "biufM":
        codes, distinct = pd.factorize(column)
        inner = _of_values(name, _scalars(distinct, column.dtype))
        return _spread(inner, codes.astype(np.int64))
    if _holds_texts(column):
        if _all_differ(column):
            return _of_texts(name, np.asarray(column, dtype=object))
        codes, distinct = pd.factorize(column)
        return _spread(_of_texts(name, np.asarray(distinct, dtype=object)), codes.astype(np.int64))
    return _of_values(name, column.to_numpy(dtype=object).tolist())  # a hash takes 1, True and 1.0 for equal


def tallied(frame: pd.DataFrame, name: str) -> tuple[pd.DataFrame, Floats]:
    """Return a column's distinct cells by first appearance, and how often each is there; unless it holds texts, all."""
    column = frame.iloc[:, [str(label) for label in frame.columns].index(name)]
    if not (_holds_texts(column) or isinstance(column.dtype, pd.CategoricalDtype)):
        return column.to_frame(name), np.ones(len(column))
    times = column.value_counts(sort=False)
    if isinstance(column.dtype, pd.CategoricalDtype):
        times = times.reindex([value for value in column.unique() if not pd.isna(value)])
    return pd.DataFrame({name: times.index}), times.to_numpy(dtype=float)


def _holds_texts(column: pd.Series) -> bool:
    """Whether a column is made of texts and missing cells, which pandas can tell apart by itself."""
    inferred = pd.api.types.infer_dtype(column, skipna=True) if column.dtype == object else ""
    if not (isinstance(column.dtype, pd.StringDtype) or inferred == "string"):
        return False
    return int(pd.__version__.split(".")[0]) >= 3 or _are_plain(column.dropna().tolist())


def _all_differ(column: pd.Series) -> bool:
    """Whether all cells are known to be different texts: their hashes are. To sort these is quicker than a look-up."""
    if not column.iloc[:SAMPLE].is_unique:
        return False
    cells = column.tolist()
    hashes = np.sort(np.fromiter(map(hash, cells), np.int64, len(cells)))
    return set(map(type, cells)) <= {str} and bool(np.all(hashes[1:] != hashes[:-1]))


def _are_plain(values: Iterable[Any]) -> bool:
    """Whether all are texts that can be sent as they are; others may be equal to pandas before version 3."""
    try:
        joined = "".join(values).encode()
    except UnicodeEncodeError:
        return False
    return b"\0" not in joined and set(map(type, values)) <= {str}


def cells_of(column: pd.Series) -> Objects:
    """Return the cells of a column of any dtype as they are, each float in its own type; see `_scalars`."""
    column = _decoded(column)
    return _objects(_scalars(column.to_numpy(dtype=object), column.dtype))


def our_name(name: str, others: Iterable[str]) -> str:
    """Return the name of a column of ours beside a caller's, which may have any name and keep it.

    Ours is the one with the most `OURS` before it: ``state``, or ``scmkit_state`` where a key is called ``state``.
    """
    alike = [other for other in others if re.fullmatch(f"({OURS})*{re.escape(name)}", other)]
    return OURS + max(alike, key=len) if alike else name


def ours(frame: pd.DataFrame, name: str) -> pd.Series:
    """Return a column of ours from a frame that holds a caller's columns, too; see `our_name`."""
    return frame[our_name(name, map(str, frame.columns)).removeprefix(OURS)]


def text_table(frame: pd.DataFrame, columns: Iterable[Hashable] | None = None) -> dict[str, TextColumn]:
    """Turn columns of a frame into text, keyed by their names as text.

    Raises
    ------
    MissingColumnError
        If a column is not there, or two columns have this name (``1`` and ``"1"`` are one name).
    """
    names = [str(label) for label in frame.columns]
    wanted = names if columns is None else [str(label) for label in columns]
    for name in wanted:
        if name not in names:
            raise MissingColumnError.of(name, names)
        if names.count(name) > 1:
            raise MissingColumnError(f"column {name!r} is there more than once: rename or drop one of them")
    return {name: text_column(frame.iloc[:, names.index(name)], name) for name in wanted}


def repeated(names: Iterable[str]) -> str | None:
    """Return the first name that was there before; None where all differ."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def key_names(key: Any) -> list[str]:
    """Return the names in a key, which may be one name or several."""
    return [str(key)] if pd.api.types.is_scalar(key) else [str(name) for name in key]


def columns_of(columns: Iterable[Hashable], key: str | Sequence[str]) -> list[str]:
    """Return the key as a list of names, after checking that they are among these columns; a tuple may be one name."""
    names = [str(c) for c in columns]
    keys = [str(key)] if isinstance(key, tuple) and str(key) in names else key_names(key)
    for name in keys:
        if name not in names:
            raise MissingColumnError.of(name, names, "key")
    if not keys or len(set(keys)) < len(keys):
        raise MissingColumnError(f"a key is one or more different columns, not {key!r}")
    return keys


def group(columns: Sequence[TextColumn], rows: int) -> tuple[Ints, int]:
    """Return each distinct combination of these columns a number, by first appearance.

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
        if count == rows:
            break  # they all differ, and more columns cannot change that
        pairs = groups * (len(column.texts) + 1) + column.codes + 1
        groups, distinct = pd.factorize(pairs)
        groups, count = groups.astype(np.int64), len(distinct)
    return groups, count


def first_rows(groups: Ints, count: int) -> Ints:
    """Return where each of these groups is first."""
    if count == len(groups):
        return np.arange(count)  # they are numbered by first appearance
    first = np.zeros(count, dtype=np.int64)
    first[groups[::-1]] = np.arange(len(groups))[::-1]  # the last to be written is the first row
    return first


def _of_texts(name: str, distinct: Objects) -> TextColumn:
    """Normalise different texts: together, unless one of them is not sent as it is."""
    if not _are_plain(distinct):
        return _of_values(name, distinct)
    return TextColumn(name, np.arange(len(distinct)), distinct, {})


def _of_values(name: str, values: Iterable[Any]) -> TextColumn:
    """Normalise value by value; different values may still have one text (1.0 and 1)."""
    texts: dict[str, int] = {}
    codes: list[int] = []
    problems: dict[int, str] = {}
    for row, value in enumerate(values):
        text, problem = (value, None) if type(value) is str and value in texts else text_of(value)
        if problem is not None:
            problems[row] = problem
        codes.append(MISSING if text is None else texts.setdefault(text, len(texts)))
    return TextColumn(name, np.array(codes, dtype=np.int64), _objects(texts), problems)


def _spread(distinct: TextColumn, at: Ints) -> TextColumn:
    """Return each row the text of the distinct value it points at; -1 is missing."""
    codes = np.append(distinct.codes, MISSING)[at]
    rows = np.flatnonzero(np.isin(at, list(distinct.problems))) if distinct.problems else ()
    problems = {int(row): distinct.problems[int(at[row])] for row in rows}
    return TextColumn(distinct.name, codes, distinct.texts, problems)


def _scalars(distinct: Any, dtype: Any) -> list[Any]:
    """Return the values of an index, narrow floats in their own type: widened, 0.1 would be 0.10000000149."""
    values: list[Any] = distinct.tolist()
    narrow = _numpy_dtype(dtype)
    if narrow in (np.float16, np.float32):
        values = [value if pd.isna(value) else narrow.type(value) for value in values]
    return values


def _numpy_dtype(dtype: Any) -> Any:
    """Return the dtype that NumPy has for the values of a column, or the dtype itself."""
    if isinstance(dtype, pd.CategoricalDtype):
        return _numpy_dtype(dtype.categories.dtype)
    return dtype.subtype if isinstance(dtype, pd.SparseDtype) else getattr(dtype, "numpy_dtype", dtype)


def _decoded(column: pd.Series) -> pd.Series:
    """Turn texts of Arrow's into pandas' own, and a dictionary, whose values pandas widens, into a column of these."""
    inner: Any = column.dtype.pyarrow_dtype if isinstance(column.dtype, pd.ArrowDtype) else None
    if str(inner).startswith("dictionary<"):
        return _decoded(column.astype(pd.ArrowDtype(inner.value_type)))
    return column.astype(pd.StringDtype("pyarrow")) if str(inner) in ("string", "large_string") else column


def whole_number(text: str) -> str | None:
    """Return the digits of a whole number, which may have been a float on its way; None where it is none."""
    digits = re.fullmatch(r"([0-9]+)(?:\.0+)?", text)
    return None if digits is None else digits[1]


def text_of(value: Any) -> tuple[str | None, str | None]:
    """Return a cell's text and what is wrong with it; a missing cell has neither."""
    if isinstance(value, str):
        return _checked(value if type(value) is str else str.__str__(value))  # an Enum's str() is its name
    if isinstance(value, np.generic):
        value = _unboxed(value)
    if value is None or value is pd.NA or value is pd.NaT:
        return None, None
    if isinstance(value, bool):
        return ("true" if value else "false"), None
    if isinstance(value, int):
        return _number(Decimal(value)) if abs(value) >= 10**LONGEST_NUMBER else (str(int(value)), None)
    if isinstance(value, float | np.floating):
        return _float(value)
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, dt.datetime):
        return _day(value)
    if isinstance(value, dt.date | uuid.UUID):
        return str(value), None
    if isinstance(value, pd.Period) and value.freqstr == "D":
        return str(value), None
    return None, f"a {type(value).__name__} has no text form: turn the column into text first"


def _unboxed(value: np.generic) -> Any:
    if isinstance(value, np.datetime64 | np.timedelta64) and np.isnat(value):
        return None
    if isinstance(value, np.datetime64):
        return pd.Timestamp(value)
    if isinstance(value, np.floating | np.timedelta64):
        return value  # item() would widen a float32, and make a plain number of a duration
    return value.item()


def _number(value: Decimal) -> tuple[str | None, str | None]:
    if value.is_nan():
        return None, None
    if value.is_infinite():
        return None, "an infinite number has no text form"
    if abs(value.adjusted()) >= LONGEST_NUMBER:
        return None, f"a number of more than {LONGEST_NUMBER} digits has no text form"
    return format(value if value else value.copy_abs(), "f"), None


def _float(value: float | np.floating[Any]) -> tuple[str | None, str | None]:
    if math.isnan(value):
        return None, None
    if math.isinf(value):
        return None, "an infinite number has no text form"
    if value != int(value):
        return np.format_float_positional(value, trim="-"), None
    if abs(int(value)) >= _EXACT_BELOW.get(type(value), 2**53):
        return None, "a float of this size has lost its last digits: read the column as text"
    return str(int(value)), None


def _day(value: dt.datetime) -> tuple[str | None, str | None]:
    if not 1 <= value.year <= 9999:
        return None, "a year outside 1 to 9999 has no text form"
    if value.time() != dt.time.min or (isinstance(value, pd.Timestamp) and value.nanosecond):
        return None, "has a time of day, and SCM dates have none: use the date alone (.dt.normalize())"
    return value.date().isoformat(), None


def _checked(text: str) -> tuple[str | None, str | None]:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return None, "holds half of a character (a lone surrogate): no JSON text exists for it"
    if "\0" in text:
        return None, "holds a NUL character, which the service cannot store"
    return text, None


def _objects(values: Iterable[Any]) -> Objects:
    listed = list(values)
    array = np.empty(len(listed), dtype=object)
    array[:] = listed
    return array
