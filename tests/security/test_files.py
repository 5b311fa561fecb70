"""Files that come in and go out: no flood from a small file, no formula for a spreadsheet program, no odd path."""

import csv
import gzip
import os
import stat
import tempfile
import tracemalloc
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pandas as pd
import plain_server
import pyarrow as pa
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import scmkit
from scmkit.cli.commands import main
from scmkit.core.errors import JournalError, MissingDependencyError, TableError
from scmkit.core.texts import text_column, text_of
from scmkit.tables import reading, writing
from scmkit.tables.reading import read_table
from scmkit.tables.writing import NOTES, with_notes, write_rows

MB = 1 << 20
FORMULAS = [
    "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "=cmd|' /C calc'!A0", '=HYPERLINK("https://x","y")',
    "-Code_0001", "＝1", "'=1", "''-1", "'", "''", "'!x", "''!x", "-", "=",
]  # fmt: skip
HARMLESS = [
    "000042",
    "a=b",
    "1-2",
    "Château",
    "a\nb",
    'say "hi", please;now',
    "'quoted'",
    "#N/A",
    "!x",
    "x'",
    "NA",
    "{=1}",
]
BOTH = pytest.mark.parametrize("name", ["rows.csv", "rows.xlsx"])


def notes(frame: pd.DataFrame, message: str = "because") -> pd.DataFrame:
    rows = pd.DataFrame({"row": range(len(frame)), "state": "rejected", "message": message})
    return with_notes(frame, rows)


def cells_of(path: Path) -> list[Any]:
    """Read what a spreadsheet program sees, without our own reader: values, or cells of a workbook."""
    if path.suffix == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            return [cell for row in csv.reader(file) for cell in row]
    sheet = openpyxl.load_workbook(path).active
    cells = [cell for row in sheet.iter_rows() for cell in row]
    assert {cell.data_type for cell in cells if cell.value is not None} == {"s"}
    return [cell.value or "" for cell in cells]


@BOTH
def test_no_cell_of_an_export_is_a_formula(name: str, tmp_path: Path) -> None:
    """Cells, column names and messages that begin as a formula may begin with an apostrophe, as text cells (S18)."""
    values = [v for v in FORMULAS if "\r" not in v or name.endswith("csv")]
    frame = pd.DataFrame({"=A1": values, "extended_id": [f"-Code_{i:04d}" for i in range(len(values))]})
    write_rows(notes(frame, "=1+1 is no value"), tmp_path / name)
    written = cells_of(tmp_path / name)
    assert len(written) == (len(values) + 1) * 5
    assert not [cell for cell in written if cell.strip() and cell.strip()[0] in "=+-@＝＋－＠"]
    assert not [cell for cell in written if cell.startswith(("\t", "\r", "\n", " "))]
    assert sum(cell == "'=1+1 is no value" for cell in written) == len(values)
    assert "'=A1" in written


@BOTH
def test_an_export_gives_every_value_back(name: str, tmp_path: Path) -> None:
    """What is uploaded from the file is what was in the table, and the notes are no fields (S18)."""
    values = [*FORMULAS, *HARMLESS, "", "  ", None]
    values = [v for v in values if v is None or "\r" not in v or name.endswith("csv")]
    frame = pd.DataFrame({"-id": range(len(values)), "value": pd.Series(values, dtype=object)})
    write_rows(notes(frame), tmp_path / name)
    again = read_table(tmp_path / name)
    assert again["value"].tolist() == values
    assert again.columns.tolist() == ["-id", "value"]
    assert again["-id"].tolist() == [str(i) for i in range(len(values))]
    assert read_table(tmp_path / name, keep_blank=True)["value"].tolist() == values  # missing is not cleared
    write_rows(notes(again), tmp_path / name)
    assert read_table(tmp_path / name).equals(again)


CELLS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6), st.text("'=-!@ \t\r\n\0\ufeff\"a", max_size=6),
    st.integers(), st.floats(), st.booleans(), st.decimals(), st.dates(), st.datetimes(), st.none(), st.just(pd.NA),
    st.just("\ud800"), st.just([1]), st.just(pd.NaT), st.just(np.float32(0.1)),
)  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(cells=st.lists(CELLS, min_size=1, max_size=8))
def test_whatever_a_cell_holds_is_sent_alike_from_the_file(cells: list[Any]) -> None:
    """A cell of the file has the text of the cell that it came from; what had none has none again (S18)."""
    frame = pd.DataFrame({"value": pd.Series(cells, dtype=object)})
    with tempfile.TemporaryDirectory() as folder:
        write_rows(notes(frame), Path(folder) / "rows.csv")
        again = read_table(Path(folder) / "rows.csv")["value"].tolist()
    before, after = ([(text, problem is None) for text, problem in map(text_of, c)] for c in (cells, again))
    assert after == before


def test_values_of_every_kind_are_written_as_they_are_sent(tmp_path: Path) -> None:
    """Numbers, dates and truth values become their text; what has none is shown and refused again (S18)."""
    values = [
        12.0,
        Decimal("12.50"),
        -3,
        True,
        pd.Timestamp("2026-11-23"),
        pd.Timestamp("2026-11-23 10:00"),
        float("inf"),
    ]
    frame = pd.DataFrame({"value": pd.Series(values, dtype=object)})
    write_rows(notes(frame), tmp_path / "rows.xlsx")
    again = read_table(tmp_path / "rows.xlsx")["value"].tolist()
    assert again[:5] == ["12", "12.50", "-3", "true", "2026-11-23"]
    assert again[5:] == [["Timestamp('2026-11-23 10:00:00')"], ["inf"]]
    assert "'!Timestamp('2026-11-23 10:00:00')" in cells_of(tmp_path / "rows.xlsx")


def test_a_table_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    """An apostrophe in a file of somebody else is part of the value (S18)."""
    (tmp_path / "theirs.csv").write_text("extended_id,scmkit_state\n'-1,x\n")
    assert read_table(tmp_path / "theirs.csv").iloc[0].tolist() == ["'-1", "x"]


def test_what_a_file_cannot_hold_is_refused_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another kind of file, no folder or package, and text that no workbook holds are errors that say so (S18)."""
    frame = notes(pd.DataFrame({"value": ["a\x0bb"]}))
    for path, words in (
        ("rows.pdf", "csv or .xlsx"),
        ("no/rows.csv", "no folder"),
        ("rows.xlsx", "row 2.*write a .csv"),
    ):
        with pytest.raises(TableError, match=words):
            write_rows(frame, tmp_path / path)
    with pytest.raises(TableError, match="row 2"):
        write_rows(notes(pd.DataFrame({"value": ["x" * 40_000]})), tmp_path / "rows.xlsx")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    with pytest.raises(MissingDependencyError, match=r"scmkit\[files\]"):
        writing.check(tmp_path / "rows.xlsx")


@BOTH
def test_rejected_rows_can_be_uploaded_again(
    name: str, server: plain_server.PlainServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`scmkit upload --rejected` writes what was not applied; uploading that file brings it, value for value (S18)."""
    monkeypatch.setenv("SCANTRUST_UAT_TOKEN", server.token)
    server.codes = {f"-Code_{i:04d}": {} for i in range(6)}
    values = ["=1+1", "a", "'x", "-5", "", "Ruländer"]
    frame = pd.DataFrame({"extended_id": list(server.codes), "wine_name": values, "vintage_year": "1990"})
    frame.to_csv(tmp_path / "table.csv", index=False)
    server.answers = [(400, {"detail": "=no"}, {})] * 100
    arguments = ["upload", "--yes", "--base-url", server.url, "--rejected", str(tmp_path / name)]
    first = CliRunner().invoke(main, [*arguments, str(tmp_path / "table.csv")])
    assert (first.exit_code, str(tmp_path / name) in first.output) == (8, True)
    assert set(server.codes["-Code_0000"]) == set()
    assert read_table(tmp_path / name).equals(read_table(tmp_path / "table.csv"))
    assert any("=no" in cell and not cell.startswith("=") for cell in cells_of(tmp_path / name))
    server.answers = []
    second = CliRunner().invoke(main, [*arguments, str(tmp_path / name)])
    assert second.exit_code == 0, second.output
    assert [held.get("wine_name", "") for held in server.codes.values()] == values
    assert read_table(tmp_path / name).empty
    assert read_table(tmp_path / name).columns.tolist() == frame.columns.tolist()


def test_rejected_rows_of_a_shell_say_what_a_shell_can_do(
    server: plain_server.PlainServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The messages in the file name the options that the messages on the screen name."""
    monkeypatch.setenv("SCANTRUST_UAT_TOKEN", server.token)
    server.codes = {"Code_0001": {}, "Code_0002": {}}
    frame = pd.DataFrame({"extended_id": ["Code_0001", "Code_0001", "Code_0002"], "wine_name": ["a", "b", "c"]})
    frame.to_csv(tmp_path / "table.csv", index=False)
    options = ["--base-url", server.url, "--errors", "reject", "--rejected", str(tmp_path / "again.csv")]
    result = CliRunner().invoke(main, ["upload", "--yes", *options, str(tmp_path / "table.csv")])
    assert "--on-conflict last or first" in result.output
    written = (tmp_path / "again.csv").read_text(encoding="utf-8")
    assert "--on-conflict last or first" in written
    assert "on_conflict=" not in written


def test_a_wrong_place_for_rejected_rows_is_said_before_anything_is_sent(
    server: plain_server.PlainServer, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody uploads for an hour and is told then that the file cannot be written (S18)."""
    monkeypatch.setenv("SCANTRUST_UAT_TOKEN", server.token)
    options = ["--base-url", server.url, "--rejected", "rows.pdf"]
    result = CliRunner().invoke(main, ["upload", "--yes", str(data / "codes.csv"), *options])
    assert (result.exit_code, server.seen) == (1, [])
    assert "written as .csv or .xlsx" in result.output


# What comes in. The file widget's half of S19 is tested with the panel.


def test_a_compressed_table_is_unpacked_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small .gz that unpacks to more than the limit is an error that takes no more memory than the limit (S16)."""
    monkeypatch.setattr(reading, "_UNPACKED_BYTES", 8 * MB)
    path = tmp_path / "bomb.csv.gz"
    with gzip.open(path, "wb") as file:
        file.write(b"a\n")
        for _ in range(200):
            file.write(bytes(MB))
    assert path.stat().st_size < MB
    with pytest.raises(TableError, match=r"bomb.csv.gz: unpacks to more than 8,388,608 bytes"):
        peak_of(lambda: read_table(path), 40 * MB)


def peak_of(action: Any, most: int) -> None:
    """Run an action and check the memory that it took, whether it fails or not."""
    tracemalloc.start()
    try:
        action()
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < most, peak


def workbook(path: Path, **members: Any) -> Path:
    """Make a workbook with these members in the place of its own, or beside them."""
    plain = openpyxl.Workbook()
    plain.active.append(["extended_id"])
    plain.save(path.with_suffix(".plain"))
    replaced = {"sheet": "xl/worksheets/sheet1.xml", "strings": "xl/sharedStrings.xml", "more": "xl/more.bin"}
    new = {replaced[name]: content for name, content in members.items()}
    source = zipfile.ZipFile(path.with_suffix(".plain"))
    with source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for member in source.namelist():
            target.writestr(member, new.pop(member, source.read(member)))
        for member, content in new.items():
            target.writestr(member, content)
    path.with_suffix(".plain").unlink()
    return path


SHEET = (
    '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>{}</sheetData></worksheet>'
)
CELL = '<row r="{row}"><c r="{column}{row}" t="inlineStr"><is><t>{text}</t></is></c></row>'


@pytest.mark.parametrize("member", ["sheet", "strings", "more"])
def test_a_workbook_is_unpacked_up_to_a_limit(member: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A zip bomb is refused by what its directory says, in whatever member it hides, before it is read (S19)."""
    monkeypatch.setattr(reading, "_UNPACKED_BYTES", 8 * MB)
    path = workbook(tmp_path / "bomb.xlsx", **{member: bytes(100 * MB)})
    assert path.stat().st_size < MB
    with pytest.raises(TableError, match=r"bomb.xlsx: unpacks to more than"):
        peak_of(lambda: read_table(path), 40 * MB)


def test_a_directory_that_lies_does_not_help_a_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A member that holds more than the zip's directory says is not read beyond that (S19)."""
    monkeypatch.setattr(reading, "_UNPACKED_BYTES", 8 * MB)
    path = workbook(tmp_path / "bomb.xlsx", sheet=bytes(100 * MB))
    content = path.read_bytes()
    size = (100 * MB).to_bytes(4, "little")
    assert content.count(size) == 2
    path.write_bytes(content.replace(size, (1000).to_bytes(4, "little")))
    with pytest.raises(TableError):
        peak_of(lambda: read_table(path), 40 * MB)


@pytest.mark.parametrize(("column", "row"), [("XFD", 4000), ("A", 60_000), ("A", 10**12), ("ZZZ", 3000)])
def test_a_sheet_with_a_cell_far_away_is_refused(
    column: str, row: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two cells do not make a table of billions of empty ones (S19)."""
    monkeypatch.setattr(reading, "_ROWS", 50_000)
    monkeypatch.setattr(reading, "_CELLS", 1_000_000)
    cells = CELL.format(column="A", row=1, text="extended_id") + CELL.format(column=column, row=row, text="x")
    path = workbook(tmp_path / "far.xlsx", sheet=SHEET.format(cells))
    with pytest.raises(TableError, match=r"far below or beside|not a readable workbook"):
        peak_of(lambda: read_table(path), 100 * MB)


LAUGHS = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 12))


@pytest.mark.parametrize("entities", [
    f'<!DOCTYPE x [<!ENTITY l0 "ha">{LAUGHS}]>', '<!DOCTYPE x [<!ENTITY l11 SYSTEM "file:///etc/hostname">]>',
    f'<!DOCTYPE x [<!ENTITY l11 "{"a" * 50_000}">]>',
], ids=["billion laughs", "another file", "quadratic"])  # fmt: skip
def test_entities_of_a_workbook_are_not_expanded(entities: str, tmp_path: Path) -> None:
    """Neither a billion laughs nor the content of another file comes out of a workbook (S19)."""
    sheet = CELL.format(column="A", row=1, text="extended_id") + CELL.format(column="A", row=2, text="&l11;" * 2000)
    path = workbook(tmp_path / "entities.xlsx", sheet=entities + SHEET.format(sheet))
    with pytest.raises((TableError, ValueError)):
        peak_of(lambda: read_table(path), 100 * MB)


def test_a_table_of_normal_size_is_far_from_the_limits(tmp_path: Path) -> None:
    """The limits do not refuse what people work with: a million rows are within them (S19)."""
    assert reading._ROWS == 1_048_576
    assert reading._CELLS >= 20 * reading._ROWS
    assert reading._UNPACKED_BYTES >= 1 << 30
    frame = pd.DataFrame({"extended_id": [f"Code_{i:06d}" for i in range(2000)], "lot": "000001"})
    frame.to_excel(tmp_path / "t.xlsx", index=False)
    assert read_table(tmp_path / "t.xlsx").equals(frame.astype(object))


# Names


@pytest.mark.parametrize("job", ["../../escape", "/etc/passwd", "CON", "a\0b", "..", "x" * 300, "a/b\\c", "nul.txt"])
def test_no_name_from_elsewhere_becomes_a_file_name(job: str, tmp_path: Path) -> None:
    """A job's id is asked of the journal, and stands in no path: locks are named by its hash (S22)."""
    from scmkit.journal.journal import Journal

    path = tmp_path / "state" / "journal.sqlite3"
    with Journal(path) as book:
        lock = book._lock_path(job)
        assert lock.parent == path.parent
        assert lock.name.removeprefix("journal.sqlite3-job-").isalnum()
    before = sorted(p.name for p in tmp_path.rglob("*"))
    with pytest.raises(JournalError, match="knows no job"), scmkit.Client("http://127.0.0.1:9", "t0ken") as client:
        scmkit.resume(job, client, path)
    assert sorted(p.name for p in tmp_path.rglob("*")) == before


def test_names_inside_a_workbook_are_no_paths(tmp_path: Path) -> None:
    """A member named ../../x is not unpacked to anywhere (S22)."""
    path = workbook(tmp_path / "a.xlsx")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../../escaped.txt", "x")
        archive.writestr("/abs.txt", "x")
    assert read_table(path).columns.tolist() == ["extended_id"]
    assert [p.name for p in tmp_path.iterdir()] == ["a.xlsx"]


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_a_downloaded_file_is_private(client: scmkit.Client) -> None:
    """Codes that are downloaded to a temporary place can be read by nobody else, whatever the umask (S08)."""
    before = os.umask(0)
    try:
        path = client.download_codes()
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.unlink()


def test_a_journal_that_is_a_link_stops_an_upload(
    table: pd.DataFrame, client: scmkit.Client, server: plain_server.PlainServer, tmp_path: Path
) -> None:
    """Nothing is sent when the journal's place was taken by a link (S09)."""
    (tmp_path / "theirs").write_bytes(b"")
    (tmp_path / "journal").symlink_to(tmp_path / "theirs")
    with pytest.raises(JournalError, match="link"):
        table.scm.upload(client, journal=tmp_path / "journal", progress=False)
    assert (server.seen, (tmp_path / "theirs").read_bytes()) == ([], b"")


def test_notes_are_named_so_that_no_field_is_lost(tmp_path: Path) -> None:
    """A table may have columns named state and message: they are fields, and stay (S18)."""
    frame = pd.DataFrame({"extended_id": ["a"], "state": ["open"], "message": ["-"]})
    write_rows(notes(frame), tmp_path / "rows.csv")
    assert read_table(tmp_path / "rows.csv").equals(frame.astype(object))
    assert cells_of(tmp_path / "rows.csv")[3:6] == list(NOTES)


NARROW = [
    pd.Series([0.1, None, 2.5, 2.0**24 + 2, float("inf")], dtype="float32"),
    pd.Series([0.1, None, 2.5, 2.0**11 + 2, float("-inf")], dtype="float16"),
    pd.Series([0.1, None, 2.5, 2.0**24 + 2], dtype="Float32"),
    pd.Series([0.1, None, 2.5, 2.0**24 + 2], dtype="float[pyarrow]"),
    pd.Series([0.1, None, 2.5, 2.0**53 + 2], dtype="double[pyarrow]"),
    pd.Series([0.1, 2.5, 2.0**53 + 2], dtype="float64"),
    pd.Series([0.1, None, 2.5, 2.0**53 + 2], dtype="Float64"),
    pd.Series([0.1, 2.5, 2.0**24 + 2], dtype="float32").astype("category"),
    pd.Series([0.1, 2.5, 2.0**24 + 2], dtype="float32").astype(pd.SparseDtype("float32")),
    pd.Series(pd.array([0.1, 2.5, None], pd.ArrowDtype(pa.dictionary(pa.int8(), pa.float32())))),
    pd.Series(pd.array([Decimal("1.50"), None], pd.ArrowDtype(pa.decimal128(9, 2)))),
    pd.Series([10**5_000, 12, True, np.float32(0.1), np.float16(2.0**11 + 2), np.float32(2.0**24 + 2)], dtype=object),
    pd.Series([2**63 - 1, None], dtype="int64[pyarrow]"),
    pd.Series([pd.Timestamp("2026-11-23"), pd.Timestamp("2026-11-23 10:00"), pd.NaT]),
]  # fmt: skip


@BOTH
@pytest.mark.parametrize("column", NARROW, ids=[str(column.dtype) for column in NARROW])
def test_an_export_holds_what_would_be_sent_whatever_the_dtype(column: pd.Series, name: str, tmp_path: Path) -> None:
    """A cell is exported as the text that would be sent; one without a text has none from the file either."""
    write_rows(notes(pd.DataFrame({"extended_id": [f"Code_{i:04d}" for i in range(len(column))], "value": column})),
               tmp_path / name)  # fmt: skip
    sent, again = text_column(column, "value"), text_column(read_table(tmp_path / name)["value"])
    assert again.take(np.arange(len(column))).tolist() == sent.take(np.arange(len(column))).tolist()
    assert set(again.problems) == set(sent.problems)
    assert "0.1000000" not in " ".join(cells_of(tmp_path / name))


@pytest.mark.parametrize("dtype", ["float32", "float16", "Float32", "float[pyarrow]"])
def test_a_fix_changes_no_other_cell_of_a_narrow_column(dtype: str) -> None:
    """A ready fix puts a text into a column of floats, and each other cell is sent as before."""
    df = pd.DataFrame(
        {"extended_id": ["Code_0001", "Code_0002"], "production_date": pd.Series([0.1, 1990], dtype=dtype)}
    )
    fixed = _with_fix(df, row=1, text="2026-11-23")
    assert text_column(fixed["production_date"]).take(np.arange(2)).tolist() == ["0.1", "2026-11-23"]


def _with_fix(df: pd.DataFrame, row: int, text: str) -> pd.DataFrame:
    findings = scmkit.validate(df)
    frame = findings.frame
    frame.loc[frame["row"] == row, ["fix", "value"]] = text, text_column(df["production_date"]).take(np.array([row]))[0]
    return findings.fixed(df)
