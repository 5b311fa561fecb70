"""What goes over the wire and what comes back: only to whom it is meant, and never more than can be held."""

import ast
import gzip
import inspect
import io
import json
import shutil
import socket
import ssl
import subprocess
import tempfile
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import plain_server
import pytest

import scmkit
from scmkit.core import errors
from scmkit.wire import answers
from scmkit.wire.client import Client
from scmkit.wire.limits import Limits
from scmkit.wire.transport import Transport

SMALL = Limits(connect_s=1, read_s=2, deadline_s=5, answer_bytes=1_000_000, file_bytes=1_000_000)
PIECE = 1 << 20
PROXIES = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY")


@contextmanager
def answering(answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Answer every connection on loopback with these bytes, and keep what was received first."""
    received: list[bytes] = []

    def handle(connection: socket.socket) -> None:
        received.append(connection.recv(65536))
        connection.settimeout(5)
        connection.sendall(answer)

    with plain_server.listening(handle) as url:
        yield url, received


def packed(megabytes: int, layers: int = 1) -> bytes:
    """Give zeros, compressed once or more often."""
    file = io.BytesIO()
    with gzip.GzipFile(fileobj=file, mode="wb") as writer:
        for _ in range(megabytes):
            writer.write(bytes(PIECE))
    content = file.getvalue()
    for _ in range(layers - 1):
        content = gzip.compress(content)
    return content


def response(content: bytes, encoding: str) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


@pytest.mark.parametrize(("encoding", "layers"), [("gzip", 1), ("gzip, gzip", 2), ("gzip, gzip, gzip", 3)])
def test_a_compressed_flood_is_not_unpacked(encoding: str, layers: int) -> None:
    """A small answer that unpacks to 200 MB is cut off at the cap, layer on layer is not even begun (S16)."""
    content = packed(200, layers)
    with answering(response(content, encoding)) as (url, _), Client(url, "t0ken", limits=SMALL) as client:
        tracemalloc.start()
        try:
            with pytest.raises(errors.AnswerLostError, match=r"larger than|more than once"):
                client.me()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 100 * PIECE


def test_an_answer_that_is_packed_once_is_read() -> None:
    """The caps do not refuse what a service normally does (S16)."""
    content = response(gzip.compress(b'{"email": "a@example.com"}'), "gzip")
    with answering(content) as (url, _), Client(url, "t0ken", limits=SMALL) as client:
        assert client.me() == {"email": "a@example.com"}


def with_link(monkeypatch: pytest.MonkeyPatch, link: str) -> None:
    """Let every service give this download link."""
    answer = {"document": {"key": "doc1"}, "state": "complete", "link": link}
    monkeypatch.setattr(Transport, "ask", lambda *_: (200, {}, json.dumps(answer).encode()))


@pytest.mark.parametrize("link", [
    "http://files.example.com/a.csv", "file:///etc/passwd", "ftp://files.example.com/a", "//files.example.com/a.csv",
    "https://u:p@files.example.com/a.csv", "https://files.example.com/a.csv\r\nX: y", "javascript:alert(1)",
    "http://127.0.0.1:9/a.csv", "http://[::1", "",
])  # fmt: skip
def test_a_link_without_https_is_not_fetched(link: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A service on https cannot send us to plain http, to files, or to what runs on this machine (S15)."""
    with_link(monkeypatch, link)
    with Client("https://api.example.com", "t0ken") as client, pytest.raises(errors.ConfigurationError):
        client.download_codes(tmp_path / "codes.csv")
    assert not (tmp_path / "codes.csv").exists()


@pytest.mark.parametrize("to", ["codes.csv", None])
@pytest.mark.parametrize("answer", [
    b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 3_000_000,
    b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n" + b"x" * 1_000,
    response(packed(10), "gzip"),
    b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/b.csv\r\nContent-Length: 0\r\n\r\n",
], ids=["large", "cut", "bomb", "redirect"])  # fmt: skip
def test_a_download_is_capped_and_leaves_no_half_file(
    answer: bytes, to: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Too large, cut off, or sent elsewhere is an error; no token goes out, and no half of a file stays (S15)."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with answering(answer) as (url, received), Client(url, plain_server.TOKEN, limits=SMALL) as client:
        with_link(monkeypatch, f"{url}/a.csv")
        with pytest.raises((errors.AnswerLostError, errors.ServiceError)):
            client.download_codes(to and tmp_path / to)
    assert len(received) == 1
    assert b"uthorization" not in received[0]
    assert plain_server.TOKEN.encode() not in received[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["me", "upload"])
def test_no_redirect_is_followed(status: int, method: str) -> None:
    """Nobody else is asked, and sees the token, whatever the status and the method (S13)."""
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") as (other, seen_elsewhere):
        moved = f"HTTP/1.1 {status} Moved\r\nLocation: {other}/x\r\nContent-Length: 0\r\n\r\n".encode()
        with (
            answering(moved) as (url, seen),
            Client(url, "t0ken", limits=SMALL) as client,
            pytest.raises(errors.RedirectError),
        ):
            client.me() if method == "me" else client.upload_sync([{"extended_id": "Code_00000-"}])
    assert (len(seen), seen_elsewhere) == (1, [])


def test_a_proxy_for_http_is_not_asked(
    server: plain_server.PlainServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A planted proxy sees neither the calls nor the token of a connection without TLS (S12)."""
    with answering(b"HTTP/1.1 502 Bad Gateway\r\n\r\n") as (proxy, seen):
        for name in PROXIES[:4]:
            monkeypatch.setenv(name, proxy)
        with Client(server.url, server.token, limits=SMALL) as client:
            assert client.me() == {"email": "someone@example.com"}
    assert seen == []


def test_a_proxy_for_https_does_not_see_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a proxy is told is the host to connect to, and nothing else (S12)."""
    with answering(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n") as (proxy, seen):
        for name in PROXIES:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("https_proxy", proxy)
        with (
            Client("https://api.example.com", plain_server.TOKEN, limits=SMALL) as client,
            pytest.raises(errors.NotSentError),
        ):
            client.me()
    assert seen[0].startswith(b"CONNECT api.example.com:443 ")
    assert plain_server.TOKEN.encode() not in b"".join(seen)


def test_a_netrc_file_is_not_read(
    server: plain_server.PlainServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Not even for the download link, which carries no token of ours to replace (S12)."""
    (tmp_path / ".netrc").write_text("default login evil password evil\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with Client(server.url, server.token, limits=SMALL) as client:
        client.download_codes(tmp_path / "codes.csv")
    sent = {header for _, header in server.authorizations}
    assert sent == {f"UAT {server.token}", None}


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_certificates_cannot_be_left_unchecked(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """There is no verify=False, no environment variable stands in for it, and a CA is given as a file (S14)."""
    import certifi

    monkeypatch.setenv(name, "")
    assert "verify" not in inspect.signature(Client).parameters
    ca = shutil.copy(certifi.where(), tmp_path / "ca.pem")
    for ca_file, verify in ((None, True), (ca, str(ca))):
        with Client("https://api.example.com", "t0ken", ca_file=ca_file) as client:
            assert client.transport.session.verify == verify
            assert client.transport.new_session(1.0).verify == verify
            assert client.transport.session.trust_env is False
    with pytest.raises(TypeError):
        Client("https://api.example.com", "t0ken", verify=False)  # type: ignore[call-arg]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of a company's own for 127.0.0.1, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    folder = tmp_path_factory.mktemp("authority")
    files = folder / "ca.pem", folder / "key.pem"
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=Company"]
    named = ["-addext", "subjectAltName=IP:127.0.0.1", "-out", str(files[0]), "-keyout", str(files[1])]
    subprocess.run(["openssl", "req", "-x509", *kind, *named], check=True, capture_output=True, timeout=20)
    return files


@contextmanager
def behind_tls(server: plain_server.PlainServer, authority: tuple[Path, Path]) -> Iterator[str]:
    """Serve on TLS with the company's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority)

    def handle(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            server.serve(secured)

    with plain_server.listening(handle) as url:
        yield url.replace("http:", "https:")


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_the_certificates_of_a_company_are_named_by_the_environment(
    name: str, server: plain_server.PlainServer, authority: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an analyst's other programs trust is trusted; what nobody trusts is said with the variables that help."""
    with behind_tls(server, authority) as url:
        with Client(url, server.token, limits=SMALL) as client, pytest.raises(errors.CertificateError) as error:
            client.me()
        assert "REQUESTS_CA_BUNDLE or SSL_CERT_FILE" in str(error.value)
        monkeypatch.setenv(name, str(authority[0]))
        with Client(url, server.token, limits=SMALL) as client:
            assert client.me() == {"email": "someone@example.com"}
    monkeypatch.setenv(name, "/no/such.pem")
    with pytest.raises(errors.ConfigurationError, match=f"no/such.pem', which {name} names"):
        Client(url, server.token)
    Client(server.url, server.token).close()  # plain http on loopback has no certificate


def test_no_line_switches_verification_off() -> None:
    """No call in the package passes verify=False, or names a context without checks (S14)."""
    for path in Path(scmkit.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            words = {node.arg: ast.unparse(node.value)} if isinstance(node, ast.keyword) else {}
            assert words.get("verify") != "False", path
            assert "cert_reqs" not in words, path
            assert not (isinstance(node, ast.Attribute) and node.attr in ("CERT_NONE", "_create_unverified_context"))


@pytest.mark.parametrize("url", [
    "https://api.example.com/a\tb", "https://api.example.com\\@evil.com", "https://a b.com", "https://@api.example.com",
    "http://0x7f000001.evil.com", "http://localhost.evil.com", "http://192.168.0.1", "http://0.0.0.0", "http://[::2]",
    "https://api.example.com#@evil.com", "javascript:alert(1)", "https://api.example.com:99999", "http:///x",
])  # fmt: skip
def test_more_urls_that_could_leak_the_token_are_refused(url: str) -> None:
    """Tricks with backslashes, blanks, hosts that look like loopback and broken ports are refused (S10)."""
    with pytest.raises(errors.ConfigurationError):
        Client(url, "t0ken")


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "http://localhost:8000", "http://[::1]:8000"])
def test_loopback_may_be_without_tls(url: str) -> None:
    """A sandbox has no certificate (S10)."""
    with Client(url, "t0ken") as client:
        assert client.base_url == url


@pytest.mark.parametrize("part", ["../../me", "..", ".", "a/../b", "a\\..", "", "a\r\nX: y", "\ud800", "a" * 1001])
def test_ids_cannot_change_the_path_of_a_request(
    part: str, client: Client, server: plain_server.PlainServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An id of a task or document that would lead elsewhere is refused before anything is asked (S22)."""
    with pytest.raises(errors.UnreadableAnswerError, match="not an id"):
        client.task(part)
    asked: list[str] = []

    def ask(_: Transport, method: str, path: str, *others: object) -> tuple[int, dict[str, str], bytes]:
        asked.append(path)
        return 200, {}, b""

    monkeypatch.setattr(Transport, "ask", ask)
    monkeypatch.setattr(answers, "decode", lambda _: {"document": {"key": part}})  # half a character is no JSON
    with pytest.raises(errors.UnreadableAnswerError, match="not an id"):
        client.download_codes()
    assert (server.authorizations, asked) == ([], ["/api/v2/codes/download/"])


@pytest.mark.parametrize(
    ("part", "segment"),
    [
        ("a/b", "a%2Fb"), ("%2e%2e", "%252e%252e"), ("a?b#c", "a%3Fb%23c"), ("a b", "a%20b"), ("é", "%C3%A9"),
        ("rq:job:1", "rq%3Ajob%3A1"), ("a" * 1000, "a" * 1000),
    ],
)  # fmt: skip
def test_ids_are_one_segment_of_a_path(
    part: str, segment: str, client: Client, server: plain_server.PlainServer
) -> None:
    """An id of any shape is asked for as it is, and leads nowhere else (S22)."""
    with pytest.raises(errors.NotFoundError):
        client.task(part)
    assert [path for path, _ in server.authorizations] == [f"/api/v2/scm/tasks/{segment}/"]
