"""A second server of the contract, as plain as can be: dictionaries behind the standard library's HTTP server.

It shares no line with the sandbox, so that a test passing against both has not just met one reading of the contract.
Every SCM call is noted with its arrival time; `answers` scripts what the next calls get instead.
"""

import csv
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

FIXED = [
    "extended_id", "serial_number", "brand", "product", "sku", "status", "blacklist_reason", "scm_updated_by",
    "scm_updated_at", "activated_by", "activated_at", "workorder_id",
]  # fmt: skip
SPECIAL = ("product", "activation_status", "blacklist_reason")
TOKEN = "canary-token-7f3a9c"

Scripted = Callable[["Handler", dict[str, Any]], tuple[int, Any, dict[str, str]] | None]


@dataclass
class PlainServer:
    """What the server holds, and what it has seen."""

    fields: list[str]
    codes: dict[str, dict[str, str]]
    url: str = ""
    token: str = TOKEN
    seen: list[tuple[float, str, dict[str, Any]]] = field(default_factory=list)
    answers: list[Scripted | tuple[int, Any, dict[str, str]]] = field(default_factory=list)
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    polls: int = 0
    polls_until_complete: int = 1
    authorizations: list[tuple[str, str | None]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def hold(self, count: int = 1, naming: str = "") -> tuple[threading.Event, threading.Event]:
        """Let the next calls, or those that name this, wait for the second event; the first tells that one is there."""
        arrived, go = threading.Event(), threading.Event()

        def held(_: Handler, body: dict[str, Any]) -> None:
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
        text = io.StringIO()
        writer = csv.DictWriter(text, FIXED + self.fields, extrasaction="ignore")
        writer.writeheader()
        writer.writerows({"extended_id": code} | held for code, held in self.codes.items())
        return text.getvalue()


class Handler(BaseHTTPRequestHandler):
    """Routes of the contract."""

    protocol_version = "HTTP/1.1"
    server: Any

    @property
    def world(self) -> PlainServer:
        return self.server.world

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        self.world.authorizations.append((path, self.headers.get("Authorization")))
        if path == "/file.csv":
            return self.answer(200, self.world.document().encode())
        if not self.allowed():
            return self.answer(401, {"detail": "Invalid token."})
        if path.startswith("/api/v2/scm/tasks/"):
            return self.task(path.split("/")[-2])
        routes = {
            "/api/v2/me/": {"email": "someone@example.com"},
            "/api/v2/codes/download/": {"document": {"key": "doc1", "task": "t"}},
            "/api/v2/documents/doc1/": {"key": "doc1", "state": "complete"},
            "/api/v2/documents/doc1/get-download-link/": {"link": self.world.url + "/file.csv"},
        }
        return self.answer(200, routes[path]) if path in routes else self.answer(404, {"detail": "Not found."})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.allowed():
            return self.answer(401, {"detail": "Invalid token."})
        with self.world.lock:
            self.world.seen.append((time.monotonic(), self.path, body))
            scripted = self.world.answers.pop(0) if self.world.answers else None
            if callable(scripted):
                scripted = scripted(self, body)
            if scripted is None:
                apply = {"/api/v2/scm/upload/": self.world.sync, "/api/v2/scm/upload/async/": self.world.accept}
                scripted = (200, apply[self.path](body), {})
        return self.answer(*scripted)

    def task(self, task_id: str) -> None:
        self.world.polls += 1
        if task_id not in self.world.tasks:
            return self.answer(404, {"detail": "Not found."})
        task = self.world.tasks[task_id]
        task["polls"] += 1
        state = "success" if task["polls"] >= self.world.polls_until_complete else "running"
        return self.answer(200, {**task, "state": task.get("state", state)})

    def allowed(self) -> bool:
        return self.headers.get("Authorization") == f"UAT {self.world.token}"

    def answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serve(fields: list[str], codes: dict[str, dict[str, str]]) -> Iterator[PlainServer]:
    """Run a plain server on loopback."""
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    world = PlainServer(fields, codes, url=f"http://127.0.0.1:{http.server_address[1]}")
    http.world = world  # type: ignore[attr-defined]
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield world
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
