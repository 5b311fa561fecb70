"""One exchange with a service, until a deadline: connections, redirects, and what an error says about what was sent."""

from __future__ import annotations

import io
import os
import re
import socket
import ssl
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from http.client import HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NewConnectionError

from scmkit.core import contract
from scmkit.core.errors import (
    AnswerLostError,
    CertificateError,
    ConfigurationError,
    NotSentError,
    ScmkitError,
    ServiceError,
    in_a_line,
)
from scmkit.core.paths import expanded, replacing
from scmkit.core.secret import Token
from scmkit.wire.credentials import CERTIFICATE_FILES
from scmkit.wire.limits import Limits

_CHUNK = 1 << 16
_FILE_DEADLINE_S = 3600.0
_REDIRECTS = 5  # of one question
_WORDS = 300  # characters of an error's own words that are repeated

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


class Transport:
    """Exchanges with a service, for all threads of one process.

    Attributes
    ----------
    session : requests.Session
        Its connections, and the token that goes with each question.
    reached : bool
        Whether the service has answered anything.
    """

    def __init__(self, service: str, token: Token, limits: Limits, ca_file: str | None) -> None:
        self.reached = False
        self._service, self._token, self._limits, self._ca_file = service, token, limits, ca_file
        # A proxy for https is taken on purpose, none for plain http. Asked for once: after a fork, macOS forbids it.
        self._proxies = {k: v for k, v in urllib.request.getproxies().items() if k == "https"}
        self.open()

    def open(self) -> None:
        """Begin with connections of its own: after a fork, two that read one connection mix answers up."""
        self.session = self.new_session(self._limits.deadline_s)
        self.session.auth = _TokenAuth(self._token)

    def new_session(self, deadline_s: float) -> requests.Session:
        """Return connections without a token, each exchange with this deadline."""
        session = _Session()
        session.trust_env = False  # neither .netrc nor the environment's proxies, but for the one above
        session.proxies = self._proxies
        session.verify = self._ca_file or True
        adapter = _Adapter(self._limits.read_s, deadline_s)
        for scheme in ("https://", "http://"):
            session.mount(scheme, adapter)
        return session

    def ask(self, method: str, path: str, body: bytes | None, params: Mapping[str, Any] | None) -> Answer:
        """Make an exchange; a question that is redirected on the same host is asked again there, an upload never is."""
        url, asked = self._service + path, list[str]()
        while True:
            answer = self._exchange(method, url, body, params)
            target = _redirected(url, *answer[:2]) if method == "GET" else None
            if target is None or target in asked or len(asked) == _REDIRECTS:
                return answer
            asked.append(url)
            url, params = target, None

    def fetch(self, link: str, to: str | os.PathLike[str] | None) -> Path:
        """Fetch a download link into a file, a private temporary one by default."""
        with self.stream(link) as pieces:
            return _save(pieces, to)

    @contextmanager
    def stream(self, link: str) -> Iterator[Iterator[bytes]]:
        """Fetch a download link piece by piece, without the token: it may live on another host."""
        failure: ScmkitError
        try:
            with self.new_session(_FILE_DEADLINE_S) as session, self._follow(session, link) as response:
                if response.status_code != 200:
                    raise ServiceError(response.status_code, where="the download link")
                yield self._pieces(response, self._limits.file_bytes)
                return
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            failure = _connection_error(error, "the download link")
        raise failure

    def _follow(self, session: requests.Session, link: str) -> requests.Response:
        """Ask for a link, and where it leads on the same host."""
        for _ in range(_REDIRECTS):
            response = self._begin(session, "GET", link)
            target = _redirected(link, response.status_code, response.headers)
            if target is None:
                return response
            response.close()
            link = target
        return self._begin(session, "GET", link)

    def _exchange(self, method: str, url: str, body: bytes | None, params: Mapping[str, Any] | None) -> Answer:
        headers = {"Accept": "application/json"} | ({"Content-Type": "application/json"} if body is not None else {})
        failure: BaseException
        try:
            with self._begin(self.session, method, url, data=body, params=params, headers=headers) as response:
                content = b"".join(self._pieces(response, self._limits.answer_bytes))
                self.reached = True
                return response.status_code, response.headers, content
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            failure = _connection_error(error, self._service)
        except BaseException as error:  # noqa: BLE001 - Ctrl-C and mistakes of ours, raised again below
            failure = error.with_traceback(None)
            failure.__cause__ = failure.__context__ = None
        raise failure  # outside the handler: what it caught, and its frames, carry the request, and with it the token

    def _begin(self, session: requests.Session, method: str, url: str, **options: Any) -> requests.Response:
        times = self._limits.connect_s, self._limits.read_s
        return session.request(method, url, stream=True, allow_redirects=False, timeout=times, **options)

    def _pieces(self, response: requests.Response, most: int) -> Iterator[bytes]:
        """Yield an answer piece by piece, so that a flood does not go on for ever."""
        if "," in response.headers.get("Content-Encoding", ""):  # each layer multiplies by up to 1,000
            raise AnswerLostError("the answer is compressed more than once and was not read")
        size = 0
        while piece := response.raw.read1(_CHUNK, decode_content=True):
            size += len(piece)
            if size > most:
                raise AnswerLostError(f"the answer is larger than {most:,} bytes and was not read")
            yield piece


def _save(pieces: Iterable[bytes], to: str | os.PathLike[str] | None) -> Path:
    path = _temporary_file() if to is None else expanded(to)
    try:
        with nullcontext(path) if to is None else replacing(path) as place, place.open("wb") as file:
            file.writelines(pieces)
    except BaseException:
        if to is None:  # half a download looks like a whole one
            path.unlink()
        raise
    return path


def _temporary_file() -> Path:
    handle, name = tempfile.mkstemp(prefix="scmkit-codes-", suffix=".csv")
    os.close(handle)
    return Path(name)


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


def _connection_error(error: Exception, where: str) -> ScmkitError:
    """Tell what never reached the service from what may have."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    untrusted = any(isinstance(inner, ssl.SSLCertVerificationError) for inner in _chain(error))
    if isinstance(error, requests.exceptions.SSLError) and untrusted:
        return CertificateError(
            f"the certificate of {where} is not trusted: {_reason(error)}. Behind a company's proxy, name the file of "
            f"its certificates in {' or '.join(CERTIFICATE_FILES)}, or with Client(ca_file=...)"
        )
    refused = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
    if isinstance(error, requests.ConnectTimeout | requests.exceptions.ProxyError) or isinstance(reason, refused):
        return NotSentError(f"cannot reach {where}: {_reason(error)}")
    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
        return ConfigurationError(f"the URL cannot be used: {where}")
    return AnswerLostError(f"{where} did not answer completely: {_reason(error)}")


def _chain(error: Exception | None) -> Iterator[Exception]:
    """Yield an error, and the ones that it is made of; a reason that is text is not one."""
    while error is not None:
        yield error
        held = (getattr(error, "reason", None), *error.args)
        error = next((inner for inner in held if isinstance(inner, Exception)), None)


# Objects and their addresses, numbers of errors, places in the source of a library.
_INTERNALS = re.compile(r"<[^>]*>:? ?|\w+\(host=[^)]*\):? ?|\[(?:Errno|SSL)[^\]]*\] ?|\s?\(?_ssl\.c:\d+\)?:? ?")


def _reason(error: Exception) -> str:
    """Return the innermost words of a connection error."""
    *_, innermost = _chain(error)
    told = [held for held in innermost.args if isinstance(held, str)]  # beside objects, of which nobody wants to hear
    words = _INTERNALS.sub("", told[-1] if told else str(innermost))
    return in_a_line(words.rsplit("Failed to establish a new connection: ", 1)[-1][:_WORDS])
