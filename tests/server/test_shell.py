"""What somebody reads in a shell: in its own words, in the right order, and with the way on."""

import sys
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from plain_server import PlainServer

import scmkit
from scmkit import client as clients
from scmkit.cli import main


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

    monkeypatch.setattr(clients, "_from_prompt", prompt)
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
    with pytest.raises(scmkit.errors.MissingColumnError, match="key 'typo' is not in the table"):
        scmkit.upload(table, key="typo")
    with pytest.raises(scmkit.errors.PlanError, match="mode is"):
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
