"""What must hold for every cell: its text is the same wherever it stands, and nothing of it is lost."""

import csv
import datetime as dt
import json
import math
import string
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scmkit
from scmkit.core.texts import group, text_column, text_of
from scmkit.core.values import Mode
from scmkit.tables.reading import read_table

WORDS = st.text(max_size=6) | st.sampled_from(["a", "a\0b", "a\0c", "nan", "1", "1.0", "true", "\ud800", "'\\ud800'"])
CELLS = (
    WORDS | st.none() | st.booleans() | st.integers() | st.floats() | st.decimals() | st.dates() | st.datetimes()
    | st.uuids() | st.timedeltas() | st.binary(max_size=3) | st.sampled_from([pd.NA, pd.NaT, float("nan"), -0.0, 1e22])
)  # fmt: skip
WIDTHS = [np.float16, np.float32, np.float64, np.longdouble]
PRINTABLE = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters='\n\t",;|'), max_size=8)
# \r alone is not among them: a spreadsheet's line ends are not its cells.


def spread(column):
    """The column as pairs of text and problem, a row each: what text_of gives."""
    texts = column.take(np.arange(len(column.codes)))
    return [(text, column.problems.get(row)) for row, text in enumerate(texts)]


@given(st.lists(CELLS))
def test_a_column_of_anything_agrees_with_its_cells(cells):
    """In an object column, each row has the text and the problem that text_of gives for its cell alone."""
    column = text_column(pd.Series(cells, dtype=object))
    assert spread(column) == [text_of(cell) for cell in cells]
    assert len(set(column.texts)) == len(column.texts)


@pytest.mark.parametrize("dtype", ["object", "string[python]", "string[pyarrow]", "str", "category"])
@given(cells=st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=4)))
def test_text_survives_every_dtype(dtype, cells):
    """Text comes back as it is, NUL characters apart, whatever dtype holds it."""
    if dtype == "category":
        cells = [cell and cell.replace("\0", "") for cell in cells]  # pandas 2 itself merges "a" and "a\0"
    dtype = "object" if dtype == "str" and pd.__version__ < "3" else dtype
    assert spread(text_column(pd.Series(cells, dtype=dtype))) == [text_of(cell) for cell in cells]


@pytest.mark.parametrize("width", WIDTHS)
@given(number=st.floats(allow_nan=False, allow_infinity=False, width=16) | st.floats(-1e4, 1e4))
def test_a_float_comes_back_from_its_text(width, number):
    """The text of a float has no exponent and no .0, and gives the float back; else it is a finding."""
    number = width(number)
    text, problem = text_of(number)
    assert (text is None) == (problem is not None)
    if text is not None:
        assert width(text) == number
        assert "e" not in text
        assert not text.endswith(".0")


@given(st.integers(-(2**70), 2**70) | st.floats(allow_nan=False))
def test_no_two_numbers_share_a_text(number):
    """A number's text is exact: whole numbers have their digits, and a float beyond 2**53 is a finding."""
    text, problem = text_of(number)
    if problem is None:
        assert Decimal(text) == Decimal(number) if isinstance(number, int) else float(text) == number
    else:
        assert math.isinf(number) or abs(number) >= 2**53


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4) | st.decimals(allow_nan=False))
def test_a_decimal_keeps_its_digits(number):
    """A Decimal's text has the same value and the same digits after the point, without an exponent."""
    text, problem = text_of(number)
    if problem is None:
        assert Decimal(text) == number
        assert Decimal(text).as_tuple().exponent == min(number.as_tuple().exponent, 0)


@given(st.lists(st.dates(dt.date(1, 1, 1), dt.date(9999, 12, 31))), st.sampled_from(["s", "ms", "us"]))
def test_dates_survive_every_unit(days, unit):
    """A time stamp at midnight is its date, whatever its unit, and none is a finding."""
    column = text_column(pd.Series(np.array(days, dtype=f"M8[{unit}]")))
    assert spread(column) == [(day.isoformat(), None) for day in days]


@given(st.lists(st.tuples(WORDS | st.none(), st.integers(0, 3) | st.none())))
def test_groups_are_the_distinct_rows(rows):
    """Two rows share a group exactly when all their cells are equal, numbered by first appearance."""
    columns = [text_column(pd.Series([row[i] for row in rows], dtype=object)) for i in (0, 1)]
    groups, count = group(columns, len(rows))
    seen = {}
    pairs = zip(*(column.take(np.arange(len(rows))) for column in columns), strict=True)
    assert groups.tolist() == [seen.setdefault(pair, len(seen)) for pair in pairs]
    assert count == len(seen)


@settings(max_examples=60)
@given(
    rows=st.lists(st.lists(PRINTABLE, min_size=3, max_size=3), min_size=1, max_size=6),
    delimiter=st.sampled_from(",;\t|"),
    end=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_what_was_written_is_read(tmp_path_factory, rows, delimiter, end, encoding):
    """Any table of text that Python's csv writes comes back cell by cell, with blanks kept."""
    path = tmp_path_factory.mktemp("csv") / "table.csv"
    rows = [*rows, ["last", "one", "full"]]
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator=end)
        writer.writerows([["id", "name; or, not|", "c\t"], *rows])
    frame = read_table(path, keep_blank=True, delimiter=delimiter)
    assert frame.to_numpy().tolist() == rows


ALPHANUMERIC = set(string.ascii_letters + string.digits)
SCHEMA = pa.schema([(name, pa.string()) for name in ("extended_id", "wine name", 'a"b')])
ENCODABLE = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
DAYS = st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2200, 1, 1)).map(lambda t: t.replace(microsecond=0))
SHORT_DECIMALS = st.decimals(-(10**6), 10**6, places=2)
DTYPES = [
    ("object", WORDS), ("string[python]", ENCODABLE), ("string[pyarrow]", ENCODABLE), ("category", ENCODABLE),
    (pd.ArrowDtype(pa.string()), ENCODABLE), (pd.ArrowDtype(pa.large_string()), ENCODABLE),
    (pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string())), ENCODABLE),
    ("Int64", st.integers(-(2**63), 2**63 - 1)), ("UInt8", st.integers(0, 255)),
    (pd.ArrowDtype(pa.int64()), st.integers(-(2**63), 2**63 - 1)),
    ("float64", st.floats(allow_nan=False)), ("Float64", st.floats(allow_nan=False)),
    ("category", st.integers(0, 9)), ("category", st.floats(allow_nan=False)),
    ("boolean", st.booleans()), ("object", st.booleans() | st.integers(0, 2) | st.floats(0, 2)),
    (pd.ArrowDtype(pa.bool_()), st.booleans()), (pd.ArrowDtype(pa.decimal128(9, 2)), SHORT_DECIMALS),
    (pd.ArrowDtype(pa.date32()), st.dates(dt.date(1900, 1, 1))), ("datetime64[us]", DAYS), ("category", DAYS),
]  # fmt: skip


@pytest.mark.parametrize(("dtype", "cells"), DTYPES, ids=lambda each: str(each)[:30])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_column_of_every_dtype_agrees_with_its_cells(dtype, cells, data):
    """Whatever way a dtype goes, texts and problems are those that text_of gives for each of its cells alone."""
    values = data.draw(st.lists(st.none() | cells))
    if dtype == "category":
        values = [cell.replace("\0", "") if isinstance(cell, str) else cell for cell in values]  # pandas 2 merges them
    column = text_column(pd.Series(values, dtype=dtype))
    assert spread(column) == [text_of(cell) for cell in values]
    assert len(set(column.texts)) == len(column.texts)
    assert set("".join(column.texts)) - ALPHANUMERIC == column.signs
    assert all(len(text) in column.lengths for text in column.texts)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(*[st.none() | ENCODABLE.filter(lambda text: "\0" not in text)] * 2), min_size=1, max_size=5))
def test_tables_of_every_library_give_the_same_bytes(tmp_path_factory, cells):
    """One table as pandas', Polars', Arrow's or a file is one body on the wire."""
    texts = {"extended_id": [f"CODE-{row:04d}" for row in range(len(cells))]}
    texts |= {name: [row[at] for row in cells] for at, name in enumerate(["wine name", 'a"b'])}
    path = tmp_path_factory.mktemp("parquet") / "table.parquet"
    pa.table(texts, SCHEMA).to_pandas().to_parquet(path)
    frames = [pd.DataFrame(texts, dtype=dtype) for dtype in ("object", "string[python]", "string[pyarrow]", "category")]
    frames += [pl.DataFrame(texts, schema=dict.fromkeys(texts, pl.String)), pa.table(texts, SCHEMA)]
    frames += [read_table(path, keep_blank=True)]
    bodies = set()
    for frame in frames:
        plan = scmkit.plan(frame, mode="sync", errors="reject", journal=False)
        bodies.add(plan.body(Mode.SYNC, plan.load.live))
    assert len(bodies) == 1
    sent = [
        {name: text for name, text in zip(texts, row, strict=True) if text is not None}
        for row in zip(*texts.values(), strict=True)
    ]
    assert json.loads(bodies.pop())["items"] == [item for item in sent if len(item) > 1]
