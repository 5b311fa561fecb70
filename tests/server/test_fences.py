"""Two jobs over the same codes: whoever made them, the newer one has the last word, or is told why it cannot (I4)."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import plain_server
import pytest
from plain_server import PlainServer

import scmkit
from scmkit.core import errors
from scmkit.core.values import Mode
from scmkit.journal.journal import Journal
from scmkit.uploading import resume as resuming
from scmkit.uploading.conflicts import LATE_S, EarlierJobs, claim_of
from scmkit.wire import turns

YEAR_S = 365 * 86_400.0
LOST = (200, b"{", {"Content-Length": "100", "Connection": "close"})  # applied or not: nobody knows


@pytest.fixture
def other(server: PlainServer, client: scmkit.Client) -> Iterator[scmkit.Client]:
    """A second client of the same service, as another notebook would have one."""
    with scmkit.Client(server.url, server.token, limits=client.limits) as made:
        yield made


def table(value: str, *lots: str) -> pd.DataFrame:
    return pd.DataFrame({"lot_number": lots or ("000001",), "wine_name": value})


def upload(df: pd.DataFrame, client: scmkit.Client, mode: str = "sync", **options: Any) -> scmkit.UploadJob:
    return df.scm.upload(client, key="lot_number", mode=mode, progress=False, **options)


def abandoned(client: scmkit.Client, server: PlainServer, journal: bool | None = None) -> scmkit.UploadJob:
    """A cancelled job whose task is still under way."""
    server.polls_until_complete = 1_000_000
    job = upload(table("old"), client, "async", wait=False, journal=journal)
    while not len(job.tasks):
        job.wait(0.01)
    job.cancel(grace_s=0)
    return job.result(5)


def test_a_job_waits_for_one_of_another_client(
    server: PlainServer, client: scmkit.Client, other: scmkit.Client
) -> None:
    """A running job of the journal goes first, though the newer one has a client of its own."""
    arrived, go = server.hold()
    older = upload(table("old"), client, wait=False)
    assert arrived.wait(5)
    told = threading.Event()
    newer = upload(table("new"), other, wait=False)
    newer.subscribe(lambda event: told.set())
    assert not newer.wait(0.5)
    assert len(server.seen) == 1
    go.set()
    assert older.result(5).ok
    assert newer.result(5).ok
    assert {held["wine_name"] for held in server.codes.values() if "wine_name" in held} == {"new"}


@pytest.mark.parametrize("df", [table("x", "000002"), table("x").rename(columns={"wine_name": "vintage_year"})])
def test_jobs_that_do_not_collide_do_not_wait(
    server: PlainServer, client: scmkit.Client, other: scmkit.Client, df: pd.DataFrame
) -> None:
    """Other keys, or other fields of the same keys, go out beside a running job."""
    arrived, go = server.hold()
    older = upload(table("old"), client, wait=False)
    assert arrived.wait(5)
    assert upload(df, other).ok
    go.set()
    assert older.result(5).ok


def test_tasks_that_nobody_follows_forbid_a_newer_job(server: PlainServer, client: scmkit.Client) -> None:
    """Before anything is sent or written down the error names the job and the way out; both ways out work."""
    old = abandoned(client, server)
    with pytest.raises(errors.UnsettledError, match=rf"{old.id} may still change .* task-0 is still under way"):
        upload(table("new"), client, "async")
    assert len(server.seen) == 1
    assert scmkit.jobs()["id"].tolist() == [old.id]
    server.polls_until_complete = 1
    assert scmkit.resume(old.id, client, progress=False).ok
    assert upload(table("new"), client, "async").ok


def test_tasks_that_have_ended_meanwhile_forbid_nothing(server: PlainServer, client: scmkit.Client) -> None:
    """The service is asked once; what it says is noted, also for a job that can no longer be resumed."""
    old = abandoned(client, server)
    server.polls_until_complete = 1
    assert upload(table("new"), client, "async", journal=False, anyway=True).ok
    assert upload(table("newer"), client, "async").ok
    with Journal() as book:
        assert [task.finished for task in book.tasks(old.id).values()] == [True]
    server.tasks.clear()  # the note is enough
    assert upload(table("newest"), client).ok


@pytest.mark.parametrize("journal", [None, False])
def test_a_task_that_has_ended_holds_up_nobody(
    server: PlainServer, client: scmkit.Client, journal: bool | None
) -> None:
    """After a job was cancelled and its task has ended, the next job of the same client goes out at once."""
    abandoned(client, server, journal)
    server.polls_until_complete = 1
    begun = time.monotonic()
    assert upload(table("new"), client, journal=journal).ok
    assert time.monotonic() - begun < 5.0


def test_a_task_that_nobody_follows_is_named_without_a_journal_too(server: PlainServer, client: scmkit.Client) -> None:
    """A job that is in no file cannot be resumed: the error says how to learn of the task's end."""
    old = abandoned(client, server, journal=False)
    with pytest.raises(errors.UnsettledError, match=rf"{old.id} may .*client.task\('task-0'\) tells when.*anyway=True"):
        upload(table("new"), client, journal=False)
    assert len(server.seen) == 1


@pytest.mark.parametrize(("first", "second"), [(False, None), (None, False), (False, False), ("a", "b"), ("a", False)])
def test_jobs_of_a_client_wait_in_any_journal(
    server: PlainServer, client: scmkit.Client, tmp_path: Path, first: Any, second: Any
) -> None:
    """A running job of the same client goes first, in whichever journals the two are written down, or in none."""
    arrived, go = server.hold()
    older = upload(table("old"), client, wait=False, journal=first and tmp_path / first)
    assert arrived.wait(5)
    newer = upload(table("new"), client, wait=False, journal=second and tmp_path / second)
    try:
        assert not newer.wait(0.3)
        assert len(server.seen) == 1
    finally:
        go.set()
        for job in (older, newer):
            job.result(5)
    assert older.ok
    assert newer.ok
    assert server.codes["Code_00001-"]["wine_name"] == "new"


def test_a_task_that_nobody_finds_is_believed_for_an_hour(server: PlainServer, client: scmkit.Client) -> None:
    """A 404 may be too early; an hour of the service's clock later it is the end."""
    old = abandoned(client, server)
    server.tasks.clear()
    with pytest.raises(errors.UnsettledError, match=old.id):
        upload(table("new"), client)
    with Journal() as book:
        book.db.execute("update attempts set clock = clock - ?", (LATE_S[Mode.ASYNC] / client.limits.speed,))
    assert upload(table("new"), client).ok


def test_anyway_means_now(server: PlainServer, client: scmkit.Client, other: scmkit.Client) -> None:
    """upload(..., anyway=True) does not ask the journal; resuming the older job needs the same word then."""
    old = abandoned(client, server)
    server.polls_until_complete = 1
    assert upload(table("new"), other, "async", anyway=True).ok
    with pytest.raises(errors.JournalError, match="made later"):
        scmkit.resume(old.id, client)
    assert scmkit.resume(old.id, client, progress=False, anyway=True).ok


def test_anyway_means_now_for_one_client_too(server: PlainServer, client: scmkit.Client) -> None:
    """The way out that the error names is open to the client that has made the older job, too."""
    abandoned(client, server)
    server.polls_until_complete = 1
    assert upload(table("new"), client, "async", wait=False, anyway=True).result(5).ok


def test_jobs_never_wait_for_each_other(server: PlainServer, client: scmkit.Client) -> None:
    """An older job that goes on anyway, while a newer one waits for its turn, goes first: both come to their ends."""
    server.answers = [(401, {"detail": "Token expired."}, {})]
    older = upload(table("old"), client, wait=False)
    assert older.wait(5)
    arrived, go = server.hold()
    first = upload(table("first"), client, wait=False)
    assert arrived.wait(5)
    newer = upload(table("new"), client, wait=False)
    older = scmkit.resume(older.id, client, wait=False, anyway=True)
    assert older.result(5).ok
    go.set()
    assert first.result(5).ok
    assert newer.result(5).ok
    assert server.codes["Code_00001-"]["wine_name"] == "new"


def test_what_is_left_of_an_older_job_goes_on_before_a_newer_one(server: PlainServer, client: scmkit.Client) -> None:
    """A newer job over rows that the older one is done with waits for it; the older one does not wait for the newer."""
    server.answers = [None, (401, {"detail": "Token expired."}, {})]
    plan = scmkit.plan(
        table("old", "000001", "000002"), key="lot_number", mode="sync", workers=1,
        assumptions=scmkit.Assumptions(max_body_bytes=90),
    )  # fmt: skip
    older = plan.upload(client=client, progress=False)
    assert older.counts() == {"applied": 1, "cancelled": 1}
    arrived, go = server.hold()
    first = upload(table("first"), client, wait=False)
    assert arrived.wait(5)
    newer = upload(table("new"), client, wait=False)
    assert scmkit.resume(older.id, client, wait=False).result(5).ok
    go.set()
    assert first.result(5).ok
    assert newer.result(5).ok


def test_an_upload_beside_a_resume_has_its_place(
    server: PlainServer, client: scmkit.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that is made while another thread resumes an older one comes after it, in the journal and in the client."""
    server.answers = [(401, {"detail": "Token expired."}, {})]
    older = upload(table("old"), client, wait=False)
    assert older.wait(5)
    newer: list[scmkit.UploadJob] = []
    beside = threading.Thread(target=lambda: newer.append(upload(table("new"), client, wait=False)))
    real = resuming.later_jobs

    def later_jobs(*arguments: Any) -> list[str]:
        later = real(*arguments)
        beside.start()
        beside.join(0.5)
        return later

    monkeypatch.setattr(resuming, "later_jobs", later_jobs)
    assert scmkit.resume(older.id, client, wait=False).result(5).ok
    beside.join(5)
    assert newer[0].result(5).ok
    assert server.codes["Code_00001-"]["wine_name"] == "new"


def test_a_job_that_moves_codes_is_waited_for(server: PlainServer, client: scmkit.Client) -> None:
    """While a job puts codes into a lot, one that is keyed by this lot waits, else it would miss some."""
    arrived, go = server.hold()
    moving = pd.DataFrame({"extended_id": ["Code_00001-"], "lot_number": "L43"}).scm.upload(
        client, mode="sync", progress=False, wait=False
    )
    assert arrived.wait(5)
    keyed = upload(table("new", "L43"), client, wait=False)
    assert not keyed.wait(0.5)
    go.set()
    assert moving.result(5).ok
    assert keyed.result(5).ok


def test_a_later_job_at_another_service_overtakes_nobody(server: PlainServer, client: scmkit.Client) -> None:
    """A rehearsal elsewhere does not keep an older job from going on."""
    server.answers = [(401, {"detail": "Token expired."}, {})]
    older = upload(table("old"), client, wait=False)
    assert older.wait(5)
    with (
        plain_server.serve(["wine_name"], {"Code": {"lot_number": "000001"}}) as elsewhere,
        scmkit.Client(elsewhere.url, elsewhere.token, limits=client.limits) as there,
    ):
        assert upload(table("new"), there).ok
    assert scmkit.resume(older.id, client, progress=False).ok


def test_a_lost_sync_call_is_waited_for(server: PlainServer, client: scmkit.Client, other: scmkit.Client) -> None:
    """Until the gateway must have cut it, a call without an answer may still take effect."""
    server.answers = [LOST]
    upload(table("old"), client, wait=False).result(5)
    with Journal() as book:
        claim = claim_of(scmkit.plan(table("new"), key="lot_number"))
        fence = EarlierJobs(book, claim, server.url, client.limits.speed, client.task)
        left = fence.held_s()
        assert 0 < left <= LATE_S[Mode.SYNC] / client.limits.speed
        ago = (
            LATE_S[Mode.SYNC] + 1.0
        ) / client.limits.speed  # its process was killed, and it was on its way for a while
        book.db.execute("update attempts set outcome = null, seconds = null, clock = ?", (time.monotonic() - ago,))
        assert fence.held_s() > 0
    assert upload(table("new"), other).ok


@pytest.mark.parametrize("jump", [-YEAR_S, -3600.0, -30.0, 30.0, 3600.0, YEAR_S])
@pytest.mark.parametrize("when", ["before", "after"])
def test_wherever_the_wall_clock_stands_a_lost_call_counts_for_as_long(
    server: PlainServer, client: scmkit.Client, monkeypatch: pytest.MonkeyPatch, when: str, jump: float
) -> None:
    """Put back or forward, before or after a call, the clock makes nobody wait less, or longer, than ever (F54, I4)."""
    real, late = time.time, LATE_S[Mode.SYNC] / client.limits.speed
    set_clock = lambda by: monkeypatch.setattr(time, "time", lambda: real() + by)  # noqa: E731
    set_clock(jump if when == "before" else 0.0)
    server.answers = [LOST, (401, {}, {})]
    upload(table("old"), client, wait=False).result(5)
    upload(table("other", "000002"), client)  # the newest entry is another one
    set_clock(0.0 if when == "before" else jump)
    with Journal() as book:
        fence = EarlierJobs(book, claim_of(scmkit.plan(table("new"), key="lot_number")), server.url, 20.0, client.task)
        assert late - 1.0 < fence.held_s() <= late
        book.db.execute("update attempts set clock = clock - ?", (late + 15.0 / 20,))
        assert fence.held_s() == 0.0


def test_the_newest_job_is_the_last_one_made(
    server: PlainServer, client: scmkit.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """jobs() lists in the order in which the journal numbered, though the wall clock was put back between (F54)."""
    real = time.time
    older = upload(table("old"), client)
    monkeypatch.setattr(time, "time", lambda: real() - 3600.0)
    newer = upload(table("new"), client)
    assert scmkit.jobs()["id"].tolist() == [older.id, newer.id]


def test_after_a_restart_of_the_machine_a_lost_call_counts_for_what_is_left(
    server: PlainServer, client: scmkit.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A moment on a clock that has begun anew since is as old as the machine is up, at least, and maybe older (F54)."""
    server.answers = [LOST]
    upload(table("old"), client, wait=False).result(5)
    with Journal() as book:
        fence = EarlierJobs(book, claim_of(scmkit.plan(table("new"), key="lot_number")), server.url, 1.0, client.task)
        book.db.execute("update attempts set clock = 90000.0")
        for up_s, held_s in ((1.0, 60.0), (45.0, 30.0), (76.0, 0.0), (1e5, 0.0)):
            monkeypatch.setattr(turns, "clock_s", lambda up_s=up_s: up_s)
            assert fence.held_s() == held_s


def test_a_lost_async_answer_is_asked_about(server: PlainServer, client: scmkit.Client, other: scmkit.Client) -> None:
    """A task that nobody knows of may run for long: the newer job is not kept waiting without a word (F38, I4)."""
    server.answers = [LOST]
    old = upload(table("old"), client, "async")
    assert old.ok
    with pytest.raises(errors.UnsettledError, match=rf"{old.id}.*the answer to one of its async calls was lost"):
        upload(table("new"), other, "async")
    assert upload(table("new", "000002"), other, "async").ok


def test_a_job_that_waits_for_one_that_dies_is_told(
    server: PlainServer, client: scmkit.Client, other: scmkit.Client
) -> None:
    """When the running job ends with a task that nobody follows, the waiting one stops, sends nothing and says why."""
    server.polls_until_complete = 1_000_000
    older = upload(table("old"), client, "async", wait=False)
    while not len(older.tasks):
        older.wait(0.01)
    newer = upload(table("new"), other, "async", wait=False)
    older.cancel(grace_s=0)
    with pytest.raises(errors.UnsettledError, match=rf"{older.id}.*resume\('{newer.id}', anyway=True\)"):
        newer.result(5)
    assert (newer.state, newer.counts(), len(server.seen)) == ("suspended", {"cancelled": 1}, 1)
    server.polls_until_complete = 1
    assert scmkit.resume(older.id, client, progress=False).ok
    assert scmkit.resume(newer.id, other, progress=False).ok
    assert server.codes["Code_00001-"]["wine_name"] == "new"


def test_an_older_job_does_not_go_on_beside_a_newer_one(
    server: PlainServer, client: scmkit.Client, other: scmkit.Client
) -> None:
    """While a newer job over the same codes runs, resuming the older one is refused, before the newer one has sent."""
    server.answers = [(401, {"detail": "Token expired."}, {})]
    older = upload(table("old"), client, wait=False)
    assert older.wait(5)
    arrived, go = server.hold()
    newer = upload(table("new"), other, wait=False)
    with pytest.raises(errors.JournalError, match=f"{newer.id}, made later, may have changed .*, or is about to"):
        scmkit.resume(older.id, client)
    assert arrived.wait(5)
    go.set()
    assert newer.result(5).ok


def test_another_service_is_no_neighbour(server: PlainServer, client: scmkit.Client) -> None:
    """Jobs of a service at another address do not matter."""
    abandoned(client, server)
    claim = claim_of(scmkit.plan(table("new"), key="lot_number"))
    with Journal() as book:
        assert EarlierJobs(book, claim, "https://api.example.com", 1.0, client.task).held_s() == 0.0
        with pytest.raises(errors.UnsettledError):
            EarlierJobs(book, claim, server.url, 1.0, client.task).held_s()


def test_calls_given_up_suspend_the_job(server: PlainServer, client: scmkit.Client) -> None:
    """A call that fails eight times leaves its rows `unknown` and the others applied; resume sends it again."""

    def broken(_: Any, body: dict[str, Any]) -> tuple[int, Any, dict[str, str]] | None:
        return (503, {}, {}) if any(item["lot_number"] == "000003" for item in body["items"]) else None

    server.answers = [broken] * 40
    plan = scmkit.plan(
        table("new", *(f"{i:06d}" for i in range(7))), key="lot_number", mode="sync",
        assumptions=scmkit.Assumptions(max_body_bytes=90),
    )  # fmt: skip
    job = plan.upload(client=client, progress=False)
    assert (job.state, type(job.error)) == ("suspended", errors.UnavailableError)
    assert job.counts()["unknown"] >= 1
    assert job.counts()["applied"] >= 1
    server.answers.clear()
    assert scmkit.resume(job.id, client, progress=False).ok
