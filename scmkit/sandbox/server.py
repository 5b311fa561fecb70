"""The sandbox's HTTP side: tokens, limits, bodies, the gateway; a thread that serves it on loopback."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import math
import os
import secrets
import socket
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scmkit.core.errors import ConfigurationError, did_you_mean
from scmkit.estimation.service_time import ServiceTime
from scmkit.sandbox.world import WHO, Selection, UnreadableError, World

UPLOAD_PERMISSIONS = ("codes_view", "scm_bulk_edit", "scm_code_edit", "product_view")  # [doc]
OTHER_CALLS_PER_MINUTE = 3000  # [doc]
CUT = ("lost", "reset")  # the connection is dropped: before the work is done, or after
CALL_FAULTS = ("429", "500", "502", "503", "504", *CUT, "garbled")
TASK_FAULTS = ("task_failed", "task_slow")
SLOW_TASK = 10  # times longer
DOCUMENT_PENDING_S = 0.2  # [assumed]
DOCUMENT_WORK_S = 0.3  # [assumed]
MOST_PRODUCTS = 100  # in an answer, whatever is asked for
DOCUMENTS_KEPT = 32  # a document is held in memory, and a long-lived sandbox may make many
_REASONS = {
    500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Temporarily Unavailable", 504: "Gateway Time-out",
}  # fmt: skip
_log = logging.getLogger("scmkit.sandbox")


@dataclass(frozen=True)
class Settings:
    """How the service behaves; see `scmkit.sandbox.Sandbox` for the meaning of each."""

    gateway_timeout: float
    service_time: ServiceTime
    rate: float
    speed: float
    faults: Mapping[int | str, float]
    seed: int
    latency_s: float
    task_workers: int
    max_body_bytes: int
    task_slash: bool
    task_limit: float

    def __post_init__(self) -> None:
        known = CALL_FAULTS + TASK_FAULTS
        for fault, chance in self.faults.items():
            if str(fault) not in known:
                hint = did_you_mean(str(fault), known)
                raise ConfigurationError(f"{fault!r} is none of the faults{hint}: {', '.join(known)}")
            if not 0 <= chance <= 1:
                raise ConfigurationError(f"faults maps {fault!r} to a probability between 0 and 1, not {chance!r}")
        for kind, names in (("an update", CALL_FAULTS), ("a task", TASK_FAULTS)):
            total = sum(chance for fault, chance in self.faults.items() if str(fault) in names)
            if total > 1 + 1e-9:
                raise ConfigurationError(f"the probabilities of the faults of {kind} add up to {total:g}, more than 1")

    def fault(self, names: Sequence[str], chance: float) -> str:
        """Return the one of these faults that a number between 0 and 1 stands for, or nothing."""
        for name, share in self.faults.items():
            if str(name) in names:
                if chance < share:
                    return str(name)
                chance -= share
        return ""


class Throttle:
    """At most ``limit`` calls in any window of ``period_s`` seconds; calls that are turned away do not count."""

    def __init__(self, limit: float, period_s: float) -> None:
        self.limit, self.period_s = max(1, int(limit)), period_s
        self._times: deque[float] = deque()

    def wait_s(self, now: float) -> float:
        """Admit a call and give 0, or give the seconds until there is room for one."""
        while self._times and self._times[0] <= now - self.period_s:
            self._times.popleft()
        if len(self._times) >= self.limit:
            return self._times[0] + self.period_s - now
        self._times.append(now)
        return 0.0


@dataclass(frozen=True, repr=False)
class Rights:
    """What a token allows, until when, and how much of it was used."""

    permissions: tuple[str, ...]
    expires: float  # seconds since 1970
    updates: Throttle
    others: Throttle


@dataclass
class LoggedRequest:
    """A request in the sandbox's log."""

    at: float
    method: str
    path: str
    status: int | None = None
    codes_affected: int | None = None
    seconds: float | None = None


@dataclass
class Document:
    """A code download in the making."""

    key: str = field(default_factory=lambda: str(uuid.uuid4()))
    task: str = field(default_factory=lambda: str(uuid.uuid4()))
    file: str = field(default_factory=lambda: secrets.token_hex(16) + ".csv")
    state: str = "pending"
    content: bytes = b""


class RefusedError(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, body: Mapping[str, Any] | str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status)
        self.status, self.body, self.headers = status, body, headers

    def response(self) -> Response:
        """Return the answer: text is the HTML of a gateway, everything else is JSON."""
        if isinstance(self.body, str):
            return Response(self.body, self.status, self.headers, media_type="text/html")
        return JSONResponse(self.body, self.status, self.headers)


class Service:
    """The endpoints, and what they share: tokens, throttles, documents, the log.

    An ASGI application. It stands outside the routes, so that the log has every request and the checks that hold
    for all of them are made once.
    """

    def __init__(self, world: World, settings: Settings) -> None:
        self.world, self.settings, self.port = world, settings, 0
        self.log: list[LoggedRequest] = []
        self._slash = "/" if settings.task_slash else ""
        self._zero: float | None = None
        self._rights: dict[str, Rights] = {}
        self._documents: dict[str, Document] = {}
        self._rng = np.random.default_rng(settings.seed)
        self._fault_rng = np.random.default_rng([settings.seed, 1])
        self._task_fault_rng = np.random.default_rng([settings.seed, 2])
        self._calls: set[asyncio.Task[Any]] = set()
        self._background: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._app = Starlette(routes=self._routes(), exception_handlers=_ANSWERS)
        self._app.router.redirect_slashes = False

    def make_token(self, permissions: Iterable[str] | None, expires: float) -> str:
        """Make up a token that may do this, or everything, until then."""
        names = UPLOAD_PERMISSIONS if permissions is None else tuple(permissions)
        for name in names:
            if name not in UPLOAD_PERMISSIONS:
                raise ConfigurationError(f"there is no permission {name!r}{did_you_mean(name, UPLOAD_PERMISSIONS)}")
        # A faster world admits its pace in wall-clock windows of the same length: 600 in any second rather than
        # 10 in any 1/60 s. The pace is the same, and sockets are not asked for sub-millisecond precision.
        speed = self.settings.speed
        updates, others = Throttle(self.settings.rate * speed, 1.0), Throttle(OTHER_CALLS_PER_MINUTE * speed, 60.0)
        token = secrets.token_hex(20)
        self._rights[token] = Rights(names, expires, updates, others)
        return token

    def start(self, port: int, cut: Callable[[object], None]) -> None:
        """Begin to serve: called in the loop, before the first request; unfinished tasks start again.

        ``cut`` drops the connection of the client with this address.
        """
        self.port, self._cut, self._stopping = port, cut, False
        self._zero = time.monotonic() if self._zero is None else self._zero
        self._workers = asyncio.Semaphore(self.settings.task_workers)  # lets in first come, first served
        for task_id in self.world.unfinished_tasks():
            self._spawn(self._work(task_id))

    def stop(self) -> None:
        """Cut off the calls that are still open, and forget the documents; called in the loop."""
        self._stopping = True
        self._documents.clear()
        for task in [*self._calls, *self._background]:
            task.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request: log it, look at its host, route it, delay its answer."""
        arrived = time.monotonic()
        logged = LoggedRequest(arrived - (self._zero or 0.0), scope["method"], scope["path"])
        self.log.append(logged)
        scope["state"] = {"logged": logged}

        async def answer(message: Message) -> None:
            fault = scope["state"].get("fault")
            if message["type"] == "http.response.start":
                await self._sleep(self.settings.latency_s)
                message["headers"].append((b"server-timing", self._timing(scope["state"])))
                logged.status, logged.seconds = None if fault in CUT else message["status"], time.monotonic() - arrived
            elif fault == "garbled":
                message = {**message, "body": message["body"][::-1]}
            if fault in CUT:
                self._cut(scope["client"])
            await send(message)

        call = asyncio.current_task()
        assert call is not None  # noqa: S101 - the server runs each request in a task
        self._calls.add(call)
        try:
            await self._entrance(scope)(scope, receive, answer)
        except asyncio.CancelledError:
            if not self._stopping:
                raise
        except Exception:  # noqa: BLE001 - a fault of the sandbox itself; uvicorn is told to keep quiet
            _log.exception("the sandbox failed on %s %s", logged.method, logged.path)
        finally:
            self._calls.discard(call)

    def _timing(self, state: Mapping[str, Any]) -> bytes:
        """Say how long a call took on our clock: what a busy machine adds is its own, and not to be multiplied."""
        return b"sandbox;dur=%.3f" % (1000 * (self.settings.latency_s + state.get("work_s", 0.0)))

    def _entrance(self, scope: Scope) -> ASGIApp:
        """Look at the host, and under /api at the token, before anything else."""
        headers = Headers(scope=scope)
        if headers.getlist("host") not in ([f"127.0.0.1:{self.port}"], [f"localhost:{self.port}"]):
            return _detail(400, "The Host header names another host.").response()
        if scope["path"].startswith("/api/"):
            try:
                scope["state"]["rights"] = self._authenticate(headers.get("authorization"))
            except RefusedError as refused:
                return refused.response()
        return self._app

    def _routes(self) -> list[Route]:
        return [
            Route("/api/v2/me/", self._me),
            Route("/api/v2/scm/upload/", self._upload, methods=["POST"]),
            Route("/api/v2/scm/upload/async/", self._upload_async, methods=["POST"]),
            Route("/api/v2/scm/tasks/{id}" + self._slash, self._task),
            Route("/api/v2/scm/tasks/{other:path}", self._other_task),
            Route("/api/v2/products/", self._products),
            Route("/api/v2/codes/download/", self._download),
            Route("/api/v2/documents/{key}/", self._document),
            Route("/api/v2/documents/{key}/get-download-link/", self._link),
            Route("/files/{name}", self._file),
        ]

    async def _me(self, request: Request) -> Response:
        rights = self._admit(request)
        return JSONResponse({"email": WHO, "permissions": list(rights.permissions)})

    async def _upload(self, request: Request) -> Response:
        self._admit(request, UPLOAD_PERMISSIONS, update=True)
        upload = self.world.read_sync(await self._body(request))
        seconds = self._draw(self.world.count(upload), upload.size)
        limit = self.settings.gateway_timeout
        request.state.work_s = min(seconds, limit)
        await self._sleep(request.state.work_s)
        if seconds > limit:
            raise _gateway_error(504)
        answer = self.world.update(upload)
        request.state.logged.codes_affected = answer["codes_affected"]
        return JSONResponse(answer)

    async def _upload_async(self, request: Request) -> Response:
        self._admit(request, UPLOAD_PERMISSIONS, update=True)
        task_id = self.world.add_task(self.world.read_async(await self._body(request)))
        self._spawn(self._work(task_id))
        return JSONResponse({"task_id": task_id})

    async def _task(self, request: Request) -> Response:
        self._admit(request)
        task = self.world.task(request.path_params["id"])
        if task is None:
            raise _detail(404, "Not found.")
        return JSONResponse(task)

    async def _other_task(self, request: Request) -> Response:
        """Redirect other spellings of a task's path, as the known client's, which doubles a slash [client]."""
        task_id = request.path_params["other"].strip("/")
        if not task_id or "/" in task_id:
            raise _detail(404, "Not found.")
        return RedirectResponse(f"/api/v2/scm/tasks/{quote(task_id, safe='')}{self._slash}", 301)

    async def _products(self, request: Request) -> Response:
        self._admit(request, ("product_view",))
        asked = request.query_params
        limit, offset = _number(asked, "limit", 20), _number(asked, "offset", 0)
        count, products = self.world.products(asked.get("sku__exact"), limit, offset)
        after = self._page(limit, offset + limit) if offset + limit < count else None
        before = self._page(limit, max(offset - limit, 0)) if offset else None
        return JSONResponse({"count": count, "next": after, "previous": before, "results": products})

    def _page(self, limit: int, offset: int) -> str:
        return f"http://127.0.0.1:{self.port}/api/v2/products/?limit={limit}&offset={offset}"

    async def _download(self, request: Request) -> Response:
        self._admit(request, ("codes_view",))
        selection = self.world.select(request.query_params.multi_items())
        document = Document()
        self._documents[document.key] = document
        if len(self._documents) > DOCUMENTS_KEPT:
            del self._documents[next(iter(self._documents))]
        self._spawn(self._write(document, selection))
        return JSONResponse({"document": {"key": document.key, "task": document.task}})

    async def _document(self, request: Request) -> Response:
        document = self._find(request)
        return JSONResponse({"key": document.key, "task": document.task, "state": document.state})

    async def _link(self, request: Request) -> Response:
        document = self._find(request)
        if document.state != "complete":
            raise _detail(400, f"The document is {document.state}: ask for its link when it is complete.")
        return JSONResponse({"link": f"http://127.0.0.1:{self.port}/files/{document.file}"})

    async def _file(self, request: Request) -> Response:
        if "authorization" in request.headers:
            raise _detail(400, "A download link is fetched without Authorization: it may live on another host.")
        for document in self._documents.values():
            if document.file == request.path_params["name"] and document.state == "complete":
                return Response(document.content, media_type="text/csv")
        raise _detail(404, "Not found.")

    def _admit(self, request: Request, permissions: Sequence[str] = (), *, update: bool = False) -> Rights:
        """Check permissions and pace, in this order; then an update may get a fault."""
        rights: Rights = request.state.rights
        if missing := [name for name in permissions if name not in rights.permissions]:
            raise _detail(403, f"You do not have permission to perform this action: {', '.join(missing)} missing.")
        wait_s = (rights.updates if update else rights.others).wait_s(time.monotonic())
        if wait_s > 0:
            raise _throttled(wait_s)
        if update:
            self._draw_fault(request)
        return rights

    def _authenticate(self, header: str | None) -> Rights:
        scheme, _, token = (header or "").partition(" ")
        challenge = {"WWW-Authenticate": "UAT"}
        if scheme != "UAT" or not token:
            raise RefusedError(401, {"detail": "Authentication credentials were not provided."}, challenge)
        rights = self._rights.get(token)
        if rights is None or rights.expires <= time.time():
            raise RefusedError(401, {"detail": "Invalid or expired token."}, challenge)
        return rights

    def _draw_fault(self, request: Request) -> None:
        """Draw a fault; what becomes of the answer is for `__call__`."""
        request.state.fault = fault = self.settings.fault(CALL_FAULTS, self._fault_rng.random())
        if fault == "429":
            raise _throttled(1.0)
        if fault.isdecimal() or fault == "lost":  # of which nobody sees the answer
            raise _gateway_error(502 if fault == "lost" else int(fault))

    async def _body(self, request: Request) -> dict[str, Any]:
        """Read a body up to the limit, chunked or not, and decode it strictly."""
        declared, most = request.headers.get("content-length", ""), self.settings.max_body_bytes
        too_large = _detail(413, f"The request body is larger than {most} bytes.")
        if declared.isdecimal() and int(declared) > most:
            raise too_large
        body = bytearray()
        try:
            async for piece in request.stream():
                body += piece
                if len(body) > most:
                    raise too_large
        except ClientDisconnect:
            raise _detail(400, "The request body ended early.") from None
        return _decoded(request.headers, bytes(body))

    def _find(self, request: Request) -> Document:
        self._admit(request, ("codes_view",))
        document = self._documents.get(request.path_params["key"])
        if document is None:
            raise _detail(404, "Not found.")
        return document

    async def _work(self, task_id: str) -> None:
        fault = self.settings.fault(TASK_FAULTS, self._task_fault_rng.random())
        async with self._workers:
            upload = self.world.begin_task(task_id)
            codes, limit = self.world.count(upload), self.settings.task_limit
            seconds = self._draw(int(min(codes, limit)), upload.size)  # the queue ends a larger task there
            await self._sleep(seconds * SLOW_TASK if fault == "task_slow" else seconds)
            if fault == "task_failed" or codes > limit:
                self.world.fail_task(task_id)
            else:
                self.world.complete_task(task_id, upload)

    async def _write(self, document: Document, selection: Selection) -> None:
        await self._sleep(DOCUMENT_PENDING_S)
        document.state = "in-progress"
        document.content = await asyncio.to_thread(self.world.csv, selection)
        await self._sleep(DOCUMENT_WORK_S)
        document.state = "complete"

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)  # the loop itself holds no strong reference
        task.add_done_callback(self._background.discard)

    def _draw(self, codes: int, items: int) -> float:
        return float(self.settings.service_time.draw(codes, items, self._rng))

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.settings.speed)


class ServerThread:
    """A service on 127.0.0.1 in a daemon thread with a loop of its own, so that a notebook's loop is left alone."""

    def __init__(self, service: Service, port: int) -> None:
        self._service, self._ready = service, threading.Event()
        self._socket = _listen(port)
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._run, name="scmkit-sandbox", daemon=True)
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """Stop at once; open calls lose their connection. Returns when thread and sockets are gone."""
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        config = uvicorn.Config(
            self._service, http="h11", loop="asyncio", ws="none", lifespan="off", interface="asgi3",
            log_config=None, log_level="critical", access_log=False, proxy_headers=False,
            server_header=False, timeout_keep_alive=75,
        )  # fmt: skip
        server = uvicorn.Server(config)
        self._service.start(self.port, functools.partial(_cut, server))
        serving = asyncio.create_task(server.serve(sockets=[self._socket]))
        while not (server.started or serving.done()):
            await asyncio.sleep(0.001)
        self._ready.set()
        await self._stopped.wait()
        await self._end(server)
        await serving

    async def _end(self, server: uvicorn.Server) -> None:
        server.should_exit = server.force_exit = True
        for listener in server.servers:
            listener.close()
        # Cut, not drained: whoever stops a sandbox wants it gone, or plays an outage.
        for connection in list(server.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # uvicorn learns that they are gone, and answers nobody
        self._service.stop()


def _cut(server: uvicorn.Server, client: object) -> None:
    for connection in list(server.server_state.connections):
        if getattr(connection, "client", None) == client:
            connection.transport.abort()


def _listen(port: int) -> socket.socket:
    # asyncio switches Nagle's algorithm off only where the protocol is named; with it each answer takes 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":  # elsewhere the option would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(512)
    except (OSError, OverflowError) as error:
        listener.close()
        raise ConfigurationError(f"the sandbox cannot listen on port {port}: {error}") from None
    return listener


def _decoded(headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    kind, _, parameters = headers.get("content-type", "").lower().partition(";")
    charset = parameters.strip().removeprefix("charset=").strip('"')
    if kind.strip() != "application/json" or charset not in ("", "utf-8") or "content-encoding" in headers:
        raise _detail(400, "The body must be application/json in UTF-8, without Content-Encoding.")
    try:
        decoded = json.loads(body.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise _detail(400, f"JSON parse error - {error}") from None
    if not isinstance(decoded, dict):
        raise _detail(400, "The body must be a JSON object.")
    return decoded


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        [(name, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the key {name!r} is there more than once")
    return members


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def _number(asked: Mapping[str, str], name: str, default: int) -> int:
    text = asked.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise RefusedError(400, {name: ["A valid integer is required."]})
    return min(int(text), MOST_PRODUCTS) if name == "limit" else int(text)


def _detail(status: int, words: str) -> RefusedError:
    return RefusedError(status, {"detail": words})


def _throttled(wait_s: float) -> RefusedError:
    seconds = max(1, math.ceil(wait_s))
    words = f"Request was throttled. Expected available in {seconds} seconds."  # [doc]
    return RefusedError(429, {"detail": words, "code": "throttled"}, {"Retry-After": str(seconds)})


def _gateway_error(status: int) -> RefusedError:
    title = f"{status} {_REASONS[status]}"
    page = f"<html>\n<head><title>{title}</title></head>\n<body>\n<center><h1>{title}</h1></center>\n</body>\n</html>\n"
    return RefusedError(status, page)


async def _answer(_: Request, error: Exception) -> Response:
    """Return the answer that an error stands for."""
    if isinstance(error, RefusedError):
        return error.response()
    if isinstance(error, UnreadableError):
        return JSONResponse(error.body, 400)
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    words = "Not found." if error.status_code == 404 else error.detail
    return JSONResponse({"detail": words}, error.status_code, error.headers)


_ANSWERS: dict[Any, Any] = dict.fromkeys((RefusedError, UnreadableError, HTTPException), _answer)
