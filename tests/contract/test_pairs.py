"""The pairs of the wire contract bind everybody who claims to know it: sandbox, plain server, fake, client and plan."""

import datetime as dt
import json
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pandas as pd
import plain_server
import pytest
import requests
from fake_service import Service
from pairs import ASYNC, BY_NAME, CODES, DOWNLOAD, ELSEWHERE, FIELDS, ME, PAIRS, SYNC, Pair, Some

import scmkit
from scmkit.core import errors
from scmkit.core.values import Mode, SyncAnswer
from scmkit.engine.engine import Call, Poll, Post
from scmkit.engine.tasks import FollowedTask
from scmkit.sandbox.server import UPLOAD_PERMISSIONS

TOKEN = "token-of-the-pairs"
HELD = ("serial_number", "product", "status", "blacklist_reason", *FIELDS)  # what a pair says about a code
ENDED = ("complete", "success")
PATIENCE_S = 20.0

State = dict[str, dict[str, str]]


def by(side: str) -> pytest.MarkDecorator:
    """Run a test for each pair that this side plays."""
    return pytest.mark.parametrize("pair", [p for p in PAIRS if side in p.by.split()], ids=lambda p: p.name)


def before(pair: Pair) -> State:
    return CODES | {code: dict(values) for code, values in pair.before.items()}


def after(pair: Pair) -> State:
    changed = {code: {**values, **pair.after.get(code, {})} for code, values in before(pair).items()}
    return {code: {name: text for name, text in values.items() if text} for code, values in changed.items()}


def example(value: Any) -> Any:
    """Give an answer as it can be played: examples instead of what is left to the service."""
    if isinstance(value, Some):
        return value.example
    if isinstance(value, Mapping):
        return {name: example(inner) for name, inner in value.items()}
    return [example(inner) for inner in value] if isinstance(value, list) else value


def agree(expected: Any, actual: Any, names: dict[str, str], *, top: bool = False) -> bool:
    """Tell whether an answer is the pair's; what a service names itself (a task, a link) is noted in ``names``."""
    if isinstance(expected, Some):
        if not isinstance(actual, str) or not isinstance(expected.example, str):
            return type(actual) is type(expected.example)
        names[expected.example] = actual
        return re.fullmatch(expected.form, actual, re.DOTALL) is not None
    if isinstance(expected, Mapping):
        if not isinstance(actual, dict) or not (
            expected.keys() <= actual.keys() if top else expected.keys() == actual.keys()
        ):
            return False
        return all(agree(inner, actual[name], names) for name, inner in expected.items())
    if isinstance(expected, list) and any(isinstance(each, Mapping) for each in expected):
        return len(expected) == len(actual) and all(map(partial(agree, names=names), expected, actual))
    if isinstance(expected, list):  # of names, in any order
        return isinstance(actual, list) and sorted(expected) == sorted(actual)
    return type(actual) is type(expected) and names.get(expected, expected) == actual


def raw(body: Any) -> bytes | None:
    if body is None or isinstance(body, str):
        return body.encode() if body is not None else None
    return json.dumps(body, ensure_ascii=False).encode()


def meaning(body: bytes) -> Any:
    """Give what a body says, whatever its spelling."""
    try:
        said = json.loads(body)
    except ValueError:
        return body
    return {"data_key": "extended_id"} | said if isinstance(said, dict) and "items" in said else said


# Servers: the raw request gets the pair's answer, and the codes hold what the pair says.


@dataclass
class Asked:
    """A server under test, and the names that it gave to tasks, documents and links."""

    url: str
    token_of: Callable[[str], str | None]
    session: requests.Session
    names: dict[str, str] = field(default_factory=dict)

    def ask(self, pair: Pair) -> requests.Response:
        """Send the raw request, its token aside; only GETs are repeated, until the answer or the end of patience."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            response = self._send(pair)
            if pair.method != "GET" or self.says(pair, response) or time.monotonic() > deadline:
                return response
            time.sleep(0.005)

    def says(self, pair: Pair, response: requests.Response) -> bool:
        """Tell whether this is the pair's answer, headers included."""
        if response.status_code == pair.or_status:
            return True
        if response.status_code != pair.status:
            return False
        if not all(agree(text, response.headers.get(name), self.names) for name, text in pair.headers.items()):
            return False
        return agree(pair.answer, _content(response), self.names, top=True)

    def settle(self) -> None:
        """Wait until the last task has ended."""
        deadline = time.monotonic() + PATIENCE_S
        task = Pair("", "", "", f"/api/v2/scm/tasks/{self.names['task-1']}/", method="GET")
        while self._send(task).json()["state"] not in ENDED:
            assert time.monotonic() < deadline, "the task does not end"
            time.sleep(0.005)

    def _send(self, pair: Pair) -> requests.Response:
        path = pair.path
        for name, own in self.names.items():
            path = path.replace(name, own)
        token, body = self.token_of(pair.token), raw(pair.body)
        headers = {"Authorization": f"UAT {token}"} if token else {}
        headers |= {"Content-Type": "application/json"} if body is not None else {}
        url = path if path.startswith("http") else self.url + path
        return self.session.request(
            pair.method, url, params=pair.query, data=body, headers=headers, timeout=10, allow_redirects=False
        )


def _content(response: requests.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return response.text.replace("\r\n", "\n")


def _play(server: Asked, pair: Pair) -> None:
    """Bring about the pair's state, and compare its answer."""
    for name in (*pair.follows, *pair.within[: pair.within.index(pair.name) if pair.within else 0]):
        earlier = BY_NAME[name]
        response = server.ask(earlier)
        assert server.says(earlier, response), (name, response.status_code, response.text)
        if earlier.path == ASYNC and "slow_s" not in pair.sandbox:
            server.settle()
    response = server.ask(pair)
    assert server.says(pair, response), (response.status_code, dict(response.headers), response.text)
    if pair.path == ASYNC and pair.status == 200 and "slow_s" not in pair.sandbox:
        server.settle()


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as made:
        made.trust_env = False
        yield made


@by("sandbox")
def test_the_sandbox_answers_as_the_contract_says(pair: Pair, session: requests.Session) -> None:
    """A raw request over HTTP gets the pair's answer, and afterwards the codes hold what the pair says."""
    options: dict[str, Any] = {"latency_s": 0, "rate": 1000, "speed": 1000} | dict(pair.sandbox)
    service_time = scmkit.ServiceTime.fixed(options.pop("slow_s", 1e-6), 0, 0, 0)
    inventory = pd.DataFrame([{"extended_id": code} | values for code, values in before(pair).items()])
    with scmkit.Sandbox(inventory, FIELDS, service_time=service_time, **options) as sandbox:
        _play(Asked(sandbox.url, lambda kind: _sandbox_token(sandbox, kind), session), pair)
        assert _held(sandbox.codes()) == after(pair)


def _sandbox_token(sandbox: scmkit.Sandbox, kind: str) -> str | None:
    if kind == "expired":
        return sandbox.make_token(expires=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
    if kind in UPLOAD_PERMISSIONS:
        return sandbox.make_token(set(UPLOAD_PERMISSIONS) - {kind})
    return {"valid": sandbox.token, "wrong": "0" * 40, "none": None}[kind]


def _held(codes: pd.DataFrame) -> State:
    lines = codes.set_index("extended_id")[list(HELD)].to_dict("index")
    return {code: {name: text for name, text in line.items() if pd.notna(text)} for code, line in lines.items()}


@by("plain")
def test_the_plain_server_answers_as_the_contract_says(pair: Pair, session: requests.Session) -> None:
    """The second reading of the contract gives the pair's answer, too, and its codes hold what the pair says."""
    codes = {code: dict(values) for code, values in before(pair).items()}
    tokens = {"valid": plain_server.TOKEN, "wrong": "0" * 40}
    with plain_server.serve(list(FIELDS), codes) as server:
        _play(Asked(server.url, tokens.get, session), pair)
    assert {code: _plain(values) for code, values in codes.items()} == after(pair)


def _plain(values: Mapping[str, str]) -> dict[str, str]:
    """Give what a code holds by the names of the columns of a download."""
    return {"status" if name == "activation_status" else name: text for name, text in values.items() if text}


# The client: its request is the pair's, and it reads the pair's answer as the pair says.


class Stage(plain_server.PlainServer):
    """A server that plays answers verbatim, one after the other, whatever it is asked."""

    def respond(self, exchange: plain_server.Exchange) -> None:
        _ = exchange.raw
        pair = self.script.pop(0)
        answer = example(pair.answer)
        text = answer if isinstance(answer, str) else json.dumps(answer)
        headers = {name: value.replace(ELSEWHERE, self.elsewhere) for name, value in example(pair.headers).items()}
        exchange.answer(pair.status, text.replace(ELSEWHERE, self.elsewhere).encode(), headers)


@pytest.fixture(scope="module")
def stages() -> Iterator[tuple[Stage, Stage]]:
    """The service, and another host."""
    here, there = Stage([], {}), Stage([], {})
    with plain_server.listening(here.serve) as here.url, plain_server.listening(there.serve) as there.url:
        here.elsewhere = there.elsewhere = there.url
        yield here, there


@by("client")
def test_the_client_asks_and_reads_as_the_contract_says(
    pair: Pair, stages: tuple[Stage, Stage], tmp_path: Path
) -> None:
    """The client's request means the pair's, and no other; its result or its error is what the pair says."""
    script = [BY_NAME[name] for name in pair.within] or [pair]
    for stage, there in zip(stages, (False, True), strict=True):
        stage.exchanges, stage.script = [], [p for p in script if p.path.startswith("http") is there]
    limits = scmkit.Limits(connect_s=2, read_s=5, deadline_s=5)
    with scmkit.Client(stages[0].url, TOKEN, limits=limits) as client:
        if pair.error:
            with pytest.raises(errors.ServiceError) as caught:
                _call(client, script[0], tmp_path)
            assert type(caught.value).__name__ == pair.error
            assert caught.value.status == pair.status
            _check_reads(pair, caught.value)
        else:
            _check_result(pair, script, _call(client, script[0], tmp_path))
    heard = [exchange for stage in stages for exchange in stage.exchanges]
    for wanted, request in zip(script, heard, strict=True):
        _check_request(wanted, request)


def _call(client: scmkit.Client, pair: Pair, folder: Path) -> Any:
    """Make the call of the client that stands for this request."""
    if pair.path == ME:
        return client.me()
    if pair.path == DOWNLOAD:
        return client.download_codes(folder / "codes.csv", sleep=lambda _: None, **dict[str, Any](pair.query))
    if pair.path == "/api/v2/products/":
        return client.products()
    if pair.method == "GET":
        return client.task(pair.path.split("/")[-2])
    upload: Any = {SYNC: client.upload_sync, ASYNC: client.upload_async}[pair.path]
    return upload(pair.body.encode()) if isinstance(pair.body, str) else upload(**pair.body)


def _check_request(pair: Pair, request: plain_server.Exchange) -> None:
    url = urlsplit(request.path)
    assert (request.method, url.path, dict(parse_qsl(url.query))) == (
        pair.method, urlsplit(pair.path).path, dict(pair.query)
    )  # fmt: skip
    authorization = None if pair.token == "none" else f"UAT {TOKEN}"
    assert request.headers.get("authorization") == authorization
    assert not any(TOKEN in value for name, value in request.headers.items() if name != "authorization")
    if pair.method == "POST":
        assert request.headers["content-type"] == "application/json"
        assert meaning(request.raw) == meaning(raw(pair.body) or b"")
    else:
        assert request.raw == b""


def _check_result(pair: Pair, script: list[Pair], result: Any) -> None:
    answer = example(script[-1].answer)
    if pair.path == SYNC:
        items = {value: tuple(names) for value, names in answer["items"].items()}
        assert result == SyncAnswer(answer["total_updates"], answer["codes_affected"], items, answer["changes"])
    elif pair.path == ASYNC:
        assert result.task_id == answer["task_id"]
    elif pair.path == ME:
        assert result == answer
    elif pair.within:
        assert result.read_text() == answer
    elif pair.path == "/api/v2/products/":
        names = ("code_count", "active_code_count", "blacklisted_code_count", "sku", "name")
        told = [tuple(product[name] for name in names) for product in answer["results"]]
        assert [*result[["codes", "active", "blacklisted", "sku", "name"]].itertuples(index=False, name=None)] == told
    else:
        assert pair.reads
        _check_reads(pair, result)


def _check_reads(pair: Pair, result: object) -> None:
    assert {name: getattr(result, name) for name in pair.reads} == pair.reads


# The fake that the engine's schedules are played on, and the plan that makes the bodies.


@by("fake")
def test_the_fake_service_answers_as_the_contract_says(pair: Pair) -> None:
    """Given the same body the transport of the schedules gives the answer that the client reads from the pair's."""
    service = Service(set(before(pair)), random.Random(1), ["answered"], 0)
    upload = pair if pair.method == "POST" else BY_NAME[pair.follows[-1]]
    mode = Mode.SYNC if upload.path == SYNC else Mode.ASYNC
    reply = _exchange(service, Post(Call(0, mode, np.arange(1)), raw(upload.body) or b""))
    if mode is Mode.SYNC:
        answer = agree({name: pair.answer[name] for name in ("codes_affected", "items")}, _as_json(reply), {})
        assert answer, reply
    if pair.method == "GET":
        watch = FollowedTask.begin(reply.task_id, 0, service.clock)
        assert not _exchange(service, Poll(watch)).finished
        service.clock += 10.0
        task = _exchange(service, Poll(watch))
        _check_reads(pair, task)
    assert _applied(before(pair), service) == after(pair)


def _exchange(service: Service, work: Post | Poll) -> Any:
    service.start(work)
    reply = service.wait(None)
    assert reply is not None
    assert reply.error is None
    return reply.answer


def _as_json(answer: SyncAnswer) -> dict[str, Any]:
    return {
        "codes_affected": answer.codes_affected,
        "items": {key: list(names) for key, names in answer.items.items()},
    }


def _applied(codes: State, service: Service) -> State:
    """Give what codes hold after the writes of a fake service, which knows of nothing else."""
    held = service.held()
    return {code: _plain(values | held.get(code, {})) for code, values in codes.items()}


@pytest.mark.parametrize("pair", [p for p in PAIRS if p.rows is not None], ids=lambda p: p.name)
def test_a_plan_makes_the_body(pair: Pair) -> None:
    """The body that a plan makes of a small table means the pair's."""
    mode = Mode.SYNC if pair.path == SYNC else Mode.ASYNC
    key = pair.body["data_key"] if mode is Mode.SYNC else list(pair.body["constraints"])
    plan = scmkit.plan(pd.DataFrame(pair.rows or pair.body["items"]), key, mode, default=1)
    assert len(plan) == 1
    assert plan.calls["mode"].tolist() == [mode]
    assert meaning(plan.body(mode, plan.rows_of(0))) == meaning(raw(pair.body) or b"")


def test_a_date_in_another_form_makes_no_body() -> None:
    """What the service would store and then trip over is our job to catch."""
    pair = BY_NAME["field: a date in another form is stored as sent"]
    with pytest.raises(errors.ValidationError, match=r"production_date|23\.11\.2026"):
        scmkit.plan(pd.DataFrame(pair.body["items"]))


# The pairs themselves.


def test_no_pair_is_vacuous() -> None:
    """All pairs bind the sandbox or the client, and 25 or more bind both; one that binds one of them says why."""
    sides = {pair.name: set(pair.by.split()) for pair in PAIRS}
    assert len(BY_NAME) == len(PAIRS)
    assert sum(bool(playing & {"sandbox", "client"}) for playing in sides.values()) == len(PAIRS) >= 60
    assert sum(playing >= {"sandbox", "client"} for playing in sides.values()) >= 25
    assert sum("plain" in playing for playing in sides.values()) >= 25
    assert sum("fake" in playing for playing in sides.values()) >= 15
    for pair in PAIRS:
        assert (sides[pair.name] >= {"sandbox", "client"}) == (not pair.alone), pair.name
        assert sides[pair.name] <= {"sandbox", "client", "plain", "fake"}, pair.name
        assert re.fullmatch(r"(\[(seed|doc|client|assumed)\])+", pair.source), pair.name
        assert pair.fact, pair.name
        assert "client" not in sides[pair.name] or pair.status == 200 or pair.error, pair.name


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ({"a": 1}, {}), ({"a": 1}, {"a": 2}), ({"a": 1}, {"a": "1"}), ({"a": 1}, {"a": True}), ({"a": 1}, [1]),
        ({"a": {}}, {"a": {"b": ["c"]}}), ({"a": {"b": []}}, {"a": {}}), ({"a": ["b"]}, {"a": ["b", "c"]}),
        ({"a": None}, {"a": ""}), (Some("x", r"\d+"), "x"), (Some(1), "1"), (Some({}), []), (Some(1), True),
        ({"task_id": Some("task-1")}, {"task_id": ""}), ({"task_id": Some("task-1")}, {"task_id": 1}),
    ],
)  # fmt: skip
def test_a_wrong_answer_does_not_agree(expected: Any, actual: Any) -> None:
    """The comparison notices a value, a type, a name and a form that are not the pair's."""
    assert not agree(expected, actual, {}, top=True)


def test_names_of_the_service_are_kept() -> None:
    """An answer may name a task as it likes, and must keep to it."""
    names: dict[str, str] = {}
    assert agree({"task_id": Some("task-1")}, {"task_id": "e5a1", "more": 1}, names, top=True)
    assert agree({"id": "task-1"}, {"id": "e5a1"}, names)
    assert not agree({"id": "task-1"}, {"id": "task-1"}, names)
