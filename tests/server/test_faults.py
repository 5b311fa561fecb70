"""Everything that can go wrong on the way, one scenario a test, judged by what the server holds and has seen.

The numbers are those of the catalogue of faults. `World.check` holds the invariants that all scenarios share: every row
has one end (I1, I3), the codes hold what `applied` rows say and nothing else changed (I2), no value is ever set that
the table does not hold (I4), nothing is claimed beyond that (I6), and the token is in no text (I8).

The service's clock runs 50 times faster than ours, so that its 60 s gateway is 1.2 s.
"""

# ruff: noqa: N802 - the tests are called by the numbers of their scenarios

import json
import logging
import math
import pickle
import re
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import fault_server
import numpy as np
import pandas as pd
import pytest
import urllib3
from fault_server import (
    ASYNC,
    BROKEN_CHUNK,
    BROKEN_GZIP,
    Exchange,
    Fault,
    FaultServer,
    answers,
    drips,
    hangs,
    limited,
    normal,
    resets,
    sends,
    task,
    truncated,
)
from jobs import states

import scmkit
from scmkit import Assumptions, Client, Limits, UploadJob
from scmkit.core import errors
from scmkit.uploading.upload import prepared

SPEED = 50.0
FAST = Limits(updates_per_second=200, speed=SPEED, connect_s=0.5, read_s=0.5, deadline_s=1.0)
FIELDS = ["lot_number", "wine_name", "vintage_year"]
SMALL = Assumptions(max_body_bytes=1_000)  # about ten rows a call
ENDS = {"applied", "discarded", "unmatched", "unverified", "rejected", "superseded", "cancelled", "unknown"}
MAY_HAVE_CHANGED = {"unverified", "unknown"}
OK = b"HTTP/1.1 200 OK\r\n\r\n"
OK_PAGE = b"<html><title>Please sign in</title></html>"


def table(rows: int = 40, vintage: int = 1990) -> pd.DataFrame:
    """Rows that differ, keyed by extended_id, a cell missing in every fifth."""
    return pd.DataFrame(
        {
            "extended_id": [f"Code_{i:05d}-" for i in range(rows)],
            "wine_name": [None if i % 5 == 0 else f"Château {i}" for i in range(rows)],
            "vintage_year": [str(vintage + i % 30) for i in range(rows)],
        }
    )


def lots(*numbers: int) -> pd.DataFrame:
    """A row per lot of 20 codes."""
    return pd.DataFrame({"lot_number": [f"{n:06d}" for n in numbers], "wine_name": [f"Lot {n}" for n in numbers]})


@dataclass
class World:
    """A server with 200 codes in 10 lots, a client of it, and the judge of what an upload claims."""

    server: FaultServer
    client: Client
    log: pytest.LogCaptureFixture

    def __post_init__(self) -> None:
        self.before = {code: dict(values) for code, values in self.server.codes.items()}

    def upload(self, df: pd.DataFrame, *, key: str = "extended_id", check: bool = True, **options: object) -> UploadJob:
        """Upload, wait for the end, and judge it."""
        client = options.pop("client", self.client)
        job = scmkit.upload(df, client, key, wait=False, **{"assumptions": SMALL, "journal": False} | options)
        assert job.wait(30), job.summary()
        if check:
            self.check(job, df, key)
        return job

    def check(self, job: UploadJob, df: pd.DataFrame, key: str = "extended_id") -> None:
        """Hold a job's claims against the server's own state."""
        self.server.settle()
        rows = job.rows
        assert rows["row"].tolist() == list(range(len(df)))
        assert set(rows["state"]) <= ENDS
        touched: set[str] = set()
        for state, lost, sent in zip(rows["state"], rows["discarded_fields"], _sent(df), strict=True):
            codes = [c for c, held in self.before.items() if sent[key] in (c if key == "extended_id" else held[key],)]
            values = {name: text for name, text in sent.items() if name != key}
            self._check_row(state, codes, values, lost)
            touched.update(codes)
        others = self.before.keys() - touched
        assert {c: self.server.codes[c] for c in others} == {c: self.before[c] for c in others}
        self._check_secrets(job)

    def _check_row(self, state: str, codes: list[str], values: dict[str, str], lost: tuple[str, ...]) -> None:
        kept = {name: text for name, text in values.items() if name not in lost}
        for code in codes:
            held, was = self.server.codes[code], self.before[code]
            if state == "applied":
                assert held == was | kept, code
            elif state not in MAY_HAVE_CHANGED:
                assert held == was, (code, state)
            for name in held.keys() | values.keys():
                assert set(self.server.history[code, name]) <= {values.get(name)}
        assert codes or state not in ("applied", "discarded")
        assert not (codes and state == "unmatched")

    def _check_secrets(self, job: UploadJob) -> None:
        for told in (job, job._repr_html_(), job.rows.to_string(), job.calls.to_string(), job.tasks.to_string()):
            assert self.server.token not in str(told)
        assert self.server.token.encode() not in pickle.dumps(job.error)
        assert self.server.token not in self.log.text
        for exchange in self.server.exchanges:
            elsewhere = {k: v for k, v in exchange.headers.items() if k != "authorization"}
            assert self.server.token not in f"{exchange.path}{elsewhere}{exchange.received}"

    def another_client(self, **limits: object) -> Client:
        """Connect once more, with other limits."""
        return Client(self.server.url, self.server.token, limits=Limits(**vars(FAST) | limits))


def _sent(df: pd.DataFrame) -> list[dict[str, str]]:
    return [{k: v for k, v in row.items() if isinstance(v, str)} for row in df.to_dict("records")]


def most_in_a_second(arrivals: list[float]) -> int:
    times = np.sort(arrivals)
    return int((np.searchsorted(times, times + 1.0) - np.arange(len(times))).max())


def codes() -> dict[str, dict[str, str]]:
    return {f"Code_{i:05d}-": {"lot_number": f"{i % 10:06d}"} for i in range(200)}


@pytest.fixture
def world(caplog: pytest.LogCaptureFixture) -> Iterator[World]:
    caplog.set_level(logging.DEBUG)
    with fault_server.serve(FIELDS, codes()) as server, Client(server.url, server.token, limits=FAST) as client:
        yield World(server, client, caplog)


# Nothing gets through


def test_F01_refused_then_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is not up yet is waited for."""
    connect, refusals = urllib3.util.connection.create_connection, iter(range(6))

    def create_connection(*args: object, **options: object) -> socket.socket:
        if next(refusals, None) is not None:
            raise ConnectionRefusedError(111, "Connection refused")
        return connect(*args, **options)

    monkeypatch.setattr("urllib3.util.connection.create_connection", create_connection)
    job = world.upload(table())
    assert job.ok
    assert world.server.accepted > 0


def test_F02_dns_fails_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is not found is asked for again."""
    resolve, failures = socket.getaddrinfo, iter(range(2))

    def getaddrinfo(*args: object, **options: object) -> object:
        if next(failures, None) is not None:
            raise socket.gaierror(-3, "Temporary failure in name resolution")
        return resolve(*args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert world.upload(table()).ok


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ignores connections beyond the backlog")
def test_F03_connecting_hangs(world: World) -> None:
    """Each attempt to connect ends at its timeout, and nothing counts as sent."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.socket() as first, socket.socket() as second:
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        limits = Limits(connect_s=0.05, speed=1000)
        with Client(f"http://127.0.0.1:{full.getsockname()[1]}", world.server.token, limits=limits) as client:
            job = world.upload(table(5), client=client)
    assert isinstance(job.error, errors.NotSentError)
    assert states(job) == {"cancelled": 5}
    assert job.calls["seconds"].max() / limits.speed < 2.0


def test_F04_bad_certificate(world: World, tmp_path: Path) -> None:
    """A certificate that nobody vouches for stops the job before a byte is sent (S14)."""
    (tmp_path / "server.pem").write_text(CERTIFICATE)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "server.pem")
    with fault_server.serve(FIELDS, codes(), tls) as server, Client(server.url, server.token, limits=FAST) as client:
        job = world.upload(table(), client=client)
        assert (server.accepted > 0, server.exchanges) == (True, [])
    assert isinstance(job.error, errors.ConfigurationError)
    assert "certificate" in str(job.error)
    assert states(job) == {"cancelled": 40}


def test_a_failed_handshake_is_not_sent(world: World) -> None:
    """A TLS connection that breaks before the request is tried again; only a bad certificate stops the job."""
    url = world.server.url.replace("http:", "https:")
    with Client(url, world.server.token, limits=FAST) as client, pytest.raises(errors.NotSentError):
        client.me()


# Answers that get lost


@pytest.mark.parametrize("apply", [None, True, False], ids=["F05", "F06", "F07"])
def test_F05_F06_F07_resets(world: World, apply: bool | None) -> None:
    """Reset before the body is read, after the call was applied, or without applying it: sent again, all applied."""
    world.server.script = [resets(apply)] * 3
    job = world.upload(table())
    assert job.ok
    assert job.calls["attempts"].sum() == 3 + len(job.calls)


@pytest.mark.parametrize("apply", [None, True], ids=["F05", "F06"])
def test_a_call_that_is_always_reset_is_unknown(world: World, apply: bool | None) -> None:
    """Whether it was applied or not looks the same from here, so neither is claimed."""
    world.server.rule = resets(apply)
    job = world.upload(table(8))
    assert states(job) == {"unknown": 8}


def test_F08_closed_without_an_answer(world: World) -> None:
    """A connection that just ends is a lost answer."""
    world.server.script = [sends(b"", apply=False), sends(b"", apply=True)]
    assert world.upload(table()).ok


def test_F09_stale_keep_alive(world: World) -> None:
    """A kept connection that dies with the next request on it costs one more attempt, nothing else."""

    def once(exchange: Exchange) -> None:
        normal(exchange)
        exchange.connection.recv(1)  # the next request has begun
        exchange.reset()

    world.server.script = [once]
    job = world.upload(table(), workers=1)
    assert job.ok
    assert job.calls["attempts"].sum() == 1 + len(job.calls)


def test_F10_read_timeout_then_applied(world: World) -> None:
    """A call that is applied after we gave up on it changes nothing that its repeat did not set."""
    world.server.script = [hangs(0.8, apply_after=0.7)]
    job = world.upload(table(10))
    assert job.ok
    assert max(map(len, world.server.history.values())) == 2


def test_F11_a_newer_job_waits_for_the_older_one(world: World) -> None:
    """A lost call may be applied for a gateway timeout: a newer job over the same codes waits until then."""
    late = 59 / SPEED
    world.server.script = [resets(late)]
    old, new = table(10), table(10, vintage=2010)
    first = scmkit.upload(old, world.client, wait=False, journal=False)
    second = world.upload(new, check=False)
    assert (first.ok, second.ok) == (True, True)
    world.server.settle()
    for code, year in zip(new["extended_id"], new["vintage_year"], strict=True):
        assert world.server.history[code, "vintage_year"][-1] == year
    apart = world.upload(table(60).iloc[20:], check=False)
    assert apart.ok


def test_jobs_over_other_codes_or_fields_do_not_wait(world: World) -> None:
    """Only what may collide waits, and a job that waits can be cancelled."""
    world.server.script = [hangs(20)]
    with world.another_client(read_s=30, deadline_s=30) as client:
        slow = scmkit.upload(table(5), client, wait=False, journal=False)
        while not world.server.exchanges:
            time.sleep(0.01)
        assert world.upload(table(30).iloc[10:], client=client, check=False).ok
        others = table(5)[["extended_id"]].assign(lot_number="000042")
        assert world.upload(others, client=client, check=False).ok
        waiting = scmkit.upload(table(5, vintage=2010), client, wait=False, journal=False)
        time.sleep(0.1)
        assert not waiting.done()
        waiting.cancel(0.0)
        assert states(waiting.result(5)) == {"cancelled": 5}
        slow.cancel(0.0)
        assert states(slow.result(5)) == {"unknown": 5}


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"HTTP/1.1 200 OK\r\nX-Drip: "],
    ids=["body", "headers"],
)
def test_F12_a_drip_is_cut_at_the_deadline(world: World, head: bytes) -> None:
    """Neither a body nor a header that never ends keeps a worker (S16)."""
    world.server.script = [drips(head, seconds=10)]
    begun = time.monotonic()
    assert world.upload(table(10)).ok
    assert time.monotonic() - begun < 8


@pytest.mark.parametrize("apply", [True, False], ids=["applied", "not applied"])
@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(truncated(b'{"total_updates": 1, "items": {'), id="F13 truncated"),
        pytest.param(BROKEN_CHUNK, id="F14 chunk"),
        pytest.param(BROKEN_GZIP, id="F15 gzip"),
        pytest.param(OK + OK_PAGE, id="F16 html"),
        pytest.param(OK + b"null", id="F17 null"),
        pytest.param(OK + b"[]", id="F17 list"),
        pytest.param(OK + b'{"items": {}, "codes_affected": NaN}', id="F17 NaN"),
        pytest.param(OK + b'{"items":' * 100_000, id="deep"),
        pytest.param(b"nonsense\r\n\r\n", id="no HTTP"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", id="bad length"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", id="many headers"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", id="cut headers"),
    ],
)
def test_F13_to_F17_unreadable_answers(world: World, raw: bytes, apply: bool) -> None:
    """An answer that cannot be read is not believed, in no way: the call is made again."""
    world.server.script = [sends(raw, apply), sends(raw, apply)]
    job = world.upload(table(10))
    assert job.ok
    assert job.calls["attempts"].sum() == 3


def test_F18_a_huge_answer_is_capped(world: World) -> None:
    """More than the cap is not read (S16)."""
    world.server.script = [sends(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n" + b" " * 300_000)]
    with world.another_client(answer_bytes=100_000) as client:
        job = world.upload(table(10), client=client)
    assert job.ok
    assert job.calls["attempts"].sum() == 2


# The gateway and its servers


def test_F19_one_504_is_halved(world: World) -> None:
    """What timed out goes out again in halves, never unchanged."""
    world.server.script = [answers(504, OK_PAGE)]
    job = world.upload(table(10))
    assert job.ok
    first, *halves = (e.size for e in world.server.calls())
    assert len(halves) == 2
    assert first > max(halves)


def test_F20_504_always_goes_async(world: World) -> None:
    """What no sync call can do, tasks do."""
    world.server.rule = lambda e: normal(e) if e.path == ASYNC else answers(504, OK_PAGE)(e)
    job = world.upload(lots(1, 2, 3), key="lot_number", mode="sync")
    assert job.ok
    bodies = [str(e.body) for e in world.server.exchanges if e.method == "POST"]
    assert len(bodies) == len(set(bodies))


def test_F21_a_504_that_did_apply(world: World) -> None:
    """The documentation says that it did not; if it did, its values are those that come anyway."""
    world.server.script = [answers(504, OK_PAGE, apply=True)]
    assert world.upload(table(10)).ok


def test_F22_a_burst_of_502_and_503(world: World) -> None:
    """After five failures in a row only one call is out at a time, and the bursts' calls all get through in the end."""
    out, most = [0], []

    def down(exchange: Exchange) -> None:
        with world.server.lock:
            out[0] += 1
            most.append(out[0])
        time.sleep(0.03)
        with world.server.lock:
            out[0] -= 1
        answers(502 if len(most) % 2 else 503, OK_PAGE)(exchange)

    world.server.script = [down] * 22
    with world.another_client(speed=100) as client:
        job = world.upload(table(160), client=client)
    assert job.ok
    assert max(most) > 1
    assert set(most[16:]) == {1}


def test_F23_a_row_that_breaks_the_server_is_isolated(world: World) -> None:
    """A 500 that stays is narrowed down; the others are applied."""
    poison = "Code_00007-"
    world.server.rule = lambda e: answers(500)(e) if poison in str(e.body) else normal(e)
    job = world.upload(table(40))
    assert states(job) == {"applied": 39, "unknown": 1}
    assert job.rows.set_index("extended_id").loc[poison, "state"] == "unknown"


# Throttling


def throttled(words: str = "", header: str | None = None) -> Fault:
    return answers(429, {"detail": words, "code": "throttled"}, {} if header is None else {"Retry-After": header})


@pytest.mark.parametrize(
    ("fault", "wait"),
    [
        pytest.param(throttled(header="1"), 1.0, id="F24 header"),
        pytest.param(throttled("Expected available in 1 seconds."), 1.0, id="F25 text"),
        pytest.param(throttled(), 1.0 / SPEED, id="F26 neither"),
        pytest.param(throttled(header="soon"), 1.0 / SPEED, id="F27 soon"),
        pytest.param(throttled(header="-1"), 1.0 / SPEED, id="F27 -1"),
        pytest.param(throttled(header="1000000000"), 1.0 / SPEED, id="F27 1e9"),
        pytest.param(throttled(header="Wed, 21 Oct 2026 07:28:00 GMT"), 1.0 / SPEED, id="F27 date"),
    ],
)
def test_F24_to_F27_throttled(world: World, fault: Fault, wait: float) -> None:
    """Everybody waits as long as the answer says; nonsense counts as nothing; no attempt is used up."""
    world.server.script = [fault]
    job = world.upload(table(20), workers=1)
    assert job.ok
    assert np.diff(world.server.arrivals)[0] >= wait


def test_F28_a_storm_of_429_is_one_pause(world: World) -> None:
    """Eight workers are throttled at once: one common pause, half the pace, and never more than ten in a second."""
    told: list[object] = []
    all_there = threading.Barrier(4)

    def storm(exchange: Exchange) -> None:
        all_there.wait(5)
        throttled(header="1")(exchange)

    world.server.script = [storm] * 4
    with world.another_client(updates_per_second=10, speed=1) as client:
        plan = scmkit.plan(table(200), assumptions=Assumptions(max_body_bytes=900))
        run = prepared(plan, client, journal=False)
        job = UploadJob(run)
        job.subscribe(told.append)
        run.begin()
        job.result(30)
    world.check(job, table(200))
    assert job.ok
    assert most_in_a_second(world.server.arrivals) <= 10
    assert len([e for e in told if isinstance(e, scmkit.core.events.Paused)]) == 1
    assert np.sum(np.diff(world.server.arrivals) >= 1.0) == 1


# Calls that are refused


def test_F29_a_400_that_names_items(world: World) -> None:
    """Three of a hundred are named: they are rejected, the others go out once more and are applied."""
    world.server.script = [answers(400, {"items": {"3": ["bad"], "50": ["bad"], "99": ["bad"]}})]
    job = world.upload(table(100), assumptions=Assumptions(), mode="sync", workers=1)
    assert states(job) == {"applied": 97, "rejected": 3}
    assert len(world.server.calls()) == 2


@pytest.mark.parametrize("bad", [{0}, {127}, {5, 77}, {1, 2, 3}])
def test_F30_an_opaque_400_is_bisected(world: World, bad: set[int]) -> None:
    """At most 2 log2(n) calls per bad row and the one that met them, none sent twice, the others applied."""
    poison = {f"Code_{i:05d}-" for i in bad}
    world.server.rule = lambda e: (
        answers(400, {"detail": "?"})(e) if poison & {i["extended_id"] for i in e.body["items"]} else normal(e)
    )
    with world.another_client(read_s=10, deadline_s=20) as client:  # none is late on a busy machine
        job = world.upload(table(128), assumptions=Assumptions(), mode="sync", workers=1, client=client)
    assert set(job.rows.loc[job.rows["state"] == "rejected", "extended_id"]) == poison
    assert states(job)["applied"] == 128 - len(bad)
    assert len(world.server.calls()) <= 1 + 2 * math.log2(128) * len(bad)
    bodies = [str(e.body) for e in world.server.calls()]
    assert len(bodies) == len(set(bodies))


def test_F31_401_midway(world: World, tmp_path: Path) -> None:
    """The job stops; what was not sent is known, and goes out with a new token, from the journal and nothing else."""
    world.server.script = [normal, normal]
    world.server.rule = answers(401, {"detail": "Token expired."})
    df, journal = table(), tmp_path / "journal.sqlite3"
    job = world.upload(df, journal=journal)
    assert job.state == "suspended"
    assert isinstance(job.error, errors.AuthenticationError)
    assert set(states(job)) == {"applied", "cancelled"}
    unsent = set(job.rows.query("state == 'cancelled'")["extended_id"])
    world.server.rule, world.server.token, calls = normal, "another-canary-51c0de", len(world.server.calls())
    with Client(world.server.url, world.server.token, limits=FAST) as renewed:
        again = scmkit.resume(job.id, renewed, journal, progress=False)
    assert again.ok
    world.check(again, df)
    assert {item["extended_id"] for call in world.server.calls()[calls:] for item in call.body["items"]} == unsent


def test_F32_403_names_the_permissions(world: World) -> None:
    """It stops, and says what the token lacks."""
    world.server.rule = answers(403, {"detail": "You do not have permission."})
    job = world.upload(table())
    with pytest.raises(PermissionError, match="scm_bulk_edit"):
        job.result()
    assert states(job) == {"cancelled": 40}


def test_F33_413_is_halved_and_the_ceiling_kept(world: World) -> None:
    """No body of a size that was too large once goes out again; a single row that is too large is rejected."""
    most = 700
    world.server.rule = lambda e: normal(e) if e.size < most else answers(413, OK_PAGE)(e)
    df = table(60)
    df.loc[7, "wine_name"] = "x" * 800
    job = world.upload(df, assumptions=Assumptions(max_body_bytes=2500), workers=1)
    assert states(job) == {"applied": 59, "rejected": 1}
    refused = [e.size for e in world.server.calls() if e.size >= most]
    assert len(refused) <= 2 + 2 * math.ceil(math.log2(2500 / most)) + 1


@pytest.mark.parametrize("elsewhere", [True, False], ids=["F35 another host", "F34 a login page"])
def test_F34_F35_redirects_are_not_followed(world: World, elsewhere: bool) -> None:
    """An error, no GET, and nobody else sees the token (S13)."""
    with fault_server.serve(FIELDS, {}) as other:
        target = (other if elsewhere else world.server).url + "/login"
        world.server.rule = answers(302, OK_PAGE, {"Location": target})
        job = world.upload(table())
        assert (other.accepted, {e.method for e in world.server.exchanges}) == (0, {"POST"})
    assert isinstance(job.error, errors.RedirectError)
    assert states(job) == {"cancelled": 40}


def test_a_redirect_with_an_unreadable_target_is_a_redirect(world: World) -> None:
    """Nothing in an answer is parsed that we do not need."""
    world.server.rule = answers(302, b" " * 1000, {"Location": "http://[::1"})
    assert isinstance(world.upload(table(5)).error, errors.RedirectError)


def test_F36_F37_unknown_fields_and_codes(world: World) -> None:
    """What the campaign does not define is discarded, what no code carries is unmatched; neither is success."""
    df = pd.concat([table(10), pd.DataFrame({"extended_id": ["Unknown_code", "Code_00150-"]})], ignore_index=True)
    df["colour"] = "red"
    job = world.upload(df)
    assert states(job) == {"applied": 10, "unmatched": 1, "discarded": 1}
    assert set(job.rows["discarded_fields"][:10]) == {("colour",)}
    assert not job.ok


# Tasks


@pytest.mark.parametrize("lost", [resets(True), resets(False), answers(200, OK_PAGE, apply=True), answers(200, {})])
def test_F38_the_answer_to_an_async_call_is_lost(world: World, lost: Fault) -> None:
    """The call is made again; two tasks that set the same have one effect."""
    world.server.script = [lost]
    job = world.upload(lots(1), key="lot_number", mode="async")
    assert job.ok


def test_F39_a_task_is_not_found_at_first(world: World) -> None:
    """A 404 may be too early."""
    world.server.polls_script = [answers(404, {"detail": "Not found."})] * 4
    assert world.upload(lots(1, 2), key="lot_number", mode="async").ok


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        pytest.param(answers(404, {"detail": "Not found."}), "answered 404: Not found", id="404"),
        pytest.param(answers(200, OK_PAGE), "not JSON: Please sign in", id="html"),
        pytest.param(answers(200, []), "a list instead of an object", id="list"),
        pytest.param(answers(418, {"detail": "no"}), "answered 418", id="418"),
        pytest.param(sends(b"nonsense", apply=False), "did not answer completely", id="garbage"),
        pytest.param(sends(truncated(b"{"), apply=False), "did not answer completely", id="truncated"),
    ],
)
def test_F60_polls_that_are_answered_wrongly_for_ever(world: World, fault: Fault, words: str, tmp_path: Path) -> None:
    """It is said at once, ends within two minutes of the service's clock, and a resume follows the tasks."""
    world.server.poll_rule, journal = fault, tmp_path / "journal.sqlite3"
    with world.another_client(speed=400) as client:
        job = scmkit.upload(lots(*range(10)), client, "lot_number", "async", wait=False, journal=journal)
        while not (waiting := job.progress().waiting):
            assert not job.done()
            time.sleep(0.002)
        assert re.search(r"no word about task task-\d.* since \d\d:\d\d:\d\d: ", waiting)
        assert words in waiting
        assert job.wait(10)
    world.check(job, lots(*range(10)), "lot_number")
    assert (job.state, states(job)) == ("suspended", {"unknown": 10})
    assert all(words in message for message in job.rows["message"])
    assert words in str(job.error)
    world.server.poll_rule = normal
    assert scmkit.resume(job.id, world.client, journal, progress=False).ok
    assert len(world.server.calls(ASYNC)) == 10


def elsewhere(exchange: Exchange) -> None:
    answers(302, OK_PAGE, {"Location": "https://login.example.com/?next=x"})(exchange)


def in_a_circle(exchange: Exchange) -> None:
    answers(302, OK_PAGE, {"Location": exchange.path})(exchange)


def without_end(exchange: Exchange) -> None:
    answers(302, OK_PAGE, {"Location": exchange.path + "x"})(exchange)


@pytest.mark.parametrize("fault", [elsewhere, in_a_circle, without_end])
def test_F58_polls_that_are_redirected_nowhere(world: World, fault: Fault) -> None:
    """What is not followed is an error at the first question, and nobody else sees the token."""
    world.server.poll_rule = fault
    with world.another_client(speed=1) as client:
        begun = time.monotonic()
        job = world.upload(lots(1), key="lot_number", mode="async", client=client)
        assert time.monotonic() - begun < 5
    assert isinstance(job.error, errors.RedirectError)
    assert states(job) == {"unknown": 1}
    assert len([e for e in world.server.exchanges if e.method == "GET"]) <= 6


def test_F58_polls_that_are_redirected_on_the_same_host(world: World) -> None:
    """The question is asked again there, with the token; relative or absolute, once or more often."""

    def other_spelling(exchange: Exchange) -> None:
        if exchange.path.endswith("///"):
            exchange.path = exchange.path.rstrip("/") + "/"
            return normal(exchange)
        host = "" if exchange.path.endswith("//") else world.server.url
        return answers(301, OK_PAGE, {"Location": f"{host}{exchange.path}/"})(exchange)

    world.server.poll_rule = other_spelling
    assert world.upload(lots(1, 2), key="lot_number", mode="async").ok


def test_polls_that_fail_do_not_lose_a_task(world: World) -> None:
    """Neither 5xx, nor 429, nor a reset says anything about the task."""
    faults = [answers(500), answers(502, OK_PAGE), throttled(), resets(None), sends(truncated(b"{"), apply=False)]
    world.server.polls_script = faults * 5
    with world.another_client(speed=500) as client:
        assert world.upload(lots(1, 2), key="lot_number", mode="async", client=client).ok


@pytest.mark.parametrize("word", ["pending", "resting"], ids=["F40 pending", "F42 an unknown word"])
def test_F40_F42_tasks_that_do_not_end(world: World, word: str) -> None:
    """After an hour of the service's clock the task is reported with its id and its word, and not made again."""
    world.server.rule = task(word)
    with world.another_client(speed=3000) as client:
        job = world.upload(lots(1), key="lot_number", mode="async", client=client)
    assert states(job) == {"unknown": 1}
    assert job.tasks["state"].tolist() == [word]
    for said in ("task-0", word):
        assert said in job.rows["message"].iloc[0]
    assert len(world.server.calls(ASYNC)) == 1


def test_F41_a_task_that_fails_half_way_is_repeated(world: World) -> None:
    """Its values are set again, and then all of them are there."""
    world.server.script = [task("failed", share=0.5)]
    job = world.upload(lots(1), key="lot_number", mode="async")
    assert job.ok
    assert len(world.server.calls(ASYNC)) == 2


def upload_eight_lots_together(world: World, **options: object) -> UploadJob:
    """Upload one value for eight lots, of which an inventory is known: they share a task."""
    codes = pd.DataFrame([{"extended_id": code} | held for code, held in world.server.codes.items()])
    df = lots(*range(8)).assign(wine_name="same")
    return world.upload(df, key="lot_number", mode="async", inventory=codes, **options)


def test_F61_tasks_that_are_too_large_are_halved(world: World) -> None:
    """All is applied in the end, in tasks that the service can do, and no more of them than halving takes."""
    world.server.rule = limited(40)
    job = upload_eight_lots_together(world)
    assert job.ok, job.summary()
    sizes = [json.dumps(e.body["constraints"]).count("0000") for e in world.server.calls(ASYNC)]
    assert sorted(sizes, reverse=True) == [8, 4, 4, 2, 2, 2, 2]


def test_F61_a_key_value_whose_own_task_fails_is_rejected(world: World) -> None:
    """Once it was sent again alone; the others are applied, and the message says what may have happened and where."""

    def heavy(exchange: Exchange) -> None:
        (task("failed", share=0.5) if "000003" in exchange.body["constraints"]["lot_number"] else normal)(exchange)

    world.server.rule = heavy
    job = upload_eight_lots_together(world, check=False)
    assert job.rows["state"].tolist() == ["rejected" if lot == 3 else "applied" for lot in range(8)]
    said = job.rows["message"].iloc[3]
    assert "fewer codes may work" in said
    assert "Code Transactions" in said
    assert len(world.server.calls(ASYNC)) == 8


def test_a_stopped_job_keeps_the_tasks_it_was_asking_for(world: World) -> None:
    """A question under way when the job is cancelled does not take its rows with it."""
    world.server.rule = task("running")
    world.server.poll_rule = hangs(0.4)
    job = scmkit.upload(lots(1, 2, 3), world.client, "lot_number", "async", wait=False, journal=False)
    while not world.server.calls("/api/v2/scm/tasks/task-0/"):
        time.sleep(0.01)
    job.cancel(0.0)
    assert job.wait(5)
    world.check(job, lots(1, 2, 3), "lot_number")
    assert set(states(job)) <= {"unknown", "cancelled"}
    assert states(job)["unknown"] >= 1


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_cancelled_job_whose_host_is_gone_ends_in_time(world: World, mode: str) -> None:
    """Whatever it was waiting for, nothing is tried again after the cancel, and its threads end."""
    with fault_server.serve(FIELDS, codes()) as server, Client(server.url, server.token, limits=FAST) as client:
        server.rule = hangs(0.1) if mode == "sync" else task("running")
        job = scmkit.upload(table(), client, mode=mode, wait=False, journal=False, assumptions=SMALL)
        while len(server.exchanges) < 5:
            time.sleep(0.01)
    begun = time.monotonic()  # the server is gone
    job.cancel(0.5)
    assert job.wait(2)
    assert set(states(job)) <= {"unknown", "cancelled"}
    while _working(job):
        assert time.monotonic() - begun < 3
        time.sleep(0.01)


def _working(job: UploadJob) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name in ("scmkit-question", f"scmkit-{job.id}")]


@pytest.mark.parametrize("state", ["in-progress", None], ids=["no end", "no answer"])
@pytest.mark.parametrize("verify", [False, True])
def test_a_cancelled_job_waits_for_no_download(
    world: World, monkeypatch: pytest.MonkeyPatch, verify: bool, state: str | None
) -> None:
    """A question about fields, or a read-back, that takes for ever is given up within the grace."""
    look_up, asked = world.server.look_up, threading.Event()

    def documents(exchange: Exchange) -> None:
        if not exchange.route.startswith("/api/v2/documents"):
            return look_up(exchange)
        asked.set()
        return hangs(3)(exchange) if state is None else exchange.answer(200, {"key": "doc1", "state": state})

    monkeypatch.setattr(world.server, "look_up", documents)
    mode = "sync" if verify else "async"
    with world.another_client(speed=1, read_s=30, deadline_s=30) as client:
        job = scmkit.upload(lots(1), client, "lot_number", mode, wait=False, journal=False, verify=verify)
        assert asked.wait(5)
        job.cancel(0.3)
        assert job.wait(2)
    assert states(job) == ({"applied": 1} if verify else {"unverified": 1})


# Odd answers


def test_F62_odd_answers_are_survived(world: World, tmp_path: Path) -> None:
    """Counts beyond all bounds and ids of any shape end well, in the journal, too, and say nothing to a terminal."""

    def sync(exchange: Exchange) -> None:
        exchange.answer(200, exchange.apply() | {"codes_affected": 10**30, "total_updates": 10**30})

    def odd_task(exchange: Exchange) -> None:
        exchange.answer(200, {"id": 10**25, "state": "complete", "codesAffected": 2**70, "created_by": "\x1b[2J"})

    def odd_id(exchange: Exchange) -> None:
        exchange.apply()
        exchange.answer(200, {"task_id": "a/b c?d"})

    journal = tmp_path / "journal.sqlite3"
    world.server.script, world.server.poll_rule = [sync], odd_task
    assert world.upload(table(10), journal=journal, mode="sync").ok
    world.server.script = [odd_id]
    job = world.upload(lots(1), key="lot_number", mode="async", journal=journal, anyway=True, check=False)
    assert job.ok
    assert len(world.server.calls("/api/v2/scm/tasks/a%2Fb%20c%3Fd/")) == 1
    assert job.tasks.index.tolist() == ["a/b c?d"]
    assert "\x1b" not in job.tasks.to_csv() + job.rows.to_csv()
    assert len(scmkit.history(journal=journal)) == 2


def test_F62_words_of_the_service_reach_no_terminal(world: World, tmp_path: Path) -> None:
    """Whatever a refusal says, the summary, the rows, the report and the log can be printed."""
    world.server.rule = answers(400, {"detail": "\x1b]0;owned\x07 \x9b2J"})
    job = world.upload(table(3))
    job.report(tmp_path / "report.html")
    shown = [job.summary(), job.calls.to_csv(), job.rows.to_csv(), world.log.text]
    for text in (*shown, (tmp_path / "report.html").read_text(encoding="utf-8")):
        assert not set(text) & {"\x1b", "\x07", "\x9b"}


def test_a_field_is_compared_as_it_was_sent(world: World) -> None:
    """Blanks around a field's name, long cells, and what looks like a protected formula are read back as they are."""
    world.server.fields += [" note"]
    df = lots(1, 2).assign(**{" note": ["x" * 200_000, "'=1"]})
    job = world.upload(df, key="lot_number", mode="async", assumptions=Assumptions(), verify=True)
    assert job.ok, job.summary()


# Time and ourselves


def test_F46_the_wall_clock_jumps(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits and the pace follow the monotonic clock: an hour forwards and back changes nothing."""
    real, hours = time.time, iter([3600.0, -3600.0] * 100_000)
    monkeypatch.setattr(time, "time", lambda: real() + next(hours))
    world.server.script = [throttled(header="1"), resets(True)]
    with world.another_client(updates_per_second=10, speed=1) as client:
        job = world.upload(table(150), client=client)
    assert job.ok
    assert most_in_a_second(world.server.arrivals) <= 10


def test_a_second_cancel_is_heard(world: World) -> None:
    """Somebody who does not want to wait for the grace can say so later."""
    world.server.rule = hangs(20)
    with world.another_client(read_s=30, deadline_s=30) as client:
        job = scmkit.upload(table(5), client, wait=False, journal=False)
        while not world.server.exchanges:
            time.sleep(0.01)
        job.cancel(600)
        assert not job.done()
        job.cancel(0)
        assert states(job.result(5)) == {"unknown": 5}


def test_a_listener_that_fails_loses_no_row(world: World) -> None:
    """The upload stops, and says of every row what is known."""

    def listener(event: object) -> None:
        if isinstance(event, scmkit.core.events.Attempted):
            raise OSError("disk full")

    run = prepared(scmkit.plan(table(), assumptions=SMALL), world.client, journal=False)
    job = UploadJob(run)
    job.subscribe(listener)
    run.begin()
    with pytest.raises(OSError, match="disk full"):
        job.result(10)
    world.check(job, table())
    assert set(states(job)) <= {"unknown", "cancelled"}  # on a busy machine, all calls are under way by then


# Of "localhost", signed by itself, made for this test: it opens nothing.
CERTIFICATE = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg1wPkaZvXU2FwW91E
26q0lKyT07LvVi9qU8o158KLvYihRANCAATCi5c3MvsEEtJOEMp1cdtZ0OEKSl6G
AGmtr5CnRiNlJkeidVPR+0wu6HR/ovcfIF2tLPAoyzchJuYuOEhpnGJe
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBfzCCASWgAwIBAgIUd0CjE9LjSTzf7+BRpmyYQ4D7ku8wCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMzIwMjgxM1oYDzIxMjYxMDMw
MjAyODEzWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAATCi5c3MvsEEtJOEMp1cdtZ0OEKSl6GAGmtr5CnRiNlJkeidVPR+0wu
6HR/ovcfIF2tLPAoyzchJuYuOEhpnGJeo1MwUTAdBgNVHQ4EFgQU9NwlDou7Sg25
mHNN9F579ndJhyYwHwYDVR0jBBgwFoAU9NwlDou7Sg25mHNN9F579ndJhyYwDwYD
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEAlPm0RSYDVoa3ieN1eFAa
7APsBGQnkrb1LXJxwftp1r8CIAUTUwOjCk22CVXkJXZ7S9dB4kumP31smr+svm1l
G0jI
-----END CERTIFICATE-----
"""
