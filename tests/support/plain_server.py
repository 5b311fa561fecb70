"""A second server of the contract, as plain as can be: dictionaries behind a socket.

It shares no line with the sandbox, so that a test passing against both has not just met one reading of the contract.
Every SCM call is noted with its arrival time; `answers` scripts what the next calls get instead. What misbehaves on
purpose is built on it, in `fault_server`: that needs the socket, which no server of a library gives away.
"""

import csv
import io
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

SYNC, ASYNC, TASKS = "/api/v2/scm/upload/", "/api/v2/scm/upload/async/", "/api/v2/scm/tasks/"
FIXED = [
    "extended_id", "serial_number", "brand", "product", "sku", "status", "blacklist_reason", "scm_updated_by",
    "scm_updated_at", "activated_by", "activated_at", "workorder_id",
]  # fmt: skip
SPECIAL = ("product", "activation_status", "blacklist_reason")
TOKEN = "canary-token-7f3a9c"
NOT_FOUND = (404, {"detail": "Not found."})

Answer = tuple[int, Any, dict[str, str]]
Scripted = Callable[["Exchange", dict[str, Any]], Answer | None]


@dataclass
class PlainServer:
    """What the server holds, and what it has seen."""

    fields: list[str]
    codes: dict[str, dict[str, str]]
    url: str = ""
    token: str = TOKEN
    seen: list[tuple[float, str, dict[str, Any]]] = field(default_factory=list)
    answers: list[Scripted | Answer | None] = field(default_factory=list)
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    polls: int = 0
    polls_until_complete: int = 1
    exchanges: list["Exchange"] = field(default_factory=list)
    filters_known: bool = False  # a service that knows none gives all codes
    lock: threading.Lock = field(default_factory=threading.Lock)

    def hold(self, count: int = 1, naming: str = "") -> tuple[threading.Event, threading.Event]:
        """Let the next calls, or those that name this, wait for the second event; the first tells that one is there."""
        arrived, go = threading.Event(), threading.Event()

        def held(_: Exchange, body: dict[str, Any]) -> None:
            if naming not in json.dumps(body):
                return
            self.lock.release()
            arrived.set()
            go.wait(30)
            self.lock.acquire()

        self.answers = [held] * count
        return arrived, go

    def select(self, key: str, values: list[str]) -> list[str]:
        """Find the codes that carry one of these values."""
        if key == "extended_id":
            return [v for v in values if v in self.codes]
        return [code for code, held in self.codes.items() if held.get(key) in values]

    def store(self, codes: list[str], values: dict[str, str]) -> list[str]:
        """Set the values that the campaign defines, and give their names."""
        known = [name for name in values if name in self.fields or name in SPECIAL]
        for code in codes:
            self.codes[code].update({name: values[name] for name in known})
        return known

    def sync(self, body: dict[str, Any]) -> dict[str, Any]:
        """Apply the items one after the other."""
        key, items, affected = body.get("data_key", "extended_id"), {}, set()
        for item in body["items"]:
            codes = self.select(key, [item[key]])
            stored = self.store(codes, {k: v for k, v in item.items() if k != key})
            if codes:
                items[item[key]] = [*dict.fromkeys([*items.get(item[key], ()), *stored])]
                affected.update(codes if stored else ())
        return {"total_updates": len(items), "codes_affected": len(affected), "changes": [], "items": items}

    def accept(self, body: dict[str, Any]) -> dict[str, Any]:
        """Apply at once, but report it as a task."""
        selected: set[str] | None = None
        for key, value in body["constraints"].items():
            found = set(self.select(key, value if isinstance(value, list) else [value]))
            selected = found if selected is None else selected & found
        self.store(sorted(selected or ()), body["scm_data"])
        task_id = f"task-{len(self.tasks)}"
        self.tasks[task_id] = {"id": task_id, "codesAffected": len(selected or ()), "polls": 0}
        return {"task_id": task_id}

    def document(self) -> str:
        """Write all codes as the CSV of a download."""
        return self.written({"extended_id": code} | held for code, held in self.codes.items())

    def selected(self, query: str) -> str:
        """Write the codes that filters select."""
        asked = {name.removeprefix("scm_"): value for name, value in parse_qsl(query)}
        codes = csv.DictReader(io.StringIO(self.document()))
        return self.written(code for code in codes if all(code[name] == value for name, value in asked.items()))

    def written(self, codes: Iterable[dict[str, str]]) -> str:
        text = io.StringIO()
        writer = csv.DictWriter(text, FIXED + self.fields, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(codes)
        return text.getvalue()

    @property
    def authorizations(self) -> list[tuple[str, str | None]]:
        """Return the path and the authorization of each GET."""
        gets = [exchange for exchange in self.exchanges if exchange.method == "GET"]
        return [(exchange.route, exchange.headers.get("authorization")) for exchange in gets]

    def apply(self, exchange: "Exchange") -> dict[str, Any]:
        """Do what a sound server does with a call."""
        return self.sync(exchange.body) if exchange.path == SYNC else self.accept(exchange.body)

    def respond(self, exchange: "Exchange") -> None:
        """Answer one request."""
        if exchange.route == "/file.csv":
            text = self.selected(exchange.query) if self.filters_known else self.document()
            return exchange.answer(200, text.encode())
        if exchange.headers.get("authorization") != f"UAT {self.token}":
            return exchange.answer(401, {"detail": "Invalid token."})
        return self.store_call(exchange) if exchange.method == "POST" else self.look_up(exchange)

    def store_call(self, exchange: "Exchange") -> None:
        body = exchange.body
        with self.lock:
            self.seen.append((time.monotonic(), exchange.path, body))
            scripted = self.answers.pop(0) if self.answers else None
            if callable(scripted):
                scripted = scripted(exchange, body)
            scripted = scripted or (200, self.apply(exchange), {})
        exchange.answer(*scripted)

    def look_up(self, exchange: "Exchange") -> None:
        if exchange.route.startswith(TASKS):
            return exchange.answer(*self.task(exchange.route.split("/")[-2]))
        key = exchange.route.split("/")[4] if exchange.route.startswith("/api/v2/documents/doc1") else "doc1"
        query = bytes.fromhex(key[5:]).decode()  # a document's key holds what was asked for
        routes = {
            "/api/v2/me/": {"email": "someone@example.com"},
            "/api/v2/codes/download/": {"document": {"key": f"doc1-{exchange.query.encode().hex()}", "task": "t"}},
            f"/api/v2/documents/{key}/": {"key": key, "state": "complete"},
            f"/api/v2/documents/{key}/get-download-link/": {"link": f"{self.url}/file.csv?{query}"},
        }
        return exchange.answer(*((200, routes[exchange.route]) if exchange.route in routes else NOT_FOUND))

    def task(self, task_id: str) -> tuple[int, Any]:
        self.polls += 1
        if task_id not in self.tasks:
            return NOT_FOUND
        task = self.tasks[task_id]
        task["polls"] = task.get("polls", 0) + 1
        state = "success" if task["polls"] >= self.polls_until_complete else "running"
        return 200, {**task, "state": task.get("state", state)}

    def serve(self, connection: socket.socket) -> None:
        """Answer the requests of one connection."""
        with suppress(OSError, ValueError):
            while (read := _read_head(connection)) is not None:
                exchange = Exchange(self, connection, *read)
                self.exchanges.append(exchange)
                self.respond(exchange)


class Exchange:
    """One request, and the socket to answer it on; the body is read when somebody asks for it."""

    def __init__(self, server: PlainServer, connection: socket.socket, head: bytes, rest: bytes) -> None:
        self.server, self.connection, self.received = server, connection, rest
        first, *lines = head.decode("latin-1").split("\r\n")
        self.method, self.path, _ = first.split(" ")
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.arrived = time.monotonic()

    @cached_property
    def raw(self) -> bytes:
        """Read the body."""
        size = int(self.headers.get("content-length", 0))
        while len(self.received) < size and (piece := self.connection.recv(65536)):
            self.received += piece
        if len(self.received) < size:
            raise ConnectionError("whoever sent this is gone")
        return self.received[:size]

    @cached_property
    def body(self) -> Any:
        """Read and decode the body."""
        return json.loads(self.raw or b"null")

    @property
    def route(self) -> str:
        """Return the path without the query."""
        return self.path.partition("?")[0]

    @property
    def query(self) -> str:
        """Return the filters behind the path."""
        return self.path.partition("?")[2]

    @property
    def size(self) -> int:
        """How many bytes the body has."""
        return int(self.headers["content-length"])

    def apply(self) -> dict[str, Any]:
        """Do what a sound server does with this call, and give its answer."""
        _ = self.body
        with self.server.lock:
            return self.server.apply(self)

    def answer(self, status: int, content: Any = None, headers: dict[str, str] | None = None) -> None:
        """Send a whole answer; a connection is kept only if the request was read."""
        _ = self.raw
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        lines = {"Content-Length": str(len(data)), **(headers or {})}
        head = f"HTTP/1.1 {status} Whatever\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items())
        self.send(head.encode() + b"\r\n" + data)
        if lines.get("Connection") == "close":
            self.close()

    def send(self, raw: bytes) -> None:
        self.connection.sendall(raw)

    def reset(self) -> None:
        """Break the connection off with an RST."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def close(self) -> None:
        self.connection.close()


def _read_head(connection: socket.socket) -> tuple[bytes, bytes] | None:
    data = b""
    while b"\r\n\r\n" not in data:
        if not (piece := connection.recv(65536)):
            return None
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


@contextmanager
def listening(handle: Callable[[socket.socket], None]) -> Iterator[str]:
    """Accept connections on loopback, and handle each of them in a thread of its own, until the end."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    connections: list[socket.socket] = []

    def run(connection: socket.socket) -> None:
        connections.append(connection)
        with suppress(OSError), connection:
            handle(connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=run, args=(listener.accept()[0],), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def serve(fields: list[str], codes: dict[str, dict[str, str]]) -> Iterator[PlainServer]:
    """Run a plain server on loopback."""
    server = PlainServer(fields, codes)
    with listening(server.serve) as server.url:
        yield server
