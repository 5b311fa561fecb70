"""What many tests need: a small inventory, and a plain server that holds it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Small matrices, many of them: threads that wait for each other on a busy machine take ten times as long.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pandas as pd
import plain_server
import pytest

import scmkit

FIELDS = ["lot_number", "wine_name", "vintage_year", "harvest_date"]
DATA = Path(__file__).parent.parent / "data"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give all tests with a browser to one worker: they share a JupyterLab, and leave the other cores to the others.

    `xdist_group` does not do it: pytest-xdist 3.8 marks the tests, and pytest 9.2 does not look at the mark.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return "browser" if nodeid.startswith("tests/browser/") else nodeid

    return Scheduling(config, log)


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the account, the keyring, the journal or the default client of whoever runs it."""
    monkeypatch.setenv("SCMKIT_JOURNAL", str(tmp_path / "state" / "journal.sqlite3"))
    monkeypatch.setenv("SCMKIT_STATE", str(tmp_path / "state"))
    for name in ("SCANTRUST_UAT_TOKEN", "SCANTRUST_BASE_URL", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    scmkit.use(None)


@pytest.fixture
def data() -> Path:
    return DATA


@pytest.fixture
def inventory() -> pd.DataFrame:
    """700 codes in 7 lots of 100."""
    ids = [f"Code_{i:05d}-" for i in range(700)]
    return pd.DataFrame({"extended_id": ids, "lot_number": [f"{i % 7:06d}" for i in range(700)]}).assign(
        wine_name=None, vintage_year=None, harvest_date=None
    )


@pytest.fixture
def server(inventory: pd.DataFrame) -> Iterator[plain_server.PlainServer]:
    codes = {i: {"lot_number": lot} for i, lot in zip(inventory["extended_id"], inventory["lot_number"], strict=True)}
    with plain_server.serve(FIELDS, codes) as running:
        yield running


@pytest.fixture
def client(server: plain_server.PlainServer) -> Iterator[scmkit.Client]:
    """A client that is 20 times faster than the service allows, since the plain server does not throttle."""
    limits = scmkit.Limits(updates_per_second=200, speed=20, connect_s=2, read_s=5, deadline_s=5)
    with scmkit.Client(server.url, server.token, limits=limits) as made:
        yield made


@pytest.fixture
def table(inventory: pd.DataFrame) -> pd.DataFrame:
    """50 rows that differ, keyed by extended_id, with a missing cell in every fifth."""
    return pd.DataFrame(
        {
            "extended_id": inventory["extended_id"][:50],
            "wine_name": [None if i % 5 == 0 else f"Château {i}" for i in range(50)],
            "vintage_year": [1990 + i % 30 for i in range(50)],
        }
    )
