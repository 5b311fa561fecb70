"""A server that misbehaves on purpose, at the level of the socket: what a standard server cannot be made to do.

It keeps the codes of `plain_server`, and notes what a test needs to judge an upload without asking the uploader: when
each SCM call arrived, every request's headers, and every value that a code and field were ever set to.

A fault is a function of an `Exchange`. `script` holds those of the next SCM calls, `rule` is for all calls after them;
`polls` and `poll_rule` are the same for questions about tasks.
"""

import gzip
import json
import random
import socket
import ssl
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from plain_server import PlainServer

SYNC, ASYNC = "/api/v2/scm/upload/", "/api/v2/scm/upload/async/"
TASKS = "/api/v2/scm/tasks/"


class Exchange:
    """One request, and the socket to answer it on; the body is read when somebody asks for it."""

    def __init__(self, server: "FaultServer", connection: socket.socket, head: bytes, rest: bytes) -> None:
        self.server, self.connection, self._rest = server, connection, rest
        first, *lines = head.decode("latin-1").split("\r\n")
        self.method, self.path, _ = first.split(" ")
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.arrived = time.monotonic()
        self._body: Any = None

    @property
    def body(self) -> Any:
        """Read and decode the body."""
        if self._body is None:
            size = int(self.headers.get("content-length", 0))
            while len(self._rest) < size and (piece := self.connection.recv(65536)):
                self._rest += piece
            self._body = json.loads(self._rest[:size] or b"null")
        return self._body

    @property
    def size(self) -> int:
        """How many bytes the body has."""
        return int(self.headers["content-length"])

    def apply(self) -> dict[str, Any]:
        """Do what a sound server does with this call, and give its answer."""
        body = self.body
        with self.server.lock:
            return self.server.sync(body) if self.path == SYNC else self.server.accept(body)

    def apply_later(self, seconds: float) -> None:
        """Do it when the caller has long gone."""
        _ = self.body
        timer = threading.Timer(seconds, self.apply)
        self.server.timers.append(timer)
        timer.start()

    def answer(self, status: int, content: Any = None, headers: dict[str, str] | None = None) -> None:
        """Send a whole answer; a connection is kept only if the request was read."""
        _ = self.body
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        lines = {"Content-Length": str(len(data)), **(headers or {})}
        head = f"HTTP/1.1 {status} Whatever\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items())
        self.send(head.encode() + b"\r\n" + data)

    def send(self, raw: bytes) -> None:
        self.connection.sendall(raw)

    def reset(self) -> None:
        """Break the connection off with an RST."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def close(self) -> None:
        self.connection.close()


Fault = Callable[[Exchange], None]


@dataclass
class FaultServer(PlainServer):
    """What the server holds, has seen, and will do wrong."""

    script: list[Fault] = field(default_factory=list)
    rule: Fault = lambda exchange: normal(exchange)
    polls_script: list[Fault] = field(default_factory=list)
    poll_rule: Fault = lambda exchange: normal(exchange)
    arrivals: list[float] = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)
    history: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    timers: list[threading.Timer] = field(default_factory=list)
    accepted: int = 0

    def store(self, codes: list[str], values: dict[str, str]) -> list[str]:
        known = super().store(codes, values)
        for code in codes:
            for name in known:
                self.history[code, name].append(values[name])
        return known

    def calls(self, path: str = SYNC) -> list[Exchange]:
        """Give the SCM calls that arrived, in order."""
        return [e for e in self.exchanges if e.path == path]

    def settle(self) -> None:
        """Wait until nothing is on its way any more."""
        for timer in self.timers:
            timer.join()

    def serve(self, connection: socket.socket) -> None:
        """Answer the requests of one connection."""
        with suppress(OSError, ValueError), connection:
            while (read := _read_head(connection)) is not None:
                exchange = Exchange(self, connection, *read)
                self._fault_for(exchange)(exchange)

    def _fault_for(self, exchange: Exchange) -> Fault:
        with self.lock:
            self.exchanges.append(exchange)
            if exchange.method == "GET":
                poll = exchange.path.startswith(TASKS)
                return _next(self.polls_script, self.poll_rule) if poll else normal
            self.arrivals.append(exchange.arrived)
            return _next(self.script, self.rule)


def _next(script: list[Fault], rule: Fault) -> Fault:
    return script.pop(0) if script else rule


def _read_head(connection: socket.socket) -> tuple[bytes, bytes] | None:
    data = b""
    while b"\r\n\r\n" not in data:
        if not (piece := connection.recv(65536)):
            return None
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


# Faults


def normal(exchange: Exchange) -> None:
    """Do what the contract says."""
    server, path = exchange.server, exchange.path.partition("?")[0]
    if path == "/file.csv":
        return exchange.answer(200, server.document().encode())
    if exchange.headers.get("authorization") != f"UAT {server.token}":
        return exchange.answer(401, {"detail": "Invalid token."})
    if exchange.method == "POST":
        return exchange.answer(200, exchange.apply())
    if path.startswith(TASKS):
        task = server.tasks.get(path.split("/")[-2])
        return exchange.answer(200, {"state": "complete", **task}) if task else exchange.answer(404, {"detail": "No."})
    routes = {
        "/api/v2/codes/download/": {"document": {"key": "doc1"}},
        "/api/v2/documents/doc1/": {"key": "doc1", "state": "complete"},
        "/api/v2/documents/doc1/get-download-link/": {"link": f"{server.url}/file.csv"},
    }
    return exchange.answer(200 if path in routes else 404, routes.get(path))


def answers(status: int, content: Any = None, headers: dict[str, str] | None = None, apply: bool = False) -> Fault:
    """Answer this instead, having applied the call or not."""

    def fault(exchange: Exchange) -> None:
        if apply:
            exchange.apply()
        exchange.answer(status, content, headers)

    return fault


def sends(raw: bytes, apply: bool = True) -> Fault:
    """Send these bytes and hang up."""

    def fault(exchange: Exchange) -> None:
        _ = exchange.apply() if apply else exchange.body
        exchange.send(raw)
        exchange.connection.shutdown(socket.SHUT_WR)
        exchange.close()

    return fault


def resets(apply: bool | float | None) -> Fault:
    """Reset the connection: before the body is read (None), after it, after applying it, or seconds before that."""

    def fault(exchange: Exchange) -> None:
        if apply is not None:
            _ = exchange.body
        if apply is True:
            exchange.apply()
        elif apply:
            exchange.apply_later(apply)
        exchange.reset()

    return fault


def hangs(seconds: float, apply_after: float | None = None) -> Fault:
    """Say nothing for a while, and perhaps apply the call at some time."""

    def fault(exchange: Exchange) -> None:
        _ = exchange.body
        if apply_after is not None:
            exchange.apply_later(apply_after)
        time.sleep(seconds)
        exchange.close()

    return fault


def drips(head: bytes, seconds: float) -> Fault:
    """Send something every moment, and never come to an end."""

    def fault(exchange: Exchange) -> None:
        exchange.apply()
        exchange.send(head)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            exchange.send(b"x")
            time.sleep(0.02)
        exchange.close()

    return fault


def task(state: str, share: float = 0.0) -> Fault:
    """Accept an async call as a task in this state, of which this share is done."""

    def fault(exchange: Exchange) -> None:
        body, server = exchange.body, exchange.server
        [(key, value)] = body["constraints"].items()
        with server.lock:
            codes = server.select(key, value if isinstance(value, list) else [value])
            server.store(codes[: int(len(codes) * share)], body["scm_data"])
            name = f"task-{len(server.tasks)}"
            server.tasks[name] = {"id": name, "state": state, "codes_affected": None}
        exchange.answer(200, {"task_id": name})

    return fault


def sometimes(share: float, faults: list[Fault], seed: int) -> Fault:
    """Do one of these things wrong with some probability."""
    luck = random.Random(seed)

    def fault(exchange: Exchange) -> None:
        (luck.choice(faults) if luck.random() < share else normal)(exchange)

    return fault


def truncated(content: bytes) -> bytes:
    """Announce more than there is."""
    return b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + content


BROKEN_CHUNK = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"ite\r\nzz\r\n'
BROKEN_GZIP = (
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b'{"items": {}}', mtime=0)[:-9] + b"garbage"
)


@contextmanager
def serve(
    fields: list[str], codes: dict[str, dict[str, str]], tls: ssl.SSLContext | None = None
) -> Iterator[FaultServer]:
    """Run a fault server on loopback."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    scheme = "https" if tls else "http"
    server = FaultServer(fields, codes, url=f"{scheme}://127.0.0.1:{listener.getsockname()[1]}")
    connections: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            server.accepted += 1
            try:
                connection = tls.wrap_socket(connection, server_side=True) if tls else connection
            except OSError:
                continue
            connections.append(connection)
            threading.Thread(target=server.serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        server.settle()


def serve_alone(pipe: Connection, fields: list[str], codes: dict[str, dict[str, str]], share: float) -> None:
    """Run a fault server in a process of its own: it sends its URL, and its codes whenever it gets something.

    It loses no answer to an async call: for an hour nobody could say whether there is a task.
    """
    page = b"<html><title>Oops</title></html>"
    refused = [answers(503, page), answers(429, {"detail": "Request was throttled."}, {"Retry-After": "1"})]
    lost = [resets(None), resets(False), answers(504, page), sends(truncated(b"{"), apply=False)]
    wrong = sometimes(share, [*refused, *lost, resets(True), sends(truncated(b'{"items": {'))], 1)
    wrong_async, wrong_poll = sometimes(share, refused, 2), sometimes(share, refused + lost, 3)

    def forget(fault: Fault) -> Fault:
        def rule(exchange: Exchange) -> None:
            for noted in (server.exchanges, server.arrivals, server.history):  # or a day's calls would fill the memory
                noted.clear()
            fault(exchange)

        return rule

    with serve(fields, codes) as server:
        server.rule = forget(lambda e: (wrong_async if e.path == ASYNC else wrong)(e))
        server.poll_rule = forget(wrong_poll)
        pipe.send(server.url)
        while pipe.recv():
            pipe.send(server.codes)
