"""The page about an upload that is handed on: what it says, and that it says it for past jobs, too."""

import html
import re
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from plain_server import PlainServer

import scmkit
from scmkit.cli.commands import main
from scmkit.journal.journal import Journal
from scmkit.uploading import report


def written(job: scmkit.UploadJob, folder: Path) -> str:
    """Return the text of a job's report, without tags."""
    job.report(folder / "report.html")
    return text_of(folder / "report.html")


def text_of(path: Path) -> str:
    shown = re.sub(r"(?s)<style>.*?</style>|<[^>]*>", " ", path.read_text(encoding="utf-8"))
    return " ".join(html.unescape(shown).split())


def test_a_report_says_who_brought_what_where(
    table: pd.DataFrame, client: scmkit.Client, server: PlainServer, tmp_path: Path
) -> None:
    """One sentence and a light; who, when, service, file, key, fields, rows, codes; and the proof."""
    job = scmkit.upload(table, client, verify=True, progress=False, file="wines.csv")
    text = written(job, tmp_path)
    assert "All is well: all 50 rows are on the codes, and reading the codes back proves it." in text
    for fact in (
        "by someone@example.com", f"service {server.url}", "file wines.csv", "codes selected by extended_id",
        "fields wine_name, vintage_year", "rows 50, of which 50 on the codes", "codes changed 50",
        f"when {job.started_at.astimezone():%Y-%m-%d %H:%M}", "field by field: 0 differences", "applied: 50",
    ):  # fmt: skip
        assert fact in text, fact
    assert "What was not applied" not in text


def test_a_report_says_what_to_do_about_each_state(table: pd.DataFrame, client: scmkit.Client, tmp_path: Path) -> None:
    """Rows that are not applied, and those that lost fields, with why and the way on."""
    table.loc[0, "extended_id"], table.loc[1, "extended_id"] = "Code_99999-", "x"
    job = scmkit.upload(table.assign(wine_colour="red"), client, errors="reject", progress=False)
    text = written(job, tmp_path)
    assert "48 of 50 rows are on the codes, 2 are not." in text
    for words in (
        "unmatched 1 row why no code carries this key what to do Look for zeros",
        "rejected 1 row why row 1, column 'extended_id': 'x' has 1 character",
        "what to do Correct these rows, and upload them again",
        "applied without all fields 48 rows why the campaign does not define wine_colour",
        f"Not proven: the codes were not read back. To do it now: scmkit resume {job.id} --verify",
    ):
        assert words in text, words


def test_a_report_says_that_the_codes_hold_something_else(
    table: pd.DataFrame, client: scmkit.Client, server: PlainServer, tmp_path: Path
) -> None:
    """A read-back that finds differences outweighs all answers."""
    job = scmkit.upload(table, client, progress=False)
    server.codes["Code_00001-"]["wine_name"] = "another"
    job.verify()
    text = written(job, tmp_path)
    assert "1 value on the codes is not what was sent." in text
    assert "The differences" in text


def test_pictures_are_there_where_there_is_something_to_see(
    inventory: pd.DataFrame, client: scmkit.Client, tmp_path: Path
) -> None:
    """Calls and codes per key value are drawn inline with a caption, details are folded, and nothing else is loaded."""
    lots = pd.DataFrame({"lot_number": ["000000", "000001", "000002"], "wine_name": ["a", "b", "b"]})
    job = scmkit.upload(lots, client, key="lot_number", mode="async", inventory=inventory[1:], progress=False)
    job.report(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("<figure><img") == page.count("<figcaption>") == 2
    assert page.count("<details>") >= 3
    assert "@media print" in page


def test_past_jobs_are_written_from_the_journal(
    table: pd.DataFrame, client: scmkit.Client, server: PlainServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`scmkit jobs --report FILE ID` needs no service; `scmkit resume --report` writes what came of it in the end."""
    server.answers = [(403, {"detail": "no"}, {})]
    with pytest.raises(PermissionError):
        scmkit.upload(table, client, progress=False, file="wines.csv")
    (job,) = scmkit.jobs()["id"]
    shell, file = CliRunner(), tmp_path / "past.html"
    told = shell.invoke(main, ["jobs", job, "--report", str(file)])
    assert (told.exit_code, f"report: {file}" in told.output) == (8, True), told.output
    text = text_of(file)
    assert "Stopped before the end: 0 of 50 rows are on the codes." in text
    assert f"what to do Never sent: scmkit resume {job} sends them." in text
    assert "file wines.csv" in text
    assert "Proof" not in text
    monkeypatch.setenv("SCANTRUST_UAT_TOKEN", server.token)
    resumed = shell.invoke(main, ["resume", job, "--base-url", server.url, "--verify", "--report", str(file)])
    assert (resumed.exit_code, "reading the codes back proves it" in text_of(file)) == (0, True), resumed.output
    assert shell.invoke(main, ["jobs", job, "--report", str(file), "--quiet"]).output == ""
    assert "All is well: all 50 rows are on the codes." in text_of(file)
    assert shell.invoke(main, ["jobs", "--report", str(file)]).exit_code == 2
    assert shell.invoke(main, ["jobs", "20200101-000000-aaaaaa"]).exit_code == 4


def test_a_job_whose_process_is_gone_stopped_before_the_end(
    table: pd.DataFrame, client: scmkit.Client, tmp_path: Path
) -> None:
    """What a journal calls running, and nobody runs, is no running job."""
    job = scmkit.upload(table, client, progress=False)
    with Journal() as book:
        book.db.execute("update jobs set state = 'running'")
        book.db.execute("delete from settled")
        told = report.of_stored(book, job.id)
    assert told.progress.state == "interrupted"
    assert report.verdict(told)[1].startswith("Stopped before the end: ")
