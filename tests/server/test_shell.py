"""What somebody reads in a shell: in its own words, in the right order, and with the way on."""

import ast
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from plain_server import PlainServer

import scmkit
from scmkit.cli import actions, doctor, exits
from scmkit.cli.commands import main
from scmkit.cli.exits import Exit
from scmkit.cli.output import fitted, terminal_width
from scmkit.cli.words import in_shell_words
from scmkit.engine import engine
from scmkit.uploading import waiting
from scmkit.wire import credentials


def run(*arguments: object, server: PlainServer | None = None) -> tuple[int, str]:
    """Run a command as a shell does; its exit code, and all that it wrote."""
    account = {"SCANTRUST_BASE_URL": server.url, "SCANTRUST_UAT_TOKEN": server.token} if server else {}
    result = CliRunner().invoke(main, [str(each) for each in arguments], env=account)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


@pytest.fixture
def file(table: pd.DataFrame, tmp_path: Path) -> Path:
    """The table of 50 codes, as a file."""
    path = tmp_path / "codes.csv"
    table.to_csv(path, index=False)
    return path


# The order of checks


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Somebody at a terminal, of whom a token may be asked; the services for which it was."""
    services: list[str] = []

    def prompt(service: str) -> None:
        services.append(service)

    monkeypatch.setattr(credentials, "_from_prompt", prompt)
    return services


@pytest.mark.parametrize(
    ("arguments", "words", "expected"),
    [
        (["{file}", "--key", "lotnumber"], "key 'lotnumber' is not in the table", Exit.NOT_FOUND),
        (["{folder}/none.csv"], "no such file", Exit.NOT_FOUND),
        (["{folder}/bad.csv"], "nothing was sent", Exit.FINDINGS),
        (["{file}", "--inventory", "{folder}/none.csv"], "none.csv", Exit.NOT_FOUND),
    ],
)
def test_what_is_wrong_with_the_table_is_said_before_a_token_is_asked_for(
    file: Path, asked: list[str], arguments: list[str], words: str, expected: Exit
) -> None:
    """A typo, a missing file and a table with errors need no account."""
    file.with_name("bad.csv").write_text("extended_id,wine_name\n,x\n")
    code, out = run("upload", "--yes", *(a.format(file=file, folder=file.parent) for a in arguments))
    assert code == expected
    assert words in out
    assert asked == []
    assert run("upload", "--yes", file)[0] == Exit.NO_TOKEN
    assert len(asked) == 1


def test_python_also_looks_at_the_table_first(table: pd.DataFrame, asked: list[str]) -> None:
    """`upload` without a client asks for a token only when there is something to send."""
    with pytest.raises(scmkit.core.errors.MissingColumnError, match="key 'typo' is not in the table"):
        scmkit.upload(table, key="typo")
    with pytest.raises(scmkit.core.errors.PlanError, match="mode is"):
        scmkit.upload(table, mode="typo")
    assert asked == []


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_the_sandbox_says_how_it_was_called(
    flag: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Help shows the program that was run."""
    from scmkit.sandbox.__main__ import main as serve

    code, out = run("sandbox", flag)
    assert (code, out.split(" [")[0]) == (0, "usage: scmkit sandbox")
    monkeypatch.setattr(sys, "argv", ["x", flag])
    with pytest.raises(SystemExit):
        serve()
    assert capsys.readouterr().out.startswith("usage: python -m scmkit.sandbox [")


# Words

PYTHON = re.compile(
    r"scmkit\.[a-z]\w*\(|\b(findings|plan|job|df)\.[a-z]|\b[a-z]+\(\.\.\.|\.frame\b"
    r"|\b(on_conflict|errors|mode|key|fields|inventory|history|default|journal|anyway|encoding|delimiter|pad_to|index)="
)
ELSEWHERE = ("accessor", "arguments", "display", "service_time", "contract")
# Messages that no command can bring up; three are those of a script that ends before its upload.
NOT_IN_A_SHELL = (
    "batch is 1 row", "mode=ro", "True for the one of scmkit.use()", "see .frame",
    "is longer than pad_to", "did you mean key=", "..., pad_to={", "call result() first", "select ",
    "Resume it with scmkit.resume(", ", journal='X'", "upload the table again, with wait=True",
)  # fmt: skip


NOT_BELOW_A_SHELL = {"cli", "panels", "plots", "sandbox", "simulation", "steps", "widgets"}


def messages() -> list[tuple[str, str]]:
    """All texts of the modules below the shell, with stand-ins for what is filled in."""
    found = []
    package = Path(scmkit.__file__).parent
    below = [path for path in package.rglob("*.py") if path.relative_to(package).parts[0] not in NOT_BELOW_A_SHELL]
    for path in sorted(below):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree) if path.stem not in ELSEWHERE else ():
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside | docs:
                found.append((path.stem, node.value))
            elif isinstance(node, ast.JoinedStr):
                found.append((path.stem, "".join(map(stand_in, node.values))))
    return found


def stand_in(part: ast.expr) -> str:
    if isinstance(part, ast.Constant):
        return str(part.value)
    return "'X'" if isinstance(part, ast.FormattedValue) and part.conversion == ord("r") else "X"


def test_no_message_of_a_command_names_python() -> None:
    """Whatever a message says to do, a shell says the option or the command for it."""
    python = [(room, text) for room, text in messages() if PYTHON.search(text)]
    assert len(python) > 10
    left = [(room, said) for room, text in python if PYTHON.search(said := in_shell_words(text))]
    assert [line for line in left if not any(known in line[1] for known in NOT_IN_A_SHELL)] == []


def test_a_table_with_errors_says_what_to_do_at_a_shell(tmp_path: Path) -> None:
    """Options and commands, no methods of objects that nobody has here."""
    path = tmp_path / "bad.csv"
    path.write_text("extended_id,harvest_date\nCode_00000-,31.12.2026\nCode_00001-,x\nCode_00001-,y\n")
    code, out = run("plan", path)
    assert code == Exit.FINDINGS
    assert "--errors reject" in out
    assert "--fix all mends" in out
    assert "--on-conflict last or first" in out
    assert not PYTHON.search(out), out
    assert not PYTHON.search(run("validate", path)[1])


# Misspelt columns


@pytest.mark.parametrize(("wrong", "right"), [("prodct", "product"), ("Activation Status", "activation_status")])
def test_a_misspelt_field_of_every_campaign_is_said(
    wrong: str, right: str, table: pd.DataFrame, server: PlainServer, file: Path
) -> None:
    """Without an inventory there are still names that every campaign has; nothing like them is sent without a word."""
    table.assign(**{wrong: "1"}).to_csv(file, index=False)
    for command in (["validate"], ["plan"], ["upload", "--yes"]):
        out = run(*command, file, server=server)[1]
        assert f"column '{wrong}': this is like '{right}'" in out, command
    assert scmkit.validate(table.assign(wine_colour=1, producer=2, status_note=3)).warnings == 0


def test_a_misspelt_field_of_the_campaign_is_not_sent(
    table: pd.DataFrame, inventory: pd.DataFrame, server: PlainServer, file: Path
) -> None:
    """With a code download every command knows the fields and says the right one; a slim list says nothing."""
    table.rename(columns={"wine_name": "wine_nmae"}).to_csv(file, index=False)
    whole, slim = file.with_name("whole.csv"), file.with_name("slim.csv")
    inventory.reindex(columns=[*scmkit.core.contract.CODE_COLUMNS, *inventory.columns[1:]]).to_csv(whole, index=False)
    inventory[["extended_id", "lot_number"]].to_csv(slim, index=False)
    for command in (["validate"], ["plan"], ["upload", "--yes"]):
        code, out = run(*command, file, "--inventory", whole, server=server)
        assert code == Exit.FINDINGS, command
        assert "column 'wine_nmae': the campaign has no such field (did you mean 'wine_name'?)" in out
        assert run("validate", file, "--inventory", slim)[0] == 0
    assert server.seen == []


# How an upload ends


def test_an_upload_that_fails_says_how_to_carry_on(file: Path, server: PlainServer) -> None:
    """After an error the job's id is there, with the command that carries on, and that works."""
    token, server.token = server.token, "another"
    code, out = run("upload", "--yes", file, "--base-url", server.url, server=None)
    assert code == Exit.NO_TOKEN
    assert "no token" in out
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCANTRUST_UAT_TOKEN", token)
        code, out = run("upload", "--yes", file, "--base-url", server.url)
        assert code == Exit.REFUSED
        assert "Check SCANTRUST_UAT_TOKEN" in out
        last = out.rstrip().splitlines()[-1]
        assert last.startswith("to carry on with what is left: scmkit resume 2")
        assert f"--base-url {server.url}" in last
        server.token = token
        code, out = run(*last.partition("scmkit ")[2].split())
    assert (code, "50 applied" in out) == (0, True), out


def test_a_mistake_of_ours_ends_with_the_way_on(
    file: Path, server: PlainServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever breaks while a job runs, its traceback is shown, and the last line says how to carry on."""

    def broken(job: scmkit.UploadJob, progress: bool) -> None:
        job.wait(20)
        raise RuntimeError("planted")

    monkeypatch.setattr(actions, "wait_for", broken)
    code, out = run("upload", "--yes", file, server=server)
    assert (code, "RuntimeError: planted" in out) == (Exit.ERROR, True)
    assert re.fullmatch(r"to carry on with what is left: scmkit resume \S+", out.splitlines()[-1]), out


def test_a_reader_that_has_seen_enough_is_no_error(file: Path) -> None:
    """After `scmkit plan table.csv | head -1` there is no message about a broken pipe."""
    command = shlex.join([sys.executable, "-m", "scmkit", "plan", str(file)])
    ended = subprocess.run(["sh", "-c", f"{command} | true"], capture_output=True, text=True, timeout=60, check=False)
    assert ended.stderr == ""


def test_calls_that_reached_nobody_were_not_answered(file: Path) -> None:
    """The last line about a service that refuses every connection counts no answer (I6)."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCANTRUST_UAT_TOKEN", "t0ken")
        patch.setattr(engine, "UNREACHED_S", 0.0)
        code, out = run("upload", "--yes", file, "--base-url", url)
    assert (code, "0 of 1 call answered" in out, "1 of 1 call answered" in out) == (Exit.NETWORK, True, False), out


def test_ctrl_c_ends_with_the_job(file: Path, server: PlainServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was interrupted says its id and the command that carries on."""
    monkeypatch.setattr(waiting, "GRACE_S", 0.0)
    arrived, answer = server.hold(9)

    def press() -> None:
        arrived.wait(20)
        os.kill(os.getpid(), signal.SIGINT)

    pressing = threading.Thread(target=press)
    pressing.start()
    code, out = run("upload", "--yes", file, server=server)
    pressing.join(20)
    answer.set()
    assert code == Exit.INTERRUPTED
    (job,) = re.findall(r"^upload (\d{8}-\d{6}-\w{6})$", out, re.MULTILINE)
    assert out.rstrip().endswith(f"to carry on with what is left: scmkit resume {job}"), out
    code, out = run("resume", job, server=server)
    assert (code, "carry on" in out) == (0, False), out


def test_a_pipe_gets_few_lines(file: Path, server: PlainServer) -> None:
    """Progress in a pipe is a line now and then, not a film."""
    code, out = run("upload", "--yes", file, server=server)
    assert code == 0
    assert "\r" not in out
    assert len([line for line in out.splitlines() if line.startswith("upload: ")]) <= 2


# Before anything is sent


def test_nothing_is_sent_without_a_yes(file: Path, server: PlainServer) -> None:
    """Where nobody can be asked, a sentence names --yes; --dry-run shows the plan, and needs no token."""
    code, out = run("upload", file, server=server)
    assert code == Exit.USAGE
    assert out.splitlines()[-1].startswith("Error: nothing was sent, since there is no terminal at which to ask: --yes")
    code, out = run("upload", file, "--dry-run")
    assert (code, out.splitlines()[-1]) == (Exit.OK, "--dry-run: nothing was sent")
    assert "50 of 50 rows in 1 call" in out
    assert server.exchanges == []


@pytest.mark.parametrize(("answer", "expected"), [
    ("y\n", Exit.OK), ("\n", Exit.USAGE), ("n\n", Exit.USAGE), ("", Exit.INTERRUPTED),
])  # fmt: skip
def test_it_asks_before_it_sends(
    answer: str, expected: Exit, file: Path, server: PlainServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question says how much goes where and as whom; only a yes sends."""
    monkeypatch.setattr(actions, "can_ask", lambda: True)
    account = {"SCANTRUST_BASE_URL": server.url, "SCANTRUST_UAT_TOKEN": server.token}
    result = CliRunner().invoke(main, ["upload", str(file)], env=account, input=answer)
    assert f"Send 50 rows in 1 call to {server.url} as someone@example.com? [y/N]" in result.stderr
    assert (result.exit_code, len(server.seen) > 0) == (expected, expected is Exit.OK), result.output


def test_a_wrong_token_is_said_before_the_question(
    file: Path, server: PlainServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody says yes to what cannot be; no job is begun."""
    monkeypatch.setattr(actions, "can_ask", lambda: True)
    server.token = "another"
    account = {"SCANTRUST_BASE_URL": server.url, "SCANTRUST_UAT_TOKEN": "wr0ng"}
    result = CliRunner().invoke(main, ["upload", str(file)], env=account, input="y\n")
    assert result.exit_code == Exit.REFUSED
    assert "Send" not in result.output
    assert len(scmkit.jobs()) == 0


# For programs


def test_json_is_one_object_whatever_happens(file: Path, server: PlainServer, tmp_path: Path) -> None:
    """Each command writes one object, with the code that it ends with, and no other word, to stdout."""

    def told(*arguments: object) -> dict[str, Any]:
        account = {"SCANTRUST_BASE_URL": server.url, "SCANTRUST_UAT_TOKEN": server.token}
        result = CliRunner().invoke(main, [*map(str, arguments), "--json"], env=account)
        found = json.loads(result.stdout)
        assert (found["exit_code"], found["ok"]) == (result.exit_code, result.exit_code == 0)
        return found

    assert told("validate", file)["errors"] == 0
    assert [call["rows"] for call in told("plan", file)["plan"]["calls"]] == [50]
    assert told("upload", file)["error"]["message"].startswith("nothing was sent")
    job = told("upload", "--yes", file)
    assert (job["state"], job["counts"], job["resume"], job["not_applied"]) == ("complete", {"applied": 50}, None, [])
    assert told("jobs")["jobs"][0]["id"] == job["id"]
    assert told("upload", "--yes", tmp_path / "none.csv")["error"]["type"] == "MissingFileError"
    bad = tmp_path / "bad.csv"
    bad.write_text("extended_id,wine_name\n,a\nCode_99999-,b\n")
    assert told("validate", bad)["findings"][0]["line"] == 2
    assert told("upload", "--yes", bad)["error"]["type"] == "ValidationError"
    partly = told("upload", "--yes", bad, "--errors", "reject")
    assert [(row["line"], row["state"]) for row in partly["not_applied"]] == [(2, "rejected"), (3, "unmatched")]
    assert partly["exit_code"] == Exit.PARTLY
    server.answers = [(403, {"detail": "no"}, {})]
    refused = told("upload", "--yes", file)
    assert (refused["exit_code"], refused["resume"]) == (Exit.REFUSED, f"scmkit resume {refused['id']}")


def test_quiet_says_what_went_wrong_and_nothing_else(file: Path, server: PlainServer) -> None:
    """A cron job that works writes nothing at all; one that does not names the job."""
    assert run("upload", "--yes", "--quiet", file, server=server) == (Exit.OK, "")
    server.codes.pop("Code_00000-")
    code, out = run("upload", "--yes", "--quiet", file, server=server)
    assert code == Exit.PARTLY
    assert re.fullmatch(r"upload \d{8}-\d{6}-\w{6} complete, 49 of 50 applied: 49 applied, 1 unmatched; .*\n", out), out


def test_exit_codes_are_distinct_and_documented() -> None:
    """`scmkit --help` lists each code; no two kinds of end share one."""
    assert len(set(Exit)) == len(list(Exit)) == len(exits.WORDS)
    out = run("--help")[1]
    assert [line.split()[0] for line in out.partition("Exit codes:\n")[2].splitlines()] == [str(int(c)) for c in Exit]


# Options of the table


def test_options_of_the_table(server: PlainServer, tmp_path: Path) -> None:
    """Columns are renamed, encodings said, ready fixes applied, and findings written as a workbook."""
    path, found = tmp_path / "lots.csv", tmp_path / "findings.xlsx"
    path.write_bytes("Lot no.;wine_name;harvest_date\n1;Château ;31.12.2025\n000002;b;x\n".encode("cp1252"))
    code, out = run("validate", path, "--key", "Lot no.")
    assert "--encoding cp1252" in out
    options = [path, "--encoding", "cp1252", "--delimiter", ";", "--map", "Lot no.=lot_number", "--key", "Lot no."]
    code, out = run("validate", *options, "--pad-to", "lot_number=6", "--findings", found)
    assert (code, "line 2, column 'harvest_date'" in out) == (Exit.FINDINGS, True), out
    listed = pd.read_excel(found, dtype=str)
    assert "2" in listed["line"].tolist()
    assert listed.columns.tolist()[:4] == ["line", "column", "rule", "severity"]
    before = len(listed)
    code, out = run("validate", *options, "--pad-to", "lot_number=6", "--fix", "all", "--findings", found)
    assert "fixed: " in out
    assert len(pd.read_excel(found)) < before
    code, out = run("validate", *options, "--fix", "no_such")
    assert (code, "there is no rule 'no_such'" in out) == (Exit.ERROR, True)
    code, out = run("validate", path, "--encoding", "cp1252", "--map", "Lot=lot_number")
    assert (code, "did you mean 'Lot no.'" in out) == (Exit.NOT_FOUND, True), out
    assert run("validate", path, "--map", "nonsense")[0] == Exit.USAGE


def test_the_key_is_named_as_in_the_file_however_its_map_is_written(file: Path, table: pd.DataFrame) -> None:
    """Blanks around the sign of equality of --map are no part of a name, of the key's neither."""
    table.rename(columns={"extended_id": "Code"}).to_csv(file, index=False)
    for mapped in ("Code=extended_id", "Code = extended_id"):
        code, out = run("validate", file, "--map", mapped, "--key", "Code")
        assert code == Exit.OK, out


def test_a_sheet_of_a_workbook(tmp_path: Path, server: PlainServer) -> None:
    """--sheet takes the sheet that holds the table; a wrong name says which there are."""
    path = tmp_path / "book.xlsx"
    with pd.ExcelWriter(path) as book:
        pd.DataFrame({"Cover": ["Lots of 2026"]}).to_excel(book, sheet_name="Cover", index=False)
        table = pd.DataFrame({"extended_id": ["Code_00000-"], "wine_name": ["a"]})
        table.to_excel(book, sheet_name="Codes", index=False)
    assert run("upload", "--yes", path, "--sheet", "Codes", server=server)[0] == Exit.OK
    assert server.codes["Code_00000-"]["wine_name"] == "a"
    out = run("validate", path, "--sheet", "Coeds")[1]
    assert "did you mean 'Codes'" in out


# Tables


@pytest.mark.parametrize("width", [40, 60, 80, 120, 300])
def test_no_line_of_a_table_is_longer_than_the_terminal(width: int) -> None:
    """Long texts are cut, numbers never; in a very narrow terminal each cell has a line of its own."""
    names = ["call", "mode", "rows", "why", "discarded_fields"]
    frame = pd.DataFrame([[1, "sync", 1234567, "x\x1b[31m" * 60, ("a", "b")], [2, "async", 3, None, ()]], columns=names)
    lines = fitted(frame, width).splitlines()
    assert max(map(len, lines)) <= width
    assert "1,234,567" in "".join(lines)
    assert "\x1b" not in "".join(lines)
    assert "a, b" in fitted(frame, None)
    assert "…" not in fitted(frame, None)
    wide = pd.DataFrame([range(12)], columns=[f"column {n}" for n in range(12)])
    assert max(map(len, fitted(wide, 40).splitlines())) <= 40


def test_a_pipe_gets_whole_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a terminal has a width; what is read by a program is not cut."""
    monkeypatch.delenv("COLUMNS", raising=False)
    assert terminal_width() is None
    monkeypatch.setenv("COLUMNS", "72")
    assert terminal_width() == 72


# doctor


def test_the_doctor_finds_nothing_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions, extras, journal, account, permissions, clock and seconds to the service, a line each; no token."""
    with scmkit.Sandbox(codes=10) as sandbox:
        monkeypatch.setenv("SCANTRUST_UAT_TOKEN", sandbox.token)
        monkeypatch.setenv("HTTPS_PROXY", "http://anna:s3cret@proxy.example:8080")
        code, out = run("doctor", "--base-url", sandbox.url)
        assert code == Exit.OK, out
        names = [line.split()[1] for line in out.splitlines()]
        assert [*dict.fromkeys(names)] == [
            "scmkit", "libraries", "extra", "journal", "proxy", "service", "clock", "token", "account", "permissions",
        ]  # fmt: skip
        assert re.search(r"answered 200 in \d\.\d\d s", out)
        assert "proxy.example:8080" in out
        assert not re.search(f"s3cret|anna|{sandbox.token}", out)
        monkeypatch.setenv("SCANTRUST_UAT_TOKEN", sandbox.make_token(permissions=["codes_view"]))
        code, out = run("doctor", "--base-url", sandbox.url)
        assert (code, "an upload also needs scm_bulk_edit, scm_code_edit, product_view" in out) == (Exit.REFUSED, True)
        monkeypatch.delenv("SCANTRUST_UAT_TOKEN")
        code, out = run("doctor", "--base-url", sandbox.url)
        assert (code, "answered 401" in out, "none: set SCANTRUST_UAT_TOKEN" in out) == (Exit.NO_TOKEN, True, True), out


def test_the_doctor_finds_what_is_wrong(server: PlainServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that is refused, a file that is no journal, certificates that are not there, nobody who answers."""
    code, out = run("doctor", "--quiet", server=server)
    assert (code, out) == (Exit.OK, "")
    token, server.token = server.token, "another"
    code, out = run("doctor", "--base-url", server.url)
    monkeypatch.setenv("SCANTRUST_UAT_TOKEN", token)
    code, out = run("doctor", "--base-url", server.url)
    assert (code, re.search(r"PROBLEM account +.*401", out) is not None, token in out) == (Exit.REFUSED, True, False)
    monkeypatch.setenv("SCMKIT_JOURNAL", str(Path(__file__)))
    code, out = run("doctor", "--quiet", "--base-url", server.url)
    assert (code, out.startswith("PROBLEM journal")) == (Exit.ERROR, True)
    monkeypatch.setenv("SCMKIT_JOURNAL", str(tmp_path / "j.sqlite3"))
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such.pem")
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    code, out = run("doctor", "--base-url", url, "--json")
    wrong = {check["name"]: check["message"] for check in json.loads(out)["checks"] if not check["ok"]}
    assert list(wrong) == ["certificates", "service"]
    assert wrong["service"].startswith("cannot reach")


@pytest.mark.parametrize(("minutes", "word"), [(-5, "ahead of"), (5, "behind")])
def test_a_wrong_clock_is_told(minutes: int, word: str) -> None:
    """The Date of an answer that is minutes away says that this computer's clock is wrong."""
    told = doctor.clock(datetime.now(UTC) + timedelta(minutes=minutes))
    assert told.code is Exit.ERROR
    assert re.match(rf"(299|300) s {word} the service's", told.words)
