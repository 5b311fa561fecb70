"""A real JupyterLab and a real Chromium. Without Chromium the tests are skipped, but not on continuous integration."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import fault_server
import pytest
from attacks import ATTACKS

HERE = Path(__file__).parent
CI = bool(os.environ.get("CI"))

try:
    import lab as labs
except ImportError:  # the extra `dev` is not installed
    if CI:
        raise
    collect_ignore_glob = ["test_*.py"]

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder; tests/conftest.py gives them to one worker."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Keep a picture of what was on the page when a test failed: tests/browser/output/failed-*.png."""
    report = yield
    window = getattr(item, "funcargs", {}).get("lab") or getattr(item, "funcargs", {}).get("window")
    if call.when == "call" and report.failed and window is not None:
        with suppress(Exception):  # a page that hangs is what the test is about, not what pytest should end with
            window.picture(f"failed-{item.name}")
    return report


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, for a module: while Playwright runs, its event loop is in the way of other tests' loops."""
    if labs.find_chromium() is None:
        words = "no Chromium: apt-get install chromium"
        pytest.fail(words) if CI else pytest.skip(words)
    with labs.chromium() as running:
        yield running


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """What the windows of a module share: JupyterLab's own files, which are many."""
    made = browser.new_context(viewport={"width": 1200, "height": 900})
    yield made
    made.close()


@pytest.fixture(scope="session")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[labs.Server]:
    """One JupyterLab for all tests of a worker."""
    with labs.jupyterlab(tmp_path_factory.mktemp("jupyter")) as server:
        yield server


@pytest.fixture
def rude() -> Iterator[fault_server.FaultServer]:
    """A server that refuses every row, with an attack for a reason."""
    codes = {f"Code_{i:05d}-": {"lot_number": "1"} for i in range(len(ATTACKS))}

    def refuse(exchange: fault_server.Exchange) -> None:
        first = int(exchange.body["items"][0]["extended_id"][5:10])
        exchange.answer(400, {"detail": ATTACKS[first]})

    with fault_server.serve(["wine_name"], codes) as server:
        server.rule = refuse
        yield server


@pytest.fixture
def window(context: BrowserContext) -> Iterator[labs.Window]:
    """A window on anything; no payload may run in it, whatever the test is about."""
    made: labs.Window = labs.Window.of(context)
    yield made
    made.assert_harmless()
    made.page.close()


@pytest.fixture
def lab(request: pytest.FixtureRequest, context: BrowserContext, jupyter: labs.Server) -> Iterator[labs.Lab]:
    """A window on JupyterLab, with a folder of its own; no payload may run in it, whatever the test is about."""
    folder = jupyter.folder / request.node.path.stem / re.sub(r"\W+", "-", request.node.name)
    folder.mkdir(parents=True)
    window: labs.Lab = labs.Lab.of(context, server=jupyter, folder=folder)
    yield window
    window.assert_harmless()
    window.page.close()
    jupyter.end_kernels()
