"""What somebody reads in a shell: in its own words, in the right order, and with the way on."""

import ast
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from plain_server import PlainServer

import scmkit
from scmkit.cli.commands import main
from scmkit.cli.words import in_shell_words
from scmkit.engine import engine
from scmkit.uploading import waiting
from scmkit.wire import account


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

    monkeypatch.setattr(account, "_from_prompt", prompt)
    return services


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{file}", "--key", "lotnumber"], "key 'lotnumber' is not in the table"),
        (["{folder}/none.csv"], "no such file"),
        (["{folder}/bad.csv"], "nothing was sent"),
        (["{file}", "--inventory", "{folder}/none.csv"], "none.csv"),
    ],
)
def test_what_is_wrong_with_the_table_is_said_before_a_token_is_asked_for(
    file: Path, asked: list[str], arguments: list[str], words: str
) -> None:
    """A typo, a missing file and a table with errors need no account."""
    file.with_name("bad.csv").write_text("extended_id,wine_name\n,x\n")
    code, out = run("upload", *(a.format(file=file, folder=file.parent) for a in arguments))
    assert code == 1
    assert words in out
    assert asked == []
    assert run("upload", file)[0] == 1
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
    "batch is 1 row", "mode=ro", "see .frame",
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
    assert code == 1
    assert "--errors reject" in out
    assert "`scmkit app` mends" in out
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
    for command in ("validate", "plan", "upload"):
        out = run(command, file, server=server)[1]
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
    for command in ("validate", "plan", "upload"):
        code, out = run(command, file, "--inventory", whole, server=server)
        assert code == 1, command
        assert "column 'wine_nmae': the campaign has no such field (did you mean 'wine_name'?)" in out
        assert run("validate", file, "--inventory", slim)[0] == 0
    assert server.seen == []


# How an upload ends


def test_an_upload_that_fails_says_how_to_carry_on(file: Path, server: PlainServer) -> None:
    """After an error the job's id is there, with the command that carries on, and that works."""
    token, server.token = server.token, "another"
    code, out = run("upload", file, "--base-url", server.url, server=None)
    assert code == 1
    assert "no token" in out
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCANTRUST_UAT_TOKEN", token)
        code, out = run("upload", file, "--base-url", server.url)
        assert code == 1
        assert "Check SCANTRUST_UAT_TOKEN" in out
        last = out.rstrip().splitlines()[-1]
        assert last.startswith("to carry on with what is left: scmkit resume 2")
        assert f"--base-url {server.url}" in last
        server.token = token
        code, out = run(*last.partition("scmkit ")[2].split())
    assert (code, "50 applied" in out) == (0, True), out


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
        code, out = run("upload", file, "--base-url", url)
    assert (code, "0 of 1 call answered" in out, "1 of 1 call answered" in out) == (1, True, False), out


def test_ctrl_c_ends_with_the_job(file: Path, server: PlainServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was interrupted says its id and the command that carries on."""
    monkeypatch.setattr(waiting, "GRACE_S", 0.0)
    arrived, answer = server.hold(9)

    def press() -> None:
        arrived.wait(20)
        os.kill(os.getpid(), signal.SIGINT)

    pressing = threading.Thread(target=press)
    pressing.start()
    code, out = run("upload", file, server=server)
    pressing.join(20)
    answer.set()
    assert code == 1
    (job,) = re.findall(r"^upload (\d{8}-\d{6}-\w{6})$", out, re.MULTILINE)
    assert out.rstrip().endswith(f"to carry on with what is left: scmkit resume {job}"), out
    code, out = run("resume", job, server=server)
    assert (code, "carry on" in out) == (0, False), out


def test_a_pipe_gets_few_lines(file: Path, server: PlainServer) -> None:
    """Progress in a pipe is a line now and then, not a film."""
    code, out = run("upload", file, server=server)
    assert code == 0
    assert "\r" not in out
    assert len([line for line in out.splitlines() if line.startswith("upload: ")]) <= 2
