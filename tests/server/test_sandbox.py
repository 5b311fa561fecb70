"""The sandbox, over real sockets: what docs and tests rely on it to do is what the wire contract says."""

import asyncio
import csv
import datetime as dt
import http.client
import io
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import requests

import scmkit
from scmkit.core.errors import ConfigurationError, MissingDependencyError
from scmkit.estimation.service_time import ServiceTime
from scmkit.sandbox import Sandbox

ME, SYNC, ASYNC = "/api/v2/me/", "/api/v2/scm/upload/", "/api/v2/scm/upload/async/"
DOWNLOAD = "/api/v2/codes/download/"
COLUMNS = [
    "extended_id", "serial_number", "brand", "product", "sku", "status", "blacklist_reason",
    "scm_updated_by", "scm_updated_at", "activated_by", "activated_at", "workorder_id",
]  # fmt: skip
AT_ONCE = ServiceTime.fixed(1e-6, 0, 0, 0)


def inventory():
    """Eight codes: five of lot L1, two of lot L2, one of no lot."""
    return pd.DataFrame({
        "extended_id": [f"CODE-000{i}" for i in range(8)],
        "serial_number": [f"00{i}" for i in range(8)],
        "sku": ["S1"] * 4 + ["S2"] * 4,
        "product": ["11"] * 4 + ["12"] * 4,
        "brand": ["Ours"] * 8,
        "status": ["1"] * 7 + ["0"],
        "workorder_id": ["700"] * 3 + ["701"] * 5,
        "scm_updated_at": ["2026-03-01T09:00:00Z", "2026-03-02T23:59:59.5Z", "2026-03-03"] + [None] * 5,
        "lot_number": ["L1"] * 5 + ["L2"] * 2 + [None],
        "pallet": ["P1", "P1", "P2", "P2", "P2", "P3", "P3", None],
        "market": ["CH"] + [None] * 7,
    })  # fmt: skip


def make(codes=None, **options):
    """A sandbox that answers at once, unless the test asks for time."""
    options = {"service_time": AT_ONCE, "latency_s": 0, "rate": 1000} | options
    return Sandbox(inventory() if codes is None else codes, **options)


def call(sandbox, method, path, token=None, headers=None, **options):
    """One exchange on a connection of its own, with the sandbox's token."""
    headers = {"Authorization": f"UAT {token or sandbox.token}"} | (headers or {})
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, sandbox.url + path, headers=headers, timeout=20, **options)


def sync(sandbox, items, key=None, **options):
    """Upload items."""
    body = {"items": items} | ({} if key is None else {"data_key": key})
    return call(sandbox, "POST", SYNC, json=body, **options)


def submit(sandbox, constraints, data, **options):
    """Upload in the background."""
    return call(sandbox, "POST", ASYNC, json={"constraints": constraints, "scm_data": data}, **options)


def task(sandbox, task_id):
    """Ask for a task."""
    return call(sandbox, "GET", f"/api/v2/scm/tasks/{task_id}/").json()


def finished(sandbox, task_id):
    """Poll until the task is complete; gives the task and the states seen."""
    states = []
    while True:
        answer = task(sandbox, task_id)
        states += [answer["state"]] if answer["state"] not in states else []
        if answer["state"] == "complete":
            return answer, states
        time.sleep(0.002)


def download(sandbox, query="", token=None):
    """The three steps of a code download; gives the rows of the CSV."""
    key = call(sandbox, "GET", f"{DOWNLOAD}?{query}", token).json()["document"]["key"]
    while call(sandbox, "GET", f"/api/v2/documents/{key}/", token).json()["state"] != "complete":
        time.sleep(0.002)
    link = call(sandbox, "GET", f"/api/v2/documents/{key}/get-download-link/", token).json()["link"]
    with requests.Session() as session:
        session.trust_env = False
        return list(csv.reader(io.StringIO(session.get(link, timeout=20).text)))


def column(sandbox, name):
    """Give what the codes hold of a field, in the order of the inventory."""
    return sandbox.codes()[name].tolist()


def refused(url):
    """Whether nobody listens there."""
    with requests.Session() as session:
        session.trust_env = False
        try:
            session.get(url, timeout=5)
        except requests.ConnectionError:
            return True
    return False


@pytest.fixture(scope="module")
def shared():
    """A sandbox for tests that change nothing."""
    with make(speed=1000) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox():
    """A sandbox of its own for each test."""
    with make(speed=1000) as sandbox:
        yield sandbox


# Who may


@pytest.mark.parametrize("header", [None, "UAT", "UAT wrong", "JWT {}", "uat {}", "{}", "UAT  {}", "UAT {}x"])
@pytest.mark.parametrize(("method", "path"), [("GET", ME), ("POST", SYNC), ("GET", DOWNLOAD), ("GET", "/api/v2/x/")])
def test_other_tokens_and_schemes_are_401(shared, header, method, path):
    """Nothing under /api answers to anything but a token of this sandbox, as UAT (S11)."""
    headers = {} if header is None else {"Authorization": header.format(shared.token)}
    with requests.Session() as session:
        session.trust_env = False
        answer = session.request(method, shared.url + path, headers=headers, timeout=20)
    assert answer.status_code == 401
    assert isinstance(answer.json()["detail"], str)


def test_expired_token_is_401(shared):
    """A token ends at its expiry date."""
    now, hour = dt.datetime.now(dt.UTC), dt.timedelta(hours=1)
    assert call(shared, "GET", ME, shared.make_token(expires=now + hour)).status_code == 200
    assert call(shared, "GET", ME, shared.make_token(expires=now - hour)).status_code == 401


def test_download_needs_codes_view_alone(shared):
    """Code download takes codes_view and nothing else, and the answer names what is missing."""
    assert len(download(shared, token=shared.make_token(["codes_view"]))) == 9
    others = shared.make_token(["scm_bulk_edit", "scm_code_edit", "product_view"])
    answer = call(shared, "GET", DOWNLOAD, others)
    assert (answer.status_code, "codes_view" in answer.json()["detail"]) == (403, True)
    assert call(shared, "GET", ME, others).status_code == 200


def test_unknown_permission_is_named():
    """make_token refuses a permission that does not exist, with the nearest one that does."""
    with pytest.raises(ConfigurationError, match=r"code_view.*did you mean 'codes_view'"):
        make().make_token(["code_view"])


@pytest.mark.parametrize("host", ["example.com", "127.0.0.1", "127.0.0.1:1", "localhost.example.com:{}", "[::1]:{}"])
def test_other_hosts_are_400(shared, host):
    """A page that resolves its own name to loopback gets nothing (DNS rebinding) (S11)."""
    port = shared.url.rpartition(":")[2]
    assert call(shared, "GET", ME, headers={"Host": host.format(port)}).status_code == 400
    assert call(shared, "GET", ME, headers={"Host": f"localhost:{port}"}).status_code == 200


def test_no_cors(shared):
    """No page of another origin is let in, asked beforehand or not (S11)."""
    for method in ("GET", "OPTIONS"):
        answer = call(shared, method, ME, headers={"Origin": "https://example.com"})
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404), ("GET", "/api/v2/nothing/", 404), ("POST", "/api/v2/scm/upload", 404),
        ("GET", "/files/guess.csv", 400), ("GET", SYNC, 405), ("DELETE", ME, 405),
        ("GET", "/api/v2/documents/guess/get-download-link/", 404),
    ],
)  # fmt: skip
def test_unknown_paths_and_methods_answer_json(shared, method, path, status):
    """Paths are exact, nothing is redirected, and even a 404 is JSON."""
    answer = call(shared, method, path, allow_redirects=False)
    assert (answer.status_code, list(answer.json())) == (status, ["detail"])


# Sync


@pytest.mark.parametrize(
    ("key", "value", "rows"),
    [
        ("lot_number", "L1", [0, 1, 2, 3, 4]), ("product", "12", [4, 5, 6, 7]), ("product", 12, [4, 5, 6, 7]),
        ("serial_number", 3, []), ("lot_number", "l1", []),
    ],
)  # fmt: skip
def test_a_key_value_selects_every_code_that_carries_it(sandbox, key, value, rows):
    """Any SCM field, serial_number and product are keys; values are compared as text, exactly; sync and async."""
    body = sync(sandbox, [{key: value, "market": "new"}], key).json()
    assert [i for i, market in enumerate(column(sandbox, "market")) if market == "new"] == rows
    assert body["codes_affected"] == len(rows)
    assert body["total_updates"] == len(body["changes"]) == len(body["items"]) == bool(rows)
    task_id = submit(sandbox, {key: [value, "nobody"]}, {"market": "newer"}).json()["task_id"]
    assert finished(sandbox, task_id)[0]["codes_affected"] == len(rows)


def test_updated_at_is_set_where_something_was_stored(sandbox):
    """The time stamp of a code changes with its values, and only then."""
    before = dt.datetime.now(dt.UTC)
    sync(sandbox, [{"extended_id": "CODE-0005", "market": "DE"}, {"extended_id": "CODE-0006", "color": "red"}])
    stamps = column(sandbox, "scm_updated_at")
    assert before <= dt.datetime.fromisoformat(stamps[5]) <= dt.datetime.now(dt.UTC)
    assert stamps[:3] == inventory()["scm_updated_at"].tolist()[:3]
    assert pd.isna(stamps[6])


def test_of_two_items_with_one_key_the_later_wins(sandbox):
    """A repeated key value is applied in order, and its codes are counted once."""
    items = [{"lot_number": "L2", "market": "DE", "pallet": 8}, {"lot_number": "L2", "market": "FR"}]
    body = sync(sandbox, items, "lot_number").json()
    assert (body["total_updates"], body["codes_affected"], len(body["changes"])) == (2, 2, 2)
    assert sandbox.codes().loc[5, ["market", "pallet"]].tolist() == ["FR", "8"]


GOOD_SYNC = '{"items": [{"extended_id": "CODE-0001", "market": "x"}]}'
GOOD_ASYNC = '{"constraints": {"lot_number": ["L1"]}, "scm_data": {"market": "x"}}'


def test_the_bodies_that_the_next_tests_break_are_good(sandbox):
    """What is refused below is refused for its one fault."""
    kind = {"Content-Type": "application/json; charset=utf-8"}
    assert call(sandbox, "POST", SYNC, data=GOOD_SYNC, headers=kind).status_code == 200
    assert call(sandbox, "POST", ASYNC, data=GOOD_ASYNC, headers=kind).status_code == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (SYNC, b""), (SYNC, b"null"), (SYNC, b"\xff\xfe"), (SYNC, b"[" * 100_000),
        (SYNC, GOOD_SYNC.encode("utf-16")), (SYNC, b"\xef\xbb\xbf" + GOOD_SYNC.encode()),
        (SYNC, b"{}"), (SYNC, b'{"items": []}'), (SYNC, b'{"items": null}'),
        (SYNC, GOOD_SYNC.replace("}]", '}], "more": 1').encode()),
        (SYNC, GOOD_SYNC.replace("{", '{"data_key": "market_", ', 1).encode()),
        (SYNC, GOOD_SYNC.replace("{", '{"data_key": ["extended_id"], ', 1).encode()),
        (SYNC, GOOD_SYNC.replace("{", '{"data_key": "activation_status", ', 1).encode()),
        (SYNC, GOOD_SYNC.replace("{", '{"items": [], ', 1).encode()),
        (SYNC, GOOD_SYNC.replace('"market"', '"market": "y", "market"').encode()),
        *((SYNC, GOOD_SYNC.replace('"x"', v).encode()) for v in ("NaN", "Infinity", "-Infinity", "9" * 5000)),
        (ASYNC, GOOD_ASYNC.replace("lot_number", "lot_nr").encode()),
        (ASYNC, GOOD_ASYNC.replace("lot_number", "status").encode()),
        *((ASYNC, GOOD_ASYNC.replace('["L1"]', v).encode()) for v in ("[]", "null", '""', '["L1", ""]', "[[]]", "1.5")),
        (ASYNC, GOOD_ASYNC.replace('{"lot_number": ["L1"]}', "{}").encode()),
        (ASYNC, GOOD_ASYNC.replace('{"market": "x"}', "{}").encode()),
        (ASYNC, GOOD_ASYNC.replace('"x"', "null").encode()), (ASYNC, GOOD_ASYNC.replace('"x"', "true").encode()),
        (ASYNC, GOOD_ASYNC.replace("}}", '}, "items": []}').encode()),
    ],
)  # fmt: skip
def test_bodies_are_read_strictly(shared, path, body):
    """What the contract does not describe is a 400, and changes nothing."""
    before = shared.codes()
    answer = call(shared, "POST", path, data=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()
    assert shared.codes().equals(before)


@pytest.mark.parametrize(
    "headers",
    [
        {}, {"Content-Type": "text/plain"}, {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)  # fmt: skip
def test_content_type_is_json(shared, headers):
    """A body that does not say that it is plain JSON in UTF-8 is a 400."""
    assert call(shared, "POST", SYNC, data=GOOD_SYNC.encode(), headers=headers).status_code == 400


@pytest.mark.parametrize("value", ["null", "1.5", "1.0", "true", "[]", "{}", r'"\u0000"', r'"\ud800"'])
def test_400_names_items_and_fields(shared, value):
    """Positions count from 0, and every item at fault is named with its field; the good ones are not applied."""
    good = '{"extended_id": "CODE-0001", "market": "x"}'
    bad = f'{{"extended_id": "CODE-0002", "market": "x", "pallet": {value}}}'
    body = f'{{"items": [{good}, {bad}, {good}, {bad}, {{"market": "x"}}, {{"extended_id": ""}}, 5]}}'
    answer = call(shared, "POST", SYNC, data=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    problems = answer.json()["items"]
    assert list(problems) == ["1", "3", "4", "5", "6"]
    assert "'pallet'" in problems["1"][0]
    assert "'extended_id'" in problems["4"][0]
    assert "x" not in column(shared, "market")


@pytest.mark.parametrize("chunked", [False, True])
def test_large_bodies_are_413(chunked):
    """The cap holds for a declared length and for chunks without one; just below, a body is read (S11)."""
    with make(max_body_bytes=10_000) as sandbox:
        kind = {"Content-Type": "application/json"}

        def send(size):
            body = (GOOD_SYNC + " " * (size - len(GOOD_SYNC))).encode()
            data = iter([body[:1000], body[1000:]]) if chunked else body
            return call(sandbox, "POST", SYNC, data=data, headers=kind).status_code

        assert [send(10_001), send(200_000), send(10_000)] == [413, 413, 200]


# Time


def test_gateway_gives_up_and_nothing_is_updated():
    """A call that takes longer than the gateway waits is a 504 in HTML after that time, all or nothing."""
    slow = ServiceTime.fixed(1.0, 20.0, 0, 0)  # 101 s for lot L1, 41 s for lot L2
    with make(service_time=slow, speed=100) as sandbox:
        before = sandbox.codes()
        items = [{"lot_number": "L1", "market": "DE"}]
        answer = sync(sandbox, items, "lot_number")
        assert (answer.status_code, answer.headers["content-type"]) == (504, "text/html; charset=utf-8")
        assert "<title>504 Gateway Time-out</title>" in answer.text
        assert sandbox.codes().equals(before)
        assert sync(sandbox, [{"lot_number": "L2", "market": "DE"}], "lot_number").status_code == 200
        given_up, done = sandbox.requests()["seconds"]
        assert 0.60 <= given_up < 1.00  # the call itself would have taken 1.01 s
        assert done >= 0.41


def test_calls_sleep_side_by_side():
    """Ten calls of 10 s at a time take hardly longer than one."""
    with make(service_time=ServiceTime.fixed(10, 0, 0, 0), speed=25) as sandbox:
        began = time.monotonic()
        with ThreadPoolExecutor(10) as pool:
            items = [[{"extended_id": f"CODE-000{i % 8}", "market": str(i)}] for i in range(10)]
            answers = list(pool.map(lambda i: sync(sandbox, i).status_code, items))
        assert answers == [200] * 10
        assert 0.4 <= time.monotonic() - began < 2.0  # one after the other: 4 s


def test_every_answer_has_latency():
    """Each answer is on its way for latency_s of the sandbox's clock, errors too."""
    with make(latency_s=2.0, speed=20) as sandbox:
        for path in (ME, "/nothing"):
            began = time.monotonic()
            call(sandbox, "GET", path)
            assert 0.1 <= time.monotonic() - began < 1.0


# Async


def test_task_runs_to_its_end():
    """An async upload answers at once; its task is pending behind another, then in progress, then complete."""
    slow = ServiceTime.fixed(100, 0, 0, 0)  # beyond any gateway
    with make(service_time=slow, speed=250, task_workers=1) as sandbox:
        began = time.monotonic()
        submit(sandbox, {"lot_number": "L2"}, {"market": "FR"})
        task_id = submit(sandbox, {"lot_number": "L1"}, {"market": "DE", "color": "red"}).json()["task_id"]
        assert column(sandbox, "market").count("DE") == 0
        answer, states = finished(sandbox, task_id)
        assert time.monotonic() - began >= 2 * 100 / 250
        assert states == ["pending", "in-progress", "complete"]
        assert column(sandbox, "market") == ["DE"] * 5 + ["FR"] * 2 + [None]
        assert (answer["id"], answer["codes_affected"]) == (task_id, 5)
        times = [dt.datetime.fromisoformat(answer[f"{name}_at"]) for name in ("created", "started", "completed")]
        assert times == sorted(times)
        assert {*answer} >= {"reference", "created_by"}


def test_discarded_data_affects_no_code(sandbox):
    """A task none of whose fields is defined completes, and says that it changed nothing."""
    answer, _ = finished(sandbox, submit(sandbox, {"lot_number": "L1"}, {"color": "red"}).json()["task_id"])
    assert answer["codes_affected"] == 0


def test_tasks_are_worked_on_in_order_of_arrival():
    """At most task_workers tasks are in progress at any time, first come, first served."""
    with make(service_time=ServiceTime.fixed(10, 0, 0, 0), speed=100, task_workers=2) as sandbox:
        ids = [submit(sandbox, {"lot_number": "L1"}, {"market": str(i)}).json()["task_id"] for i in range(6)]
        tasks = [finished(sandbox, task_id)[0] for task_id in ids]
    starts, ends = [t["started_at"] for t in tasks], [t["completed_at"] for t in tasks]
    assert starts == sorted(starts)
    assert all(sum(s <= at < e for s, e in zip(starts, ends, strict=True)) <= 2 for at in starts)
    assert column(sandbox, "market")[0] == "5"


@pytest.mark.parametrize("task_slash", [True, False])
def test_other_spellings_of_a_task_are_redirected(task_slash):
    """The trailing slash is not documented: a client finds the task whichever spelling is the sandbox's own."""
    with make(task_slash=task_slash) as sandbox, sandbox.client() as client:
        made = client.upload_async({"lot_number": "L1"}, {"market": "DE"})
        assert client.task(made.task_id).id == made.task_id
        for spelling in ("/", ""):
            answer = call(sandbox, "GET", f"/api/v2/scm/tasks//{made.task_id}{spelling}", allow_redirects=False)
            assert (answer.status_code, answer.headers["location"].endswith("/")) == (301, task_slash)
        assert call(sandbox, "GET", f"/api/v2/scm/tasks//{made.task_id}").json()["id"] == made.task_id
        assert call(sandbox, "GET", "/api/v2/scm/tasks/").status_code == 404


# Pace and faults


def test_throttle_admits_its_limit_in_any_window():
    """The window slides, and a call that was turned away does not count."""
    from scmkit.sandbox.server import Throttle

    throttle = Throttle(10, 1.0)
    assert [throttle.wait_s(i * 0.05) for i in range(10)] == [0.0] * 10
    assert throttle.wait_s(0.5) == pytest.approx(0.5)
    assert throttle.wait_s(0.9) == pytest.approx(0.1)
    assert throttle.wait_s(1.0) == 0.0
    assert throttle.wait_s(1.04) == pytest.approx(0.01)
    assert throttle.wait_s(1.06) == 0.0


def test_the_update_beyond_the_rate_is_429():
    """Sync and async count together, per token; 400s count, 401s and 403s do not; the answer is the documented one."""
    with make(rate=5) as sandbox:
        few = sandbox.make_token(["codes_view"])
        for token in ("wrong", few):
            assert sync(sandbox, [], token=token).status_code in (401, 403)
        statuses = [sync(sandbox, [{"extended_id": "CODE-0001"}]).status_code for _ in range(2)]
        statuses += [submit(sandbox, {"lot_number": "L2"}, {"market": "x"}).status_code for _ in range(2)]
        assert [*statuses, sync(sandbox, []).status_code] == [200] * 4 + [400]
        for _ in range(3):
            answer = sync(sandbox, [{"extended_id": "CODE-0001", "market": "late"}])
            assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
            words = "Request was throttled. Expected available in 1 seconds."
            assert answer.json() == {"detail": words, "code": "throttled"}
        assert "late" not in column(sandbox, "market")
        assert call(sandbox, "GET", ME).status_code == 200
        assert sync(sandbox, [{"extended_id": "CODE-0001"}], token=sandbox.make_token()).status_code == 200


def test_a_faster_sandbox_admits_more():
    """At speed 3 three times the rate is admitted in a second of wall clock."""
    with make(rate=2, speed=3) as sandbox:
        statuses = [sync(sandbox, [{"extended_id": "CODE-0001"}]).status_code for _ in range(7)]
    assert statuses == [200] * 6 + [429]


@pytest.mark.parametrize("status", [429, 504])
def test_a_fault_strikes_uploads_only(status):
    """A struck call leaves the codes as they are, sync or async; every other call is spared."""
    with make(faults={status: 1.0}) as sandbox:
        before = sandbox.codes()
        assert sync(sandbox, [{"extended_id": "CODE-0001", "market": "x"}]).status_code == status
        assert submit(sandbox, {"lot_number": "L1"}, {"market": "x"}).status_code == status
        assert call(sandbox, "GET", ME).status_code == 200
        assert sandbox.codes().equals(before)


def test_faults_come_at_their_rates_and_by_the_seed():
    """The same seed gives the same faults, and their share is the one asked for."""

    def strike(seed):
        with make(faults={503: 0.2, 502: 0.1}, seed=seed) as sandbox:
            return [sync(sandbox, [{"extended_id": "CODE-0001"}]).status_code for _ in range(150)]

    first = strike(1)
    assert first == strike(1) != strike(2)
    assert first.count(503) == pytest.approx(30, abs=15)  # three standard deviations
    assert first.count(502) == pytest.approx(15, abs=11)


@pytest.mark.parametrize(
    "faults",
    [{404: 0.1}, {503: 1.5}, {"reset": -0.1}, {503: 0.6, "502": 0.6}, {"task_failed": 0.6, "task_slow": 0.6}],
)
def test_impossible_faults_are_refused(faults):
    """Faults are known names and probabilities that add up to 1 at most, for updates and for tasks."""
    with pytest.raises(ConfigurationError, match="faults"):
        make(faults=faults)


def test_a_misspelt_fault_is_told_the_nearest():
    """An error names what there is, and the most alike of it."""
    with pytest.raises(ConfigurationError, match=r"'task-fail' is none of the faults \(did you mean 'task_failed'\?\)"):
        make(faults={"task-fail": 0.1})


@pytest.mark.parametrize(("fault", "applied"), [("lost", False), ("reset", True)])
def test_a_dropped_connection_has_done_its_work_or_not(fault, applied):
    """Neither gives an answer, sync or async; only the one of the two that says so has done the work."""
    with make(faults={fault: 1.0}) as sandbox:
        with pytest.raises(requests.ConnectionError):
            sync(sandbox, [{"extended_id": "CODE-0001", "market": "x"}])
        assert (column(sandbox, "market")[1] == "x") == applied
        with pytest.raises(requests.ConnectionError):
            submit(sandbox, {"lot_number": "L2"}, {"market": "y"})
        assert call(sandbox, "GET", ME).status_code == 200
        log = sandbox.requests()
        assert log["status"].isna().tolist() == [True, True, False]
        assert log["codes_affected"].notna().tolist() == [applied, False, False]
        while applied and column(sandbox, "market")[5] != "y":
            time.sleep(0.002)
    assert (column(sandbox, "market")[5] == "y") == applied


def test_a_garbled_answer_is_of_work_that_was_done():
    """The call is applied, and what comes back is no JSON."""
    with make(faults={"garbled": 1.0}) as sandbox:
        answer = sync(sandbox, [{"extended_id": "CODE-0001", "market": "x"}])
        assert answer.status_code == 200
        with pytest.raises(ValueError, match="Expecting"):
            answer.json()
        assert column(sandbox, "market")[1] == "x"


def test_a_failed_task_changes_nothing():
    """It says that it failed, and when."""
    with make(faults={"task_failed": 1.0}) as sandbox:
        before = sandbox.codes()
        task_id = submit(sandbox, {"lot_number": "L2"}, {"market": "x"}).json()["task_id"]
        while (found := task(sandbox, task_id))["state"] != "failed":
            time.sleep(0.002)
        assert (found["codes_affected"], found["completed_at"] is None) == (None, False)
        assert sandbox.codes().equals(before)


@pytest.mark.parametrize(("lots", "state"), [("L2", "complete"), (["L1", "L2"], "failed")])
def test_a_task_over_more_codes_than_the_limit_fails(lots, state):
    """It changes nothing then; a task of just as many codes as the limit does its work."""
    with make(task_limit=2) as sandbox:
        task_id = submit(sandbox, {"lot_number": lots}, {"market": "x"}).json()["task_id"]
        while (found := task(sandbox, task_id))["completed_at"] is None:
            time.sleep(0.002)
        assert found["state"] == state
        assert column(sandbox, "market").count("x") == (2 if state == "complete" else 0)


def test_a_queue_with_a_limit_applies_all_that_fits():
    """With a limit of 5,000 codes a task, only the lot of 6,000 is rejected, and its message says why (F61)."""
    sizes = [1_500, 800, 6_000, 400, 3_000, 4_999, 50, 1_200, 2_300, 5_000]
    lots = np.repeat([f"L{i}" for i in range(len(sizes))], sizes)
    codes = pd.DataFrame({"extended_id": [f"Code_{i:05d}-" for i in range(len(lots))], "lot": lots, "market": None})
    df = pd.DataFrame({"lot": [f"L{i}" for i in range(len(sizes))], "market": "x"})
    with make(codes, speed=1000, task_limit=5_000) as sandbox, sandbox.client() as client:
        job = df.scm.upload(client, "lot", "async", journal=False, progress=False)
        held = sandbox.codes().query("market == 'x'")["lot"].value_counts().to_dict()
    assert held == {f"L{i}": size for i, size in enumerate(sizes) if size <= 5_000}
    assert job.rows["state"].tolist() == ["rejected" if size > 5_000 else "applied" for size in sizes]
    assert "Code Transactions" in job.rows["message"].iloc[2]
    assert len(job.tasks) <= 2 * len(sizes)


def test_a_slow_task_takes_ten_times_as_long():
    """It ends as it should, later."""
    with make(faults={"task_slow": 1.0}, service_time=ServiceTime.fixed(0.02, 0, 0, 0)) as sandbox:
        done, _ = finished(sandbox, submit(sandbox, {"lot_number": "L2"}, {"market": "x"}).json()["task_id"])
    started, ended = (dt.datetime.fromisoformat(done[name]) for name in ("started_at", "completed_at"))
    assert (ended - started).total_seconds() >= 0.2
    assert column(sandbox, "market")[5] == "x"


@pytest.mark.parametrize(("key", "mode"), [("extended_id", "sync"), ("lot_number", "async")])
def test_a_rehearsal_with_every_fault_ends_as_it_says(key, mode):
    """Whatever goes wrong on the way, the rows tell what the codes hold at the end."""
    faults = {"504": 0.02, "503": 0.05, "429": 0.01, "reset": 0.05, "lost": 0.05, "garbled": 0.05}
    faults |= {"task_failed": 0.2, "task_slow": 0.2}
    codes = pd.DataFrame({"extended_id": [f"Code_{i:05d}-" for i in range(400)], "market": None})
    codes["lot_number"] = [f"L{i % 40:02d}" for i in range(400)]
    df = codes[[key]].drop_duplicates(ignore_index=True)
    df["market"] = [f"m{i}" for i in range(len(df))]
    with Sandbox(codes, speed=100, faults=faults, seed=33) as sandbox, sandbox.client() as client:
        small = scmkit.Assumptions(max_body_bytes=600)  # many calls
        job = df.scm.upload(client, key, mode, assumptions=small, journal=False, progress=False)
        held = sandbox.codes().set_index(key)["market"]
        log = sandbox.requests().query("path in [@SYNC, @ASYNC]")
    assert set(job.rows["state"]) <= {"applied", "rejected", "unknown"}
    assert (job.rows["state"] == "applied").mean() > 0.8
    for value, market, state in zip(df[key], df["market"], job.rows["state"], strict=True):
        found = set(held.loc[[value]].dropna())
        assert found == {market} if state == "applied" else found <= {market}
    assert log["status"].isna().sum() >= 1
    assert (log["status"] != 200).sum() >= 2


@pytest.mark.parametrize(
    "options", [{"speed": 0}, {"rate": -1}, {"gateway_timeout": float("nan")}, {"latency_s": -1}, {"task_workers": 0}]
)
def test_impossible_settings_are_refused(options):
    """A number that no service can have is named."""
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        make(**options)


# Download


def test_download_has_three_steps():
    """The document becomes complete by way of pending and in-progress, and its link is fetched without a token."""
    with make() as sandbox:
        key = call(sandbox, "GET", f"{DOWNLOAD}?campaign=1234").json()["document"]["key"]
        assert call(sandbox, "GET", f"/api/v2/documents/{key}/get-download-link/").status_code == 400
        states = []
        while states[-1:] != ["complete"]:
            state = call(sandbox, "GET", f"/api/v2/documents/{key}/").json()["state"]
            states += [state] if state not in states else []
        assert states == ["pending", "in-progress", "complete"]
        link = call(sandbox, "GET", f"/api/v2/documents/{key}/get-download-link/").json()["link"]
        assert link.startswith(f"{sandbox.url}/files/")
        assert link.endswith(".csv")
        assert call(sandbox, "GET", link.removeprefix(sandbox.url)).status_code == 400  # it saw the token
    assert refused(link)


def test_the_csv_is_what_the_codes_hold(sandbox):
    """Header and lines are those of the documentation, a blank where nothing is set; odd characters survive."""
    odd = 'a "b", c\nd; é 漢 =1+1'
    sync(sandbox, [{"extended_id": "CODE-0001", "market": odd}])
    header, *rows = download(sandbox)
    assert header == [*COLUMNS, "lot_number", "pallet", "market"] == list(sandbox.codes().columns)
    assert rows == sandbox.codes().fillna("").to_numpy().tolist()
    assert rows[1][-1] == odd


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("", range(8)), ("campaign=1234", range(8)), ("workorder=700", [0, 1, 2]), ("status=0", [7]),
        ("products=11", range(4)), ("products=S2", [4, 5, 6, 7]), ("products=11,S2", range(8)), ("brands=Other", []),
        ("serial_number=005", [5]), ("extended_id=CODE-0001", [1]), ("extended_id=CODE-0001,CODE-0007", [1, 7]),
        ("extended_id=CODE-0001&extended_id=CODE-0002,nobody", [1, 2]), ("scm_lot_number=L2", [5, 6]),
        ("scm_pallet=P2&scm_lot_number=L1&workorder=701", [3, 4]), ("scm_market=CH&campaign=1", [0]),
        ("updated_at=2026-03-01,2026-03-02", [0, 1]), ("updated_at=2026-03-02,2026-03-02", [1]),
        ("updated_at=2026-03-01T09:00:00Z,2026-03-01T09:00:00Z", [0]), ("updated_at=2026-03-03,2026-03-03", [2]),
        ("updated_at=2026-03-01T10:00:00%2B01:00,2026-03-02T23:59:59", [0]), ("updated_at=2020-01-01,2020-02-01", []),
    ],
)  # fmt: skip
def test_download_filters(shared, query, rows):
    """Every documented filter selects, and several of them narrow each other."""
    assert [row[0] for row in download(shared, query)[1:]] == [f"CODE-000{i}" for i in rows]


@pytest.mark.parametrize(
    "query",
    [
        "colour=red", "scm_colour=red", "scm_lot_nr=L1", "lot_number=L1", "campaign=abc", "campaign=", "extended_id=,",
        "updated_at=2026-03-01", "updated_at=yesterday,2026-03-01", "updated_at=2026-03-01,", "status=1&status=0",
        "updated_at=2026-03-01,2026-03-02,2026-03-03",
    ],
)  # fmt: skip
def test_unreadable_filters_are_400(shared, query):
    """A filter that would be ignored, and so select all codes, is an error that names it."""
    answer = call(shared, "GET", f"{DOWNLOAD}?{query}")
    assert answer.status_code == 400
    assert query.partition("=")[0] in answer.json()["detail"]


# The inventory


def test_cells_become_text():
    """Numbers, dates and blanks of a frame are held as a download would show them."""
    frame = pd.DataFrame({
        "extended_id": ["CODE-0001", "CODE-0002"],
        "activation_status": [1, 2],
        "bottles": [12.0, float("nan")],
        "made": pd.to_datetime(["2026-11-23", None]),
        "weight": [0.75, 1.5],
        "note": ["", "NA"],
        "Note": ["nan", None],
    })  # fmt: skip
    codes = make(frame).codes()
    assert list(codes.columns) == [*COLUMNS, "bottles", "made", "weight", "note", "Note"]
    assert codes.iloc[0, 12:].tolist() == ["12", "2026-11-23", "0.75", None, "nan"]
    assert codes.iloc[1, 12:].tolist() == [None, None, "1.5", "NA", None]
    assert codes["status"].tolist() == ["1", "2"]
    assert codes["brand"].tolist() == [None, None]


def test_fields_define_the_campaign():
    """What is not named is dropped, what has no column starts out empty, special fields need no definition."""
    with make(fields=["market", "harvest", "product"]) as sandbox:
        assert sandbox.fields == ("market", "harvest")
        assert list(sandbox.codes().columns) == [*COLUMNS, "market", "harvest"]
        items = [{"extended_id": "CODE-0001", "harvest": "2026-09-01", "lot_number": "L1"}]
        assert sync(sandbox, items).json()["items"] == {"CODE-0001": ["harvest"]}


@pytest.mark.parametrize(
    ("codes", "fields", "words"),
    [
        (pd.DataFrame({"id": ["CODE-0001"]}), None, "extended_id"),
        (pd.DataFrame({"extended_id": ["CODE-0001", "CODE-0001"]}), None, "more than once"),
        (pd.DataFrame({"extended_id": ["CODE-0001", None]}), None, "missing"),
        (pd.DataFrame([["CODE-0001", "a", "b"]], columns=["extended_id", "x", "x"]), None, "once"),
        (inventory(), ["sku"], "'sku'"), (inventory(), ["lot", "lot"], "twice"), (inventory(), "lot", "list"),
        (-1, None, "-1"), (True, None, "True"), (1.5, None, "1.5"),
    ],
)  # fmt: skip
def test_unusable_inventories_are_refused(codes, fields, words):
    """An inventory that no campaign can have is refused with its reason."""
    with pytest.raises(ConfigurationError, match=words):
        make(codes, fields=fields)


def test_a_csv_is_an_inventory(tmp_path):
    """A downloaded CSV makes the same sandbox as the codes it came from, leading zeros and all."""
    first = make()
    path = tmp_path / "codes.csv"
    first.codes().to_csv(path, index=False)
    assert make(path).codes().equals(first.codes())
    assert make(str(path)).codes()["serial_number"][1] == "001"


def test_codes_are_made_up():
    """A number makes up as many codes of the sample campaign, the same ones each time."""
    codes = make(500).codes()
    assert len(codes) == codes["extended_id"].nunique() == 500
    assert codes["lot_number"].notna().all()
    assert make(500).codes().equals(codes)


def test_keys_have_an_index():
    """A key value is looked up, never searched for, whatever the key."""
    world = make()._world
    for key in world.keys:
        for values in (["a"], ["a", "b"]):
            where = world._selected({key: values})
            plan = world._all(f"EXPLAIN QUERY PLAN SELECT count(*) FROM codes WHERE {where.sql}", *where.values)
            assert "SEARCH codes" in plan[0][3]


def test_a_large_lot_is_updated_in_one_call():
    """A lot of 24,000 codes out of 60,000 is updated in well under a second, and all of it."""
    ids = [f"CODE-{i:06}" for i in range(60_000)]
    frame = pd.DataFrame({"extended_id": ids, "lot_number": ["big"] * 24_000 + ids[24_000:], "market": "CH"})
    began = time.monotonic()
    with make(frame) as sandbox:
        assert time.monotonic() - began < 4.0  # 0.3 s on the machine it was written on
        answer = sync(sandbox, [{"lot_number": "big", "market": "DE"}], "lot_number")
        assert answer.json()["codes_affected"] == 24_000
        assert sandbox.requests()["seconds"][0] < 1.0
        assert sandbox.codes()["market"].value_counts().to_dict() == {"CH": 36_000, "DE": 24_000}


# The server as such


def test_stop_is_prompt_and_leaves_nothing():
    """Stopping cuts off sleeping calls without applying them, and leaves no thread and no socket."""
    threads = set(threading.enumerate())
    with make(service_time=ServiceTime.fixed(50, 0, 0, 0)) as sandbox, ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(sync, sandbox, [{"lot_number": "L1", "market": "x"}], "lot_number") for _ in range(3)]
        while len(sandbox.requests()) < 3:
            time.sleep(0.005)
        began = time.monotonic()
        sandbox.stop()
        assert time.monotonic() - began < 2.0
        for future in calls:
            assert isinstance(future.exception(timeout=5), requests.ConnectionError)
    assert set(threading.enumerate()) <= threads
    assert refused(sandbox.url + ME)
    assert "x" not in column(sandbox, "market")
    assert sandbox.requests()["status"].isna().all()
    sandbox.stop()  # again: nothing to do


def test_it_can_be_started_again_at_the_same_address():
    """An outage can be played: uploads, tokens and the URL survive stop and start; documents do not."""
    sandbox = make().start()
    url = sandbox.url
    sync(sandbox, [{"extended_id": "CODE-0001", "market": "x"}])
    key = call(sandbox, "GET", DOWNLOAD).json()["document"]["key"]
    sandbox.stop()
    with sandbox:
        assert sandbox.url == url
        assert call(sandbox, "GET", f"/api/v2/documents/{key}/").status_code == 404
        assert call(sandbox, "GET", ME).status_code == 200
        assert sandbox.start() is sandbox
    assert sandbox.requests()["path"].tolist() == [SYNC, DOWNLOAD, f"/api/v2/documents/{key}/", ME]
    assert column(sandbox, "market")[1] == "x"


def test_a_port_in_use_is_an_error(shared):
    """A port that is taken is named."""
    port = int(shared.url.rpartition(":")[2])
    with pytest.raises(ConfigurationError, match=str(port)), make(port=port):
        pass


def test_it_listens_on_loopback_only(shared):
    """Nobody else on the network reaches it, not even by another loopback address (S11)."""
    assert shared.url.startswith("http://127.0.0.1:")
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.2", int(shared.url.rpartition(":")[2])), timeout=2)


def test_it_runs_inside_a_running_loop():
    """A notebook's kernel runs a loop already; the sandbox has one of its own."""

    async def cell():
        with make() as sandbox:
            return await asyncio.to_thread(lambda: call(sandbox, "GET", ME).status_code)

    assert asyncio.run(cell()) == 200


def test_requests_are_logged():
    """Every request has a line with its arrival, its answer and the codes it changed; an open one has no status."""
    with make() as sandbox:
        sync(sandbox, [{"lot_number": "L1", "market": "x"}], "lot_number")
        sync(sandbox, [])
        call(sandbox, "GET", ME, "wrong")
        call(sandbox, "GET", "/nothing?token=x")
        log = sandbox.requests()
    assert list(log.columns) == ["at", "method", "path", "status", "codes_affected", "seconds"]
    assert log["method"].tolist() == ["POST", "POST", "GET", "GET"]
    assert log["path"].tolist() == [SYNC, SYNC, ME, "/nothing"]
    assert log["status"].tolist() == [200, 400, 401, 404]
    assert log["codes_affected"].isna().tolist() == [False, True, True, True]
    assert log["codes_affected"][0] == 5
    assert log["at"].is_monotonic_increasing
    assert (log["at"] >= 0).all()
    assert (log["seconds"] > 0).all()
    assert make().requests().empty


def test_connections_are_kept_open(shared):
    """Small requests on one connection come back within a few milliseconds: no delayed acknowledgements."""
    connection = http.client.HTTPConnection("127.0.0.1", int(shared.url.rpartition(":")[2]), timeout=10)
    seconds = []
    for _ in range(21):
        began = time.monotonic()
        connection.request("GET", ME, headers={"Authorization": f"UAT {shared.token}"})
        assert connection.getresponse().read()
        seconds.append(time.monotonic() - began)
    connection.close()
    assert sorted(seconds)[10] < 0.02


def test_it_is_quiet(shared, capfd):
    """Neither good nor broken requests write anything to the terminal."""
    call(shared, "GET", ME)
    with socket.create_connection(("127.0.0.1", int(shared.url.rpartition(":")[2])), timeout=5) as raw:
        raw.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")
        assert b"400" in raw.recv(1000)
    with socket.create_connection(("127.0.0.1", int(shared.url.rpartition(":")[2])), timeout=5) as raw:
        head = (
            f"POST {SYNC} HTTP/1.1\r\nHost: localhost:{raw.getpeername()[1]}\r\nAuthorization: UAT {shared.token}\r\n"
        )
        raw.sendall(head.encode() + b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
    assert call(shared, "GET", ME).status_code == 200
    assert capfd.readouterr() == ("", "")


def test_repr_helps_and_hides_the_token():
    """The repr says where it is and what it holds, and never the token (S01)."""
    sandbox = make(speed=60)
    assert repr(sandbox) == "<Sandbox not running: 8 codes, 3 SCM fields, speed 60>"
    with sandbox:
        assert sandbox.url in repr(sandbox)
        assert sandbox.token not in repr(sandbox) + str(sandbox) + repr(sandbox._service)
        assert make().token != sandbox.token
    with pytest.raises(ConfigurationError, match="start"):
        _ = make().url


def test_its_client_is_ready():
    """The client of a sandbox has its URL, its token and its pace."""
    with make(rate=10, speed=60) as sandbox, sandbox.client() as client:
        assert client.me()
        assert (client.limits.updates_per_second, client.limits.speed) == (600, 60)


@pytest.mark.parametrize("package", ["starlette", "uvicorn"])
def test_missing_packages_are_named(monkeypatch, package):
    """Without the extra, the error says what to install."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=r"scmkit\[sandbox\]"):
        Sandbox(5)


def test_it_runs_from_a_shell(tmp_path):
    """``python -m scmkit.sandbox`` prints what another shell needs, serves, and ends with Ctrl-C."""
    path = tmp_path / "codes.csv"
    inventory().to_csv(path, index=False)
    command = [sys.executable, "-m", "scmkit.sandbox", "--codes", str(path), "--speed", "60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        lines = []
        while not lines or "Ctrl-C" not in lines[-1]:
            lines.append(process.stdout.readline())
            assert lines[-1] or process.poll() is None, lines
        exports = dict(line.split()[1].split("=") for line in lines if "export " in line)
        headers = {"Authorization": f"UAT {exports['SCANTRUST_UAT_TOKEN']}"}
        with requests.Session() as session:
            session.trust_env = False
            url = exports["SCANTRUST_BASE_URL"]
            assert session.get(url + ME, headers=headers, timeout=20).status_code == 200
        process.send_signal(signal.SIGINT)
        assert "Traceback" not in process.communicate(timeout=20)[0]
    assert process.returncode == 0


def test_a_shell_error_is_a_sentence(tmp_path):
    """A file that is not there ends the command with a sentence and no traceback."""
    from scmkit.sandbox.__main__ import main

    with pytest.raises(SystemExit, match="cannot start"):
        main(["--codes", str(tmp_path / "none.csv")])
