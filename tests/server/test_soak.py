"""Hours of uploads in one session: nothing piles up, and nothing is lost. ``SCMKIT_SOAK_S`` says for how long."""

import ctypes
import gc
import os
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import fault_server
import numpy as np
import pandas as pd
import plain_server
import pytest
import uploader

import scmkit

SECONDS = float(os.environ.get("SCMKIT_SOAK_S", 20 * 60))
WARM_UP, FEWEST = 20, 12  # jobs; plans learn from the calls of the latest 20
ROWS, LOTS, CODES = 4_000, 100, 20_000
FIELDS = ["lot_number", "wine_name", "vintage_year", "origin"]
# The service's clock runs 50 times faster than ours; the pace is what a small machine can make.
FAST = scmkit.Limits(updates_per_second=500, speed=50.0, connect_s=5, read_s=5, deadline_s=10)
CONNECTIONS = 16  # no more than there are workers
Codes = dict[str, dict[str, str]]


@pytest.fixture
def service() -> Iterator[tuple[str, Connection]]:
    """A service in a process of its own, of which one answer in a hundred goes wrong."""
    context = uploader.forks()
    ours, theirs = context.Pipe()
    codes = {f"Code_{i:05d}-": {"lot_number": f"{i % LOTS:06d}"} for i in range(CODES)}
    process = context.Process(target=fault_server.serve_alone, args=(theirs, FIELDS, codes, 0.01))
    process.start()
    yield ours.recv(), ours
    ours.send(None)
    process.join(30)
    assert process.exitcode == 0


def by_code(number: int, luck: np.random.Generator) -> pd.DataFrame:
    """A row per code."""
    chosen = luck.permutation(CODES)[:ROWS]
    names = [f"{number}-{i % 7}" if i % 5 else None for i in range(ROWS)]
    return pd.DataFrame({"extended_id": [f"Code_{i:05d}-" for i in chosen], "wine_name": names, "vintage_year": number})


def by_lot(number: int) -> pd.DataFrame:
    """A row per lot of 200 codes."""
    lots = [f"{i:06d}" for i in range(LOTS)]
    return pd.DataFrame({"lot_number": lots, "origin": [f"{number}-{i}" for i in range(LOTS)]})


def apply(df: pd.DataFrame, codes: Codes) -> None:
    """Do to the codes what the table says."""
    rows = [{k: str(v) for k, v in row.items() if not pd.isna(v)} for row in df.to_dict("records")]
    if "extended_id" in df:
        for row in rows:
            codes[row.pop("extended_id")].update(row)
    else:
        origins = {row["lot_number"]: row["origin"] for row in rows}
        for held in codes.values():
            held["origin"] = origins[held["lot_number"]]


@pytest.fixture
def _one_heap() -> None:
    """Let glibc have one heap: of one for each thread it gives nothing back, and how much that is is luck, no leak."""
    m_arena_max = -8
    if hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(m_arena_max, 1)


def held_by_us() -> tuple[float, int, int]:
    """Measure this process: MB of memory, open files, threads of scmkit that have not ended."""
    for thread in threading.enumerate():
        if thread.name.startswith("scmkit"):
            thread.join(30)
    gc.collect()
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)  # what was freed
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    threads = [t for t in threading.enumerate() if t.name.startswith("scmkit")]
    return pages * os.sysconf("SC_PAGESIZE") / 1e6, len(os.listdir("/proc/self/fd")), len(threads)  # noqa: PTH208


def upload(client: scmkit.Client, df: pd.DataFrame, journal: Path) -> tuple[int, int]:
    """Upload to the end; gives the number of rows, and of attempts that went wrong."""
    key, mode = ("extended_id", "sync") if "extended_id" in df else ("lot_number", "async")
    # This service does at once what it does: no call that was lost can still act when the next job begins (anyway).
    job = df.scm.upload(client, key, mode, journal=journal, progress=False, anyway=True)
    assert job.ok, job.summary()
    return len(df), int(job.calls["attempts"].sum()) - int((job.calls["outcome"] == "applied").sum())


@pytest.mark.slow
@pytest.mark.usefixtures("_one_heap")
@pytest.mark.timeout(SECONDS * 2 + 300)
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_nothing_piles_up_and_nothing_is_lost(service: tuple[str, Connection], tmp_path: Path) -> None:
    """Job after job with one client and one journal: memory, files and threads stay, and the codes hold the tables."""
    (url, pipe), luck = service, np.random.default_rng(1)
    expected = {f"Code_{i:05d}-": {"lot_number": f"{i % LOTS:06d}"} for i in range(CODES)}
    _, files_before, _ = held_by_us()
    measured: list[Any] = []
    rows = failures = 0
    end = time.monotonic() + SECONDS
    assumptions = scmkit.Assumptions(max_body_bytes=6_000)  # many calls
    with scmkit.Client(url, plain_server.TOKEN, limits=FAST, assumptions=assumptions) as client:
        while time.monotonic() < end or len(measured) < WARM_UP + FEWEST:
            df = by_lot(len(measured)) if len(measured) % 8 == 7 else by_code(len(measured), luck)
            sent, wrong = upload(client, df, tmp_path / "journal.sqlite3")
            rows, failures = rows + sent, failures + wrong
            apply(df, expected)
            measured.append(held_by_us())
    memory, files, threads = np.array(measured[WARM_UP:]).T
    quarter = len(memory) // 4
    first, last = np.median(memory[:quarter]), np.median(memory[-quarter:])
    print(f"\n{len(measured)} jobs, {rows:,} rows, {failures:,} attempts went wrong")
    print(f"memory {first:.0f} -> {last:.0f} MB:", *memory.round().astype(int))
    print(f"files {files_before}, then {files.min():.0f} to {files.max():.0f}, in the end {files[-1]:.0f}")
    pipe.send("codes")
    assert pipe.recv() == expected
    assert failures > 0
    assert last < 1.1 * first
    assert files.max() <= files_before + CONNECTIONS
    assert threads.max() == 0
