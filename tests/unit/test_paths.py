"""Promises about paths: home is found, what stands there stays until the new is whole, and readers make nothing."""

import errno
import os
import stat
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import scmkit
from scmkit.cli.commands import main
from scmkit.core import paths
from scmkit.core.errors import (
    DestinationError,
    JournalError,
    MissingFileError,
    MissingJournalError,
    ScmkitError,
    TableError,
)
from scmkit.journal.journal import Journal
from scmkit.journal.listings import table_of
from scmkit.tables import reading, writing


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    return tmp_path


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCANTRUST_UAT_TOKEN", "x" * 20)


def test_a_tilde_is_home_wherever_a_path_is_taken(home: Path) -> None:
    """`~` is expanded by everything that takes a path, also where no shell has done it."""
    df = pd.DataFrame({"extended_id": ["Code_0001"], "note": ["x"]})
    writing.write_rows(writing.with_notes(df, pd.DataFrame({"row": [0], "state": "x", "message": "y"})), "~/rows.csv")
    assert scmkit.read_table("~/rows.csv").equals(df.astype(object))
    df.to_csv(home / "codes.csv", index=False)
    assert scmkit.count_codes("~/codes.csv", "extended_id")["codes"].tolist() == [1]
    with scmkit.Sandbox("~/codes.csv", latency_s=0.0) as sandbox:
        client = sandbox.client()
        job = scmkit.upload(df, client, journal="~/journal.sqlite3", progress=False)
        job.report("~/report.html")
        assert client.download_codes("~/held.csv") == home / "held.csv"
    assert scmkit.jobs("~/journal.sqlite3")["id"].tolist() == [job.id]
    names = {"rows.csv", "codes.csv", "journal.sqlite3", "report.html", "held.csv"}
    assert names <= {path.name for path in home.iterdir()}
    assert paths.expanded("~no such user/x") == Path("~no such user/x")


@pytest.mark.parametrize(
    "read",
    [scmkit.jobs, scmkit.history, lambda path: scmkit.resume("20261124-000000-abcdef", None, path),
     lambda path: table_of("20261124-000000-abcdef", path)],
)  # fmt: skip
def test_a_misspelt_journal_is_said_and_not_made(read, tmp_path: Path, token: None) -> None:
    """Who reads in a journal that is not there hears so, with the file that may be meant, and finds no new file."""
    (tmp_path / "journal.sqlite3").touch()
    with pytest.raises(MissingJournalError, match=r"no journal .*jurnal.* \(did you mean 'journal.sqlite3'\?\)"):
        read(tmp_path / "jurnal.sqlite3")
    assert issubclass(MissingJournalError, FileNotFoundError)
    assert [path.name for path in tmp_path.iterdir()] == ["journal.sqlite3"]


def test_reading_makes_no_journal_of_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: None
) -> None:
    """Before the first upload there are no jobs and no calls, and asking for them leaves nothing behind."""
    monkeypatch.setenv("SCMKIT_JOURNAL", str(tmp_path / "new.sqlite3"))
    assert len(scmkit.jobs()) == len(scmkit.history()) == 0
    assert CliRunner().invoke(main, ["jobs", "--prune", "1"]).output == "forgot 0 jobs\nno uploads yet\n"
    with pytest.raises(MissingJournalError):
        scmkit.resume("20261124-000000-abcdef")
    assert list(tmp_path.iterdir()) == []


def test_a_job_that_a_journal_does_not_know_is_said(tmp_path: Path, token: None) -> None:
    """A misspelt id is said, and leaves the journal closed and as it was."""
    path = tmp_path / "journal.sqlite3"
    Journal(path).close()
    with pytest.raises(JournalError, match="20261124-000000-abcdef"):
        scmkit.resume("20261124-000000-abcdef", journal=path)
    assert len(scmkit.jobs(path)) == 0


def test_a_failed_write_keeps_what_was_there(tmp_path: Path) -> None:
    """The old file stays, whole, until the new one is; then it has the old one's permissions, behind the old link."""
    path, link = tmp_path / "codes.csv", tmp_path / "link.csv"
    path.write_text("old")
    path.chmod(0o600)
    link.symlink_to(path)
    with pytest.raises(TypeError), paths.replacing(link) as beside:
        beside.write_text(b"half")  # type: ignore[arg-type]
    assert path.read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["codes.csv", "link.csv"]
    with paths.replacing(link) as beside:
        beside.write_text("new")
    assert path.read_text() == "new"
    assert link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with paths.replacing(Path(os.devnull)) as device:
        assert device == Path(os.devnull)


@pytest.mark.parametrize("option", ["--report", "--rejected"])
@pytest.mark.parametrize("where", ["no/such/folder/x.csv", "folder.csv"])
def test_a_destination_is_looked_at_before_anything_is_sent(
    option: str, where: str, tmp_path: Path, token: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report or file of rejected rows that cannot be written is said before the table is read."""
    monkeypatch.setenv("SCANTRUST_BASE_URL", "https://127.0.0.1:1")
    (tmp_path / "folder.csv").mkdir()
    result = CliRunner().invoke(main, ["upload", "no-table.csv", option, str(tmp_path / where)])
    assert result.exit_code == 1
    assert "there is no folder" in result.output or "is a folder: a file name is needed" in result.output
    with pytest.raises(DestinationError) as error:
        paths.check_destination(tmp_path / where)
    assert isinstance(error.value, OSError)
    assert isinstance(error.value, ValueError)


def test_a_destination_without_permission_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing may be written, that is the sentence."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(DestinationError, match="may not be written"):
        paths.check_destination(tmp_path / "x.html")


def test_a_missing_file_is_one_sentence_of_ours(tmp_path: Path) -> None:
    """No such file is a FileNotFoundError and an error of ours, and its words are no tuple."""
    with pytest.raises(MissingFileError) as error:
        scmkit.read_table(tmp_path / "lots.csv")
    assert str(error.value) == f"no such file: {tmp_path / 'lots.csv'}"
    assert isinstance(error.value, FileNotFoundError)
    assert isinstance(error.value, ScmkitError)
    assert error.value.errno == errno.ENOENT


def test_a_parquet_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small Parquet file that unpacks to more than the limit is not read, whichever way it hides its size."""
    monkeypatch.setattr(reading, "_UNPACKED_BYTES", 1 << 20)
    monkeypatch.setattr(pd, "read_parquet", lambda *_, **__: pytest.fail("it was read"))
    long = "x" * 10_000
    bombs = {
        "dictionary": pa.table({"lot": pa.array([long] * 1_000)}),
        "plain": pa.table({"lot": pa.array([long + str(i) for i in range(1_000)])}),
        "numbers": pa.table({"lot": pa.array(np.zeros(1 << 18, dtype="int64"))}),
        "nothing": pa.table({"lot": pa.nulls(1 << 18, pa.string())}),
        "lists": pa.table({"lot": pa.array([["x"] * 1_000] * 1_000)}),
        "binary": pa.table({"lot": pa.array([b"\0" * 10_000] * 1_000, pa.large_binary())}),
    }
    for name, table in bombs.items():
        path = tmp_path / f"{name}.parquet"
        pq.write_table(table, path, compression="zstd", use_dictionary=name != "plain")
        assert path.stat().st_size < 1 << 17
        with pytest.raises(TableError, match="unpacks to more than 1,048,576 bytes"):
            scmkit.read_table(path)


def test_texts_that_repeat_are_read_where_they_fit(tmp_path: Path) -> None:
    """A file with a dictionary, in several row groups, beside nested and missing cells, is read as before."""
    df = pd.DataFrame({"lot": ["L42", None] * 500, "n": range(1_000), "when": pd.Timestamp("2026-11-23")})
    df.to_parquet(tmp_path / "x.parquet", row_group_size=100)
    read = scmkit.read_table(tmp_path / "x.parquet")
    assert read["lot"].tolist()[:1] == ["L42"]
    assert read["lot"].isna().sum() == 500
    assert read["n"].tolist() == list(range(1_000))


def test_an_index_is_kept_or_said(tmp_path: Path) -> None:
    """An index in a Parquet file is a column, or row numbers, or a sentence: never dropped, never a raw ValueError."""
    df, path = pd.DataFrame({"lot": ["L1", "L2"], "note": ["x", "y"]}), tmp_path / "x.parquet"
    df.set_index("lot", drop=False).to_parquet(path)
    assert scmkit.read_table(path).to_dict("list") == df.to_dict("list")
    df.set_index("lot").rename_axis("note").to_parquet(path)
    with pytest.raises(TableError, match="its index and a column are both named 'note', and differ: rename one"):
        scmkit.read_table(path)
    df.set_axis(["a", "b"]).to_parquet(path)
    with pytest.raises(TableError, match="its index has no name: give it one"):
        scmkit.read_table(path)
    df.set_index(["lot", "note"], drop=False).rename_axis([None, "note"]).to_parquet(path)
    with pytest.raises(TableError, match="its index has no name"):
        scmkit.read_table(path)
    df.set_axis([5, 7]).to_parquet(path)
    assert scmkit.read_table(path).to_dict("list") == df.to_dict("list")
    df.assign(n=[1, 2]).set_index(["lot", "n"]).to_parquet(path)
    assert scmkit.read_table(path).to_dict("list") == {"lot": ["L1", "L2"], "n": [1, 2], "note": ["x", "y"]}


def test_escapes_of_a_workbook_are_the_characters_that_they_stand_for(tmp_path: Path) -> None:
    """`_x000D_` is a carriage return, in cells and in names; what only looks so is written and read as it is."""
    book = openpyxl.Workbook()
    for line in (["lot", "a_x0020_note"], ["L_x000D_\n1", "_x005F_x000D_"], ["_x00e9_", "_x12_ _y0041_"]):
        book.active.append(line)
    book.save(tmp_path / "x.xlsx")
    read = scmkit.read_table(tmp_path / "x.xlsx")
    assert read.to_dict("list") == {"lot": ["L\r\n1", "é"], "a note": ["_x000D_", "_x12_ _y0041_"]}
    df = pd.DataFrame({"lot": ["_x000D_", "_x005F_", "plain"]})
    rows = pd.DataFrame({"row": range(3), "state": "x", "message": "_x0041_"})
    writing.write_rows(writing.with_notes(df, rows), tmp_path / "rows.xlsx")
    assert scmkit.read_table(tmp_path / "rows.xlsx").equals(df.astype(object))
