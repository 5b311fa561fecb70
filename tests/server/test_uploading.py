"""The way through, against a server that shares no code with the sandbox: what is claimed is what the server holds."""

import re
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from jobs import states
from plain_server import TOKEN, PlainServer

import scmkit
from scmkit.core import errors
from scmkit.uploading import lookup
from scmkit.uploading.run import Run
from scmkit.uploading.upload import prepared

GATEWAY = (504, b"<html><title>504 Gateway Time-out</title></html>", {})


def held(server: PlainServer, df: pd.DataFrame, field: str) -> list[str | None]:
    return [server.codes[i].get(field) for i in df["extended_id"]]


def calls(server: PlainServer, path: str = "/api/v2/scm/upload/") -> list[dict]:
    return [body for _, seen, body in server.seen if seen == path]


def test_the_server_holds_the_table_cell_for_cell(
    table: pd.DataFrame, client: scmkit.Client, server: PlainServer
) -> None:
    """Missing cells stay untouched, leading zeros and accents stay, "" clears, nothing else changes."""
    table["lot_number"] = ["000042"] * 25 + [""] * 25
    before = {code: dict(fields) for code, fields in server.codes.items()}
    job = table.scm.upload(client, verify=True, progress=False)
    assert job.ok
    assert states(job) == {"applied": 50}
    assert held(server, table, "wine_name") == [None if pd.isna(v) else v for v in table["wine_name"]]
    assert held(server, table, "vintage_year") == [str(v) for v in table["vintage_year"]]
    assert held(server, table, "lot_number") == ["000042"] * 25 + [""] * 25
    others = set(server.codes) - set(table["extended_id"])
    assert {c: server.codes[c] for c in others} == {c: before[c] for c in others}


def test_unknown_keys_and_fields_are_never_plain_success(
    table: pd.DataFrame, client: scmkit.Client, server: PlainServer
) -> None:
    """An unknown code is unmatched; an unknown field is named; a row of unknown fields only is discarded."""
    table = pd.concat([table, pd.DataFrame({"extended_id": ["Unknown_code", "Code_00699-"], "colour": ["x", "y"]})])
    job = table.scm.upload(client, progress=False)
    assert not job.ok
    assert job.state == "complete"
    assert job.rows["state"].tolist() == ["applied"] * 50 + ["unmatched", "discarded"]
    assert job.rows["discarded_fields"].tolist() == [()] * 51 + [("colour",)]
    assert job.rows.index.tolist() == table.index.tolist()


def test_rows_of_one_task_are_claimed_only_with_evidence(
    table: pd.DataFrame, client: scmkit.Client, server: PlainServer
) -> None:
    """A task that changed fewer codes than it had keys does not say which: unverified until read back."""
    df = table.assign(wine_name="same", vintage_year=2000)
    df.loc[3, "extended_id"] = "Unknown_code"
    job = df.scm.upload(client, mode="async", progress=False)
    assert states(job) == {"unverified": 50}
    assert len(job.tasks) == 1
    differences = job.verify()
    assert len(differences) == 0
    assert states(job) == {"applied": 49, "unmatched": 1}
    assert job.rows["state"].iloc[3] == "unmatched"


def test_fields_that_a_task_discards_are_found_out(client: scmkit.Client, server: PlainServer) -> None:
    """A task does not name discarded fields: the header of a code download does."""
    df = pd.DataFrame(
        {"lot_number": ["000001", "000002", "nope"], "wine_name": ["a", "b", "c"], "colour": ["r", None, "r"]}
    )
    job = df.scm.upload(client, key="lot_number", progress=False)
    assert job.rows["state"].tolist() == ["applied", "applied", "unmatched"]
    assert job.rows["discarded_fields"].tolist() == [("colour",), (), ()]
    assert not job.ok
    assert sum(c.get("wine_name") == "a" for c in server.codes.values()) == 100


def test_a_504_is_halved_and_never_sent_again_unchanged(
    table: pd.DataFrame, client: scmkit.Client, server: PlainServer
) -> None:
    """Calls of more than 12 rows time out: the pieces get through, and each body is sent once."""
    server.answers = [lambda _, body: GATEWAY if len(body["items"]) > 12 else None] * 99
    job = table.scm.upload(client, mode="sync", progress=False)
    assert job.ok
    bodies = [str(body) for body in calls(server)]
    assert len(bodies) == len(set(bodies))
    assert set(job.calls.loc[job.calls["timed_out"], "outcome"]) == {"not applied"}
    assert job.calls.loc[~job.calls["timed_out"], "rows"].max() <= 12


def test_a_single_row_that_times_out_goes_async(client: scmkit.Client, server: PlainServer) -> None:
    """What no sync call can do, a task does."""
    server.answers = [lambda handler, _: None if "async" in handler.path else GATEWAY] * 99
    df = pd.DataFrame({"lot_number": ["000001", "000002"], "wine_name": ["a", "b"]})
    job = df.scm.upload(client, key="lot_number", mode="sync", progress=False)
    assert job.ok
    assert len(calls(server, "/api/v2/scm/upload/async/")) == 2
    assert job.calls["mode"].tolist()[-2:] == ["async", "async"]


def test_rows_at_fault_are_isolated(table: pd.DataFrame, client: scmkit.Client, server: PlainServer) -> None:
    """A 400 that names nothing is bisected: two poison rows are rejected, the others applied, nothing sent twice."""
    poison = {"Code_00007-", "Code_00031-"}

    def answer(_: object, body: dict) -> tuple | None:
        bad = any(item["extended_id"] in poison for item in body["items"])
        return (400, {"detail": "something is wrong"}, {}) if bad else None

    server.answers = [answer] * 99
    job = table.scm.upload(client, mode="sync", progress=False)
    assert states(job) == {"applied": 48, "rejected": 2}
    rejected = job.rows[job.rows["state"] == "rejected"]
    assert set(rejected["extended_id"]) == poison
    assert rejected["message"].str.contains("something is wrong").all()
    assert len(calls(server)) <= 2 * 2 * int(np.ceil(np.log2(50))) + 2


def test_rows_that_a_400_names_are_rejected_at_once(
    table: pd.DataFrame, client: scmkit.Client, server: PlainServer
) -> None:
    """The rest goes out again, once."""
    server.answers = [(400, {"items": {"3": ["bad"], "4": ["bad"]}}, {})]
    job = table.scm.upload(client, mode="sync", workers=1, progress=False)
    assert states(job) == {"applied": 48, "rejected": 2}
    first, second = calls(server)
    at_fault = {first["items"][3]["extended_id"], first["items"][4]["extended_id"]}
    assert set(job.rows.loc[job.rows["state"] == "rejected", "extended_id"]) == at_fault
    assert len(second["items"]) == 48


@pytest.mark.parametrize(
    "answer", [(500, {}, {}), (502, b"", {}), (503, {}, {"Retry-After": "0"}), (200, b"<html>", {})]
)
def test_passing_failures_are_retried(
    table: pd.DataFrame, client: scmkit.Client, server: PlainServer, answer: tuple
) -> None:
    """The same call goes out again until it is answered."""
    server.answers = [answer] * 3
    job = table.scm.upload(client, progress=False)
    assert job.ok
    assert job.calls["attempts"].sum() == 3 + len(job.calls)


def test_throttling_pauses_and_uses_up_no_attempt(
    table: pd.DataFrame, client: scmkit.Client, server: PlainServer
) -> None:
    """Nobody sends anything for the seconds that the answer names."""
    words = {"detail": "Request was throttled. Expected available in 1 seconds.", "code": "throttled"}
    server.answers = [(429, words, {})]
    job = table.scm.upload(client, progress=False, workers=1)
    assert job.ok
    first, second = server.seen[0][0], server.seen[1][0]
    assert second - first >= 1.0


def test_a_large_body_is_halved_and_the_ceiling_kept(
    table: pd.DataFrame, client: scmkit.Client, server: PlainServer
) -> None:
    """After a 413 no body of that size is sent again."""
    server.answers = [lambda _, body: (413, {"detail": "too large"}, {}) if len(body["items"]) > 30 else None] * 9
    job = table.scm.upload(client, mode="sync", progress=False)
    assert job.ok
    assert [len(body["items"]) for body in calls(server)] == [50, 25, 25]


def test_a_wrong_token_is_one_clear_error(table: pd.DataFrame, server: PlainServer) -> None:
    """Nothing was applied, so the error itself comes out."""
    with scmkit.Client(server.url, "wrong") as client, pytest.raises(PermissionError, match="SCANTRUST_UAT_TOKEN"):
        table.scm.upload(client, progress=False)


def test_a_token_that_expires_midway_suspends(table: pd.DataFrame, client: scmkit.Client, server: PlainServer) -> None:
    """What was applied is told, what was not sent is told, and the error is kept; nothing is raised after writes."""
    server.answers = [None, (401, {"detail": "Token expired."}, {}), (401, {"detail": "Token expired."}, {})]
    df = table.assign(wine_name=[f"different {i}" for i in range(50)])
    plan = scmkit.plan(df, assumptions=scmkit.Assumptions(max_body_bytes=1_000), workers=1)
    job = scmkit.upload(plan, client, progress=False)
    assert (job.state, job.ok, type(job.error)) == ("suspended", False, errors.AuthenticationError)
    applied = [server.codes[i].get("wine_name") is not None for i in df["extended_id"]]
    assert (job.rows["state"] == "applied").tolist() == applied
    assert set(job.rows["state"]) == {"applied", "cancelled"}


def test_a_failed_task_is_repeated_once_then_rejected(client: scmkit.Client, server: PlainServer) -> None:
    """A task that fails twice rejects its rows."""
    server.tasks = {"task-x": {"id": "task-x", "state": "error", "codesAffected": None, "polls": 0}}
    server.answers = [lambda handler, body: (200, {"task_id": "task-x"}, {})] * 9
    df = pd.DataFrame({"lot_number": ["000001"], "wine_name": ["a"]})
    job = df.scm.upload(client, key="lot_number", progress=False)
    assert states(job) == {"rejected": 1}
    assert len(server.seen) == 2


def test_the_background_job_does_not_block(table: pd.DataFrame, client: scmkit.Client, server: PlainServer) -> None:
    """wait=False gives the job at once; result() waits for it, and in vain only with a timeout."""
    gate = threading.Event()
    server.answers = [lambda *_: gate.wait(5) and None]
    begun = time.monotonic()
    job = table.scm.upload(client, wait=False, workers=1)
    assert time.monotonic() - begun < 1
    assert not job.done()
    with pytest.raises(TimeoutError, match="still running"):
        job.result(timeout=0.05)
    assert set(job.rows["state"]) == {"pending"}
    gate.set()
    assert job.result(timeout=5).ok


def test_cancel_leaves_an_honest_state(table: pd.DataFrame, client: scmkit.Client, server: PlainServer) -> None:
    """Rows never sent are cancelled; rows under way without an answer are unknown; nobody is lost."""
    gate = threading.Event()
    server.answers = [None, lambda *_: gate.wait(5) and None]
    plan = scmkit.plan(table, assumptions=scmkit.Assumptions(max_body_bytes=1_000), workers=1)
    job = scmkit.upload(plan, client, wait=False)
    while len(server.seen) < 2:
        time.sleep(0.01)
    job.cancel(grace_s=0.1)
    assert job.result(timeout=5).state == "cancelled"
    sizes = [len(plan.rows_of(c)) for c in range(2)]
    assert states(job) == {"applied": sizes[0], "unknown": sizes[1], "cancelled": 50 - sum(sizes)}
    gate.set()


def test_an_unreachable_server_stops_the_job() -> None:
    """After the retries there is one clear error, and nothing was sent."""
    limits = scmkit.Limits(speed=1000, connect_s=0.5)
    with scmkit.Client("http://127.0.0.1:9", "t0ken", limits=limits) as client:
        job = pd.DataFrame({"extended_id": ["Code_00000-"], "a": ["b"]}).scm.upload(client, wait=False)
        with pytest.raises(ConnectionError, match="cannot reach"):
            job.result(timeout=20)
    assert states(job) == {"cancelled": 1}


def test_threads_end_with_the_job(table: pd.DataFrame, client: scmkit.Client) -> None:
    """Neither a worker nor the job's own thread stays behind, and all of them are daemons."""
    job = table.scm.upload(client, wait=False)
    assert all(t.daemon for t in threading.enumerate() if t.name.startswith("scmkit"))
    job.result(timeout=10)
    deadline = time.monotonic() + 5
    while any(t.name.startswith("scmkit") for t in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not [t.name for t in threading.enumerate() if t.name.startswith("scmkit")]


def test_listeners_hear_what_the_ledger_knows(table: pd.DataFrame, client: scmkit.Client) -> None:
    """One stream of events feeds everybody; the last one is the end."""
    heard: list[object] = []
    plan = scmkit.plan(table)
    run = prepared(plan, client)
    job = scmkit.UploadJob(run)
    job.subscribe(heard.append)
    run.begin()
    job.result(timeout=10)
    assert isinstance(heard[-1], scmkit.core.events.Ended)
    settled = np.concatenate([e.rows for e in heard if isinstance(e, scmkit.core.events.Settled)])
    assert sorted(settled.tolist()) == list(range(50))


def test_a_read_back_that_fails_does_not_hide_the_upload(
    table: pd.DataFrame, client: scmkit.Client, server: PlainServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows are told as they are, the job is not ok, and its error says why nothing is proven."""

    def unavailable(**filters: object) -> None:
        raise errors.UnavailableError(503, "no documents today")

    monkeypatch.setattr(client, "download_codes", unavailable)
    job = table.scm.upload(client, verify=True, progress=False)
    assert states(job) == {"applied": 50}
    assert not job.ok
    assert "no documents today" in job.summary()


def test_a_job_shows_itself(table: pd.DataFrame, client: scmkit.Client, tmp_path: pd.DataFrame) -> None:
    """Text, HTML and report tell the same, escaped, without the token."""
    table.loc[0, "extended_id"] = "<script>alert(1)</script>"
    job = table.scm.upload(client, errors="reject", progress=False)
    job.report(tmp_path / "report.html")
    for text in (repr(job), job._repr_html_(), (tmp_path / "report.html").read_text(encoding="utf-8")):
        assert re.search("49 applied|49 of 50 rows", text)
        assert "<script>alert" not in text
        assert TOKEN not in text
    assert job.rows["message"].iloc[0]


def test_options_of_a_plan_do_not_go_with_a_plan(table: pd.DataFrame, client: scmkit.Client) -> None:
    """A made plan is not silently made again."""
    with pytest.raises(errors.PlanError, match="risk"):
        scmkit.upload(scmkit.plan(table), client, risk=0.5)


def test_a_running_job_cannot_be_verified(table: pd.DataFrame, client: scmkit.Client, server: PlainServer) -> None:
    """Nothing is read back while rows are still pending; calls under way are in the list, without an outcome."""
    gate = threading.Event()
    server.answers = [lambda *_: gate.wait(5) and None]
    job = table.scm.upload(client, wait=False, workers=1)
    while not server.seen:
        time.sleep(0.01)
    with pytest.raises(errors.PlanError, match="still running"):
        job.verify()
    assert job.calls["outcome"].tolist() == ["unknown"]
    gate.set()
    assert len(job.result(timeout=5).verify()) == 0


def test_a_strange_download_takes_nothing_back(
    table: pd.DataFrame, client: scmkit.Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A read-back that cannot compare, whatever the reason, is told; the job and its rows are given all the same."""
    strange = tmp_path / "strange.csv"
    strange.write_text("extended_id,extended_id\nCode_00001-,x\n")
    monkeypatch.setattr(client, "download_codes", lambda **_: strange)
    monkeypatch.setattr(lookup, "compare", lambda *_: {}["extended_id"])
    job = table.scm.upload(client, verify=True, progress=False)
    assert (job.state, states(job), job.ok) == ("complete", {"applied": 50}, False)
    assert "not read back: 'extended_id'" in job.summary()


def test_a_job_without_a_thread_is_in_nobodys_way(
    table: pd.DataFrame, client: scmkit.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C at the last moment before the job runs, or no thread to be had: nothing is sent, and it can be resumed."""
    with monkeypatch.context() as patch:
        patch.setattr(Run, "start", lambda _: {}["no thread"])
        with pytest.raises(KeyError, match="no thread"):
            table.scm.upload(client, progress=False)
    ((job, state),) = scmkit.jobs()[["id", "state"]].to_numpy()
    assert state == "interrupted"
    assert table.scm.upload(client, progress=False, wait=False).result(5).ok
    with pytest.raises(errors.JournalError, match="made later"):
        scmkit.resume(job, client, progress=False)
    assert scmkit.resume(job, client, progress=False, anyway=True).ok
