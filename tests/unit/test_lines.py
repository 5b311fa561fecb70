"""Promises about line numbers: of a table from a file, every message names the file's own line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pytest
from click.testing import CliRunner

import scmkit
from scmkit.cli.commands import main
from scmkit.core import errors
from scmkit.core.lines import lines_of, numbered, place
from scmkit.tables import writing

HARD = '\n lot_number,wine_name\r\n000001,"two\nlines"\n\n000002,b\r000003,c\n,\n,\n'


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    def write(content: str, name: str = "t.csv") -> Path:
        (tmp_path / name).write_text(content, encoding="utf-8", newline="")
        return tmp_path / name

    return write


def lines(frame: pd.DataFrame) -> list[int] | None:
    known = lines_of(frame.index)
    return None if known is None else known.tolist()


def test_the_line_is_where_an_editor_shows_it(written: Callable[..., Path], tmp_path: Path) -> None:
    """Cells of several lines, blank lines and rows of a sheet count as they do in an editor and a spreadsheet."""
    assert lines(scmkit.read_table(written(HARD))) == [3, 6, 7]
    assert lines(scmkit.read_table(written('{"a": 1}\n\n{"a": 2}\n', "t.jsonl"))) == [1, 3]
    book = openpyxl.Workbook()
    book.active.cell(3, 1, "a")
    for row, value in ((4, "x"), (6, "y")):
        book.active.cell(row, 1, value)
    book.save(tmp_path / "t.xlsx")
    assert lines(scmkit.read_table(tmp_path / "t.xlsx")) == [4, 5, 6]
    assert lines(scmkit.read_table(written("a\n"))) == []


def test_labels_of_a_plain_file_are_positions(written: Callable[..., Path]) -> None:
    """df.loc[0] is the first row, and a column from elsewhere lines up; blanks and padding keep rows where they are."""
    frame = scmkit.read_table(written("a,b\n1,x\n,y\n3,z\n"), pad_to={"a": 2})
    assert frame.index.equals(pd.RangeIndex(3))
    assert frame.index.name == "line - 2"
    assert frame.assign(c=pd.Series([1, 2, 3]))["c"].tolist() == [1, 2, 3]
    gaps = scmkit.read_table(written("a,b\n\n1,x\n\n,y\n"), pad_to={"a": 2})
    assert gaps["a"].tolist() == ["01", None]
    assert lines(gaps) == [3, 5]


def test_only_what_is_certain_is_called_a_line(written: Callable[..., Path], tmp_path: Path) -> None:
    """Filtered and sorted rows keep their lines; new labels, two files in one and text labels have none."""
    frame = scmkit.read_table(written("a\nx\ny\nz\n"))
    assert lines(frame[1:].sort_values("a", ascending=False)) == [4, 3]
    for other in (frame.reset_index(drop=True), pd.concat([frame, frame]), frame.set_index(frame["a"])):
        assert lines(other) is None
    assert place(pd.RangeIndex(3), 2) == "row 2"
    assert place(pd.Index(["p", "q"]), 1) == "row 1 (label 'q')"
    assert numbered(pd.DataFrame({"row": [1]}), pd.RangeIndex(3)).columns.tolist() == ["row (from 0)"]
    frame.to_csv(tmp_path / "with-index.csv")
    with pytest.raises(errors.TableError, match=r"'line - 2' is an index that read_table made.*index=False"):
        scmkit.read_table(tmp_path / "with-index.csv")
    frame[::2].to_parquet(tmp_path / "t.parquet")
    again = scmkit.read_table(tmp_path / "t.parquet")
    assert (again.columns.tolist(), lines(again)) == (["a"], None)


def test_messages_name_the_line(written: Callable[..., Path]) -> None:
    """Findings, their HTML, the way out, a plan and what it makes of duplicates name lines, never positions."""
    content = "lot_number,wine_name\n000001,a\n000001,b\n 000002,c\n000003,\n000004,a\n000004,a\n"
    df = scmkit.read_table(written(content))
    findings = df.scm.validate(key="lot_number")
    assert findings.frame["line"].tolist() == [2, 3, 4, 5, 7]
    assert findings.frame["row"].tolist() == [0, 1, 2, 3, 5]
    for message, line in zip(findings.frame["message"], findings.frame["line"], strict=True):
        assert message.startswith(f"line {line}, column") or line == 5
    assert "is also the key of line 3" in findings.frame["message"][0]
    assert "is the same as line 6" in findings.frame["message"][4]
    html = findings._repr_html_()
    assert "line 4, column" in html
    assert "row (from 0)" not in html
    assert "row (from 0)" in df.reset_index(drop=True).scm.validate(key="lot_number")._repr_html_()
    with pytest.raises(errors.ValidationError, match="line 4, column 'lot_number'"):
        findings.raise_for_errors()
    plan = df.scm.plan(key="lot_number", errors="reject")
    assert plan.why_not_sent(3).startswith("line 5: ")
    changed = df.assign(lot_number="x")
    with pytest.raises(errors.PlanError, match="line 4, column 'lot_number': the cell has changed"):
        findings.fixed(changed)


def test_the_shell_names_the_line(written: Callable[..., Path], server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`validate`, `upload`, its report and its file of rejected rows name the line, and after resuming so does it."""
    monkeypatch.setenv("SCANTRUST_UAT_TOKEN", server.token)
    path = written('lot_number,wine_name\n000001,"two\nlines"\n 000002,b\nabsent,c\n')
    shell, folder = CliRunner(), path.parent
    assert "line 4, column 'lot_number'" in shell.invoke(main, ["validate", str(path), "--key", "lot_number"]).output
    command = ["upload", "--yes", str(path), "--key", "lot_number", "--errors", "reject", "--base-url", server.url]
    files = ["--report", str(folder / "report.html"), "--rejected", str(folder / "again.csv")]
    said = shell.invoke(main, [*command, *files]).output.splitlines()
    assert [row.split()[0] for row in said if "rejected  " in row or "unmatched  " in row] == ["4", "5"]
    again = pd.read_csv(folder / "again.csv")
    assert again.columns.tolist() == ["lot_number", "wine_name", *writing.NOTES]
    assert again["scmkit_line"].tolist() == [4, 5]
    assert again["scmkit_message"][0].startswith("line 4, column")
    report = (folder / "report.html").read_text()
    assert "line 4, column" in report
    assert ">line</th>" in report
    assert scmkit.read_table(folder / "again.csv")["lot_number"].tolist() == [" 000002", "absent"]
    job = scmkit.resume(scmkit.jobs()["id"][0], scmkit.Client(server.url, server.token), progress=False)
    assert lines(job.rows) == [2, 4, 5]
