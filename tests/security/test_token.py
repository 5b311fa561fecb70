"""The token is found nowhere but in the Authorization header: a canary is looked for in everything that can be kept."""

import http.client
import inspect
import io
import json
import logging
import pickle
import pprint
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import plain_server
import pytest
from nbclient import NotebookClient

import scmkit
from scmkit.core import errors
from scmkit.core.secret import Token
from scmkit.uploading import waiting
from scmkit.uploading.upload import prepared
from scmkit.wire import client as clients
from scmkit.wire.client import Client

CANARY = plain_server.TOKEN
SHOWN_BY = ("__repr__", "__str__", "_repr_html_", "_repr_mimebundle_", "_repr_latex_", "_repr_json_", "_repr_markdown_")
CALLS: list[Callable[[Client], Any]] = [
    Client.me,
    lambda c: c.upload_sync([{"extended_id": "Code_00000-"}]),
    lambda c: c.upload_async({"lot_number": "000001"}, {"wine_name": "x"}),
    lambda c: c.task("task-9"),
    Client.download_codes,
]


@pytest.fixture
def job(table: pd.DataFrame, client: Client) -> scmkit.UploadJob:
    """A finished upload with tasks and a read-back."""
    lots = pd.DataFrame({"lot_number": ["000001", "000002"], "wine_name": ["a", "b"]})
    lots.scm.upload(client, key="lot_number", progress=False)
    return table.scm.upload(client, verify=True, progress=False)


@pytest.fixture
def instances(job: scmkit.UploadJob, client: Client, table: pd.DataFrame) -> Iterator[list[object]]:
    """One of everything that people hold, all of them beside the canary."""
    with scmkit.Sandbox(codes=100) as sandbox:
        run = prepared(job.plan, client)
        yield [
            client, Token(CANARY), client.transport.session, client.transport.session.auth, client.limits, client.order,
            job, job.plan, job.plan.findings, job.plan.estimate, job.plan.simulate(trials=10, seed=1),
            job.plan.service_time, scmkit.Assumptions(), sandbox, sandbox._service, run.ledger, run.engine,
            run.transport, run, run.recorder, table.scm, job.rows, job.calls, job.tasks, scmkit.jobs(),
            scmkit.history(),
        ]  # fmt: skip
        run.transport.close()
        run.recorder.close()


def shown(thing: object) -> str:
    """Show something in all the ways that Python, notebooks and debuggers know."""
    told = [
        repr(thing),
        str(thing),
        f"{thing}",
        f"{thing!a}",
        pprint.pformat(thing),
        repr(getattr(thing, "__dict__", "")),
    ]
    if not inspect.isclass(thing):
        told += [str(getattr(thing, name)()) for name in SHOWN_BY if callable(getattr(thing, name, None))]
    return "\n".join(told)


def test_nothing_that_people_hold_shows_the_token(instances: list[object]) -> None:
    """repr, str, format, vars and every _repr_*_ of every object hide it, two levels deep (S01)."""
    for thing in instances:
        for inner in [thing, *getattr(thing, "__dict__", {}).values()]:
            if not inspect.isclass(inner):
                assert CANARY not in shown(inner), type(inner)


def test_no_public_name_shows_the_token(job: scmkit.UploadJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither classes nor functions of the package hold it, when it comes from the environment and is in use (S01)."""
    monkeypatch.setenv("SCANTRUST_UAT_TOKEN", CANARY)
    with Client("http://127.0.0.1:9") as held:
        scmkit.use(held)
        for name in scmkit.__all__:
            public = getattr(scmkit, name)
            assert CANARY not in shown(public), name
            assert CANARY not in repr(getattr(public, "__defaults__", "")), name
            assert inspect.getdoc(public), name


def failing(call: Callable[[Client], Any], held: Client) -> BaseException:
    with pytest.raises(Exception) as caught:
        call(held)
    return caught.value


def verbose(error: BaseException) -> str:
    """Write a traceback as `%xmode Verbose` does: with the local variables of all frames."""
    from IPython.core import ultratb

    kinds = {name: value for name, value in vars(ultratb).items() if name in ("VerboseTB", "AutoFormattedTB")}
    writer = kinds["VerboseTB"](**_without_colours(kinds["VerboseTB"]))
    return str(writer.text(type(error), error, error.__traceback__))


def _without_colours(kind: type) -> dict[str, str]:
    """Ask for plain text in the words of this version of IPython."""
    names = inspect.signature(kind.__init__).parameters
    return {"theme_name": "nocolor"} if "theme_name" in names else {"color_scheme": "NoColor"}


def assert_silent(error: BaseException) -> None:
    """Look for the canary in an error, its text, its pickle, its chain, and its verbose traceback."""
    text = verbose(error)
    assert "client.py" in text  # it went through frames of ours
    assert CANARY not in text
    assert CANARY not in f"{error!r} {error} {vars(error)} {error.args}"
    assert CANARY.encode() not in pickle.dumps(error)
    assert error.__context__ is None
    assert error.__cause__ is None


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 429, 500, 504, 302, 200])
def test_errors_do_not_hold_the_token_even_if_the_service_repeats_it(
    call: Callable[[Client], Any], status: int, client: Client, server: plain_server.PlainServer
) -> None:
    """An error page that repeats the request is shown, pickled and traced without the token (S02, S03)."""
    echo = {"detail": f"Authorization: UAT {CANARY}", "headers": {"Authorization": CANARY}}
    body: Any = echo if status != 200 else f"not JSON: UAT {CANARY}".encode()
    answer = plain_server.Exchange.answer
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain_server.Exchange, "answer", lambda self, *_: answer(self, status, body))
        error = failing(call, client)
    assert isinstance(error, errors.ServiceError)
    assert "***" in str(error)
    assert_silent(error)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("path", [f"/login/{CANARY}", f"//elsewhere.example.com/{CANARY}", f"/?next={CANARY}"])
def test_where_a_redirect_leads_is_said_without_the_token(
    call: Callable[[Client], Any], path: str, client: Client, server: plain_server.PlainServer
) -> None:
    """A service that puts the token into a redirect's target does not get it into our words (S03)."""
    answer = plain_server.Exchange.answer
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain_server.Exchange, "answer", lambda self, *_: answer(self, 302, {}, {"Location": path}))
        error = failing(call, client)
    assert isinstance(error, errors.RedirectError)
    assert "answered 302: to /" in str(error)
    assert_silent(error)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, MemoryError, ValueError, RuntimeError])
def test_an_interruption_amid_an_exchange_does_not_show_the_token(
    kind: type[BaseException], client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while the headers are sent leaves no frame in the traceback that holds them (S03)."""

    def stop(*_: object, **__: object) -> None:
        error = kind("stopped")
        error.__context__ = OSError("first")
        raise error

    monkeypatch.setattr(http.client.HTTPConnection, "endheaders", stop)
    with pytest.raises(kind) as caught:
        client.me()
    assert_silent(caught.value)


@pytest.mark.parametrize("url", ["https://api.example.com", "ftp://wrong"])
@pytest.mark.parametrize("found", ["argument", "environment", "keyring"])
def test_a_token_that_cannot_be_one_is_not_shown(url: str, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake in a token or URL is said without the token, whose frames hold no variable with it (S02, S03)."""
    import keyring

    wrong = f"{CANARY} and more"
    if found == "environment":
        monkeypatch.setenv("SCANTRUST_UAT_TOKEN", wrong)
    if found == "keyring":
        monkeypatch.setattr(keyring, "get_password", lambda *_: f"{CANARY} and more")
    with pytest.raises(errors.ConfigurationError) as caught:
        Client(url, wrong if found == "argument" else None)
    ours = caught.tb.tb_next  # the first frame is this test's own
    caught.value.__traceback__ = ours
    assert_silent(caught.value)


def test_logs_do_not_hold_the_token(
    job: scmkit.UploadJob, table: pd.DataFrame, client: Client, server: plain_server.PlainServer,
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """DEBUG logs of everybody, http.client's own printing, warnings and the progress bar are silent about it (S04)."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with Client(server.url, server.token, limits=client.limits) as fresh:
            for call in CALLS[:3]:
                call(fresh)
            with monkeypatch.context() as patch:  # a bar in a terminal, then lines in a pipe
                patch.setattr(waiting, "can_move", lambda: True)
                table.scm.upload(fresh, progress=True)
            server.answers.append((401, {"detail": f"Invalid token {CANARY}."}, {}))
            with pytest.raises(errors.AuthenticationError):
                table.scm.upload(fresh, progress=True)
    out, err = capfd.readouterr()
    assert "upload: 100%" in err
    assert "upload: suspended, 0 of 50 applied: " in err
    assert "POST /api/v2/scm/upload/" in caplog.text
    assert CANARY not in out + err + caplog.text + "".join(str(w.message) for w in warned)


def test_what_a_service_repeats_is_kept_without_the_token(
    table: pd.DataFrame, client: Client, server: plain_server.PlainServer, tmp_path: Path
) -> None:
    """Rows, journal, WAL, report and exports of a job that was refused with the token's text do not hold it (S07)."""
    from scmkit.journal.journal import Journal
    from scmkit.tables.writing import with_notes, write_rows

    refused = (400, {"items": [{"wine_name": [f"bad, said {CANARY}"]}]}, {})
    server.answers.extend([refused] * 500)
    with Journal() as reader:  # while somebody reads, what is written stays in the WAL
        reader.query("select count(*) from jobs")
        job = table.scm.upload(client, progress=False)
        kept = kept_beside_the_journal(reader.path)
    assert "***" in job.rows["message"].iloc[0]
    assert b"bad, said ***" in kept["-wal"] + kept[""]
    job.report(tmp_path / "report.html")
    write_rows(with_notes(table, job.rows), tmp_path / "rows.csv")
    for name, frame in {
        "rows": job.rows,
        "calls": job.calls,
        "jobs": scmkit.jobs(),
        "history": scmkit.history(),
    }.items():
        frame.to_csv(tmp_path / f"{name}-all.csv")
    kept |= {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert len(kept) >= 9
    assert not [name for name, content in kept.items() if CANARY.encode() in content]


def kept_beside_the_journal(path: Path) -> dict[str, bytes]:
    return {file.name.removeprefix(path.name): file.read_bytes() for file in path.parent.iterdir()}


def test_the_sandbox_keeps_no_token(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the log of requests nor a file of it holds a token, a wrong one neither (S07)."""
    caplog.set_level(logging.DEBUG)
    with scmkit.Sandbox(codes=50, speed=1000) as sandbox:
        with sandbox.client() as held, Client(sandbox.url, CANARY) as stranger:
            held.download_codes(tmp_path / "codes.csv")
            held.upload_async({"lot_number": "000001"}, {"wine_name": "x"})
            with pytest.raises(errors.AuthenticationError):
                stranger.me()
        told = sandbox.requests().to_csv() + caplog.text
        kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()) + told.encode()
        secrets = [sandbox.token.encode(), CANARY.encode()]
    assert "/api/v2/me/" in told
    assert not [secret for secret in secrets if secret in kept]


NOTEBOOK = """
import scmkit, pandas as pd
%xmode Verbose
client = scmkit.Client(limits=scmkit.Limits(updates_per_second=200, speed=20))
scmkit.use(client)
df = pd.DataFrame({"extended_id": [f"Code_{i:05d}-" for i in range(20)], "wine_name": [f"w{i}" for i in range(20)]})
---
plan = df.scm.plan(); plan
---
job = plan.upload(verify=True); job
---
client
---
vars(client)
---
client.task("no-such-task")
---
scmkit.Client("https://u:p@example.com")
"""


def test_an_executed_notebook_does_not_hold_the_token(
    server: plain_server.PlainServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outputs, verbose tracebacks and the saved state of the progress bar's widgets are silent about it (S05)."""
    monkeypatch.setenv("SCANTRUST_UAT_TOKEN", CANARY)
    monkeypatch.setenv("SCANTRUST_BASE_URL", server.url)
    cells = [nbformat.v4.new_code_cell(cell.strip()) for cell in NOTEBOOK.split("---")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, kernel_name="python3", timeout=120, allow_errors=True, store_widget_state=True).execute()
    saved = nbformat.writes(notebook)
    assert [cell.outputs[-1].output_type for cell in notebook.cells[1:]] == ["execute_result"] * 4 + ["error"] * 2
    assert "FloatProgressModel" in json.dumps(notebook.metadata["widgets"])
    assert "20 applied" in saved
    assert CANARY not in saved


def test_no_process_is_started_and_no_command_line_takes_a_token() -> None:
    """The environment and the command lines of children cannot show it: there are none (S04)."""
    from scmkit.cli.commands import main

    named = {option for command in main.commands.values() for part in command.params for option in part.opts}
    assert "--base-url" in named
    assert not [option for option in named if "token" in option]
    sources = "".join(path.read_text(encoding="utf-8") for path in Path(scmkit.__file__).parent.rglob("*.py"))
    assert "import requests" in sources
    for word in ("import subprocess", "import multiprocessing", "os.system", "os.exec", "os.spawn", "os.popen"):
        assert word not in sources


def test_a_client_and_a_job_are_not_pickled(job: scmkit.UploadJob, client: Client) -> None:
    """Whatever holds a client is refused as a whole, also inside a list or a partial result (S06)."""
    for holder in (job, [client], {"job": job}, client.transport.session.auth):
        with pytest.raises(TypeError), io.BytesIO() as file:
            pickle.dump(holder, file)
    assert CANARY.encode() not in pickle.dumps(job.plan)


def test_threads_do_not_carry_the_token_in_their_names(job: scmkit.UploadJob, client: Client) -> None:
    """Names of threads appear in logs and dumps (S04)."""
    assert not [thread for thread in threading.enumerate() if CANARY in repr(thread)]
    run = prepared(job.plan, client)
    assert CANARY not in repr(clients.default_client) + repr(vars(run))
    run.transport.close()
    run.recorder.close()
