"""The task board, driven as a browser would, on a journal with jobs in all states."""

import itertools
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from plain_server import PlainServer
from waiting import wait_for

import scmkit
from scmkit.core.errors import PlanError
from scmkit.journal import listings
from scmkit.journal.journal import Journal
from scmkit.uploading.ledger import stored_ledger
from scmkit.widgets.board import PATIENCE_S, Line, TaskBoard, Turns, ago, chosen

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def line(**facts: object) -> Line:
    plain = {
        "id": "j1", "created": NOON, "state": "complete", "rows": 10, "applied": 10, "unfinished": 0, "failed": 0,
        "codes": 10, "seconds": 4.2, "open_tasks": 0, "key": "lot_number", "service": "https://api.scantrust.io",
    }  # fmt: skip
    return Line(**plain | facts)  # type: ignore[arg-type]


class Clock:
    """A clock that a test turns."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def board(client: scmkit.Client, clock: Clock) -> Iterator[TaskBoard]:
    made = TaskBoard(client=client, clock=clock)
    wait_for(made.idle)
    yield made
    made.close()


def look(board: TaskBoard) -> None:
    board.look()
    wait_for(board.idle)


def abandoned(client: scmkit.Client, server: PlainServer) -> scmkit.UploadJob:
    """Give a job that was suspended while its task was under way."""
    server.polls_until_complete, before = 10**6, set(threading.enumerate())
    table = pd.DataFrame({"lot_number": ["000001"], "wine_name": ["a"]})
    job = scmkit.upload(table, client, "lot_number", mode="async", wait=False)
    wait_for(lambda: len(job.tasks))
    job.cancel(grace_s=0.0)
    wait_for(lambda: not [t for t in set(threading.enumerate()) - before if t.name.startswith("scmkit-worker")])
    return job.result(30)


def test_without_a_journal_there_is_nothing_to_show_and_none_is_made(board: TaskBoard) -> None:
    """An empty board says so, and leaves no file behind."""
    assert "0 jobs: none yet" in repr(board)
    assert not scmkit.journal.journal.place().exists()
    assert board.controls["cancel"].disabled
    assert board.controls["resume"].disabled
    assert board.controls["again"].disabled


def test_the_board_shows_what_the_journal_knows(board: TaskBoard, table: pd.DataFrame, client: scmkit.Client) -> None:
    """A job of the journal stands there with state, rows, codes and duration, in widgets, text and HTML."""
    job = scmkit.upload(table, client, progress=False)
    look(board)
    (shown,) = board.frame.reset_index().to_dict("records")
    assert shown["job"] == job.id
    assert (shown["state"], shown["rows"], shown["applied"], shown["codes affected"]) == ("complete", 50, 50, 50)
    assert shown["took"]
    for form in (board.shown["table"].value, repr(board), board._repr_mimebundle_()["text/html"]):
        assert job.id in form
        assert "1 job: 1 complete" in form


def test_a_job_that_applied_nothing_stands_out(board: TaskBoard, table: pd.DataFrame, client: scmkit.Client) -> None:
    """A complete job with rows that were not applied has other words and another colour than one that has none."""
    scmkit.upload(table, client, progress=False)
    unknown = table.assign(extended_id=table["extended_id"] + "x")
    scmkit.upload(pd.concat([table, unknown]), client, progress=False)
    scmkit.upload(unknown, client, progress=False)
    look(board)
    assert board.frame["state"].tolist() == ["complete, 0 of 50 applied", "complete, 50 of 100 applied", "complete"]
    assert board.frame["not applied"].tolist() == [50, 50, 0]
    assert [found.colour for found in board.lines] == ["", "#b46a00", "#e0443e"]
    for form in (board.shown["table"].value, board._repr_mimebundle_()["text/html"]):
        assert '<b style="color:#e0443e">complete, 0 of 50 applied</b>' in form
        assert "3 jobs: 2 complete, 1 complete with nothing applied" in form
    assert board.controls["job"].options[1][0].endswith("complete, 0 of 50 applied")


def test_the_notebook_counts_the_codes_that_the_board_counts(table: pd.DataFrame, inventory: pd.DataFrame) -> None:
    """What had been updated before the upload is no change of it: notebook 03 ends with the board's number."""
    notebook = Path(scmkit.__file__).parent.parent / "notebooks" / "03_interactive_upload.ipynb"
    *begin, last = "".join(json.loads(notebook.read_text(encoding="utf-8"))["cells"][-1]["source"]).splitlines()
    stamped = inventory.assign(scm_updated_at=[f"2026-01-0{i % 9 + 1}T00:00:00Z" for i in range(len(inventory))])
    with scmkit.Sandbox(codes=stamped, speed=60) as sandbox, sandbox.client() as client:
        names = {"inventory": sandbox.codes(), "sandbox": sandbox}
        assert scmkit.upload(table, client, progress=False).ok
        exec("\n".join(begin), names)
        said = eval(last, names)
    with Journal() as book:
        (codes,) = listings.overview(book, {})["codes"]
    assert said == f"{codes} codes changed" == "50 codes changed"


def test_filters_by_words_and_state(board: TaskBoard) -> None:
    """Every word must be in the line; the newest comes first."""
    lines = [line(), line(id="j2", state="suspended", note="401: Invalid <token>"), line(id="j3", key="pallet")]
    assert [found.id for found in chosen(lines, "", "all states")] == ["j3", "j2", "j1"]
    assert [found.id for found in chosen(lines, "LOT invalid", "all states")] == ["j2"]
    assert [found.id for found in chosen(lines, "", "suspended")] == ["j2"]
    board.lines = lines
    board.controls["words"].value = "invalid"
    wait_for(lambda: "j1" not in board.shown["table"].value and "j2" in board.shown["table"].value)
    assert "&lt;token&gt;" in board.shown["table"].value
    assert ago(timedelta(seconds=7200)) == "2.0 h ago"


def test_a_running_job_is_live_and_can_be_cancelled(
    board: TaskBoard, table: pd.DataFrame, client: scmkit.Client, server: PlainServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job of this kernel is found by itself, moves, and ends by the button; Resume then finishes it."""
    _, answer = server.hold(9)
    job = scmkit.upload(table, client, workers=1, mode="sync", wait=False)
    wait_for(lambda: server.seen)
    board.refresh()
    wait_for(lambda: len(board.controls["job"].options) == 2)
    assert board.frame["state"].tolist() == ["running (here)"]
    board.controls["job"].value = job.id
    assert not board.controls["cancel"].disabled
    assert board.controls["resume"].disabled
    cancel, cancelled = scmkit.UploadJob.cancel, threading.Event()
    monkeypatch.setattr(scmkit.UploadJob, "cancel", lambda self: (cancel(self), cancelled.set()))
    board.controls["cancel"].click()
    assert cancelled.wait(10)
    answer.set()
    job.result(30)
    wait_for(lambda: not board.lines[0].here)
    wait_for(lambda: board.lines[0].state in ("cancelled", "complete"))


def test_resume_carries_an_abandoned_job_to_its_end(
    board: TaskBoard, client: scmkit.Client, server: PlainServer
) -> None:
    """What nobody works on can be resumed, and its task is shown until then; the end is seen."""
    job = abandoned(client, server)
    look(board)
    assert board.tasks["task_id"].tolist() == ["task-0"]
    assert "task-0" in board.shown["table"].value
    board.controls["job"].value = job.id
    assert not board.controls["resume"].disabled
    assert board.controls["resume"].description == "Resume (1 row left)"
    server.polls_until_complete = 1
    board.controls["resume"].click()
    wait_for(lambda: board.lines[0].state == "complete")
    wait_for(lambda: board.controls["resume"].disabled and not len(board.tasks))
    assert len([1 for _, path, _ in server.seen if path.endswith("async/")]) == 1


def test_failed_rows_are_sent_again_as_a_new_job(board: TaskBoard, client: scmkit.Client, server: PlainServer) -> None:
    """Rows that selected no code go out again, alone, with the values in the journal."""
    table = pd.DataFrame({"extended_id": ["Code_00000-", "Code_new_1-"], "wine_name": ["a", "Château"]})
    job = scmkit.upload(table, client, progress=False)
    server.codes["Code_new_1-"] = {}
    look(board)
    board.controls["job"].value = job.id
    assert board.controls["again"].description == "Upload 1 failed row again"
    board.controls["again"].click()
    wait_for(lambda: [found.state for found in board.lines] == ["complete", "complete"])
    assert server.codes["Code_new_1-"]["wine_name"] == "Château"
    assert board.lines[1].rows == 1
    assert [item["extended_id"] for item in server.seen[-1][2]["items"]] == ["Code_new_1-"]


def test_table_of_gives_rows_as_they_were(client: scmkit.Client, server: PlainServer) -> None:
    """Text, missing cells, cleared fields and labels come back; what validation rejected does not."""
    table = pd.DataFrame(
        {"extended_id": ["Code_none_1", "Code_none_2", "Code_00001-", "x"], "wine_name": [None, "", "b", "c"],
         "vintage_year": [1990, 1991, 1992, 1993]},
        index=["p", "q", "r", "s"],
    )  # fmt: skip
    job = scmkit.upload(table, client, errors="reject", progress=False)
    again = listings.table_of(job.id)
    assert again.index.tolist() == ["p", "q"]
    assert again["extended_id"].tolist() == ["Code_none_1", "Code_none_2"]
    assert again["vintage_year"].tolist() == ["1990", "1991"]
    assert pd.isna(again["wine_name"].iloc[0])
    assert again["wine_name"].iloc[1] == ""
    assert listings.table_of(job.id, states=["applied"]).index.tolist() == ["r"]
    with pytest.raises(PlanError, match="did you mean 'applied'"):
        listings.table_of(job.id, states=["aplied"])
    with pytest.raises(scmkit.ScmkitError, match="knows no job"):
        listings.table_of("nonsense")


def test_details_of_a_job(board: TaskBoard, table: pd.DataFrame, client: scmkit.Client, server: PlainServer) -> None:
    """A job shows its rows by state, and its calls with what was said about them."""
    server.answers = [(400, {"detail": "the <b>database</b> is down"}, {})] * 99
    job = scmkit.upload(table, client, workers=1, mode="sync", progress=False)
    look(board)
    board.controls["job"].value = job.id
    wait_for(lambda: "50 rejected" in board.shown["details"].value)
    assert "the &lt;b&gt;database&lt;/b&gt; is down" in board.shown["details"].value


def test_what_is_told_of_a_job_is_what_it_said(table: pd.DataFrame, client: scmkit.Client) -> None:
    """Rows, calls and counts from the journal equal those of the job itself."""
    job = scmkit.upload(table, client, progress=False)
    with Journal() as book:
        ledger = stored_ledger(book, job.id)
        pd.testing.assert_frame_equal(ledger.rows(), job.rows)
        assert ledger.counts() == job.counts()


def test_tasks_are_asked_for_one_at_a_time_and_seldom() -> None:
    """At most one question a second in all, and one about each task in five seconds."""
    turns, asked = Turns(), list[tuple[float, str]]()
    for tenth in range(300):
        if task := turns.take(["a", "b", "c"], tenth / 10):
            asked.append((tenth / 10, task))
    times = [at for at, _ in asked]
    assert min(b - a for a, b in itertools.pairwise(times)) >= 1
    for name in "abc":
        own = [at for at, task in asked if task == name]
        assert len(own) >= 5
        assert min(b - a for a, b in itertools.pairwise(own)) >= 5


def test_a_task_that_nobody_follows_is_asked_for(
    board: TaskBoard, client: scmkit.Client, server: PlainServer, clock: Clock
) -> None:
    """The board shows what the service says now, writes nothing down, and asks no more once it has ended."""
    job = abandoned(client, server)
    server.tasks["task-0"]["state"] = "success"
    before = server.polls
    look(board)
    wait_for(lambda: server.polls == before + 1 and board.idle())
    clock.now = 100.0
    look(board)
    assert "complete, 100 codes" in board.shown["table"].value
    clock.now = 200.0
    look(board)
    assert board.idle()
    assert server.polls == before + 1
    assert scmkit.jobs()["state"].tolist() == [job.state]


def test_it_rests_when_nothing_changes_and_stops_when_closed(
    board: TaskBoard, client: scmkit.Client, server: PlainServer, clock: Clock
) -> None:
    """After ten minutes without a change nobody is asked until Refresh; a closed board does nothing at all."""
    abandoned(client, server)
    board.refresh()
    wait_for(lambda: "Looking every second" in board.shown["status"].value)
    assert not board.idle()

    def at_rest() -> bool:
        clock.now += PATIENCE_S
        return board.idle()

    wait_for(at_rest)
    assert "Not looking any more, since nothing changes" in board.shown["status"].value
    board.controls["refresh"].click()
    wait_for(lambda: "Looking every second" in board.shown["status"].value)
    board.close()
    wait_for(board.idle)
    polls = server.polls
    clock.now += 1_000
    board.refresh()
    assert board.idle()
    assert server.polls == polls


def test_it_stops_when_the_widget_is_gone(board: TaskBoard, client: scmkit.Client, server: PlainServer) -> None:
    """A widget that the notebook has closed asks for nothing any more."""
    abandoned(client, server)
    board.refresh()
    wait_for(lambda: "Looking every second" in board.shown["status"].value)
    board.box.close()
    wait_for(board.idle)
    polls = server.polls
    look(board)
    assert server.polls == polls


def test_a_board_without_a_client_says_how_to_give_one(
    table: pd.DataFrame, client: scmkit.Client, server: PlainServer
) -> None:
    """The board is good for looking without an account; what needs one says so on the board."""
    job = abandoned(client, server)
    board = TaskBoard()
    wait_for(board.idle)
    polls = server.polls
    board.controls["job"].value = job.id
    board.controls["resume"].click()
    wait_for(lambda: "TaskBoard(client=...)" in "".join(board.troubles))
    assert server.polls == polls
    board.close()


def test_a_job_without_a_journal_can_be_added(board: TaskBoard, table: pd.DataFrame, client: scmkit.Client) -> None:
    """A job that no journal knows is there when it was given to the board."""
    job = scmkit.upload(table, client, journal=False, progress=False)
    look(board)
    assert not board.lines
    board.add(job)
    wait_for(lambda: job.id in [name for _, name in board.controls["job"].options])
    board.controls["job"].value = job.id
    wait_for(lambda: "50 applied" in board.shown["details"].value)


def test_ended_jobs_are_read_once(
    table: pd.DataFrame, client: scmkit.Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A long journal is not read from the start again at every look."""
    for _ in range(3):
        scmkit.upload(table, client, progress=False)
    known: dict = {}
    with Journal() as book:
        first = listings.overview(book, known)
        monkeypatch.setattr(Journal, "row_states", lambda *_: pytest.fail("read again"))
        pd.testing.assert_frame_equal(listings.overview(book, known), first)
    assert first["codes"].tolist() == [50, 50, 50]
    assert (first["seconds"] > 0).all()


def test_a_board_that_has_not_looked_yet_does_not_say_that_there_is_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a saved notebook keeps of the first moment is no count of jobs."""
    monkeypatch.setattr(TaskBoard, "look", lambda self: None)
    board = TaskBoard(journal=tmp_path / "journal.sqlite3")
    try:
        assert repr(board) == "<TaskBoard: looking for jobs>"
    finally:
        board.close()
