"""`Client`: one method an endpoint, one exchange a method. No retries here: what to do next is decided above."""

from __future__ import annotations

import hashlib
import io
import ipaddress
import json
import os
import re
import socket
import ssl
import sys
import tempfile
import time
import urllib.request
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from http.client import HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import msgspec
import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NewConnectionError

from scmkit.core import contract
from scmkit.core.arguments import CLIENT, FLAG, FROM_ZERO, PATH, POSITIVE, TEXT, Kind, public, whole
from scmkit.core.errors import (
    BY_STATUS,
    AnswerLostError,
    ConfigurationError,
    NotSentError,
    RedirectError,
    ScmkitError,
    ServiceError,
    SettingError,
    ThrottledError,
    UnavailableError,
    UnreadableAnswerError,
    in_a_line,
)
from scmkit.core.paths import expanded, replacing
from scmkit.core.token import Token
from scmkit.core.values import AsyncAnswer, SyncAnswer, Task
from scmkit.wire.order import JobOrder
from scmkit.wire.pacing import HEADROOM
from scmkit.wire.turns import Turnstile, place_of, state_folder

_CHUNK = 1 << 16
_FILE_DEADLINE_S = 3600.0
_REDIRECTS = 5  # of one question
_WORDS = 300  # characters of the service's own words that an error repeats
_UNREADABLE = (ValueError, RecursionError)
_LONGEST_ID = 1000
_MOST = 10**15  # codes: more than there are, and still a number that sums, floats and databases hold


def _is_json(value: Any) -> bool:
    return bool(_json(value))  # what cannot be written raises, and is not of any kind


_TASK_ID = Kind("the id of a task", lambda v: isinstance(v, str | int) and not isinstance(v, bool))
_VALUES = Kind("a dict that JSON can hold", lambda v: isinstance(v, Mapping) and _is_json(v))
_CONSTRAINTS = Kind(f"{_VALUES.words}, or the body as bytes", lambda v: isinstance(v, bytes) or _VALUES.accepts(v))
_ITEMS = Kind(
    "a list of dicts that JSON can hold, or the body as bytes",
    lambda v: isinstance(v, bytes) or (isinstance(v, Sequence) and all(map(_VALUES.accepts, v))),
)


@public(
    error=SettingError,
    updates_per_second=POSITIVE,
    connect_s=POSITIVE,
    read_s=POSITIVE,
    deadline_s=POSITIVE,
    answer_bytes=whole(1),
    file_bytes=whole(1),
    speed=POSITIVE,
)
@dataclass(frozen=True)
class Limits:
    """How fast and how long a client may.

    Parameters
    ----------
    updates_per_second : float, default 10
        SCM updates per second that the service allows [doc].
    connect_s, read_s, deadline_s : float
        Seconds to connect, between two pieces of an answer, and for the whole exchange. 75 s to read lets the
        60 s gateway answer first.
    answer_bytes : int, default 64 MiB
        A JSON answer larger than this is not read.
    file_bytes : int, default 8 GiB
        A code download larger than this is not read.
    speed : float, default 1
        How much faster than ours the service's clock runs; other than 1 only for a sandbox.
    """

    updates_per_second: float = contract.UPDATES_PER_SECOND
    connect_s: float = 5.0
    read_s: float = 75.0
    deadline_s: float = 90.0
    answer_bytes: int = 64 << 20
    file_bytes: int = 8 << 30
    speed: float = 1.0


Answer = tuple[int, Mapping[str, str], bytes]  # status, headers, content


class _TokenAuth(AuthBase):
    # An AuthBase, because a header set on the session is replaced by a matching .netrc entry.
    def __init__(self, token: Token) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"{contract.AUTH_SCHEME} {self._token.reveal()}"
        return request


class _Until(io.RawIOBase):
    """The incoming side of a socket until a deadline: a timeout of the socket alone starts anew with every byte."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, end: float, read_s: float) -> None:
        self._raw, self._sock, self._end, self._read_s = raw, sock, end, read_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer was not complete at the deadline")
        self._sock.settimeout(min(left, self._read_s))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, end: float, read_s: float, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp = io.BufferedReader(_Until(self.fp.detach(), sock, end, read_s))


class _Timed(HTTPConnection):
    """A connection whose exchanges have a deadline, headers included, and that tells "not sent" from "lost"."""

    debuglevel = 0  # set on http.client's own class, it would print the headers, and with them the token

    def __init__(self, *args: Any, read_s: float, deadline_s: float, **options: Any) -> None:
        super().__init__(*args, **options)
        self._read_s, self._deadline_s = read_s, deadline_s

    def connect(self) -> None:
        self.response_class = HTTPResponse  # for the answer of a proxy
        try:
            super().connect()
        except ssl.SSLCertVerificationError:
            raise
        except OSError as error:  # a handshake that failed: no byte of the request went out
            raise NewConnectionError(self, str(error)) from error

    def request(self, *args: Any, **options: Any) -> None:
        if self.is_closed:
            self.connect()
        end = time.monotonic() + self._deadline_s
        self.response_class = partial(_Response, end=end, read_s=self._read_s)  # type: ignore[assignment]
        self.timeout = self._read_s  # a large body may take longer to send than a connection to make
        super().request(*args, **options)


class _TimedTls(_Timed, HTTPSConnection):
    pass


class _Adapter(HTTPAdapter):
    def __init__(self, read_s: float, deadline_s: float) -> None:
        self._times = {"read_s": read_s, "deadline_s": deadline_s}
        super().__init__(pool_maxsize=64, max_retries=0)  # a retry below the journal would hide its 504

    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> Any:
        pool = super().get_connection_with_tls_context(*args, **options)
        kind = _TimedTls if pool.scheme == "https" else _Timed
        pool.ConnectionCls = partial(kind, **self._times)  # type: ignore[attr-defined]
        return pool


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Ignore redirects: even when it must not follow, requests reads all of their body and parses the target."""


@public(error=SettingError)
class Client:
    """A connection to the Scantrust API, or to anything that speaks its contract.

    Parameters
    ----------
    base_url : str, optional
        ``https://…``; plain ``http`` only on loopback. Default: ``SCANTRUST_BASE_URL``, else production.
    token : str or Token, optional
        Default: ``SCANTRUST_UAT_TOKEN``, then the keyring (service "scmkit", the base URL as user name), then a
        hidden prompt where one is possible.
    limits : Limits, optional
        Rates and timeouts.
    ca_file : path, optional
        Certificates to trust instead of the built-in ones. Verification cannot be switched off.
    assumptions : Assumptions, optional
        What is not documented, see `scmkit.core.contract`.

    Raises
    ------
    ConfigurationError
        No token is to be had, or the URL cannot be used.
    """

    def __init__(
        self,
        base_url: str | None = None,
        token: str | Token | None = None,
        *,
        limits: Limits | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        assumptions: contract.Assumptions = contract.ASSUMPTIONS,
    ) -> None:
        token = _token(token) if isinstance(token, str) else token  # from here on no traceback shows it
        self.base_url = _checked_url(base_url or os.environ.get("SCANTRUST_BASE_URL") or contract.PRODUCTION_URL)
        self.limits = limits or Limits()
        self.assumptions = assumptions
        self.order = JobOrder()  # of this client's jobs
        self.reached = False  # whether the service has answered anything
        self._ca_file = None if ca_file is None else str(expanded(ca_file))
        if self._ca_file is not None and not Path(self._ca_file).exists():
            raise ConfigurationError(f"there is no file of certificates at {self._ca_file!r}")
        # A proxy for https is taken on purpose, none for plain http. Asked for once: after a fork, macOS forbids it.
        self._proxies = {k: v for k, v in urllib.request.getproxies().items() if k == "https"}
        self._token = _find_token(token, self.base_url)
        self._session = self._new_session(with_token=True)
        self.turns = Turnstile(self._pace_file(), 1 / (self.limits.updates_per_second * HEADROOM))
        _clients.add(self)

    def me(self) -> dict[str, Any]:
        """Ask who the token belongs to; an error says that the token does not work."""
        return _mapping(self._call("GET", contract.ME_PATH), contract.ME_PATH)

    @public(items=_ITEMS, data_key=TEXT, in_turn=FLAG, depths=False)
    def upload_sync(
        self,
        items: Sequence[Mapping[str, Any]] | bytes,
        data_key: str = contract.DEFAULT_KEY,
        *,
        in_turn: bool = False,
    ) -> SyncAnswer:
        """Make one sync call, when it is its turn.

        Parameters
        ----------
        items : list of mapping, or bytes
            Each with the key and the fields to set; or the whole body as JSON.
        data_key : str, default "extended_id"
            What selects the codes.
        in_turn : bool, default False
            The caller has waited for its turn already (``turns.wait()``).

        Returns
        -------
        SyncAnswer

        Raises
        ------
        GatewayTimeoutError
            After about 60 s; nothing was updated.
        ServiceError, NotSentError, AnswerLostError
        """
        body = items if isinstance(items, bytes) else _json({"data_key": data_key, "items": list(items)})
        if not in_turn:
            self.turns.wait()
        answer, headers = self._ask("POST", contract.SYNC_PATH, body)
        return replace(_sync_answer(answer), server_s=_server_s(headers))

    @public(constraints=_CONSTRAINTS, scm_data=_VALUES.optional(), in_turn=FLAG, depths=False)
    def upload_async(
        self,
        constraints: Mapping[str, Any] | bytes,
        scm_data: Mapping[str, Any] | None = None,
        *,
        in_turn: bool = False,
    ) -> AsyncAnswer:
        """Make one async call, when it is its turn: every code that all constraints select gets the same values.

        Parameters
        ----------
        constraints : mapping of str to a value or a list of values, or bytes
            What selects the codes; or the whole body as JSON.
        scm_data : mapping of str to str
            The fields to set.
        in_turn : bool, default False
            The caller has waited for its turn already (``turns.wait()``).

        Returns
        -------
        AsyncAnswer
            With the ``task_id`` to follow up.
        """
        if isinstance(constraints, bytes):
            body = constraints
        else:
            body = _json({"constraints": constraints, "scm_data": scm_data or {}})
        if not in_turn:
            self.turns.wait()
        answer = _mapping(self._call("POST", contract.ASYNC_PATH, body), contract.ASYNC_PATH)
        task_id = answer.get("task_id")
        if not isinstance(task_id, str | int) or isinstance(task_id, bool) or task_id == "":
            raise _unreadable(contract.ASYNC_PATH, "no task_id")
        return AsyncAnswer(_text(task_id))

    @public(task_id=_TASK_ID, depths=False)
    def task(self, task_id: str) -> Task:
        """Ask for the state of a task."""
        path = self.assumptions.task_path.format(id=_segment(task_id))
        return _task(_mapping(self._call("GET", path), path), str(task_id))

    @public(to=PATH.optional(), wait_s=FROM_ZERO, sleep=Kind("a function", callable), depths=False)
    def download_codes(
        self,
        to: str | os.PathLike[str] | None = None,
        *,
        wait_s: float = 600.0,
        sleep: Callable[[float], None] = time.sleep,
        **filters: Any,
    ) -> Path:
        """Download codes with all their fields as a CSV file, ready for `count_codes` and `read_table`.

        Parameters
        ----------
        to : path, optional
            Where to write it; a private temporary file when not given.
        wait_s : float, default 600
            Seconds to wait until the service has made the document.
        **filters
            ``campaign``, ``workorder``, ``products``, ``brands``, ``updated_at="from,to"``, ``status``,
            ``serial_number``, ``extended_id``, any ``scm_<field>``. A list is given as repeated filters.

        Returns
        -------
        Path
            Of the CSV: a line per code, the columns of `scmkit.core.contract.CODE_COLUMNS`, then the SCM fields.
        """
        answer = _mapping(self._call("GET", contract.DOWNLOAD_PATH, params=filters), contract.DOWNLOAD_PATH)
        key = _mapping(answer.get("document"), contract.DOWNLOAD_PATH).get("key")
        if not isinstance(key, str | int):
            raise _unreadable(contract.DOWNLOAD_PATH, "no document key")
        self._await_document(_segment(key), wait_s, sleep)
        path = contract.LINK_PATH.format(key=_segment(key))
        link = _mapping(self._call("GET", path), path).get(self.assumptions.link_field)
        if not isinstance(link, str):
            raise _unreadable(path, f"no {self.assumptions.link_field!r}")
        link = _checked_url(link, whole=True)
        if self.base_url.startswith("https:") and not link.startswith("https:"):
            raise ConfigurationError("the service gave a download link without https, which is not fetched")
        return self._fetch(link, to)

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client {self.base_url} token=***>"

    def __reduce__(self) -> Any:
        raise TypeError("a client is not pickled or copied: it holds a token")

    def start_in_child(self) -> None:
        """Share nothing with the process that this one was forked from: two that read one connection mix answers up."""
        _inherited.append(self.order)  # SQLite closes nothing that another process has opened
        self.order = JobOrder()
        self._session = self._new_session(with_token=True)

    def _pace_file(self) -> Path:
        """Return the file of all who upload to this service with this token, whatever their client and journal."""
        who = f"{place_of(self.base_url)} {hashlib.sha256(self._token.reveal().encode()).hexdigest()}"
        return state_folder() / f"pace-{hashlib.sha256(who.encode()).hexdigest()[:16]}"

    def _new_session(self, deadline_s: float | None = None, *, with_token: bool = False) -> requests.Session:
        session = _Session()
        session.auth = _TokenAuth(self._token) if with_token else None
        session.trust_env = False  # neither .netrc nor the environment's proxies, but for the one above
        session.proxies = self._proxies
        session.verify = self._ca_file or True
        adapter = _Adapter(self.limits.read_s, deadline_s or self.limits.deadline_s)
        for scheme in ("https://", "http://"):
            session.mount(scheme, adapter)
        return session

    def _call(self, method: str, path: str, body: bytes | None = None, params: Mapping[str, Any] | None = None) -> Any:
        return self._ask(method, path, body, params)[0]

    def _ask(
        self, method: str, path: str, body: bytes | None = None, params: Mapping[str, Any] | None = None
    ) -> tuple[Any, Mapping[str, str]]:
        """Make one exchange and decode its JSON; anything else than a success that can be read is an error."""
        status, headers, content = self._answer(method, path, body, params)
        if 200 <= status < 300:
            with suppress(*_UNREADABLE):
                return _decode(content), headers
        if 300 <= status < 400 and "Location" in headers:
            content = ("to " + headers["Location"].partition("?")[0]).encode()
        content = content.replace(self._token.reveal().encode(), b"***")  # some error pages repeat the request
        if 200 <= status < 300:
            error: ServiceError = UnreadableAnswerError(status, "not JSON: " + _plain(content), where=path)
        else:
            error = _service_error(status, headers, content, f"{method} {path}")
        del headers  # they may repeat it, too, and a traceback may show variables
        raise error

    def _answer(self, method: str, path: str, body: bytes | None, params: Mapping[str, Any] | None) -> Answer:
        """Make an exchange; a question that is redirected on the same host is asked again there, an upload never is."""
        url, asked = self.base_url + path, list[str]()
        while True:
            answer = self._exchange(method, url, body, params)
            target = _redirected(url, *answer[:2]) if method == "GET" else None
            if target is None or target in asked or len(asked) == _REDIRECTS:
                return answer
            asked.append(url)
            url, params = target, None

    def _exchange(self, method: str, url: str, body: bytes | None, params: Mapping[str, Any] | None) -> Answer:
        headers = {"Accept": "application/json"} | ({"Content-Type": "application/json"} if body is not None else {})
        failure: BaseException
        try:
            with self._session.request(
                method, url, data=body, params=params, headers=headers, stream=True,
                allow_redirects=False, timeout=(self.limits.connect_s, self.limits.read_s),
            ) as response:  # fmt: skip
                pieces: list[bytes] = []
                self._read(response, pieces.append, self.limits.answer_bytes)
                self.reached = True
                return response.status_code, response.headers, b"".join(pieces)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            failure = _connection_error(error, self.base_url)
        except BaseException as error:  # noqa: BLE001 - Ctrl-C and mistakes of ours, raised again below
            failure = error.with_traceback(None)
            failure.__cause__ = failure.__context__ = None
        raise failure  # outside the handler: what it caught, and its frames, carry the request, and with it the token

    def _read(self, response: requests.Response, write: Callable[[bytes], Any], most: int) -> None:
        """Read piece by piece, so that a flood does not go on for ever."""
        if "," in response.headers.get("Content-Encoding", ""):  # each layer multiplies by up to 1,000
            raise AnswerLostError("the answer is compressed more than once and was not read")
        size = 0
        while piece := response.raw.read1(_CHUNK, decode_content=True):
            size += len(piece)
            if size > most:
                raise AnswerLostError(f"the answer is larger than {most:,} bytes and was not read")
            write(piece)

    def _await_document(self, key: str, wait_s: float, sleep: Callable[[float], None]) -> None:
        path, pause, waited = contract.DOCUMENT_PATH.format(key=key), 0.25 / self.limits.speed, 0.0
        while True:
            document = _mapping(self._call("GET", path), path)
            state = str(document.get("state") or document.get("status") or "").lower()
            if state in self.assumptions.document_ready:
                return
            if state in self.assumptions.document_failed:
                raise UnavailableError(200, f"the document ended as {state!r}", where=path)
            if waited >= wait_s:
                raise UnavailableError(200, f"the document is still {state!r} after {wait_s:g} s", where=path)
            sleep(pause)
            waited, pause = waited + pause, min(pause * 1.5, 10.0)

    def _fetch(self, link: str, to: str | os.PathLike[str] | None, redirects: int = 0) -> Path:
        """Fetch a download link without the token: it may live on another host."""
        failure: ScmkitError
        try:
            with (
                self._new_session(_FILE_DEADLINE_S) as session,
                session.get(
                    link,
                    stream=True,
                    allow_redirects=False,
                    timeout=(self.limits.connect_s, self.limits.read_s),
                ) as response,
            ):
                target = _redirected(link, response.status_code, response.headers)
                if target is not None and redirects < _REDIRECTS:
                    return self._fetch(target, to, redirects + 1)
                if response.status_code != 200:
                    raise ServiceError(response.status_code, where="the download link")
                path = _temporary_file() if to is None else expanded(to)
                try:
                    with nullcontext(path) if to is None else replacing(path) as place, place.open("wb") as file:
                        self._read(response, file.write, self.limits.file_bytes)
                except BaseException:
                    if to is None:  # half a download looks like a whole one
                        path.unlink()
                    raise
                return path
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            failure = _connection_error(error, "the download link")
        raise failure


_inherited: list[JobOrder] = []
_clients: weakref.WeakSet[Client] = weakref.WeakSet()


def _start_in_child() -> None:
    for client in list(_clients):
        client.start_in_child()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_start_in_child)


def _temporary_file() -> Path:
    handle, name = tempfile.mkstemp(prefix="scmkit-codes-", suffix=".csv")
    os.close(handle)
    return Path(name)


_default: Client | None = None


@public(error=SettingError, client=Kind("None or a Client, such as sandbox.client()", CLIENT.optional().accepts))
def use(client: Client | None) -> None:
    """Make this client the one that `upload` takes when it is given none."""
    global _default  # the one global of scmkit, set by the user alone
    _default = client


def chosen_client() -> Client | None:
    """Return the client of `use`, if there is one."""
    return _default


def default_client() -> Client:
    """Return the client of `use`, or a new one from the environment."""
    return _default if _default is not None else Client()


def ready_client() -> Client | None:
    """Return the client that `default_client` would give, or None where only a question to the user could get one."""
    if _default is not None:
        return _default
    token = _without_asking(current_service())
    return None if token is None else Client(token=token)


def current_service() -> str:
    """Return the base URL of the client that `default_client` would give, without making one."""
    if _default is not None:
        return _default.base_url
    return (os.environ.get("SCANTRUST_BASE_URL") or contract.PRODUCTION_URL).rstrip("/")


def _find_token(token: Token | None, base_url: str) -> Token:
    """Look for a token; no variable holds it as text, since a traceback may show variables."""
    found = token or _without_asking(base_url) or _from_prompt(base_url)
    if found is not None:
        return found.checked()
    raise ConfigurationError(
        "no token: set SCANTRUST_UAT_TOKEN, store one in the keyring (service 'scmkit', user name "
        f"{base_url!r}), or pass Client(token=...). Without an account: scmkit.Sandbox().client()"
    )


def _without_asking(base_url: str) -> Token | None:
    return _token(os.environ.get("SCANTRUST_UAT_TOKEN")) or _from_keyring(base_url)


def _token(text: str | None) -> Token | None:
    return Token(text) if text else None


def _from_keyring(base_url: str) -> Token | None:
    try:
        import keyring

        return _token(keyring.get_password("scmkit", base_url))
    except Exception:  # noqa: BLE001 - not installed, no backend, locked: all mean that there is none
        return None


def _from_prompt(base_url: str) -> Token | None:
    if not (sys.stdin is not None and sys.stdin.isatty()) and "ipykernel" not in sys.modules:
        return None
    from getpass import getpass

    try:
        return _token(getpass(f"Scantrust token for {base_url}: "))
    except Exception:  # noqa: BLE001 - a kernel without a frontend cannot ask (StdinNotImplementedError), nor can a closed input
        return None


def _checked_url(url: str, *, whole: bool = False) -> str:
    """Refuse what could send the token astray: no TLS, user info, line breaks, a query."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigurationError(f"the URL cannot be used: {error}") from None
    if re.search(r"[\s\x00-\x1f\\]", url) or "@" in parts.netloc:
        raise ConfigurationError("the URL must not hold user names, blanks or line breaks")
    if not host or parts.scheme not in ("https", "http") or (not whole and (parts.query or parts.fragment)):
        raise ConfigurationError(f"a URL like {contract.PRODUCTION_URL} is needed, not {url!r}")
    if parts.scheme == "http" and not _is_loopback(host):
        raise ConfigurationError(f"{url!r} would send the token in clear text: use https (http only on loopback)")
    return url if whole else url.rstrip("/")


def _redirected(url: str, status: int, headers: Mapping[str, str]) -> str | None:
    """Return where a question is redirected to, if that is on the same scheme, host and port."""
    if status not in (301, 302, 303, 307, 308):
        return None
    location = headers.get("Location", "")
    try:
        target = urlsplit(urljoin(url, location))._replace(fragment="")
        same = _origin(target.geturl()) == _origin(url)
    except ValueError:
        return None
    return target.geturl() if same and re.fullmatch(r"[!-~]+", location) and "@" not in target.netloc else None


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _connection_error(error: Exception, where: str) -> ScmkitError:
    """Tell what never reached the service from what may have."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(error, requests.exceptions.SSLError) and _has(error, ssl.SSLCertVerificationError):
        return ConfigurationError(f"the certificate of {where} is not trusted: {_reason(error)}")
    refused = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
    if isinstance(error, requests.ConnectTimeout | requests.exceptions.ProxyError) or isinstance(reason, refused):
        return NotSentError(f"cannot reach {where}: {_reason(error)}")
    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
        return ConfigurationError(f"the URL cannot be used: {where}")
    return AnswerLostError(f"{where} did not answer completely: {_reason(error)}")


def _inner(error: Exception) -> Exception | None:
    """Return the error that this one is made of; a reason that is text is not one."""
    held = (getattr(error, "reason", None), *error.args)
    return next((inner for inner in held if isinstance(inner, Exception)), None)


def _has(error: Exception | None, kind: type[Exception]) -> bool:
    """Tell whether an error is made of one of this kind."""
    while error is not None and not isinstance(error, kind):
        error = _inner(error)
    return error is not None


# Objects and their addresses, numbers of errors, places in the source of a library.
_INTERNALS = re.compile(r"<[^>]*>:? ?|\w+\(host=[^)]*\):? ?|\[(?:Errno|SSL)[^\]]*\] ?|\s?\(?_ssl\.c:\d+\)?:? ?")


def _reason(error: Exception) -> str:
    """Return the innermost words of a connection error."""
    while (inner := _inner(error)) is not None:
        error = inner
    told = [held for held in error.args if isinstance(held, str)]  # beside objects, of which nobody wants to hear
    words = _INTERNALS.sub("", told[-1] if told else str(error))
    return in_a_line(words.rsplit("Failed to establish a new connection: ", 1)[-1][:_WORDS])


def _service_error(status: int, headers: Mapping[str, str], content: bytes, where: str) -> ServiceError:
    body = _decoded(content)
    kind = BY_STATUS.get(status, RedirectError if 300 <= status < 400 else ServiceError)
    if kind is ServiceError and status >= 500:
        kind = UnavailableError
    error = kind(status, _detail(body, content), where=where, body=body)
    error.server_s = _server_s(headers)
    if isinstance(error, ThrottledError | UnavailableError):
        error.retry_after_s = retry_after(headers.get("Retry-After"), error.detail)
    return error


def _server_s(headers: Mapping[str, str]) -> float | None:
    told = re.search(r"\bsandbox;dur=(\d{1,12}(?:\.\d{1,6})?)", headers.get("Server-Timing", ""))
    return None if told is None else float(told[1]) / 1000


def retry_after(header: str | None, words: str) -> float | None:
    """Read how long to wait: the longer of the header and the seconds in the text, None when neither says."""
    said = [float(n) for n in re.findall(r"available in (\d{1,6}) second", words)]
    if header is not None and re.fullmatch(r"\s*\d{1,6}\s*", header):
        said.append(float(header))
    return min(max(said), 3600.0) if said else None


def _decode(content: bytes) -> Any:
    try:
        return msgspec.json.decode(content)
    except msgspec.ValidationError:  # a number of thousands of digits, which is no reason not to read the rest
        return json.loads(content, parse_int=lambda digits: int(digits[:_WORDS]))


def _decoded(content: bytes) -> object:
    with suppress(*_UNREADABLE):
        return _decode(content)
    return None


def _detail(body: object, content: bytes) -> str:
    if isinstance(body, dict):
        detail = body.get("detail", body)
        return (detail if isinstance(detail, str) else _json(detail).decode())[:_WORDS]
    return _plain(content)


def _plain(content: bytes) -> str:
    """Return the words of an answer that is not JSON, such as a gateway's page."""
    text = content[:20_000].decode("utf-8", "replace")
    title = re.search(r"<title>([^<]*)</title>", text, re.IGNORECASE)
    words = title[1] if title else re.sub(r"<[^>]*>", " ", text)
    return in_a_line(words)[:_WORDS]


def _mapping(answer: Any, where: str) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise _unreadable(where, f"a {type(answer).__name__} instead of an object")
    return answer


def _unreadable(where: str, why: str) -> UnreadableAnswerError:
    return UnreadableAnswerError(200, why, where=where)


def _sync_answer(answer: Any) -> SyncAnswer:
    answer = _mapping(answer, contract.SYNC_PATH)
    items, affected = answer.get("items"), answer.get("codes_affected")
    readable = isinstance(items, dict) and all(map(_are_names, items.values()))
    codes, updates = _count(affected), _count(answer.get("total_updates"))
    if not readable or codes is None:
        raise _unreadable(contract.SYNC_PATH, "no items or codes_affected")
    fields = {value: tuple(map(str, names)) for value, names in items.items()}
    return SyncAnswer(len(fields) if updates is None else updates, codes, fields, answer.get("changes"))


def _are_names(value: object) -> bool:
    """Whether all of these are names of fields: what cannot be read may stand for one that would seem to be missing."""
    return isinstance(value, list) and all(isinstance(name, str | int) for name in value)


def _task(answer: dict[str, Any], task_id: str) -> Task:
    """Read a task; some clients see camelCase names, so both are read."""

    def value(name: str) -> Any:
        return next((answer[n] for n in (name, _camel(name)) if answer.get(n) is not None), None)

    def text(name: str) -> str | None:
        return None if (told := value(name)) is None else _text(told)

    word, affected = value("state"), value("codes_affected")
    if not isinstance(word, str) or not word.strip():
        raise _unreadable(f"task {task_id}", "no state")
    word = _text(word)
    return Task(
        task_id, contract.TaskState.read(word), word, _count(affected),
        text("reference"), text("created_by"), text("created_at"), text("started_at"), text("completed_at"),
    )  # fmt: skip


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)


def _count(value: object) -> int | None:
    """Read a number of codes; one beyond all bounds is the largest there is."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        return None
    return int(min(value, _MOST)) if value >= _MOST or value == int(value) else None


def _text(value: object) -> str:
    text = str(value) if isinstance(value, str | int | float) else f"a {type(value).__name__}"
    return in_a_line(text[: 2 * _LONGEST_ID])


def _segment(value: object) -> str:
    """Quote an id as one segment of a path; refuse one that could change the path, or that no URL can hold."""
    text = _text(value)
    if text != str(value) or len(text) > _LONGEST_ID or {"", ".", ".."}.intersection(re.split(r"[/\\]", text)):
        raise UnreadableAnswerError(200, f"{text[:50]!r} is not an id that can be asked for", where="the service")
    return quote(text, safe="")


def _json(value: object) -> bytes:
    return msgspec.json.encode(value)
