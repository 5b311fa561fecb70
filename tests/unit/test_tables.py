"""Columns to text, cell by cell and dtype by dtype, and files to frames without damage."""

import codecs
import csv
import datetime as dt
import gzip
import json
import sys
import time
import uuid
import warnings
import zipfile
from collections.abc import Callable
from decimal import Decimal
from enum import Enum, IntEnum
from fractions import Fraction
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from scmkit.cli.commands import main
from scmkit.core.contract import TaskState
from scmkit.core.errors import FileAccessError, MissingColumnError, MissingDependencyError, TableError
from scmkit.core.lines import lines_of
from scmkit.core.texts import MISSING, columns_of, group, text_column, text_of, text_table
from scmkit.tables.reading import read_codes, read_table

NS_DAY = pd.Timestamp("2026-11-23")


class Number(int, Enum):
    """Its str() is "Number.FOUR"."""

    FOUR = 4


class Size(IntEnum):
    """Its str() is "6"."""

    SIX = 6


def texts(column):
    """The text of each row, None where there is none."""
    return text_column(column).take(np.arange(len(column))).tolist()


def arrow(values, kind):
    """A column backed by Arrow."""
    return pd.Series(values, dtype=pd.ArrowDtype(kind))


# --- a cell


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (" a ", " a "), ("", ""), (np.str_("a"), "a"), (TaskState.COMPLETE, "complete"),
        (12, "12"), (-3, "-3"), (np.int8(5), "5"), (2**64, "18446744073709551616"), (Number.FOUR, "4"), (Size.SIX, "6"),
        (12.0, "12"), (12.5, "12.5"), (-0.0, "0"), (1e-7, "0.0000001"), (0.1, "0.1"), (2.0**53 - 1, "9007199254740991"),
        (np.float32(0.1), "0.1"), (np.float16(0.1), "0.1"), (np.longdouble(0.5), "0.5"), (np.float64(7), "7"),
        (Decimal("12.50"), "12.50"), (Decimal("0.00"), "0.00"), (Decimal("-0.0"), "0.0"), (Decimal("1E+3"), "1000"),
        (True, "true"), (np.False_, "false"),
        (dt.date(33, 1, 2), "0033-01-02"), (dt.datetime(2026, 11, 23), "2026-11-23"), (NS_DAY, "2026-11-23"),
        (pd.Timestamp("2026-11-23", tz="Asia/Tokyo"), "2026-11-23"), (np.datetime64("2026-11-23"), "2026-11-23"),
        (pd.Period("2026-11-23", "D"), "2026-11-23"), (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ],
)  # fmt: skip
def test_a_cell_has_one_text(value, text):
    """Each kind of cell that can be sent has the text form that the module documents."""
    assert text_of(value) == (text, None)
    assert type(text_of(value)[0]) is str


@pytest.mark.parametrize(
    "value",
    [
        None, pd.NA, pd.NaT, float("nan"), np.float32("nan"), np.longdouble("nan"), Decimal("nan"), Decimal("snan"),
        np.datetime64("NaT", "D"), np.timedelta64("NaT", "ns"),
    ],
)  # fmt: skip
def test_a_missing_cell_has_neither_text_nor_problem(value):
    """Every kind of missing is missing."""
    assert text_of(value) == (None, None)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (float("inf"), "infinite"), (Decimal("-Infinity"), "infinite"), (np.float32("inf"), "infinite"),
        (1e22, "last digits"), (2.0**53, "last digits"), (np.float32(2**24), "last digits"), (-1.2e17, "last digits"),
        pytest.param(10**5000, "100 digits", id="huge"), (-(10**100), "100 digits"), (Decimal("1E+400"), "100 digits"),
        (Decimal("1E-400"), "100 digits"), ("a\0b", "NUL"), ("\ud800", "surrogate"),
        (dt.datetime(2026, 11, 23, 0, 0, 1), "time of day"), (pd.Timestamp("2026-11-23 00:00:00.000000001"), "time of"),
        (np.datetime64("20000-01-01"), "year"), (np.datetime64("-0044-03-15"), "year"),
        (np.timedelta64(5, "ns"), "timedelta64"), (pd.Timedelta(1, "D"), "Timedelta"), (dt.timedelta(1), "timedelta"),
        (dt.time(1), "time"), (b"a", "bytes"), (["a"], "list"), ({"a": 1}, "dict"), (1j, "complex"),
        (Fraction(1, 2), "Fraction"), (pd.Period("2026-11", "M"), "Period"), (pd.Interval(0, 1), "Interval"),
    ],
)  # fmt: skip
def test_what_has_no_text_form_is_a_finding(value, problem):
    """Whatever cannot be sent as it is gets no text, and the problem says why."""
    text, found = text_of(value)
    assert text is None
    assert problem in found


# --- a column


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pd.Series(["a", None, "a"], dtype="string[python]"), ["a", None, "a"]),
        (pd.Series(["a", None], dtype="string[pyarrow]"), ["a", None]),
        (pd.Series(["a", None]), ["a", None]),
        (pd.Series([1, True, 1.0, "1", None], dtype=object), ["1", "true", "1", "1", None]),
        (pd.Series(["b", None, "a"], dtype="category"), ["b", None, "a"]),
        (pd.Series([2.0, 1.5, None], dtype="category"), ["2", "1.5", None]),
        (pd.Series([2**62 + 1, None], dtype="Int64"), ["4611686018427387905", None]),
        (pd.Series([2**64 - 1], dtype="uint64"), ["18446744073709551615"]),
        (pd.Series([1.0, np.nan, -0.0, 0.0]), ["1", None, "0", "0"]),
        (pd.Series([0.1, np.nan], dtype="float32"), ["0.1", None]),
        (pd.Series([0.1, None], dtype="Float32"), ["0.1", None]),
        (pd.Series(np.array([0.5, 3, np.nan], dtype=np.longdouble)), ["0.5", "3", None]),
        (pd.Series([True, False]), ["true", "false"]),
        (pd.Series([True, None], dtype="boolean"), ["true", None]),
        (pd.Series([NS_DAY, pd.NaT]), ["2026-11-23", None]),
        (pd.Series([NS_DAY, pd.NaT]).dt.tz_localize("America/New_York"), ["2026-11-23", None]),
        (pd.Series([dt.date(2026, 11, 23), None]), ["2026-11-23", None]),
        (pd.Series(pd.PeriodIndex(["2026-11-23", "NaT"], freq="D")), ["2026-11-23", None]),
        (pd.Series(pd.arrays.SparseArray([1.0, np.nan, 0.0])), ["1", None, "0"]),
        (pd.Series([Decimal("1.50"), None]), ["1.50", None]),
        (pd.Series([None, np.nan], dtype=object), [None, None]),
        (pd.Series([], dtype=object), []),
        (pd.Series([], dtype="category"), []),
    ],
    ids=lambda value: str(value.dtype) if isinstance(value, pd.Series) else "",
)
def test_a_column_of_any_dtype_has_its_texts(column, expected):
    """Each dtype of pandas gives the texts that its cells have, and changes nothing in the column."""
    before = column.copy()
    assert texts(column) == expected
    pd.testing.assert_series_equal(column, before)


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (pa.string(), "a", "a"), (pa.large_string(), "a", "a"), (pa.dictionary(pa.int8(), pa.string()), "a", "a"),
        (pa.int64(), 2**62 + 1, "4611686018427387905"), (pa.float64(), 12.0, "12"), (pa.float32(), 0.1, "0.1"),
        (pa.bool_(), True, "true"), (pa.decimal128(9, 2), Decimal("1.50"), "1.50"), (pa.null(), None, None),
        (pa.date32(), dt.date(2026, 11, 23), "2026-11-23"), (pa.timestamp("ns"), NS_DAY, "2026-11-23"),
        (pa.timestamp("us", tz="Europe/Paris"), pd.Timestamp("2026-11-23", tz="Europe/Paris"), "2026-11-23"),
    ],
)  # fmt: skip
def test_arrow_columns_have_their_texts(kind, value, text):
    """An Arrow-backed column gives the same texts as any other."""
    assert texts(arrow([value, None, value], kind)) == [text, None, text]


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(pd.to_timedelta([1, None, 2], unit="D")),
        arrow([pd.Timedelta(1, "D"), None, pd.Timedelta(2, "D")], pa.duration("ns")),
        arrow([[1], None, [2]], pa.list_(pa.int64())),
        arrow([{"a": 1}, None, {"a": 1}], pa.struct([("a", pa.int64())])),
        arrow([b"a", None, b"a"], pa.binary()),
        pd.Series([pd.Timedelta(1, "D"), None, pd.Timedelta(2, "D")], dtype="category"),
        pd.Series([float("inf"), None, float("inf")]),
        pd.Series([NS_DAY + pd.Timedelta(1, "ns"), None, NS_DAY + pd.Timedelta(1, "h")]),
    ],
    ids=lambda column: str(column.dtype),
)
def test_a_column_without_text_forms_is_findings_row_by_row(column):
    """Every row that cannot be sent has a problem, by position; missing ones have none."""
    made = text_column(column)
    assert sorted(made.problems) == [0, 2]
    assert made.missing.all()


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_time_stamps_of_every_unit(unit):
    """A time stamp's unit plays no part; a year that no date can have is a finding, not a crash."""
    column = pd.Series(np.array(["2026-11-23", "NaT", "2026-11-23T01"], dtype=f"M8[{unit}]"))
    made = text_column(column)
    assert (made.take(np.array([0, 1, 2])).tolist(), list(made.problems)) == (["2026-11-23", None, None], [2])
    if unit != "ns":
        assert list(text_column(pd.Series(np.array(["20000-01-01"], dtype=f"M8[{unit}]"))).problems) == [0]


@pytest.mark.parametrize("dtype", ["object", "string[python]", "string[pyarrow]"])
def test_text_is_not_cut_at_a_nul(dtype):
    """Pandas before 3 takes "a" and "a, NUL, b" for equal in places; here one is sent and one is a finding."""
    made = text_column(pd.Series(["a\0b", "a", "a\0c"], dtype=dtype))
    assert made.take(np.arange(3)).tolist() == [None, "a", None]
    assert sorted(made.problems) == [0, 2]


def test_only_used_categories_become_texts():
    """Categories that no row has are not among the texts."""
    assert text_column(pd.Series(pd.Categorical(["b", None], categories=["a", "b"]))).texts.tolist() == ["b"]


@pytest.mark.parametrize("index", [[7, 7, 7], pd.MultiIndex.from_tuples([(1, "a"), (1, "a"), (2, "b")])])
def test_index_labels_play_no_part(index):
    """Labels may repeat or be tuples: rows are positions."""
    frame = pd.DataFrame({"a": ["x", None, "x"], "b": [1, b"", 2]}, index=index)
    table = text_table(frame)
    assert table["a"].codes.tolist() == [0, MISSING, 0]
    assert list(table["b"].problems) == [1]


def test_columns_are_found_by_their_name_as_text():
    """A column named 1 is column "1"; labels that are tuples or NaN do not break the others."""
    frame = pd.DataFrame([["a", "b", "c"]], columns=[1, np.nan, ("x", "y")])
    assert list(text_table(frame)) == ["1", "nan", "('x', 'y')"]
    assert texts(frame[1]) == text_table(frame, ["1"])["1"].texts.tolist() == ["a"]
    assert columns_of(frame.columns, "1") == columns_of(frame.columns, [1]) == ["1"]


@pytest.mark.parametrize("columns", [["a", "a"], [1, "1"]])
def test_a_name_that_is_there_twice_is_an_error(columns):
    """Two columns of one name are not told apart silently."""
    with pytest.raises(MissingColumnError, match="more than once"):
        text_table(pd.DataFrame([[1, 2]], columns=columns), columns[:1])


def test_a_missing_column_is_named_with_the_nearest():
    """The message says what is missing and what was probably meant."""
    frame = pd.DataFrame({"lot_number": ["1"]})
    with pytest.raises(MissingColumnError, match="did you mean 'lot_number'"):
        text_table(frame, ["lot_nr"])
    with pytest.raises(MissingColumnError, match="key 'lot'"):
        columns_of(frame.columns, "lot")
    for key in ([], ["lot_number", "lot_number"]):
        with pytest.raises(MissingColumnError, match="one or more different columns"):
            columns_of(frame.columns, key)


def test_group_numbers_rows_by_first_appearance():
    """Equal rows share a number, a missing cell is a value of its own, and no columns make one group."""
    frame = pd.DataFrame({"a": ["x", "y", "x", None, "x"], "b": ["1", "1", "1", "1", None]})
    groups, count = group(list(text_table(frame).values()), 5)
    assert (groups.tolist(), count) == ([0, 1, 0, 2, 3], 4)
    assert (group([], 3)[0].tolist(), group([], 3)[1]) == ([0, 0, 0], 1)
    assert group([text_column(pd.Series([], dtype=object))], 0)[1] == 0


@pytest.mark.parametrize("dtype", ["object", "string[pyarrow]"])
def test_a_million_distinct_texts_take_about_a_second(dtype):
    """A column of 1,000,000 distinct codes becomes text within a few seconds on any machine (1 s on ours)."""
    column = pd.Series([f"code-{i:07d}" for i in range(1_000_000)], dtype=dtype)
    begun = time.process_time()  # what others do on this machine meanwhile is not ours
    made = text_column(column)
    assert time.process_time() - begun < 5
    assert len(made.texts) == 1_000_000


# --- a file


@pytest.fixture
def written(tmp_path):
    """Write text or bytes to a file of this name and give its path."""

    def write(content, name="table.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.fixture
def workbook(tmp_path):
    """Write rows into the first sheet of a workbook and give its path."""

    def write(rows, **sheets):
        book = openpyxl.Workbook()
        for row in rows:
            book.active.append(row)
        for title, more in sheets.items():
            sheet = book.create_sheet(title)
            for row in more:
                sheet.append(row)
        book.save(tmp_path / "table.xlsx")
        return tmp_path / "table.xlsx"

    return write


def patched(path, old, new):
    """Replace bytes in the first sheet of a workbook."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    assert old in parts["xl/worksheets/sheet1.xml"]
    parts["xl/worksheets/sheet1.xml"] = parts["xl/worksheets/sheet1.xml"].replace(old, new)
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return path


HARMFUL = ["000042", "12E5", "3034E25", "123456789012345678901234567890", "NA", "None", "null", "nan", "-0.0", "True"]


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.tab", "T.CSV", "t.csv.gz", "t.tsv.gz"])
def test_identifiers_stay_text(written, name):
    """Leading zeros, long digits, exponents and the words for missing survive; only blank cells are missing."""
    sign = "," if "csv" in name.lower() else "\t"
    content = "\n".join([f"code{sign}b", *(f"{cell}{sign}x" for cell in HARMFUL), f"{sign}  "]) + f"\nlast{sign}\n"
    path = written(gzip.compress(content.encode()) if name.endswith("gz") else content, name)
    frame = read_table(path)
    assert frame["code"].tolist() == [*HARMFUL, None, "last"]
    assert frame["b"].tolist() == ["x"] * len(HARMFUL) + [None, None]


def test_keep_blank_keeps_blank_text(written, workbook):
    """keep_blank=True keeps "", which clears the field; a member missing in JSON stays missing."""
    assert read_table(written('a,b\n"",x\ny,\n'), keep_blank=True).to_numpy().tolist() == [["", "x"], ["y", ""]]
    lines = written('{"a": "", "b": null}\n{"a": "x"}\n', "t.jsonl")
    assert read_table(lines, keep_blank=True).to_numpy().tolist() == [["", None], ["x", None]]
    assert read_table(lines)["a"].tolist() == [None, "x"]
    book = workbook([["a", "b"], [None, 1], ["x", None]])
    assert read_table(book, keep_blank=True).to_numpy().tolist() == [["", 1], ["x", ""]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends(written, encoding, end):
    """UTF-8 with or without a byte order mark, UTF-16 with one, and all three line ends are read."""
    frame = read_table(written(end.join(["name,b", "Château,é", '"two, in one",甲州', ""]).encode(encoding)))
    assert frame.to_dict("list") == {"name": ["Château", "two, in one"], "b": ["é", "甲州"]}


def test_a_foreign_encoding_is_named_with_the_way_out(written):
    """Bytes that are not UTF-8 are an error that names byte, line and remedy; the remedy works."""
    path = written("a\nok\nChâteau\n".encode("cp1252"))
    with pytest.raises(TableError, match=r"table.csv, line 3: byte 7 \(0xe2\) is not utf-8.*encoding=\"cp1252\""):
        read_table(path)
    assert read_table(path, encoding="cp1252")["a"].tolist() == ["ok", "Château"]
    with pytest.raises(TableError, match="no encoding 'cp-none'"):
        read_table(path, encoding="cp-none")


def test_utf_16_without_a_mark_is_noticed(written):
    """A file full of NULs is not read as text."""
    path = written("a,b\n1,2\n".encode("utf-16-le"))
    with pytest.raises(TableError, match="utf-16-le"):
        read_table(path)
    assert read_table(path, encoding="utf-16-le")["b"].tolist() == ["2"]
    assert codecs.BOM_UTF8.decode() not in read_table(written("\ufeffa\n1\n"), encoding="utf-8").columns[0]


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("a,b", "1;,2"), ("a;b", "1,;2"), ("a\tb", "1,\t2"), ("a|b", "1,|2"), ('"a;x;y",b', "1;,2"),
        ("a, x;b;c", "1,;2;3"),
        ('"a\n,,";b', "1,;2"), ("a", "1;"),
    ],
)  # fmt: skip
def test_the_delimiter_is_found_in_the_header(written, header, row):
    """The delimiter is the one that the header has most of, outside quotes; other signs belong to the cells."""
    frame = read_table(written(f"{header}\n{row}\n"))
    assert frame.iloc[0, 0] == row[:2]
    assert frame.iloc[0, 1:].tolist() == list("23"[: len(frame.columns) - 1])


def test_an_undecided_delimiter_is_an_error(written):
    """Two delimiters that are equally likely are not chosen between; delimiter= does."""
    path = written("a,b;c\n1,2;3\n")
    with pytest.raises(TableError, match=r"semicolon or comma.*delimiter="):
        read_table(path)
    assert read_table(path, delimiter=";").columns.tolist() == ["a,b", "c"]
    assert read_table(written("a,b\tc\n1,2\t3\n", "t.tsv")).columns.tolist() == ["a,b", "c"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "empty file"), ("\n\n", "empty file"), (",,\n", "empty file"),
        ("a,b\n1,2\n1,2,3\n", "line 3: 3 cells, but the header names 2 columns"),
        ("a,b\n\n1\n", "line 3: 1 cells.*cells are missing"),
        ("a,b\n0,x,y\n1,x,y\n", "line 2: 3 cells.*index=False"),
        (",a\n0,x\n", "column 1 has cells but no name"),
        ("a,b,a\n1,2,3\n", "columns 1 and 3 are both named 'a'"), ("a, a \n1,2\n", "both named 'a'"),
        ("000042,Merlot\n000043,Syrah\n", "'000042' is no column name"),
        ("code,2026-11-23\nx,y\n", "'2026-11-23' is no column name"),
        ('a,b\n1,"open\n2,3\n4,5\n', "line 2: unexpected end.*quote"),
        ('a,b\n"1" x,2\n', "line 2: .*quote"),
        (f'a,b\n1,"{"x" * 140_000}\n', "line 2: unexpected end.*quote"),
        ('a,b\n"1\n2",3\n4\n', "line 4: 1 cells"),
    ],
)  # fmt: skip
def test_damaged_csv_is_an_error(written, content, message):
    """Whatever would shift, cut or lose cells is an error that names the line and the rule."""
    with pytest.raises(TableError, match=f"(?s)table.csv.*{message}"):
        read_table(written(content))


def test_harmless_csv_is_read(written):
    """Blanks around names, trailing delimiters, blank lines and blank rows at the end are harmless."""
    frame = read_table(written('\n a , b ,,\n1, x ,,\n\n,,,\n2,5" x,,\n , ,,\n,,,\n'))
    assert frame.columns.tolist() == ["a", "b"]
    assert frame.to_numpy().tolist() == [["1", " x "], [None, None], ["2", '5" x']]
    assert read_table(written("a,b\n")).shape == (0, 2)
    assert read_table(written('a\n""\nx\n'))["a"].tolist() == [None, "x"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x1f\x8b\x08\x00broken", "not a readable gzip"),
        (gzip.compress(b"a\n1\n" * 99, mtime=0)[:-9], "not a readable gzip"),
    ],
)
def test_a_broken_gzip_is_an_error(written, content, message):
    """A compressed file that was cut off is not read in part."""
    with pytest.raises(TableError, match=message):
        read_table(written(content, "t.csv.gz"))


def test_which_files_and_options(written, tmp_path):
    """An unknown extension names the known ones, an absent file the nearest name, and no option is ignored."""
    for name in ("t.xls", "t", "t.parquet.gz", "t.gz"):
        with pytest.raises(TableError, match=r"supported are \.csv.*\.jsonl.*\.xlsx.*\.parquet"):
            read_table(written("a\n1\n", name))
    written("a\n1\n", "pallets.csv")
    with pytest.raises(FileNotFoundError, match=r"did you mean 'pallets\.csv'"):
        read_table(tmp_path / "palets.csv")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_table(str(tmp_path / "nowhere" / "t.csv"))
    for option in ({"sheet": "a"}, {"sheet": ""}):
        with pytest.raises(TableError, match="sheet= means nothing"):
            read_table(tmp_path / "pallets.csv", **option)
    with pytest.raises(TableError, match="delimiter= means nothing"):
        read_table(written('{"a": 1}', "t.jsonl"), delimiter=",")


# --- JSON lines


@pytest.mark.parametrize("name", ["t.jsonl", "t.ndjson", "t.json", "t.jsonl.gz"])
def test_json_lines_keep_types_and_digits(written, name):
    """Members keep their type, 12.50 its digits, a missing one is missing, and nested ones stay objects."""
    content = '{"a": 12.50, "b": "007", " c ": 1e400}\r\n\n{"a": 123456789012345678901, "d": [1], "b": " "}\n'
    frame = read_table(written(gzip.compress(content.encode()) if name.endswith("gz") else content, name))
    assert frame.columns.tolist() == ["a", "b", "c", "d"]
    assert texts(frame["a"]) == ["12.50", "123456789012345678901"]
    assert frame["b"].tolist() == ["007", None]
    assert frame["d"].tolist() == [None, [1]]
    assert sorted(text_column(frame["d"]).problems) == [1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": 1}\n{"a": \n', "line 2: .*one JSON object"), ("[1]\n", "line 1: a list"),
        ('"a"', "line 1: a str"),
        ('{"a": 1}\n{"b": 1, "b": 2}', "line 2: member 'b' is there twice"),
        ('{"a": 1, "a ": 2}', "'a' is there twice"),
        ('{" ": 1}', "line 1: a member without a name"), ("", "empty file"), ("{}", "empty file"),
        ("[" * 100_000, "line 1"), (f'{{"a": {"9" * 5000}}}', "line 1"), ('[\n{"a": 1}\n]', "line 1"),
    ],
)  # fmt: skip
def test_damaged_json_lines_are_an_error(written, content, message):
    """A line that is not one object with one value a name is an error with its number."""
    with pytest.raises(TableError, match=message):
        read_table(written(content, "t.jsonl"))


# --- workbooks


def test_a_workbook_keeps_what_its_cells_are(workbook):
    """Numbers, dates and truth values keep their type, text its zeros; blank rows at the end are dropped."""
    day = dt.datetime(2026, 11, 23)
    rows = [
        ["lot", "n", " when ", "ok", None],
        ["000042", 42, day, True],
        ["NA", 1.5, None, False],
        [" "],
        [None, None],
    ]
    frame = read_table(workbook([[], *rows]))
    assert frame.columns.tolist() == ["lot", "n", "when", "ok"]
    assert frame.to_numpy().tolist() == [["000042", 42, day, True], ["NA", 1.5, None, False]]
    assert [type(cell) for cell in frame["n"]] == [int, float]
    assert texts(frame["when"]) == ["2026-11-23", None]


def test_the_sheet_is_the_first_or_the_named_one(workbook):
    """sheet= picks by name; an unknown name is an error with the nearest."""
    path = workbook([["a"], ["first"]], Lots=[["a"], ["second"]])
    assert read_table(path)["a"].tolist() == ["first"]
    assert read_table(path, sheet="Lots")["a"].tolist() == ["second"]
    with pytest.raises(TableError, match=r"no sheet 'lot'.*did you mean 'Lots'.*it has Sheet, Lots"):
        read_table(path, sheet="lot")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["a", "b"], ["x", "#REF!"]], "cell B2: holds the error #REF!"),
        ([["a", "b"], ["x", "y"], ["x", "=1+1"]], "cell B3: a formula without a stored result"),
        ([["a"], ["x", "y"]], "column 2 has cells but no name"),
        ([["a", 2026], ["x", "y"]], "'2026' is no column name"),
        ([["a", "a "], ["x", "y"]], "both named 'a'"), ([[None]], "empty sheet"),
    ],
)  # fmt: skip
def test_a_damaged_workbook_is_an_error(workbook, rows, message):
    """Error cells, formulas that were never computed, and nameless columns are errors that name the place."""
    with pytest.raises(TableError, match=f"table.xlsx.*{message}"):
        read_table(workbook(rows))


def test_stored_results_of_formulas_are_read(workbook):
    """A stored result is the cell's value, a stored empty text is blank, and no warning filter is left behind."""
    path = workbook([["a", "b"], ["=1+1", "x"], ["=2+2", "y"]])
    path = patched(path, b"<f>1+1</f><v />", b"<f>1+1</f><v>2</v>")
    path = patched(path, b'<c r="A3"><f>2+2</f><v />', b'<c r="A3" t="str"><f>2+2</f><v></v>')
    before = list(warnings.filters)
    assert read_table(path)["a"].tolist() == [2, None]
    assert list(warnings.filters) == before


def test_a_wrong_dimension_hides_no_cells(workbook):
    """Some programs write A1 as the extent of every sheet; all cells are read nevertheless."""
    path = patched(workbook([["a", "b"], ["x", "y"]]), b'<dimension ref="A1:B2" />', b'<dimension ref="A1" />')
    assert read_table(path).to_numpy().tolist() == [["x", "y"]]


# --- files as people make them


TABLE = [["lot_number", "wine_name"], ["000022", "Merlot"], ["000023", "Syrah"]]


def delimited(rows, sign=";"):
    return "\n".join(sign.join(row) for row in rows) + "\n"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("sep=;\n" + delimited(TABLE), 3), ('"sep=|"\r\n' + delimited(TABLE, "|"), 3), (delimited(TABLE, "\t"), 2),
        ("Lots of March\n\n" + delimited(TABLE), 4), ("Lots of March;\n;\n" + delimited(TABLE), 4),
        ("sep=;\nLots\nby Ann\n\n" + delimited(TABLE), 6), ("\n\n" + delimited(TABLE, ","), 4),
    ],
)  # fmt: skip
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_what_stands_above_a_table_is_passed_over(written, content, line, encoding):
    """`sep=`, titles above a blank line, and UTF-16 as .txt are read; messages keep the numbering of the file."""
    frame = read_table(written(content.encode(encoding), "lots.txt"))
    assert frame.to_numpy().tolist() == TABLE[1:]
    assert lines_of(frame.index).tolist() == [line, line + 1]


@pytest.mark.parametrize(
    ("content", "choice"),
    [
        ("Lots of March\n" + delimited(TABLE), {"header": 2}), ("Lots\n" + delimited(TABLE, ","), {"header": 2}),
        ("Wine;\nlot_number;wine_name\n000022;Merlot\n000023;Syrah\n", {"header": 2}),
        ("1;2\n" + delimited(TABLE), {"header": 2}),
    ],
)  # fmt: skip
def test_what_may_be_a_title_is_an_error_that_says_the_choice(written, content, choice):
    """Where nobody knows whether the first line names a column, the message says which choice reads the table."""
    path = written(content)
    with pytest.raises(
        TableError, match=rf"if line 2 names the columns, read_table\(\.\.\., header={choice['header']}\)"
    ):
        read_table(path)
    frame = read_table(path, **choice)
    assert frame.to_numpy().tolist() == TABLE[1:]
    assert lines_of(frame.index).tolist() == [3, 4]


def test_a_longer_line_is_not_said_to_be_the_header(written):
    """A line with a cell too many among others is that, and no choice is offered."""
    with pytest.raises(TableError) as caught:
        read_table(written("a,b\nx,y\nx,y,z\nv,w\nr,s\n"))
    assert "header=" not in str(caught.value)


def test_one_column_that_holds_delimiters_is_read_where_that_is_said(written):
    """A first line of one cell above lines of several is no table of one column, unless delimiter= says so."""
    path = written("note\nred; dry\nwhite; sweet\n")
    with pytest.raises(TableError, match="separated by semicolon; if all is one column, say delimiter=','"):
        read_table(path)
    assert read_table(path, delimiter=",")["note"].tolist() == ["red; dry", "white; sweet"]


def test_a_header_that_is_not_there_is_an_error(written, workbook):
    """header= names a line that holds something; for files without lines of cells it means nothing."""
    for path in (written("a,b\n\n1,2\n"), workbook([["a", "b"], [], [1, 2]])):
        for header in (2, 9):
            with pytest.raises(
                TableError, match=rf"header={header}, but (line|row) {header} .*is blank, or there is none"
            ):
                read_table(path, header=header)
    with pytest.raises(TableError, match="header= means nothing"):
        read_table(written('{"a": 1}', "t.jsonl"), header=1)


def test_titles_of_a_sheet(workbook):
    """Titles above a blank row are passed over; others, as merged headers, are an error that says header=."""
    path = workbook([["Lots of March"], ["by Ann"], [], *TABLE])
    assert read_table(path).to_numpy().tolist() == TABLE[1:]
    assert lines_of(read_table(path).index).tolist() == [5, 6]
    for above in (["Wine", None], [None, "Wine"], ["Lot", 2026]):
        path = workbook([above, *TABLE])
        with pytest.raises(TableError, match=r"if row 2 names the columns, read_table\(\.\.\., header=2\)"):
            read_table(path)
        assert lines_of(read_table(path, header=2).index).tolist() == [3, 4]


def test_the_sheet_with_the_table(workbook):
    """An empty or hidden first sheet is passed over, a cover sheet is an error that says sheet=."""
    assert read_table(workbook([], Data=TABLE)).to_numpy().tolist() == TABLE[1:]
    path = workbook([["Report"], [None, "Ann"]], Data=TABLE)
    with pytest.raises(TableError, match=r"read_table\('table.xlsx', sheet='Data'\) reads it"):
        read_table(path)
    book = openpyxl.load_workbook(workbook(TABLE[:2], Data=TABLE))
    book.worksheets[0].sheet_state = "hidden"
    book.active = 1
    book.save(path)
    assert read_table(path).to_numpy().tolist() == TABLE[1:]


def test_a_cover_sheet_of_one_column_is_no_table(workbook):
    """A first sheet of one column beside one of several is a cover, unless sheet= says that it is meant."""
    path = workbook([["Lots of March"], ["by Ann"]], Data=TABLE)
    with pytest.raises(TableError, match=r"one column.*sheet='Data'"):
        read_table(path)
    assert len(read_table(path, sheet="Sheet")) == 1


def test_numbers_are_read_as_shown(workbook):
    """22 in the format 000000 is 000022; other formats, and numbers that are not whole, keep the number."""
    path = workbook([["lot", "n"], [22, 22], [22.0, 2.5], [1_234_567, -1], [True, 3]])
    book = openpyxl.load_workbook(path)
    for row in book.active.iter_rows(min_row=2):
        row[0].number_format, row[1].number_format = "000000", "000;@"
    book.active["B5"].number_format = "0.00"
    book.save(path)
    frame = read_table(path)
    assert frame["lot"].tolist() == ["000022", "000022", "1234567", True]
    assert frame["n"].tolist() == ["022", 2.5, -1, 3]


# --- Parquet


def test_parquet_keeps_its_types(tmp_path):
    """Typed columns stay typed, whole numbers beside missing cells stay whole, blank text is missing."""
    made = pa.table(
        {
            " lot ": ["000042", ""], "n": pa.array([2**60 + 1, None], pa.int64()), "d": [dt.date(2026, 11, 23), None],
            "x": pa.array([0.1, None], pa.float32()), "m": [Decimal("1.50"), None], "t": [NS_DAY, None],
            "c": pa.array(["red", " "]).dictionary_encode(),
        }
    )  # fmt: skip
    folder = tmp_path / "lot=5"
    folder.mkdir()
    pq.write_table(made, folder / "t.parquet")
    frame = read_table(folder / "t.parquet")
    assert frame.columns.tolist() == ["lot", "n", "d", "x", "m", "t", "c"]
    first = ["000042", str(2**60 + 1), "2026-11-23", "0.1", "1.50", "2026-11-23", "red"]
    assert [texts(frame[name]) for name in frame] == [[text, None] for text in first]
    assert read_table(folder / "t.parquet", keep_blank=True)["lot"].tolist() == ["000042", ""]
    assert str(frame["n"].dtype) == "Int64"


def test_parquet_saved_with_its_index_keeps_the_key(tmp_path):
    """A key that was the index when the file was saved is a column again; a nameless index is dropped."""
    frame = pd.DataFrame({"lot": ["1", "2"], "b": [1, 2]}, index=[5, 6])
    frame.to_parquet(tmp_path / "a.parquet")
    frame.set_index("lot").to_parquet(tmp_path / "b.parquet")
    for name in ("a", "b"):
        read = read_table(tmp_path / f"{name}.parquet")
        assert read.columns.tolist() == ["lot", "b"]
        assert read.index.tolist() == [0, 1]


def test_files_that_are_not_what_they_say(written):
    """Text under the name of a binary format is an error that says so."""
    for name, kind in (("t.xlsx", "workbook"), ("t.parquet", "Parquet")):
        with pytest.raises(TableError, match=f"{name}: not a readable {kind}"):
            read_table(written("a,b\n1,2\n", name))


@pytest.mark.parametrize(("name", "package"), [("t.xlsx", "openpyxl"), ("t.parquet", "pyarrow")])
def test_a_missing_package_is_named(written, monkeypatch, name, package):
    """Without openpyxl or pyarrow the error says which extra brings it."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=rf"reading \.\w+ needs {package}: pip install 'scmkit\[files\]'"):
        read_table(written("", name))


# --- pad_to


def test_zeros_come_back_where_asked(workbook, written):
    """pad_to pads whole numbers and digits, in the named columns only; other text and blanks stay."""
    path = workbook([["lot", "n"], [42, 42], ["43", 1], [44.0, 1], ["L5", 1], [None, 1], ["000006", 1], [True, 1]])
    frame = read_table(path, pad_to={"lot": 6})
    assert frame["lot"].tolist() == ["000042", "000043", "000044", "L5", None, "000006", True]
    assert frame["n"].tolist() == [42, 1, 1, 1, 1, 1, 1]
    lines = written(json.dumps({"lot": 7}), "t.jsonl")
    assert read_table(lines, pad_to={"lot": 3})["lot"].tolist() == ["007"]


def test_what_is_too_long_to_pad_is_an_error(written):
    """A value longer than asked for is an error with its row, and an unknown column one with the nearest."""
    path = written("lot,b\n42,x\n1234567,y\n")
    with pytest.raises(TableError, match="line 3, column 'lot': '1234567' is longer than pad_to=6"):
        read_table(path, pad_to={"lot": 6})
    with pytest.raises(MissingColumnError, match=r"'lots'.*did you mean 'lot'"):
        read_table(path, pad_to={"lots": 6})


def test_a_code_download_with_a_field_named_like_a_number(written):
    """Where the header is certain, a column's name may look like a number or a date; else it is no header (F50)."""
    content = "extended_id,2026,2026-01-01,-1\nCode-0001,a,b,c\n"
    assert read_table(written(content)).columns.tolist() == ["extended_id", "2026", "2026-01-01", "-1"]
    with pytest.raises(TableError, match="'2026' is no column name"):
        read_table(written("Code-0001,2026\nCode-0002,2027\n"))


def test_a_download_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Blanks around names and cells, quotes in front of formulas and names like numbers are the service's own."""
    path = tmp_path / "codes.csv"
    path.write_text("extended_id, note,2026,a;b\nCode_0001-,'=1, x ,\n", encoding="utf-8-sig")
    assert read_codes(path).to_dict("list") == {
        "extended_id": ["Code_0001-"], " note": ["'=1"], "2026": [" x "], "a;b": [""],
    }  # fmt: skip
    path.write_text("extended_id,note\n")
    assert read_codes(path).columns.tolist() == ["extended_id", "note"]


@pytest.mark.parametrize("read", [read_table, read_codes])
def test_cells_of_any_length_are_read(read: Callable[[Path], pd.DataFrame], tmp_path: Path) -> None:
    """The limit of Python's csv module is not ours, and stays as it was for everybody else."""
    before, path = csv.field_size_limit(), tmp_path / "codes.csv"
    path.write_text("extended_id,note\nCode_0001-," + "x" * 3_000_000 + "\n")
    assert read(path)["note"].str.len().tolist() == [3_000_000]
    assert csv.field_size_limit() == before


def test_a_folder_is_no_table(tmp_path):
    """What is called like a table and is a folder is said to be one."""
    (tmp_path / "lots.csv").mkdir()
    with pytest.raises(FileAccessError, match=r"lots\.csv is a folder"):
        read_table(tmp_path / "lots.csv")


def test_the_choice_is_said_in_words_of_the_shell(written, workbook):
    """What works is an option there: --header, --sheet, --delimiter."""
    shell = CliRunner()
    for path, option in (
        (written("Lots\n" + delimited(TABLE)), ["--header", "2"]),
        (workbook([["Report"], ["by Ann"]], Data=TABLE), ["--sheet", "Data"]),
    ):
        said = shell.invoke(main, ["validate", str(path), "--key", "lot_number"]).output
        assert f"{option[0]} {option[1] if option[1] == '2' else repr(option[1])} reads it" in " ".join(said.split())
        assert shell.invoke(main, ["validate", str(path), "--key", "lot_number", *option]).exit_code == 0
