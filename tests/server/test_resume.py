"""Nothing lost: whatever happens to the process, the network or the token, `resume` carries on from the journal."""

import os
import random
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import uploader
from click.testing import CliRunner
from jobs import states
from plain_server import PlainServer

import scmkit
from scmkit.cli.commands import main
from scmkit.core import errors, events
from scmkit.core.values import Mode
from scmkit.journal import journal as journals
from scmkit.journal.journal import Journal
from scmkit.uploading import waiting
from scmkit.wire import turns

SMALL = scmkit.Assumptions(max_body_bytes=1_000)  # many calls for few rows
REFUSED = (401, {"detail": "Token expired."}, {})
BACK_WITHIN_S = 6.0  # Ctrl-C: five seconds for calls under way, one for the rest
FOR_THE_END_S = 4.0  # of a process, on a machine with much to do
POSIX = pytest.mark.skipif(os.name != "posix", reason="signals")


def suspended(table: pd.DataFrame, client: scmkit.Client, server: PlainServer, good_calls: int = 2) -> scmkit.UploadJob:
    """A job whose token expires after a few calls."""
    server.answers = [None] * good_calls + [REFUSED] * 8
    job = scmkit.upload(scmkit.plan(table, assumptions=SMALL, workers=2), client, progress=False)
    server.answers.clear()
    assert job.state == "suspended"
    return job


def assert_holds(server: PlainServer, job: scmkit.UploadJob, table: pd.DataFrame) -> None:
    """What the rows marked applied say is what the server holds."""
    for label, row in job.rows.iterrows():
        if row["state"] == "applied":
            sent = table.loc[label].dropna().astype(str)
            held = server.codes[row["extended_id"]]
            assert all(held.get(name) == value for name, value in sent.items() if name != "extended_id")


def test_a_suspended_job_resumes_with_a_new_token(
    table: pd.DataFrame, client: scmkit.Client, server: PlainServer
) -> None:
    """After a 401 a new token finishes the work, without the DataFrame; no row is sent twice that was applied."""
    before = suspended(table, client, server)
    applied = set(before.rows.query("state == 'applied'")["extended_id"])
    sent_before = len(server.seen)
    server.token = "new-token"
    with scmkit.Client(server.url, "new-token", limits=client.limits) as fresh:
        job = scmkit.resume(before.id, fresh, progress=False)
    assert job.ok
    assert job.id == before.id
    assert applied
    sent_again = {item["extended_id"] for _, _, body in server.seen[sent_before:] for item in body["items"]}
    assert not sent_again & applied
    assert sent_again | applied == set(table["extended_id"])
    assert_holds(server, job, table)


def test_a_second_resume_sends_nothing(table: pd.DataFrame, client: scmkit.Client, server: PlainServer) -> None:
    """A complete job shows itself as it was, and makes no call."""
    job = table.scm.upload(client, progress=False)
    seen = len(server.seen)
    again = scmkit.resume(job.id, client, progress=False)
    assert len(server.seen) == seen
    assert (again.state, again.ok) == ("complete", True)
    pd.testing.assert_frame_equal(again.rows, job.rows)
    assert again.calls["attempts"].tolist() == job.calls["attempts"].tolist()


def test_a_resumed_job_shows_the_same_rows(client: scmkit.Client, server: PlainServer) -> None:
    """Labels, rejections, merged rows, lost fields and tasks are told as by the job that was not interrupted."""
    table = pd.DataFrame(
        {
            "lot_number": ["000001", "000001", None, "nowhere", "000002", "000003"],
            "wine_name": ["a", "a", "b", "c", "a", None],
            "unknown_field": ["x"] * 6,
        },
        index=pd.MultiIndex.from_product([["x", "y"], [1, 2, 3]], names=["half", "n"]),
    )
    job = table.scm.upload(client, key="lot_number", mode="async", errors="reject", progress=False)
    again = scmkit.resume(job.id, client, progress=False)
    pd.testing.assert_frame_equal(again.rows, job.rows)
    pd.testing.assert_frame_equal(again.tasks, job.tasks)
    assert again.summary() == job.summary()
    assert again._repr_html_() == job._repr_html_()
    again.report(Path(os.environ["SCMKIT_JOURNAL"]).parent / "report.html")


def test_a_plan_comes_back_whole(table: pd.DataFrame, inventory: pd.DataFrame, client: scmkit.Client) -> None:
    """The plan of a resumed job makes the same bodies, and says the same about itself."""
    plan = scmkit.plan(table, inventory=inventory)
    job = scmkit.upload(plan, client, progress=False)
    again = scmkit.resume(job.id, client, progress=False).plan
    assert repr(again) == repr(plan)
    pd.testing.assert_frame_equal(again.calls, plan.calls)
    pd.testing.assert_frame_equal(again.rows, plan.rows)
    assert repr(again.estimate.frame) == repr(plan.estimate.frame)
    modes = [Mode.ASYNC if a else Mode.SYNC for a in plan.is_async]
    for c, mode in enumerate(modes):
        assert again.body(mode, again.rows_of(c)) == plan.body(mode, plan.rows_of(c))


def test_tasks_are_followed_not_made_again(client: scmkit.Client, server: PlainServer) -> None:
    """An accepted task belongs to the service: resume asks for it and sends nothing."""
    server.polls_until_complete = 1_000_000
    table = pd.DataFrame({"lot_number": ["000001", "000002"], "wine_name": ["a", "b"]})
    job = table.scm.upload(client, key="lot_number", mode="async", wait=False)
    while len(job.tasks) < 2:
        time.sleep(0.01)
    job.cancel(grace_s=0)
    job.result(timeout=5)
    assert states(job) == {"unknown": 2}
    server.polls_until_complete, seen = 1, len(server.seen)
    job = scmkit.resume(job.id, client, progress=False)
    assert states(job) == {"applied": 2}
    assert len(server.seen) == seen


def test_a_call_that_was_too_much_is_not_sent_again_as_it_was(
    table: pd.DataFrame, client: scmkit.Client, server: PlainServer
) -> None:
    """A job stopped right after a 504 goes on with the halves of that call."""
    server.answers = [(504, b"", {}), *[REFUSED] * 9]
    before = scmkit.upload(scmkit.plan(table, mode="sync", workers=1), client, progress=False)
    server.answers.clear()
    with Journal() as book:  # as if it had been killed before the first half went out
        for name in ("attempts", "calls"):
            book.db.execute(f"delete from {name} where {'call' if name == 'attempts' else 'number'} > 0")
        book.db.execute("delete from settled")
    seen = len(server.seen)
    job = scmkit.resume(before.id, client, progress=False)
    assert job.ok
    assert [len(body["items"]) for _, _, body in server.seen[seen:]] == [25, 25]


def test_a_doubt_outlives_the_session_and_the_halving(
    table: pd.DataFrame, client: scmkit.Client, server: PlainServer
) -> None:
    """A row of which an attempt may have been applied is never said to be unsent, however its call was cut since."""
    server.answers = [(504, b"", {}), *[REFUSED] * 9]
    before = scmkit.upload(scmkit.plan(table, mode="sync", workers=1), client, progress=False)
    assert states(before) == {"unknown": 50}
    with Journal() as book:
        book.db.execute("update calls set parent = 99 where number > 0")  # halved twice before anything was sent
    server.answers = [REFUSED] * 9
    assert states(scmkit.resume(before.id, client, progress=False)) == {"unknown": 50}


def test_fields_that_a_task_cannot_have_stored_are_known_after_resuming(
    client: scmkit.Client, server: PlainServer
) -> None:
    """Evidence about fields from before the interruption still counts: a discarded field is told for every row."""
    server.polls_until_complete = 1_000_000
    table = pd.DataFrame({"lot_number": ["000001", "000002"], "wine_name": ["a", "b"], "nonsense": ["x", "y"]})
    job = table.scm.upload(client, key="lot_number", mode="async", wait=False)
    while len(job.tasks) < 2:
        time.sleep(0.01)
    server.tasks["task-0"]["state"] = "success"
    while "applied" not in job.counts():
        time.sleep(0.01)
    job.cancel(grace_s=0)
    job.result(timeout=5)
    server.polls_until_complete = 1
    job = scmkit.resume(job.id, client, progress=False)
    assert job.rows["discarded_fields"].tolist() == [("nonsense",), ("nonsense",)]


def test_jobs_lists_what_became_of_each(table: pd.DataFrame, client: scmkit.Client, server: PlainServer) -> None:
    """A line per job, newest last: complete, suspended, running."""
    assert scmkit.jobs().empty
    done = table.scm.upload(client, progress=False)
    stopped = suspended(table, client, server)
    gate = threading.Event()
    server.answers = [lambda *_: gate.wait(5) and None]
    running = table.scm.upload(client, wait=False)
    listed = scmkit.jobs()
    assert listed["id"].tolist() == [done.id, stopped.id, running.id]
    assert listed["state"].tolist() == ["complete", "suspended", "running"]
    assert listed["applied"].tolist() == [50, stopped.counts()["applied"], 0]
    assert listed["unfinished"].tolist() == [0, 50 - stopped.counts()["applied"], 50]
    assert "Token expired" in listed["error"].iloc[1]
    with pytest.raises(errors.JournalError, match="is running"):
        scmkit.resume(running.id, client)
    gate.set()
    running.result(timeout=5)
    assert scmkit.jobs()["state"].iloc[-1] == "complete"


def test_a_complete_job_that_applied_nothing_says_so(
    table: pd.DataFrame, client: scmkit.Client, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A journal, a shell, a summary, a bar and lines say how many rows were applied, wherever not all were."""
    unknown = table.assign(extended_id=table["extended_id"] + "x")
    some = pd.concat([table, unknown]).scm.upload(client)
    line = capsys.readouterr().err.splitlines()[-1]
    monkeypatch.setattr(waiting, "can_move", lambda: True)
    nothing = unknown.scm.upload(client)
    bar = capsys.readouterr().err.splitlines()[-1]
    merged = pd.concat([table, table]).scm.upload(client, progress=False)
    listed = scmkit.jobs()
    assert listed["state"].tolist() == ["complete"] * 3
    assert listed["not_applied"].tolist() == [50, 50, 0]
    words = ["complete, 50 of 100 applied", "complete, 0 of 50 applied", "complete"]
    assert listed["result"].tolist() == words
    shown = CliRunner().invoke(main, ["jobs"]).output.splitlines()[1:]
    assert [said in line for said, line in zip(words, shown, strict=True)] == [True] * 3
    for job, said in zip((some, nothing, merged), words, strict=True):
        assert job.summary().startswith(f"{said}: ")
    assert "| 0/50 " in bar
    assert line.startswith("upload: complete, 50 of 100 applied: 100 of 100 rows (")


def test_history_is_ready_for_a_fit(table: pd.DataFrame, client: scmkit.Client, server: PlainServer) -> None:
    """Every call with a result is there, with what `ServiceTime.fit` and `estimate` need."""
    server.answers = [(504, b"", {})]
    table.scm.upload(client, mode="sync", progress=False)
    lots = pd.DataFrame({"lot_number": ["000001"], "wine_name": ["a"]})
    lots.scm.upload(client, key="lot_number", mode="async", progress=False)
    calls = scmkit.history()
    assert calls["mode"].tolist() == ["sync", "sync", "sync", "async"]
    assert calls["timed_out"].tolist() == [True, False, False, False]
    assert calls["codes"].tolist() == [50, 25, 25, 100]
    assert calls["codes_affected"].isna().tolist() == [True, False, False, False]
    assert calls["items"].tolist() == [50, 25, 25, 1]
    assert calls["key_value"].dropna().to_dict() == {3: "000001"}
    assert calls["key"].tolist() == ["extended_id"] * 3 + ["lot_number"]
    assert calls["at"].is_monotonic_increasing
    assert set(calls["service"]) == {server.url}
    assert "fitted to 3 calls, 1 of them timed out" in scmkit.ServiceTime.fit(calls).source


def test_what_is_read_back_later_is_written_down_too(
    table: pd.DataFrame, client: scmkit.Client, server: PlainServer
) -> None:
    """A row that a later read-back settles is settled for whoever asks the journal."""
    gate = threading.Event()

    def apply_and_hang(handler: Any, body: dict) -> None:
        server.sync(body)
        gate.wait(5)

    server.answers = [apply_and_hang]
    job = scmkit.upload(scmkit.plan(table, mode="sync"), client, wait=False)
    while not server.seen:
        time.sleep(0.01)
    job.cancel(grace_s=0)
    assert states(job.result(timeout=5)) == {"unknown": 50}
    gate.set()
    job.verify()
    assert states(job) == {"applied": 50}
    assert scmkit.jobs()["applied"].tolist() == [50]
    seen = len(server.seen)
    assert states(scmkit.resume(job.id, client, progress=False)) == {"applied": 50}
    assert len(server.seen) == seen


def test_a_job_is_not_resumed_at_another_service(
    table: pd.DataFrame, client: scmkit.Client, server: PlainServer
) -> None:
    """What was meant for staging does not end in production."""
    job = suspended(table, client, server)
    with scmkit.Client("https://api.example.com", "t0ken") as other, pytest.raises(errors.ConfigurationError):
        scmkit.resume(job.id, other)
    assert scmkit.resume(job.id, client, progress=False).ok


def test_a_job_that_was_overtaken_does_not_bring_old_values_back(
    table: pd.DataFrame, client: scmkit.Client, server: PlainServer
) -> None:
    """No older value overwrites a newer one, unless that is asked for; other codes and fields are no hindrance (I4)."""
    job = suspended(table, client, server)
    pending = job.rows.query("state != 'applied'")["extended_id"]
    table[~table["extended_id"].isin(pending)].assign(wine_name="newer").scm.upload(client, progress=False)
    pd.DataFrame({"extended_id": pending, "harvest_date": "2026-11-23"}).scm.upload(client, progress=False)
    newer = pd.DataFrame({"extended_id": pending[:1], "vintage_year": "2001"})
    newer.scm.upload(client, progress=False)
    seen = len(server.seen)
    with pytest.raises(errors.JournalError, match="older values over newer"):
        scmkit.resume(job.id, client)
    assert len(server.seen) == seen
    assert server.codes[pending.iloc[0]]["vintage_year"] == "2001"
    with Journal() as book:
        book.db.execute("delete from attempts where job = (select id from jobs order by created desc limit 1)")
    assert scmkit.resume(job.id, client, progress=False).ok


def test_the_command_line_resumes(
    table: pd.DataFrame, client: scmkit.Client, server: PlainServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`scmkit jobs` lists, `scmkit resume` finishes, and `--prune` forgets."""
    job = suspended(table, client, server)
    monkeypatch.setenv("SCANTRUST_UAT_TOKEN", server.token)
    shell = CliRunner()
    assert re.search(rf"{job.id}.*suspended", shell.invoke(main, ["jobs"]).output)
    finished = shell.invoke(main, ["resume", job.id, "--base-url", server.url, "--verify"])
    assert (finished.exit_code, "read-back: 0 differences" in finished.output) == (0, True)
    assert "forgot 1 jobs" in shell.invoke(main, ["jobs", "--prune", "0"]).output
    assert shell.invoke(main, ["jobs"]).output == "no uploads yet\n"
    unknown = shell.invoke(main, ["resume", job.id, "--base-url", server.url])
    assert unknown.exit_code == 4
    assert "knows no job" in unknown.output


def test_columns_that_do_not_give_the_body_that_was_sent_are_refused(
    table: pd.DataFrame, client: scmkit.Client, server: PlainServer
) -> None:
    """A journal whose columns were changed sends nothing."""
    job = suspended(table, client, server)
    with Journal() as book:
        other = book.parts(job.id)["texts 1"][::-1]
        book.db.execute("update parts set data = ? where name = 'texts 1'", (journals._packed(other)[1],))
    seen = len(server.seen)
    with pytest.raises(errors.JournalError, match="not what was sent"):
        scmkit.resume(job.id, client)
    assert len(server.seen) == seen
    assert scmkit.jobs()["state"].tolist() == ["suspended"]


@pytest.mark.parametrize("write", range(7))
def test_a_journal_that_cannot_be_written_stops_the_sending(
    table: pd.DataFrame, client: scmkit.Client, server: PlainServer, monkeypatch: pytest.MonkeyPatch, write: int
) -> None:
    """Whichever write fails, nothing goes out without an intent on disk, every row has an end, and resume finishes."""
    writes = iter(range(100))
    real = journals.Record.__call__

    def limited(record: journals.Record, event: events.Event) -> None:
        if next(writes) == write:
            raise errors.JournalError("database or disk is full")
        real(record, event)

    plan = scmkit.plan(table, assumptions=SMALL, workers=1)
    with monkeypatch.context() as patch:
        patch.setattr(journals.Record, "__call__", limited)
        job = scmkit.upload(plan, client, wait=False)
        job.wait(10)
    assert (job.state, type(job.error)) == ("suspended", errors.JournalError)
    assert set(states(job)) <= {"applied", "cancelled"}
    with Journal() as book:
        intents = book.query("select count(*) from attempts")[0][0]
    assert len(server.seen) == intents
    assert_holds(server, job, table)
    job = scmkit.resume(job.id, client, progress=False)
    assert job.ok
    assert_holds(server, job, table)


def test_without_locks_an_upload_goes_on_and_says_so(
    table: pd.DataFrame, client: scmkit.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a file system that has no locks the upload has no journal, and a warning tells."""

    def no_locks(file: int) -> bool:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(turns, "_locked", no_locks)
    told = pytest.warns(UserWarning, match="cannot share their pace")
    with told, pytest.warns(UserWarning, match="cannot be resumed"):
        assert table.scm.upload(client, progress=False).ok


def replaced(path: Path) -> None:
    """Put a journal of somebody else into the place."""
    Journal(path.with_name("other")).close()
    path.with_name("other").replace(path)


LOST: dict[str, Callable[[Path], object]] = {
    "deleted": Path.unlink,
    "replaced": replaced,
    "emptied": lambda path: os.truncate(path, 0),
    "without its log": lambda path: path.with_name(path.name + "-wal").unlink(),
    "without its folder": lambda path: shutil.rmtree(path.parent),
    "moved": lambda path: path.parent.rename(path.parent.with_name("elsewhere")),
}


@POSIX
@pytest.mark.parametrize("how", LOST)
def test_without_its_journal_a_job_sends_nothing_more(
    table: pd.DataFrame, client: scmkit.Client, server: PlainServer, tmp_path: Path, how: str
) -> None:
    """Where nothing can be written down any more the job stops, says so, and says of each row what is known (F57)."""
    path = tmp_path / "mine" / "journal.sqlite3"
    server.answers = [None, None, lambda *_: LOST[how](path) and None]
    plan = scmkit.plan(table, mode="sync", workers=1, assumptions=SMALL)
    job = plan.upload(client=client, journal=path, progress=False)
    assert len(server.seen) == 3
    assert job.state == "suspended"
    assert re.search("was removed or replaced during the upload: nothing more is sent", str(job.error))
    sent = {item["extended_id"] for *_, body in server.seen for item in body["items"]}
    rows = job.rows
    assert set(rows.loc[rows["state"] == "applied", "extended_id"]) <= sent
    assert set(rows.loc[rows["state"] == "cancelled", "extended_id"]).isdisjoint(sent)
    assert set(states(job)) == {"applied", "cancelled"}


def test_a_journal_that_becomes_read_only_suspends_the_job(
    table: pd.DataFrame, client: scmkit.Client, server: PlainServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job stops and says so; when the file can be written again it is resumed, and nothing is missing (F57)."""
    books: list[Journal] = []
    real = Journal.create

    def create(book: Journal, *facts: Any) -> Any:
        books.append(book)
        return real(book, *facts)

    monkeypatch.setattr(Journal, "create", create)
    server.answers = [None, None, lambda *_: books[0].db.execute("pragma query_only = on") and None]
    job = scmkit.plan(table, mode="sync", workers=1, assumptions=SMALL).upload(client=client, progress=False)
    assert (job.state, len(server.seen)) == ("suspended", 3)
    assert re.search("readonly", str(job.error))
    job = scmkit.resume(job.id, client, progress=False)
    assert job.ok
    assert_holds(server, job, table)


def test_the_journal_can_be_chosen_or_left_out(table: pd.DataFrame, client: scmkit.Client, tmp_path: Path) -> None:
    """journal=path writes there, journal=False nowhere."""
    table.scm.upload(client, progress=False, journal=False)
    assert not Path(os.environ["SCMKIT_JOURNAL"]).exists()
    job = table.scm.upload(client, progress=False, journal=tmp_path / "mine.sqlite3")
    assert scmkit.jobs(tmp_path / "mine.sqlite3")["id"].tolist() == [job.id]
    assert not Path(os.environ["SCMKIT_JOURNAL"]).exists()


def test_an_unusable_journal_stops_an_upload_before_anything_is_sent(
    table: pd.DataFrame, client: scmkit.Client, server: PlainServer
) -> None:
    """A damaged default journal is an error that says what to do, not an upload without one."""
    path = Path(os.environ["SCMKIT_JOURNAL"])
    path.parent.mkdir()
    path.write_text("not a database")
    with pytest.raises(errors.JournalError, match="not a journal"):
        table.scm.upload(client, progress=False)
    assert not server.seen


def test_the_token_is_not_in_the_journal(table: pd.DataFrame, client: scmkit.Client, server: PlainServer) -> None:
    """Neither the file nor anything beside it holds the token, while a job runs and after it (S07)."""
    gate = threading.Event()
    server.answers = [None, lambda *_: gate.wait(5) and None]
    job = scmkit.upload(scmkit.plan(table, assumptions=SMALL, workers=1), client, wait=False)
    while len(server.seen) < 2:
        time.sleep(0.01)

    def everything() -> bytes:
        return b"".join(p.read_bytes() for p in Path(os.environ["SCMKIT_JOURNAL"]).parent.iterdir())

    found = everything()
    gate.set()
    job.result(timeout=5)
    assert job.id.encode() in found
    assert server.token.encode() not in found + everything()


# Killed


@pytest.fixture(scope="module")
def processes() -> Any:
    """Processes that begin with everything imported, so that a test of many kills takes seconds."""
    return uploader.forks()


def job_table(seed: int, codes: list[str]) -> pd.DataFrame:
    """60 rows: values of their own for sync calls, and for async ones 12 tasks."""
    chosen = np.random.default_rng(seed).permutation(codes)[:60]
    return pd.DataFrame({"extended_id": chosen, "wine_name": [f"{seed}-{i // 5}" for i in range(60)]})


def finish(
    server: PlainServer, client: scmkit.Client, table: pd.DataFrame, before: dict[str, Any], kills: int = 1
) -> None:
    """Resume whatever there is, and check that nothing is lost, twice, wrong or claimed without evidence."""
    listed = scmkit.jobs()
    if listed.empty:
        assert not server.seen
        return
    assert listed["state"].tolist() in (["interrupted"], ["complete"])
    (job_id,) = listed["id"]
    job = scmkit.resume(job_id, client, progress=False)
    assert job.rows["extended_id"].tolist() == table["extended_id"].tolist()
    assert states(job) == {"applied": 60}
    sent = dict(zip(table["extended_id"], table["wine_name"], strict=True))
    assert {c: held.get("wine_name") for c, held in server.codes.items() if "wine_name" in held} == sent
    assert {c: held["lot_number"] for c, held in server.codes.items()} == before
    seen = len(server.seen)
    assert scmkit.resume(job_id, client, progress=False).ok
    assert len(server.seen) == seen
    with Journal() as book:
        assert book.query("pragma integrity_check") == [("ok",)]
        in_doubt = book.query("select count(*) from attempts where outcome is null")[0][0]
        assert len(server.seen) <= book.query("select count(*) from attempts")[0][0]
        assert in_doubt <= 4 * kills  # as many as there were workers


POINTS = [
    (what, when, mode)
    for what, mode in [
        ("Sending", "sync"), ("post", "sync"), ("Settled", "sync"), ("TaskSeen", "async"), ("poll", "async"),
        ("Ended", "async"),
    ]
    for when in ("before", "after")
]  # fmt: skip


@POSIX
@pytest.mark.parametrize(("what", "when", "mode"), POINTS)
def test_killed_at_each_point(
    server: PlainServer, client: scmkit.Client, tmp_path: Path, processes: Any, what: str, when: str, mode: str
) -> None:
    """Kill -9 right before and after each commit, send, receive and poll loses nothing (F43)."""
    before = {c: held["lot_number"] for c, held in server.codes.items()}
    table = job_table(7, list(server.codes))
    table.to_csv(tmp_path / "table.csv", index=False)
    child = processes.Process(target=uploader.run, args=(server.url, server.token, tmp_path, mode, (what, when, 3)))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    finish(server, client, table, before)


def killed_at_random(server: PlainServer, client: scmkit.Client, folder: Path, processes: Any, seed: int) -> None:
    before = {c: held["lot_number"] for c, held in server.codes.items()}
    luck = random.Random(seed)
    table = job_table(seed, list(server.codes))
    table.to_csv(folder / "table.csv", index=False)
    kills = luck.choice([1, 1, 2, 3])  # the resumed job may be killed, too
    for _ in range(kills):
        arguments = (server.url, server.token, folder, luck.choice(["sync", "async"]))
        child = processes.Process(target=uploader.run, args=arguments)
        child.start()
        enough = len(server.seen) + luck.randrange(12)
        while len(server.seen) < enough and child.is_alive():
            time.sleep(0.001)
        time.sleep(luck.random() * 0.05)
        child.kill()
        child.join(60)
    finish(server, client, table, before, kills)


@POSIX
@pytest.mark.parametrize("seed", range(10))
def test_killed_at_a_random_moment(
    server: PlainServer, client: scmkit.Client, tmp_path: Path, processes: Any, seed: int
) -> None:
    """Kill -9 at any moment, also of the process that resumes: no row is lost, and a second resume sends nothing."""
    killed_at_random(server, client, tmp_path, processes, seed)


@POSIX
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 210))
def test_killed_at_many_random_moments(
    server: PlainServer, client: scmkit.Client, tmp_path: Path, processes: Any, seed: int
) -> None:
    """The same, 200 times."""
    killed_at_random(server, client, tmp_path, processes, seed)


@POSIX
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 25))])
def test_interrupted_by_hand(
    server: PlainServer, client: scmkit.Client, tmp_path: Path, processes: Any, seed: int, times: int
) -> None:
    """Ctrl-C, once or twice, ends the process within 6 s, answered or not, and the journal tells what is left (F48)."""
    before = {c: held["lot_number"] for c, held in server.codes.items()}
    luck = random.Random(seed)
    table = job_table(seed, list(server.codes))
    table.to_csv(tmp_path / "table.csv", index=False)
    enough, gate = luck.randrange(1, 8), threading.Event()
    if seed % 2:  # from some call on, the service answers no more
        server.answers = [None] * (enough - 1) + [lambda *_: gate.wait(60) and None]
    child = processes.Process(target=uploader.run, args=(server.url, server.token, tmp_path, "sync"))
    child.start()
    while len(server.seen) < enough:
        assert child.is_alive()
        time.sleep(0.001)
    for _ in range(times):
        os.kill(child.pid, signal.SIGINT)
        time.sleep(luck.random() * 0.02)
    child.join(BACK_WITHIN_S + FOR_THE_END_S)
    assert child.exitcode is not None
    assert child.exitcode >= 0
    gate.set()
    assert scmkit.jobs()["state"].tolist()[0] in ("cancelled", "interrupted", "complete")
    (job_id,) = scmkit.jobs()["id"]
    job = scmkit.resume(job_id, client, progress=False)
    assert states(job) == {"applied": 60}
    assert {c: held["lot_number"] for c, held in server.codes.items()} == before
    seen = len(server.seen)
    scmkit.resume(job_id, client, progress=False)
    assert len(server.seen) == seen


@POSIX
def test_a_job_that_runs_elsewhere_is_refused(
    table: pd.DataFrame, client: scmkit.Client, server: PlainServer, processes: Any
) -> None:
    """A second process cannot take over a job while the first is alive; it sends nothing (F47)."""
    gate = threading.Event()
    server.answers = [lambda *_: gate.wait(30) and None]
    job = table.scm.upload(client, wait=False)
    while not server.seen:
        time.sleep(0.01)
    ours, theirs = processes.Pipe()
    arguments = (server.url, server.token, Path(os.environ["SCMKIT_JOURNAL"]), job.id, theirs)
    other = processes.Process(target=uploader.resume, args=arguments)
    other.start()
    assert re.match("JournalError: .*is running", ours.recv())
    other.join(30)
    seen = len(server.seen)
    gate.set()
    assert job.result(timeout=10).ok
    assert seen == 1


@POSIX
def test_processes_share_the_pace(server: PlainServer, tmp_path: Path, processes: Any) -> None:
    """Three processes with one journal and one token take 10 turns a second at most, and one for each call (F47)."""
    children = []
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()
        table = pd.DataFrame({"extended_id": list(server.codes)[number * 12 : number * 12 + 12]})
        table.assign(wine_name=[f"{number}-{i}" for i in range(12)]).to_csv(folder / "table.csv", index=False)
        arguments = (server.url, server.token, folder, "async", None, tmp_path / "shared.sqlite3", 10.0)
        children.append(processes.Process(target=uploader.run, args=arguments))
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0, 0]
    at = np.sort(np.concatenate([np.loadtxt(tmp_path / str(number) / "turns") for number in range(3)]))
    assert len(at) == len(server.seen) == 36
    assert (at[10:] - at[:-10]).min() > 1.0


@POSIX
def test_forked_processes_share_no_connection(server: PlainServer, processes: Any) -> None:
    """Whoever is forked with a client in hand gets the answers to its own questions (F55)."""
    server.tasks = {f"task-{i}": {"id": f"task-{i}", "codesAffected": i, "polls": 0} for i in range(4)}
    parent = processes.Process(target=uploader.fork_with_a_client, args=(server.url, server.token, 4))
    parent.start()
    parent.join(30)
    assert parent.exitcode == 0


@POSIX
def test_a_forked_process_holds_no_job(
    table: pd.DataFrame, server: PlainServer, client: scmkit.Client, tmp_path: Path, processes: Any
) -> None:
    """A child forked during a job does not wait for its end for ever, nor keep it from being resumed (F55)."""
    table.to_csv(tmp_path / "table.csv", index=False)
    arrived, go = server.hold()
    ours, theirs = processes.Pipe()
    journal = tmp_path / "journal.sqlite3"
    parent = processes.Process(target=uploader.fork_during_a_job, args=(server.url, server.token, journal, theirs))
    parent.start()
    assert arrived.wait(10)
    Path(f"{journal}-sent").touch()
    job = ours.recv()
    assert ours.poll(10)
    assert re.search("runs in the process that this one was forked from", ours.recv())
    parent.join(10)
    go.set()
    assert scmkit.resume(job, client, journal, progress=False).ok
    ours.send("the end")


@pytest.mark.parametrize("journals", [(False,), (False, "a", "b")], ids=["no journal", "several journals"])
def test_one_pace_whatever_the_journal(
    server: PlainServer, client: scmkit.Client, tmp_path: Path, journals: tuple[str | bool, ...]
) -> None:
    """Jobs of two clients, with any journals or none, share the pace of one service and token (F56)."""
    limits = scmkit.Limits(updates_per_second=100, speed=10, connect_s=2, read_s=5, deadline_s=5)
    codes, jobs = list(server.codes), []
    host = server.url.replace("127.0.0.1", "localhost")
    with (
        scmkit.Client(host, server.token, limits=limits) as one,
        scmkit.Client(server.url, server.token, limits=limits) as two,
    ):
        for number, client in enumerate((one, one, two)):
            table = pd.DataFrame(
                {"extended_id": codes[10 * number : 10 * number + 10], "wine_name": list("abcdefghij")}
            )
            plan = scmkit.plan(table, mode="sync", workers=4, assumptions=scmkit.Assumptions(max_body_bytes=90))
            journal = journals[number % len(journals)]
            jobs.append(plan.upload(client=client, wait=False, journal=journal and tmp_path / journal))
        for _ in range(10):
            two.upload_sync([{"extended_id": codes[30], "wine_name": "x"}])
        assert all(job.result(10).ok for job in jobs)
    at = [moment for moment, *_ in server.seen]
    assert len(at) == 40
    assert max(at) - min(at) >= 39 / 100


@POSIX
def test_ctrl_c_in_the_lock_of_a_wait(server: PlainServer, tmp_path: Path, processes: Any) -> None:
    """A Ctrl-C that strikes where a lock would stay locked for ever does not hang the upload (F48)."""
    job_table(1, list(server.codes)).to_csv(tmp_path / "table.csv", index=False)
    server.answers = [lambda *_: time.sleep(0.3)]
    child = processes.Process(target=uploader.press_in_a_lock, args=(server.url, server.token, tmp_path))
    child.start()
    child.join(30)
    assert child.exitcode is not None
