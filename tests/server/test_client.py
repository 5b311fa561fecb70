"""One exchange at a time, on real sockets: answers are typed, errors are clear, the token stays where it belongs."""

import copy
import pickle
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import plain_server
import pytest

import scmkit
from scmkit.core import errors
from scmkit.core.contract import TaskState
from scmkit.core.secret import Token
from scmkit.wire.answers import retry_after
from scmkit.wire.client import Client
from scmkit.wire.limits import Limits

SYNC = "/api/v2/scm/upload/"


def test_sync_answers_are_typed(client: Client, server: plain_server.PlainServer) -> None:
    """The body is the contract's, and the answer lists what was stored."""
    answer = client.upload_sync([{"extended_id": "Code_00000-", "wine_name": "Ruländer", "nope": "x"}])
    assert server.seen[0][1:] == (SYNC, {
        "data_key": "extended_id", "items": [{"extended_id": "Code_00000-", "wine_name": "Ruländer", "nope": "x"}],
    })  # fmt: skip
    assert (answer.codes_affected, answer.items) == (1, {"Code_00000-": ("wine_name",)})
    assert server.codes["Code_00000-"]["wine_name"] == "Ruländer"


def test_async_calls_give_a_task_to_follow(client: Client, server: plain_server.PlainServer) -> None:
    """A task is read whatever its words and the case of its names."""
    made = client.upload_async({"lot_number": "000003"}, {"wine_name": "Baco"})
    task = client.task(made.task_id)
    assert (task.state, task.word, task.codes_affected) == (TaskState.COMPLETE, "success", 100)
    server.tasks[made.task_id]["state"] = "resting"
    unknown = client.task(made.task_id)
    assert (unknown.state, unknown.word, unknown.finished) == (None, "resting", False)


@pytest.mark.parametrize("answer", [{}, {"state": None}, {"state": ["complete"]}, {"state": " "}, {"state": 5}])
def test_a_task_without_a_state_is_no_answer(client: Client, server: plain_server.PlainServer, answer: dict) -> None:
    """It is a question that failed: else it would be asked for an hour, without a word (F60)."""
    server.tasks["t"] = {"polls": 0, **answer}
    server.tasks["t"].setdefault("state", None)
    with pytest.raises(errors.UnreadableAnswerError, match="no state"):
        client.task("t")


def test_a_value_that_stands_under_one_of_two_names_is_found(client: Client, server: plain_server.PlainServer) -> None:
    """A null under the one name does not hide the number under the other."""
    server.tasks["t"] = {"polls": 0, "state": "complete", "codes_affected": None, "codesAffected": 3}
    assert client.task("t").codes_affected == 3


def test_codes_are_downloaded_without_the_token(
    client: Client, server: plain_server.PlainServer, tmp_path: Path
) -> None:
    """The link may live on another host: it never sees the token (S15)."""
    path = client.download_codes(tmp_path / "codes.csv", campaign=1234)
    assert scmkit.count_codes(path, "lot_number")["codes"].tolist() == [100] * 7
    by_path = dict(server.authorizations)
    assert by_path.pop("/file.csv") is None
    assert set(by_path.values()) == {f"UAT {plain_server.TOKEN}"}


@pytest.mark.parametrize(
    ("status", "error", "builtin"),
    [
        (400, errors.BadRequestError, ValueError), (401, errors.AuthenticationError, PermissionError),
        (403, errors.PermissionDeniedError, PermissionError), (404, errors.NotFoundError, LookupError),
        (413, errors.TooLargeError, ValueError), (429, errors.ThrottledError, Exception),
        (500, errors.UnavailableError, Exception), (503, errors.UnavailableError, Exception),
        (504, errors.GatewayTimeoutError, TimeoutError),
        (418, errors.ServiceError, Exception), (599, errors.UnavailableError, Exception),
    ],
)  # fmt: skip
def test_errors_carry_the_status_and_the_words(
    client: Client, server: plain_server.PlainServer, status: int, error: type, builtin: type
) -> None:
    """Each status is an error of ours and of Python's, with the service's own words, and survives pickling."""
    server.answers.append((status, {"detail": "no such luck"}, {"Location": "http://127.0.0.1:1/login"}))
    with pytest.raises(error, match=rf"POST {SYNC} answered {status}: no such luck") as caught:
        client.upload_sync([{"extended_id": "Code_00000-"}])
    assert isinstance(caught.value, builtin)
    assert caught.value.__context__ is None
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), again.status, str(again)) == (error, status, str(caught.value))
    assert len(server.seen) == 1


def test_redirects_are_not_followed(client: Client, server: plain_server.PlainServer) -> None:
    """A POST that is sent elsewhere is an error, and no GET goes out (S13)."""
    server.answers.append((302, {}, {"Location": f"{server.url}/login"}))
    with pytest.raises(errors.RedirectError, match="never followed"):
        client.upload_sync([{"extended_id": "Code_00000-"}])
    assert (len(server.seen), server.authorizations) == (1, [])


def test_a_gateway_page_is_shown_by_its_title(client: Client, server: plain_server.PlainServer) -> None:
    """HTML from a proxy becomes a few plain words."""
    server.answers.append((504, b"<html><head><title>504 Gateway Time-out</title></head><body>x</body></html>", {}))
    with pytest.raises(errors.GatewayTimeoutError, match="504 Gateway Time-out"):
        client.upload_sync([{"extended_id": "Code_00000-"}])


@pytest.mark.parametrize(
    "body",
    [
        b"<html>hello</html>", b"null", b"[]", b"{}", b"\xff", b'{"items": {}}',
        b'{"items": 3, "codes_affected": 1}', b'{"items": {}, "codes_affected": NaN}',
        b'{"items": {"a": "b"}, "codes_affected": 1}', b'{"items": {}, "codes_affected": true}',
    ],
)  # fmt: skip
def test_a_200_that_cannot_be_read_is_never_success(
    client: Client, server: plain_server.PlainServer, body: bytes
) -> None:
    """Whatever is not the contract's answer is an error that says so."""
    server.answers.append((200, body, {}))
    with pytest.raises(errors.UnreadableAnswerError):
        client.upload_sync([{"extended_id": "Code_00000-"}])


@pytest.mark.parametrize(
    ("number", "codes"),
    [
        ("0", 0), ("5.0", 5), ("9223372036854775807", 10**15), ("9223372036854775808", 10**15),
        ("1" * 40, 10**15), ("1" * 5000, 10**15), ("1e400", 10**15),
    ],
)  # fmt: skip
def test_numbers_beyond_all_bounds_are_clamped(
    client: Client, server: plain_server.PlainServer, number: str, codes: int
) -> None:
    """What was applied was applied, however odd its count: one that no database holds counts as 10^15."""
    body = f'{{"items": {{"Code_00000-": ["wine_name"]}}, "codes_affected": {number}, "total_updates": {number}}}'
    server.answers.append((201, body.encode(), {}))
    answer = client.upload_sync([{"extended_id": "Code_00000-"}])
    assert (answer.codes_affected, answer.total_updates) == (codes, codes)
    server.tasks["t"] = {"id": "9" * 30, "state": "complete", "codes_affected": codes, "polls": 0, "reference": [[1]]}
    task = client.task("t")
    assert (task.id, task.codes_affected, task.reference) == ("t", codes, "a list")


def test_words_of_the_service_are_harmless_in_a_terminal(client: Client, server: plain_server.PlainServer) -> None:
    """Escapes, carriage returns and marks that turn text around become blanks, wherever they come in."""
    evil = "\x1b[2J\x1b]0;owned\x07one\r\x9b31m\u202etwo\u2028"
    seen = "[2J ]0;owned one 31m two"
    for body in ({"detail": evil}, evil.encode(), {"lot_number": [evil]}):
        server.answers.append((400, body, {}))
        with pytest.raises(errors.BadRequestError) as caught:
            client.upload_sync([{"extended_id": "Code_00000-"}])
        assert "owned" in str(caught.value)
        assert str(caught.value).isprintable()
    server.answers.append((200, {"task_id": evil}, {}))
    assert client.upload_async({"lot_number": "x"}, {}).task_id == seen
    server.tasks["t"] = {"state": evil, "created_by": evil, "reference": evil, "polls": 0}
    task = client.task("t")
    assert {task.word, task.created_by, task.reference} == {seen}
    with raw_server(lambda c: c.sendall(b"HTTP/1.1 \x1b[2J\r\n\r\n")) as url, Client(url, "t0ken") as other:
        with pytest.raises(errors.AnswerLostError) as lost:
            other.me()
        assert str(lost.value).isprintable()


@pytest.mark.parametrize(
    ("header", "words", "seconds"),
    [
        (None, "Request was throttled. Expected available in 3 seconds.", 3.0), ("7", "in 3 seconds", 7.0),
        ("2", "Expected available in 5 seconds.", 5.0), ("soon", "", None), ("-1", "", None), (None, "", None),
        ("999999", "", 3600.0), ("Wed, 21 Oct 2026 07:28:00 GMT", "", None), ("1e9", "", None),
    ],
)  # fmt: skip
def test_retry_after_is_read_tolerantly(header: str | None, words: str, seconds: float | None) -> None:
    """The longer of header and text counts; nonsense counts as nothing."""
    assert retry_after(header, words) == seconds


@contextmanager
def raw_server(behave: Callable[[socket.socket], None]) -> Iterator[str]:
    """Accept connections on loopback, read the request, and do as told."""

    def handle(connection: socket.socket) -> None:
        connection.recv(65536)
        behave(connection)

    with plain_server.listening(handle) as url:
        yield url


def drip(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    try:
        for _ in range(100):
            connection.sendall(b" ")
            time.sleep(0.02)
    except OSError:
        pass


@pytest.mark.parametrize(
    "behave",
    [
        lambda c: None,
        lambda c: c.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"items"'),
        lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd"),
        lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b" " * 200_000),
        drip,
    ],
    ids=["closed", "truncated", "broken chunk", "broken gzip", "too large", "drip"],
)
def test_a_lost_answer_is_unknown(behave: Callable[[socket.socket], None]) -> None:
    """The call went out and there is no evidence: an error that says neither success nor failure, in time."""
    limits = Limits(connect_s=1, read_s=1, deadline_s=0.3, answer_bytes=100_000)
    begun = time.monotonic()
    with raw_server(behave) as url, Client(url, "t0ken", limits=limits) as client:
        with pytest.raises(errors.AnswerLostError) as caught:
            client.upload_sync([{"extended_id": "Code_00000-"}])
        assert caught.value.__context__ is None
    assert time.monotonic() - begun < 2.5


def test_a_large_body_may_take_longer_than_a_connection(server: plain_server.PlainServer) -> None:
    """The time to connect limits connecting only, not the sending of a body that the network takes slowly."""

    def slowly(connection: socket.socket) -> None:
        time.sleep(0.5)
        while b'"}]}' not in connection.recv(1 << 20):
            pass
        connection.sendall(b'HTTP/1.1 200 OK\r\n\r\n{"codes_affected": 0, "items": {}}')

    limits = Limits(connect_s=0.1, read_s=5, deadline_s=5)
    with raw_server(slowly) as url, Client(url, "t0ken", limits=limits) as client:
        answer = client.upload_sync([{"extended_id": "Code_00000-", "wine_name": "x" * 20_000_000}])
    assert answer.items == {}


def drip_headers(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    drip(connection)


def fall_silent(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")
    time.sleep(2.5)


@pytest.mark.parametrize("behave", [drip, drip_headers, fall_silent])
def test_the_deadline_is_that_of_the_whole_exchange(behave: Callable[[socket.socket], None]) -> None:
    """Neither bytes that keep coming nor a long time between two of them keep an exchange beyond it."""
    limits = Limits(connect_s=1, read_s=10, deadline_s=0.3)
    begun = time.monotonic()
    with raw_server(behave) as url, Client(url, "t0ken", limits=limits) as client:
        with pytest.raises(errors.AnswerLostError):
            client.me()
        assert time.monotonic() - begun < 1.5


def test_certificates_that_are_not_there_are_a_mistake_of_the_set_up() -> None:
    """A wrong path is said at once, not after eight attempts."""
    with pytest.raises(errors.ConfigurationError, match="no file of certificates"):
        Client(token="t0ken", ca_file="nowhere.pem")


def test_what_was_never_sent_says_so() -> None:
    """A refused connection is told apart from a lost answer."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (
        Client(f"http://127.0.0.1:{port}", "t0ken") as client,
        pytest.raises(errors.NotSentError, match="refused") as caught,
    ):
        client.me()
    assert isinstance(caught.value, ConnectionError)


def hang_up(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.mark.parametrize("behave", [hang_up, lambda c: None, lambda c: time.sleep(1)], ids=["http", "closed", "silent"])
def test_connection_errors_name_no_internals(
    behave: Callable[[socket.socket], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reads that a service cannot be reached need not know our classes, nor numbers of errors (F59)."""

    def getaddrinfo(*args: object, **options: object) -> object:
        raise socket.gaierror(-2, "Name or service not known")

    limits, said = Limits(connect_s=0.2, read_s=0.2, deadline_s=0.2), []
    with raw_server(behave) as url:
        for scheme in ("https:", "http:") if behave is not hang_up else ("https:",):
            with Client(url.replace("http:", scheme), "t0ken", limits=limits) as client:
                with pytest.raises(ConnectionError) as caught:
                    client.me()
                said.append(str(caught.value))
                assert not client.reached
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(errors.NotSentError) as caught:
        Client("https://api.scantrust.example", "t0ken", limits=limits).me()
    said.append(str(caught.value))
    assert "Name or service not known" in said[-1]
    for words in said:
        assert not re.search(r"_|<|host=|Errno|\[|urllib3|Pool", words), words


def test_a_service_that_takes_no_connection_is_said_in_words() -> None:
    """A host that is there, and whose connections time out, is not a tuple with a blank in it (F59)."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        with Client(url, "t0ken", limits=Limits(connect_s=0.2)) as client, pytest.raises(errors.NotSentError) as caught:
            client.me()
        for each in waiting:
            each.close()
    assert str(caught.value) == f"cannot reach {url}: Connection to 127.0.0.1 timed out. (connect timeout=0.2)"


@pytest.mark.parametrize("url", [
    "http://api.scantrust.com", "https://user:pw@api.scantrust.com", "https://api.scantrust.com/\r\nX: y", "ftp://x",
    "api.scantrust.com", "https://api.scantrust.com?x=1", "https://", "http://127.0.0.1.evil.com", "https://[::1",
])  # fmt: skip
def test_urls_that_could_leak_the_token_are_refused(url: str) -> None:
    """Only https, except on loopback; no user names, no line breaks (S10)."""
    with pytest.raises(errors.ConfigurationError):
        Client(url, "t0ken")


def test_the_token_is_shown_to_nobody() -> None:
    """Neither text nor pickle nor copy of a client holds the token (S06)."""
    client = Client("https://api.scantrust.com/", "canary-token")
    auth = client.transport.session.auth
    assert "canary" not in f"{client!r} {client} {auth!r} {vars(auth)!r} {vars(client)!r}"
    for copied in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            copied(client)
        with pytest.raises(TypeError):
            copied(Token("canary-token"))


def test_the_token_comes_from_the_environment_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a token and without somebody to ask, the error says all the ways to give one."""
    with pytest.raises(errors.ConfigurationError, match=r"SCANTRUST_UAT_TOKEN.*keyring.*Sandbox"):
        Client()
    monkeypatch.setenv("SCANTRUST_UAT_TOKEN", "from-environment")
    monkeypatch.setenv("SCANTRUST_BASE_URL", "https://api.staging.scantrust.io/")
    assert Client().base_url == "https://api.staging.scantrust.io"
    with pytest.raises(errors.ConfigurationError, match="characters"):
        Client(token="two words")


def test_netrc_does_not_replace_the_token(
    server: plain_server.PlainServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A planted .netrc changes nothing (S12)."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login evil password evil\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with Client(server.url, server.token) as client:
        assert client.me() == {"email": "someone@example.com"}


def test_the_pace_is_that_of_a_service_and_a_token(server: plain_server.PlainServer) -> None:
    """Clients of one service and token share a file, others do not, and its name tells neither (F56)."""
    urls = [server.url, server.url.replace("127.0.0.1", "localhost") + "/", "https://api.example.com"]
    files = [Client(url, token).turns._path for url in urls for token in ("one-token", "two-token")]
    assert files[0] == files[2]
    assert len(set(files)) == 4
    assert not any("one" in file.name or "example" in file.name for file in files)
