"""`scmkit app`: the panel and the task board as a page of their own, for those who want no notebook."""

from __future__ import annotations

import html
import json
import secrets
import socket
import webbrowser
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from scmkit.core.errors import ConfigurationError, MissingDependencyError

FORGOTTEN_S = 900
LARGEST_UPLOAD = 200_000_000  # bytes of a message from the browser: a file of 50 MB takes two thirds more as base64
INTRODUCTION = """\
# Supply-chain data onto codes

From a table to proven rows, step by step; section 2 takes an account. What was uploaded before stands below.
"""


def serve(port: int = 0, browser: bool = True, say: Callable[[str], Any] = print) -> None:
    """Show the app on loopback until Ctrl-C; only who knows the token in its address gets in.

    Parameters
    ----------
    port : int
        0 takes a free one.
    browser : bool
        Whether to open the page.
    say : callable
        Takes each line of text.
    """
    say("Starting ...")  # Voilà takes seconds to load
    try:
        from voila.app import Voila
    except ImportError:
        raise MissingDependencyError.of("voila", "lab", "The app") from None
    port, token = _free(port), secrets.token_urlsafe(24)
    address = f"http://127.0.0.1:{port}/?token={token}"
    with TemporaryDirectory(prefix="scmkit-") as folder, TemporaryDirectory(prefix="scmkit-") as private:
        notebook = Path(folder) / "scmkit.ipynb"
        notebook.write_text(json.dumps(_notebook(Path.cwd())), encoding="utf-8")
        # The token is set here, and a file leads to the page: arguments can be seen by every user of the machine.
        app = Voila(token=token, tornado_settings={"websocket_max_message_size": LARGEST_UPLOAD})
        app.launch_browser = lambda: webbrowser.open(_redirect(address, Path(private)))  # Voilà's has no token
        app.initialize(_arguments(notebook, port, browser))
        say(f"The app is at {address}\nCtrl-C stops it.")
        app.start()


def _redirect(address: str, folder: Path) -> str:
    """Write a page that leads to the address, for this user alone, and return where it is."""
    page = folder / "open.html"
    page.touch(mode=0o600, exist_ok=False)
    target = html.escape(address, quote=True)
    page.write_text(
        '<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer">'
        f'<meta http-equiv="refresh" content="0;url={target}"><a href="{target}">Open scmkit</a>',
        encoding="utf-8",
    )
    return page.as_uri()


def _arguments(notebook: Path, port: int, browser: bool) -> list[str]:
    """Return Voilà's options as arguments, which count more than what its configuration files say."""
    return [
        str(notebook),
        "--Voila.ip=127.0.0.1",
        f"--Voila.port={port}",
        "--Voila.port_retries=0",
        f"--Voila.open_browser={browser}",
        "--Voila.log_level=ERROR",
        "--VoilaConfiguration.strip_sources=True",
        "--VoilaConfiguration.show_tracebacks=True",
        # Of a page that was closed or loaded again; while an upload runs, its panel keeps the kernel from being idle.
        f"--MappingKernelManager.cull_idle_timeout={FORGOTTEN_S}",
        "--MappingKernelManager.cull_interval=60",
    ]


def _notebook(folder: Path) -> dict[str, Any]:
    """Return the app as a notebook; files are saved in the folder, not beside a notebook that nobody sees."""
    enter = f"import os, scmkit\nos.chdir({str(folder)!r})\n"
    cells = [
        _cell("markdown", INTRODUCTION),
        _cell("code", enter + "scmkit.panel()"),
        _cell("markdown", "## All uploads"),
        _cell("code", "scmkit.TaskBoard()"),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 4}


def _cell(kind: str, source: str) -> dict[str, Any]:
    code: dict[str, Any] = {"outputs": [], "execution_count": None} if kind == "code" else {}
    return {"cell_type": kind, "metadata": {}, "source": source} | code


def _free(port: int) -> int:
    """Return the port, or a free one for 0."""
    try:
        with socket.create_server(("127.0.0.1", port)) as listener:
            return int(listener.getsockname()[1])
    except OSError as error:
        raise ConfigurationError(f"port {port} cannot be used: {error.strerror}; 0 takes a free one") from None
