"""JupyterLab and Voilà on loopback, and someone in front of them: Chromium, driven by Playwright.

Nothing here waits for a time to pass: what waits, waits for something that can be seen, with a deadline.
"""

from __future__ import annotations

import ast
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

OUTPUT = Path(__file__).parents[1] / "browser" / "output"
DEADLINE_S = 90
expect.set_options(timeout=DEADLINE_S * 1000)
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none", "kernelShutdown": False},
    "docmanager-extension/plugin": {"autosave": False},
}
# Runs a command of JupyterLab, and notes its end on the window: a wait for that has a deadline, a promise has none.
START = """([ticket, command, args]) => {
    window.ended = window.ended || {};
    window.ended[ticket] = null;
    window.jupyterapp.commands.execute(command, args).then(
        () => { window.ended[ticket] = "done"; }, problem => { window.ended[ticket] = String(problem); });
}"""
READY = """kernel => {
    const panel = window.jupyterapp?.shell?.currentWidget;
    return panel?.context?.isReady && panel.content.widgets.length && (!kernel || panel.sessionContext.isReady);
}"""
ASK = """async expression => {
    const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
    const reply = await kernel.requestExecute(
        {code: "", silent: true, user_expressions: {answer: expression}}).done;
    return reply.content.user_expressions.answer;
}"""


ERRORS = """number => {
    const outputs = window.jupyterapp.shell.currentWidget.content.widgets[number].model.outputs;
    return (outputs?.toJSON() ?? []).filter(output => output.output_type === "error").map(output => output.evalue);
}"""
# The worst contrast of text with its background, after WCAG 2; JupyterLab's own prompts are left out.
CONTRAST = """root => {
    const parts = colour => {
        const [r, g, b, alpha = 1] = colour.match(/[\\d.]+/g).map(Number);
        return colour.startsWith("color(srgb") ? [r * 255, g * 255, b * 255, alpha] : [r, g, b, alpha];
    };
    const over = (front, back) => back.map((value, i) => front[i] * front[3] + value * (1 - front[3]));
    const behind = element => {
        const back = element.parentElement ? behind(element.parentElement) : [255, 255, 255];
        return over(parts(getComputedStyle(element).backgroundColor), back);
    };
    const luminance = colour => {
        const [r, g, b] = colour.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    let worst = [21, ""];
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement, text = walker.currentNode.textContent.trim();
        if (!text || !element.checkVisibility() || element.closest(".jp-OutputPrompt")) continue;
        const back = behind(element), front = over(parts(getComputedStyle(element).color), back);
        const [dark, light] = [luminance(front), luminance(back)].sort((a, b) => a - b);
        const ratio = (light + 0.05) / (dark + 0.05);
        if (ratio < worst[0]) worst = [ratio, text];
    }
    return worst;
}"""

# What has a scrollbar, and by how many pixels its content is too wide or high. A table may be wider than its place,
# and higher where the keyboard can scroll it.
OVERFLOWING = """root => [root, ...root.querySelectorAll("*")].filter(e => e.checkVisibility()).map(element => {
    const style = getComputedStyle(element), scrolls = kind => kind === "auto" || kind === "scroll";
    const table = element.querySelector("table") && !element.classList.contains("jupyter-widgets");
    const wide = scrolls(style.overflowX) && !table ? element.scrollWidth - element.clientWidth : 0;
    const high = scrolls(style.overflowY) && !(table && element.tabIndex === 0)
        ? element.scrollHeight - element.clientHeight : 0;
    return [element.className, wide, high, element.innerText?.slice(0, 60)];
}).filter(([name, wide, high]) => wide > 0 || high > 0)"""


def find_chromium() -> str | None:
    """Give the path of Debian's Chromium, if there is one."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a headless Chromium that reaches this machine only."""
    nothing_outside = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    arguments = [nothing_outside, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=arguments, ignore_default_args=["--hide-scrollbars"]
        )
        yield browser
        browser.close()


@dataclass(frozen=True)
class Server:
    """A JupyterLab or a Voilà that runs: where, with which token, and the folder that it serves."""

    url: str
    token: str
    folder: Path

    def ask(self, path: str, method: str = "GET") -> bytes:
        """Make a request as the server's owner."""
        request = urllib.request.Request(
            self.url + path, headers={"Authorization": f"token {self.token}"}, method=method
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return bytes(answer.read())

    def end_kernels(self) -> None:
        """End every session, and its kernel with it."""
        for session in json.loads(self.ask("/api/sessions")):
            self.ask(f"/api/sessions/{session['id']}", "DELETE")


@contextmanager
def jupyterlab(folder: Path) -> Iterator[Server]:
    """Run a JupyterLab of its own: no settings, kernels or journal of whoever runs the tests."""
    work, port, token = folder / "work", free_port(), secrets.token_hex()
    work.mkdir(parents=True)
    settings = folder / "settings"
    for name, values in SETTINGS.items():
        path = settings / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    command = [
        "jupyterlab", "--no-browser", "--allow-root", "--LabApp.expose_app_in_browser=True",
        f"--LabApp.user_settings_dir={settings}", f"--LabApp.workspaces_dir={folder / 'workspaces'}",
        "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={work}",
    ]  # fmt: skip
    server = Server(f"http://127.0.0.1:{port}", token, work)
    with running(command, folder, token) as process:
        process.wait_for(lambda: answers(server, "/api/status"))
        yield server


@contextmanager
def voila(folder: Path, notebook: Path, *options: str) -> Iterator[Server]:
    """Run a Voilà that shows one notebook at its root."""
    port, token = free_port(), secrets.token_hex()
    command = [
        "voila", str(notebook), "--no-browser", "--Voila.ip=127.0.0.1", f"--port={port}", "--Voila.port_retries=0",
        "--Voila.auto_token=True", *options,
    ]  # fmt: skip
    served = Server(f"http://127.0.0.1:{port}", token, notebook.parent)
    with running(command, folder, token) as process:
        process.wait_for(lambda: answers(served, "/voila/static/"))
        yield served


@contextmanager
def app(folder: Path, **variables: str) -> Iterator[str]:
    """Run `scmkit app` in a folder, with these environment variables, and give the address that it names."""
    with running(["scmkit", "app", "--no-browser"], folder, "not this one", **variables) as process:
        process.wait_for(lambda: "Ctrl-C" in process.log.read_text())
        address = re.search(r"http://\S+", process.log.read_text())
        assert address is not None
        served = Server(address[0].partition("/?")[0], address[0].partition("token=")[2], folder)
        process.wait_for(lambda: answers(served, "/voila/static/"))
        yield address[0]


@dataclass(frozen=True)
class Process:
    """A process of a test, and what it says."""

    process: subprocess.Popen[Any]
    log: Path

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until something is true of it; it must not end before."""
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server does not answer:\n{self.log.read_text()}")
            time.sleep(0.05)


@contextmanager
def running(command: list[str], folder: Path, token: str, **variables: str) -> Iterator[Process]:
    """Run a Python module until the block ends."""
    log = folder / "log.txt"
    with log.open("w") as file:
        own = environment(folder, token) | variables
        process = subprocess.Popen([sys.executable, "-m", *command], stdout=file, stderr=file, cwd=folder, env=own)
        try:
            yield Process(process, log)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


def answers(server: Server, path: str) -> bool:
    """Ask whether the server answers, whatever it answers."""
    try:
        server.ask(path)
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def environment(folder: Path, token: str) -> dict[str, str]:
    """Give the environment of a server: everything of its own, no account; each folder's notebooks share a journal."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "SCANTRUST"))}
    return kept | {
        "JUPYTER_TOKEN": token,
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTER_PREFER_ENV_PATH": "1",
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "IPYTHONDIR": str(folder / "ipython"),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        "SCMKIT_JOURNAL": "journal.sqlite3",
        "SCMKIT_STATE": str(folder / "state"),
    }


def free_port() -> int:
    """Give a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def converted(notebook: Path) -> Path:
    """Convert a notebook to a page, as `jupyter nbconvert --to html` does."""
    from nbconvert import HTMLExporter

    body, _ = HTMLExporter().from_filename(str(notebook))
    page = notebook.with_suffix(".html")
    page.write_text(body, encoding="utf-8")
    return page


@dataclass
class Window:
    """A page, and what went wrong on it.

    Attributes
    ----------
    page : Page
    dialogs : list of str
        What JavaScript's alert(), confirm() and prompt() said: a payload that ran.
    errors : list of str
        Exceptions that nobody caught.
    """

    page: Page
    dialogs: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, context: BrowserContext, **options: Any) -> Any:
        """Open a page."""
        window = cls(context.new_page(), **options)
        window.page.set_default_timeout(DEADLINE_S * 1000)
        window.page.on("dialog", window._note_dialog)
        window.page.on("pageerror", lambda error: window.errors.append(str(error)))
        return window

    def assert_harmless(self) -> None:
        """Check that no payload ran: payloads call alert() or set window.__xss."""
        frames = [frame.evaluate("() => window.__xss") for frame in self.page.frames]
        assert (self.dialogs, [found for found in frames if found]) == ([], [])

    def choose_file(self, button: Locator, path: Path) -> None:
        """Press a button that asks for a file, and give it one."""
        with self.page.expect_file_chooser() as chooser:
            button.click()
        chooser.value.set_files(path)

    def picture(self, name: str, part: Locator | None = None, last: Locator | None = None) -> Path:
        """Take a screenshot to look at, tests/browser/output/name.png: of the page, a part of it, or several parts."""
        path, size = OUTPUT / f"{name}.png", self.page.viewport_size
        assert size is not None
        if part is None:
            self.page.screenshot(path=path)
            return path
        box = _around(part, last or part)  # what is scrolled away is not on a screenshot: make the window high enough
        self.page.set_viewport_size({"width": size["width"], "height": max(size["height"], int(box["height"]) + 300)})
        part.evaluate("element => element.scrollIntoView({block: 'start'})")
        self.page.screenshot(path=path, clip=_around(part, last or part))
        self.page.set_viewport_size(size)
        return path

    def assert_legible(self, part: Locator, least: float = 4.5) -> None:
        """Check that every text stands out from its background, as WCAG 2 AA asks."""
        ratio, text = part.evaluate(CONTRAST)
        assert ratio >= least, f"{text!r} has a contrast of {ratio:.1f}"

    def assert_fits(self, part: Locator) -> None:
        """Check that nothing has a scrollbar but tables."""
        assert part.evaluate(OVERFLOWING) == []

    def _note_dialog(self, dialog: Any) -> None:
        if dialog.type == "beforeunload":  # JupyterLab's own, about a notebook that is not saved
            dialog.accept()
        else:
            self.dialogs.append(dialog.message)
            dialog.dismiss()


def _around(first: Locator, last: Locator) -> Any:
    """Give the box from the first part to the last one below it."""
    above, below = first.bounding_box(), last.bounding_box()
    assert above is not None
    assert below is not None
    return above | {"height": below["y"] + below["height"] - above["y"]}


@dataclass
class Lab(Window):
    """A notebook in JupyterLab.

    Attributes
    ----------
    server : Server
    folder : Path
        The notebook's, where the kernel runs.
    """

    server: Server = field(kw_only=True)
    folder: Path = field(kw_only=True)
    notebook: Path = field(default=Path(), init=False)

    def open(self, *cells: str, name: str = "notebook", theme: str = "light", kernel: bool = True) -> None:
        """Write a notebook with these cells, and show it; the kernel is there when this returns."""
        made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
        made.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        self.notebook = self.folder / f"{name}.ipynb"
        nbformat.write(made, self.notebook)
        self.show(self.notebook, theme, kernel)

    def show(self, notebook: Path, theme: str = "light", kernel: bool = True) -> None:
        """Show a notebook that is there; without a kernel, as somebody sees it who has none that fits."""
        self.notebook = notebook
        if not kernel:
            self.server.end_kernels()
            without = nbformat.read(notebook, 4)
            without.metadata.kernelspec = {"name": "elsewhere", "display_name": "Elsewhere", "language": "elsewhere"}
            without.metadata.pop("language_info", None)
            nbformat.write(without, notebook)
        path = notebook.relative_to(self.server.folder).as_posix()
        self.page.goto(f"{self.server.url}/doc/tree/{path}?reset&token={self.server.token}")
        if not kernel:
            self.page.get_by_role("dialog").get_by_role("button", name="No Kernel").click()
        self.page.wait_for_function(READY, arg=kernel)
        self.theme(theme)

    def theme(self, name: str) -> None:
        """Change to the light or the dark theme."""
        self.command("apputils:change-theme", theme=THEMES[name])
        self.page.locator(f"body[data-jp-theme-light='{str(name == 'light').lower()}']").wait_for(state="attached")
        self.page.locator("#jupyterlab-splash").wait_for(state="detached")  # it covers all while themes change

    def run(self, number: int) -> Locator:
        """Run a cell to its end, and give its outputs; an exception in it fails the test."""
        self.start(number)
        return self.finished(number)

    def start(self, number: int) -> None:
        """Run a cell, and do not wait for it."""
        self.page.evaluate(
            "n => { const c = window.jupyterapp.shell.currentWidget.content; c.activeCellIndex = n; }", number
        )
        self._execute(f"cell {number}", "notebook:run-cell")

    def finished(self, number: int, fails: bool = False) -> Locator:
        """Wait until a started cell has come to its end, and give its outputs; it raised exactly if it should."""
        self._wait(f"cell {number}")
        errors = self.page.evaluate(ERRORS, number)
        assert bool(errors) == fails, errors
        return self.outputs(number)

    def running(self, number: int) -> bool:
        """Tell whether a started cell has not come to its end."""
        return bool(self.page.evaluate("ticket => window.ended[ticket] === null", f"cell {number}"))

    def run_all(self) -> None:
        """Run all cells to their end; an exception in one of them fails the test."""
        for number in range(self.page.locator(".jp-Notebook-cell").count()):
            self.run(number)

    def cell(self, number: int) -> Locator:
        """Give a cell."""
        return self.page.locator(".jp-Notebook-cell").nth(number)

    def outputs(self, number: int) -> Locator:
        """Give what a cell shows below its source."""
        return self.cell(number).locator(".jp-Cell-outputArea")

    def value(self, expression: str) -> Any:
        """Compute an expression in the kernel, of Python literals."""
        answer = self.page.evaluate(ASK, expression)
        assert answer["status"] == "ok", answer
        return ast.literal_eval(answer["data"]["text/plain"])

    def restart(self) -> None:
        """Restart the kernel: what was in its memory is gone, what was shown stays."""
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.restartKernel()")

    def save(self) -> nbformat.NotebookNode:
        """Save the notebook, and give what is in the file now."""
        self.command("docmanager:save")
        return nbformat.read(self.notebook, 4)

    def command(self, name: str, **arguments: Any) -> None:
        """Carry out a command of JupyterLab to its end."""
        self._execute(name, name, arguments)
        self._wait(name)

    def _execute(self, ticket: str, command: str, arguments: Any = None) -> None:
        self.page.evaluate(START, [ticket, command, arguments or {}])

    def _wait(self, ticket: str) -> None:
        self.page.wait_for_function("ticket => window.ended[ticket]", arg=ticket)
        assert self.page.evaluate("ticket => window.ended[ticket]", ticket) == "done"


__all__ = ["Lab", "Server", "Window", "app", "chromium", "converted", "expect", "find_chromium", "jupyterlab", "voila"]
