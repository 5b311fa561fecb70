"""A server that misbehaves on purpose, at the level of the socket: what a standard server cannot be made to do.

It keeps the codes of `plain_server`, and notes what a test needs to judge an upload without asking the uploader: when
each SCM call arrived, every request's headers, and every value that a code and field were ever set to.

A fault is a function of an `Exchange`. `script` holds those of the next SCM calls, `rule` is for all calls after them;
`polls` and `poll_rule` are the same for questions about tasks.
"""

import gzip
import random
import socket
import ssl
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from plain_server import ASYNC, SYNC, TASKS, Exchange, PlainServer, listening

Fault = Callable[[Exchange], None]


@dataclass
class FaultServer(PlainServer):
    """What the server holds, has seen, and will do wrong."""

    script: list[Fault] = field(default_factory=list)
    rule: Fault = lambda exchange: normal(exchange)
    polls_script: list[Fault] = field(default_factory=list)
    poll_rule: Fault = lambda exchange: normal(exchange)
    arrivals: list[float] = field(default_factory=list)
    history: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    timers: list[threading.Timer] = field(default_factory=list)
    accepted: int = 0
    tls: ssl.SSLContext | None = None

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

    def apply_later(self, exchange: Exchange, seconds: float) -> None:
        """Do what a sound server does with a call when the caller has long gone."""
        _ = exchange.body
        timer = threading.Timer(seconds, exchange.apply)
        self.timers.append(timer)
        timer.start()

    def serve(self, connection: socket.socket) -> None:
        self.accepted += 1
        super().serve(self.tls.wrap_socket(connection, server_side=True) if self.tls else connection)

    def respond(self, exchange: Exchange) -> None:
        self._fault_for(exchange)(exchange)

    def _fault_for(self, exchange: Exchange) -> Fault:
        with self.lock:
            if exchange.method == "GET":
                poll = exchange.path.startswith(TASKS)
                return _next(self.polls_script, self.poll_rule) if poll else normal
            self.arrivals.append(exchange.arrived)
            return _next(self.script, self.rule)


def _next(script: list[Fault], rule: Fault) -> Fault:
    return script.pop(0) if script else rule


# Faults


def normal(exchange: Exchange) -> None:
    """Do what the contract says."""
    PlainServer.respond(exchange.server, exchange)


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
            exchange.server.apply_later(exchange, apply)
        exchange.reset()

    return fault


def hangs(seconds: float, apply_after: float | None = None) -> Fault:
    """Say nothing for a while, and perhaps apply the call at some time."""

    def fault(exchange: Exchange) -> None:
        _ = exchange.body
        if apply_after is not None:
            exchange.server.apply_later(exchange, apply_after)
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


def limited(codes: int) -> Fault:
    """Let tasks over more codes than that fail when they have set half of them."""

    def fault(exchange: Exchange) -> None:
        [(key, value)] = exchange.body["constraints"].items()
        selected = exchange.server.select(key, value if isinstance(value, list) else [value])
        (task("failed", share=0.5) if len(selected) > codes else normal)(exchange)

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
    server = FaultServer(fields, codes, tls=tls)
    with listening(server.serve) as url:
        server.url = url.replace("http:", "https:") if tls else url
        yield server
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
            for noted in (server.seen, server.exchanges, server.arrivals, server.history):
                noted.clear()  # or a day's calls would fill the memory
            fault(exchange)

        return rule

    with serve(fields, codes) as server:
        server.rule = forget(lambda e: (wrong_async if e.path == ASYNC else wrong)(e))
        server.poll_rule = forget(wrong_poll)
        pipe.send(server.url)
        while pipe.recv():
            pipe.send(server.codes)
