"""An upload that shows itself: a line while it runs, the summary afterwards, and plain words outside a notebook."""

import re
import threading
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from plain_server import PlainServer
from waiting import wait_for

import scmkit
from scmkit.core.display import duration
from scmkit.core.events import Ended, Paused, PollFailed, Sending, Settled, TaskSeen, Waiting
from scmkit.core.values import Mode, RowState, Task
from scmkit.steps import choices
from scmkit.steps.choices import Service
from scmkit.uploading.progress import Forecast, Progress
from scmkit.uploading.waiting import Lines
from scmkit.widgets import live
from scmkit.widgets.live import LiveLine, Shown


def progress(**facts: object) -> Progress:
    plain = {
        "id": "20261123-101500-abcdef", "state": "running", "counts": {"pending": 190, "applied": 310}, "made": 14,
        "answered": 12, "planned": 20, "halved": 0, "tasks_ended": 0, "tasks": 0, "left_s": 40.0,
    }  # fmt: skip
    return Progress(**plain | facts)  # type: ignore[arg-type]


def test_the_line_says_how_far_it_is() -> None:
    """State, rows, calls, tasks, what it waits for and when it will end stand in one line."""
    noon = datetime(2026, 11, 23, 12, 0, 0)
    words = "running, 62%: 310 of 500 rows (310 applied); 12 of 20 calls answered; about 40 s left, until 12:00:40"
    assert progress().words(noon) == words
    assert "1 of 3 tasks ended" in progress(tasks_ended=1, tasks=3).words(noon)
    waiting = progress(waiting="<429> slow down").html(noon)
    assert "waiting: &lt;429&gt; slow down" in waiting
    assert "left" not in waiting
    assert 'value="62.0"' in waiting


def test_a_line_moves_and_ends_as_the_summary(table: pd.DataFrame, client: scmkit.Client, server: PlainServer) -> None:
    """While the job runs a line is updated; what is put last is what the ended job shows."""
    _, answer = server.hold(9)
    job = scmkit.upload(table, client, wait=False)
    line, puts, ended = LiveLine(job), list[Shown](), threading.Event()
    assert "0 of 50 rows" in line.shown.words

    def put(shown: Shown) -> None:
        puts.append(shown)
        if "complete" in shown.words:
            ended.set()

    line.follow(put)
    answer.set()
    assert ended.wait(30)
    assert job.done()
    assert puts[-1] == Shown(job._repr_html_(), repr(job))
    job.result()


def test_a_line_that_cannot_be_shown_leaves_the_job_alone(
    table: pd.DataFrame, client: scmkit.Client, server: PlainServer
) -> None:
    """A notebook that has gone away ends the line, not the upload."""
    _, answer = server.hold(9)
    job = scmkit.upload(table, client, wait=False)
    line, called = LiveLine(job), threading.Event()

    def put(shown: Shown) -> None:
        called.set()
        raise OSError("the notebook is gone")

    line.follow(put)
    assert called.wait(30)
    answer.set()
    assert job.result(30).ok
    wait_for(lambda: line.worker.closed and line.worker.idle())


def test_outside_a_kernel_a_job_shows_as_text(
    table: pd.DataFrame,
    client: scmkit.Client,
    server: PlainServer,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a terminal, running or ended, IPython writes what repr gives."""
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)  # IPython warns where another environment is active
    _, answer = server.hold(9)
    job = scmkit.upload(table, client, wait=False)
    shell = InteractiveShell()
    try:
        running, _ = shell.display_formatter.format(job)
        assert running["text/plain"].startswith(f"<UploadJob {job.id} running")
    finally:
        answer.set()
    job.result()
    shown, _ = shell.display_formatter.format(job)
    assert shown["text/plain"] == repr(job)
    assert "complete: 50 applied" in shown["text/html"]
    assert capsys.readouterr() == ("", "")


def test_in_a_kernel_an_ended_job_is_static(
    table: pd.DataFrame, client: scmkit.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is nothing live about a job that has ended."""
    monkeypatch.setattr(live, "in_a_kernel", lambda: True)
    job = scmkit.upload(table, client, progress=False)
    with pytest.raises(NotImplementedError):
        job._ipython_display_()


def test_a_pause_is_told_while_it_lasts() -> None:
    """A pause ends with its time or the next call; one without a length with anything that happens."""
    now = [0.0]
    waiting = Waiting(lambda: now[0])
    rows = pd.RangeIndex(1).to_numpy()
    sending = Sending(0, Mode.SYNC, rows, b"")
    assert waiting.words == ""
    waiting(Paused(5.0, "throttled"))
    waiting(TaskSeen(Task("t", None, "?"), 0))
    assert waiting.words == "throttled"
    now[0] = 5.0
    assert waiting.words == ""
    waiting(Paused(5.0, "throttled"))
    waiting(sending)
    assert waiting.words == ""
    waiting(Paused(0.0, "an earlier job"))
    now[0] = 500.0
    assert waiting.words == "an earlier job"
    waiting(TaskSeen(Task("t", None, "?"), 0))
    assert waiting.words == ""


def test_a_task_that_cannot_be_followed_is_told_until_it_can() -> None:
    """What and since when: until the service says something about the task, its rows have an end, or the job has."""
    times = iter(pd.date_range("2026-11-24 09:00", periods=10, freq="h"))
    waiting = Waiting(lambda: 0.0, lambda: next(times))
    row = pd.RangeIndex(1).to_numpy()
    waiting(PollFailed("t", 3, "404"))
    waiting(Sending(0, Mode.SYNC, row, b""))
    waiting(PollFailed("t", 3, "not JSON"))
    assert waiting.words == "no word about task t since 09:00:00: not JSON"
    waiting(PollFailed("u", 4, "404"))
    assert waiting.words == "no word about task t and 1 more since 09:00:00: not JSON"
    waiting(TaskSeen(Task("t", None, "?"), 3))
    assert waiting.words == "no word about task u since 10:00:00: 404"
    waiting(Settled.alike(row, RowState.UNKNOWN, 4))
    assert waiting.words == ""
    waiting(PollFailed("t", 3, "404"))
    waiting(Ended("suspended"))
    assert waiting.words == ""


def test_a_log_gets_lines_and_no_frames(
    table: pd.DataFrame, client: scmkit.Client, server: PlainServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where nothing can move, a line every few seconds says how far it is, and one at the end that it has ended."""
    arrived, answer = server.hold(9)
    job = scmkit.upload(table, client, wait=False)
    written, now = list[str](), [0.0]
    lines = Lines(job, written.append, lambda: now[0])
    assert arrived.wait(20)
    for _ in range(1_000):  # tenths of a second
        now[0] += 0.1
        lines.look()
    answer.set()
    job.result()
    lines.say()
    assert 15 <= len(written) <= 25
    assert written[0].startswith("upload: running, 0%: 0 of 50 rows; 0 of ")
    assert written[-1].startswith("upload: complete, 100%: 50 of 50 rows (50 applied)")
    assert "left" not in written[-1]
    scmkit.upload(table, client)
    shown = capsys.readouterr().err
    assert "\r" not in shown
    assert len(shown.splitlines()) <= 3
    scmkit.upload(table, client, progress=False)
    assert capsys.readouterr().err == ""


def test_the_progress_bar_says_what_it_waits_for(
    table: pd.DataFrame, client: scmkit.Client, server: PlainServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """A throttled upload does not look as if it hung."""
    words = {"detail": "Request was throttled. Expected available in 1 seconds.", "code": "throttled"}
    server.answers = [(429, words, {})]
    assert scmkit.upload(table, client, workers=1).ok
    shown = capsys.readouterr().err
    assert "waiting: " in shown
    assert "throttled" in shown
    assert "waiting" not in shown.splitlines()[-1]


@pytest.mark.parametrize("speed", [1, 30])
def test_one_upload_has_one_predicted_duration(speed: float, data: Path, server: PlainServer) -> None:
    """Plan, simulation, comparison, question and live line say the same seconds, and a simulation bears them out."""
    plan = scmkit.read_table(data / "lots.csv").scm.plan(key="lot_number", inventory=data / "inventory.csv", risk=0.2)
    said = f"about {duration(plan.seconds)}"
    assert said in plan.summary()
    assert re.fullmatch(r"auto: all async would take [\d.]+ times as long", plan.choice)
    risk = scmkit.simulate(plan, trials=3_000, seed=3)
    assert risk.summary().startswith(f"{said} (")
    assert risk.makespan[0.5] == pytest.approx(plan.seconds, rel=0.1)
    assert risk.alternatives["seconds_median"].iloc[0] == plan.seconds
    labels = [text.get_text() for text in risk.plot().texts]
    assert f"predicted: {duration(plan.seconds)}" in labels
    with scmkit.Client(server.url, server.token, limits=scmkit.Limits(speed=speed)) as client:
        asked = choices.will_happen(plan, Service(client, "client"))
        assert said in asked
        assert ("the clock there runs 30 times faster" in asked) == (speed != 1)
        _, answer = server.hold(99)
        job = scmkit.upload(plan, client, wait=False, journal=False)
        left_s, rows = job.progress().left_s, job.ledger.open_rows()
        assert left_s is not None
        assert plan.seconds / speed - 5 < left_s < plan.seconds / speed
        forecast = Forecast(plan, rows, speed)
        assert forecast.left_s(rows, 0.0) == pytest.approx(plan.seconds / speed)
        assert forecast.left_s(rows, 0.3 * plan.seconds / speed) == pytest.approx(0.7 * plan.seconds / speed)
        job.cancel(0)
        answer.set()
        job.result()


def test_what_is_left_is_work_and_not_rows(client: scmkit.Client, server: PlainServer, inventory: pd.DataFrame) -> None:
    """While the call of one large lot goes on, nearly all rows are done, and most of the time is still to come."""
    lots = [f"{i:06d}" for i in range(100)]
    table = pd.DataFrame({"lot_number": lots, "wine_name": lots})
    counts = pd.DataFrame({"lot_number": [*lots, *["000000"] * 8_000]})
    plan = scmkit.plan(table, "lot_number", "sync", inventory=counts, workers=2)
    arrived, answer = server.hold(2, naming="000000")  # whichever of the two arrives first
    assert plan.rows_of(0).tolist() == [0]  # the heaviest goes out first
    job = scmkit.upload(plan, client, wait=False, journal=False)
    assert arrived.wait(20)
    wait_for(lambda: job.progress(predict=False).done == 99)
    assert job.progress().share == 0.99
    left_s = Forecast(plan, np.ones(100, dtype=bool), client.limits.speed).left_s(job.ledger.open_rows(), 0.0)
    assert left_s is not None
    assert left_s > 0.5 * plan.seconds / client.limits.speed
    answer.set()
    job.result()


def test_no_end_is_predicted_of_the_read_back(table: pd.DataFrame) -> None:
    """All rows have their answer while the codes are read back: no plan knows how long that takes."""
    rows = np.ones(len(table), dtype=bool)
    assert Forecast(scmkit.plan(table), rows, 1.0).left_s(~rows, 1.0) is None
    assert "left" not in progress(left_s=None).words()


def test_rows_that_are_not_sent_take_no_time(table: pd.DataFrame, client: scmkit.Client, server: PlainServer) -> None:
    """Half a table that is rejected does not halve what the plan predicts for the other half."""
    bad = table.assign(extended_id=[" " if i % 2 else code for i, code in enumerate(table["extended_id"])])
    _, answer = server.hold(9)
    job = scmkit.upload(bad, client, errors="reject", wait=False)
    rows = job.ledger.open_rows()
    left = Forecast(job.plan, rows, client.limits.speed).left_s(rows, 0.0)
    answer.set()
    assert left == pytest.approx(job.plan.seconds / client.limits.speed)
    job.result()
