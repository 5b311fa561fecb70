"""Tables to bodies against dicts and an encoder, in one run: `pytest -m benchmark tests/benchmarks -s`.

A line per step, beside its named alternative: medians of the same run, on 1,000,000 rows of 7 text columns. Two of them
differ in every row. `SCMKIT_BENCHMARK_ROWS` sets another size. orjson is used where it is installed.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import scmkit
from scmkit.core.values import Mode
from scmkit.planning.plan import Plan

ROWS = int(os.environ.get("SCMKIT_BENCHMARK_ROWS", "1000000"))
RUNS = 3
try:
    import orjson

    ENCODER, encode = "orjson", orjson.dumps
except ImportError:
    ENCODER, encode = "msgspec", msgspec.json.encode


def table(rows: int) -> pd.DataFrame:
    """A table keyed by extended_id, in no order."""
    rng = np.random.default_rng(0)

    def some(*values: str) -> list[str]:
        return rng.choice(np.array(values, dtype=object), rows).tolist()

    return pd.DataFrame(
        {
            "extended_id": [f"Z{i:011d}" for i in rng.permutation(rows)],
            "serial_number": [f"SN-{i:09d}" for i in rng.permutation(rows)],
            "lot_number": some(*(f"L{i:05d}" for i in range(2_000))),
            "wine_name": some("Barolo", "Château Margaux", 'Rioja "Alta"', "Chianti"),
            "country": some("IT", "FR", "ES"),
            "production_date": some(*pd.date_range("2024-01-01", periods=300).strftime("%Y-%m-%d")),
            "destination": some(*(f"Warehouse {i}" for i in range(500))),
        },
        dtype=object,
    )


def seconds(*steps: Callable[[], Any]) -> list[float]:
    """Give the median seconds of each step, in turns, of the processor: what others do on the machine is not ours."""
    taken: list[list[float]] = [[] for _ in steps]
    for _ in range(RUNS):
        for step, each in zip(steps, taken, strict=True):
            begun = time.process_time()
            step()
            each.append(time.process_time() - begun)
    return [statistics.median(each) for each in taken]


def bodies(plan: Plan) -> list[bytes]:
    return [plan.body(Mode.SYNC, plan.rows_of(call)) for call in range(len(plan))]


def by_dicts(df: pd.DataFrame) -> bytes:
    return json.dumps({"data_key": "extended_id", "items": df.to_dict("records")}).encode()


def zipped(df: pd.DataFrame) -> bytes:
    names = list(df)
    items = [dict(zip(names, row, strict=True)) for row in zip(*(df[name].tolist() for name in names), strict=True)]
    return encode({"data_key": "extended_id", "items": items})


def plan_of(df: pd.DataFrame) -> Plan:
    return scmkit.plan(df, mode="sync", journal=False)


@pytest.mark.benchmark
@pytest.mark.timeout(1_800)
def test_validate_plan_and_bodies_against_dicts_and_encoders() -> None:
    """The ratios are printed, and the bodies say what the alternatives say."""
    df = table(ROWS)
    plan = plan_of(df)
    ours = [item for body in bodies(plan) for item in json.loads(body)["items"]]
    theirs = {item["extended_id"]: item for item in json.loads(zipped(df))["items"]}
    assert {item["extended_id"]: item for item in ours} == theirs
    del ours, theirs
    validate_s, plan_s, auto_s, bodies_s, dicts_s, zipped_s = seconds(
        lambda: scmkit.validate(df),
        lambda: plan_of(df),
        lambda: scmkit.plan(df, journal=False),
        lambda: bodies(plan),
        lambda: by_dicts(df),
        lambda: zipped(df),
    )
    parts = [ROWS // 4, ROWS // 2, ROWS]
    linear = [seconds(lambda part=df[:part]: plan_of(part))[0] for part in parts]
    print(f"\n{ROWS:,} rows x {df.shape[1]} text columns, medians of {RUNS}, seconds of the processor")
    dicts = "to_dict + json.dumps"
    lines = [
        ("validate", validate_s, dicts, dicts_s),
        ("plan, sync", plan_s, dicts, dicts_s),
        ("plan, auto", auto_s, dicts, dicts_s),
        ("validate + plan, auto", validate_s + auto_s, dicts, dicts_s),
        ("bodies", bodies_s, dicts, dicts_s),
        ("bodies", bodies_s, f"{ENCODER}, zipped columns", zipped_s),
    ]
    for what, our_s, other, other_s in lines:
        share = f"{our_s / other_s:.2f} of its time, {other_s / our_s:.1f} times as fast"
        print(f"{what:<22} {our_s:7.2f} s | {other:<24} {other_s:7.2f} s | {share}")
    r2 = np.corrcoef(parts, linear)[0, 1] ** 2
    print(f"plan of {', '.join(f'{n:,}' for n in parts)} rows: {', '.join(f'{s:.2f}' for s in linear)} s; R2 {r2:.4f}")
    assert bodies_s < zipped_s < dicts_s


@pytest.mark.benchmark
@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read as Linux tells it")
def test_the_memory_that_a_plan_takes_beside_its_table() -> None:
    """The peak beside the table is printed, next to the table's size in Arrow."""
    child = subprocess.run([sys.executable, __file__, str(ROWS)], capture_output=True, text=True, check=True)
    peak, size = map(int, child.stdout.split())
    print(f"\nvalidate + plan: peak {peak / 1e6:.0f} MB beside the table, whose Arrow size is {size / 1e6:.0f} MB")
    assert peak < 10 * size


def measure(rows: int) -> None:
    """Print the growth of the peak while a table is validated and planned, and the table's size in Arrow."""
    df = table(rows)
    plan_of(df[:100])  # imports
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = in_status("VmRSS")
    scmkit.validate(df)
    plan_of(df)
    print(in_status("VmHWM") - before, pa.Table.from_pandas(df).nbytes)


def in_status(name: str) -> int:
    """Read bytes of memory that Linux knows of this process."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    measure(int(sys.argv[1]))
