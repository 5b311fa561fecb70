"""Two jobs over the same codes: whoever made them, the newer one has the last word, or is told why it cannot (I4)."""

import threading
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
from plain_server import PlainServer

import scmkit
from scmkit import errors
from scmkit.fences import LATE_S, Fence, claim_of
from scmkit.journal import Journal
from scmkit.models import Mode

LOST = (200, b"{", {"Content-Length": "100", "Connection": "close"})  # applied or not: nobody knows


@pytest.fixture
def other(server: PlainServer, client: scmkit.Client) -> Iterator[scmkit.Client]:
    """A second client of the same service, as another notebook would have one."""
    with scmkit.Client(server.url, server.token, limits=client.limits) as made:
        yield made


def table(value: str, *lots: str) -> pd.DataFrame:
    return pd.DataFrame({"lot_number": lots or ("000001",), "wine_name": value})


def hold(server: PlainServer, count: int = 1) -> tuple[threading.Event, threading.Event]:
    """Let the next calls wait until they are let go; tell when the first is there."""
    arrived, go = threading.Event(), threading.Event()

    def held(*_: Any) -> None:
        server.lock.release()
        arrived.set()
        go.wait(10)
        server.lock.acquire()

    server.answers = [held] * count
    return arrived, go


def upload(df: pd.DataFrame, client: scmkit.Client, mode: str = "sync", **options: Any) -> scmkit.UploadJob:
    return df.scm.upload(client, key="lot_number", mode=mode, progress=False, **options)


def abandoned(client: scmkit.Client, server: PlainServer) -> scmkit.UploadJob:
    """A cancelled job whose task is still under way."""
    server.polls_until_complete = 1_000_000
    job = upload(table("old"), client, "async", wait=False)
    while not len(job.tasks):
        job._ended.wait(0.01)
    job.cancel(grace_s=0)
    return job.result(5)


def test_a_job_waits_for_one_of_another_client(
    server: PlainServer, client: scmkit.Client, other: scmkit.Client
) -> None:
    """A running job of the journal goes first, though the newer one has a client of its own."""
    arrived, go = hold(server)
    older = upload(table("old"), client, wait=False)
    assert arrived.wait(5)
    told = threading.Event()
    newer = upload(table("new"), other, wait=False)
    newer.subscribe(lambda event: told.set())
    assert not newer._ended.wait(0.5)
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
    arrived, go = hold(server)
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


def test_anyway_means_now(server: PlainServer, client: scmkit.Client, other: scmkit.Client) -> None:
    """upload(..., anyway=True) does not ask the journal; resuming the older job needs the same word then."""
    old = abandoned(client, server)
    server.polls_until_complete = 1
    assert upload(table("new"), other, "async", anyway=True).ok
    with pytest.raises(errors.JournalError, match="made later"):
        scmkit.resume(old.id, client)
    assert scmkit.resume(old.id, client, progress=False, anyway=True).ok


def test_a_lost_sync_call_is_waited_for(server: PlainServer, client: scmkit.Client, other: scmkit.Client) -> None:
    """Until the gateway must have cut it, a call without an answer may still take effect."""
    server.answers = [LOST]
    upload(table("old"), client, wait=False).result(5)
    with Journal() as book:
        fence = Fence(book, claim_of(scmkit.plan(table("new"), key="lot_number")), server.url, client.limits.speed)
        left = fence.held_s()
        assert 0 < left <= LATE_S[Mode.SYNC] / client.limits.speed
        book.db.execute("update attempts set at = at + 3600")  # the clock was an hour off
        assert fence.held_s() == LATE_S[Mode.SYNC] / client.limits.speed
        book.db.execute("update attempts set at = at - 7200")
        assert fence.held_s() == 0.0
    assert upload(table("new"), other).ok


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
        older._ended.wait(0.01)
    newer = upload(table("new"), other, "async", wait=False)
    older.cancel(grace_s=0)
    with pytest.raises(errors.UnsettledError, match=older.id):
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
    assert older._ended.wait(5)
    arrived, go = hold(server)
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
        assert Fence(book, claim, "https://api.example.com", 1.0).held_s() == 0.0
        with pytest.raises(errors.UnsettledError):
            Fence(book, claim, server.url, 1.0).held_s()


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
