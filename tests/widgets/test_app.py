"""`scmkit app`, as far as it needs no browser."""

import os
import re
import socket
import sys
import webbrowser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from click.testing import CliRunner

from scmkit.cli import app
from scmkit.cli.commands import main


def test_without_voila_the_way_to_get_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing extra is one sentence with the command that installs it, and no traceback."""
    monkeypatch.setitem(sys.modules, "voila.app", None)
    result = CliRunner().invoke(main, ["app", "--no-browser"])
    assert result.exit_code == 1
    assert "pip install 'scmkit[lab]'" in result.output


def put_in_place_of_voila(monkeypatch: pytest.MonkeyPatch, kind: type) -> None:
    module: Any = type(sys)("voila.app")
    module.Voila = kind
    monkeypatch.setitem(sys.modules, "voila", type(sys)("voila"))
    monkeypatch.setitem(sys.modules, "voila.app", module)


def test_a_port_in_use_is_said_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that somebody listens on is one clear sentence; 0 finds a free one."""
    put_in_place_of_voila(monkeypatch, object)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        result = CliRunner().invoke(main, ["app", "--port", str(port)])
        assert result.exit_code == 1
        assert f"port {port} cannot be used" in result.output
        assert app._free(0) not in (0, port)


class FakeVoila:
    """Voilà, as far as the app uses it; it opens the browser when it starts, and ends."""

    def __init__(self, token: str, tornado_settings: dict[str, Any]) -> None:
        self.token = token

    def initialize(self, arguments: list[str]) -> None:
        assert self.token not in " ".join(arguments)

    def start(self) -> None:
        self.launch_browser()


def test_the_browser_is_told_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its command line, readable by all, names a file that its user alone can read; it is gone when the app ends."""
    put_in_place_of_voila(monkeypatch, FakeVoila)
    opened: list[tuple[str, str, list[str]]] = []

    def open_page(url: str) -> None:
        path = Path(unquote(urlsplit(url).path))
        modes = [oct(part.stat().st_mode & 0o777) for part in (path, path.parent)]
        opened.append((url, path.read_text(encoding="utf-8"), modes))

    monkeypatch.setattr(webbrowser, "open", open_page)
    said: list[str] = []
    before = os.umask(0)
    try:
        app.serve(say=said.append)
    finally:
        os.umask(before)
    address = re.search(r"http://\S+", "\n".join(said))
    assert address is not None
    [(url, page, modes)] = opened
    assert url.startswith("file:///")
    assert "token" not in url
    assert address[0].partition("token=")[2] not in url
    assert f'url={address[0]}"' in page
    assert modes == ["0o600", "0o700"]
    assert not Path(unquote(urlsplit(url).path)).parent.exists()


def test_the_app_is_a_notebook_that_works_where_it_was_started(tmp_path: Path) -> None:
    """Voilà gets a valid notebook, whatever the folder is called; Voilà listens on loopback and shows no source."""
    made = app._notebook(tmp_path / "O'Neill \"& Söhne\\")
    nbformat.validate(nbformat.from_dict(made))
    for cell in made["cells"]:
        if cell["cell_type"] == "code":
            compile(cell["source"], "cell", "exec")
    arguments = app._arguments(tmp_path, 1234, browser=False)
    assert {"--Voila.ip=127.0.0.1", "--VoilaConfiguration.strip_sources=True"} <= set(arguments)
    assert not [a for a in arguments if "token" in a]
