"""Codes are counted where they are: the same counts from every kind of frame, and a sentence where an engine fails."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import scmkit
from scmkit.core.errors import MissingColumnError, TableError

rng = np.random.default_rng(11)
LOTS = np.array(["000042", "7", " ", "", None, "Ü-1", " x "], dtype=object)
CODES = pd.DataFrame({
    "extended_id": [f"Code_{i:05d}-" for i in range(2_000)],
    "lot": LOTS[rng.integers(0, len(LOTS), 2_000)],
    "pallet": np.array(["P1", "P2", None], dtype=object)[rng.integers(0, 3, 2_000)],
})  # fmt: skip


def with_dask(frame: pd.DataFrame) -> Any:
    dask = pytest.importorskip("dask.dataframe")
    return dask.from_pandas(frame, npartitions=3)


def with_ibis(frame: pd.DataFrame) -> Any:
    ibis = pytest.importorskip("ibis")
    return ibis.memtable(pa.Table.from_pandas(frame, preserve_index=False))


KINDS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "polars": lambda f: pl.from_pandas(f),
    "polars lazy": lambda f: pl.from_pandas(f).lazy(),
    "pyarrow": lambda f: pa.Table.from_pandas(f, preserve_index=False),
    "duckdb": lambda f: duckdb.from_arrow(pa.Table.from_pandas(f, preserve_index=False)),
    "dask": with_dask,
    "ibis": with_ibis,
}


@pytest.fixture(autouse=True)
def _others_warn() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("key", ["lot", ["lot", "pallet"]])
def test_every_kind_of_frame_gives_the_same_counts(kind: str, key: Any) -> None:
    """Missing and blank keys count nowhere, blanks around a key stay, and rows never leave their engine as rows."""
    expected = scmkit.count_codes(CODES, key)
    assert " " not in set(expected["lot"])
    assert " x " in set(expected["lot"])
    pd.testing.assert_frame_equal(scmkit.count_codes(KINDS[kind](CODES), key), expected)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_files_give_them_too(tmp_path: Path, suffix: str) -> None:
    """One rule about blanks, wherever the codes are."""
    path = tmp_path / f"codes.{suffix}"
    CODES.to_csv(path, index=False) if suffix == "csv" else CODES.to_parquet(path)
    pd.testing.assert_frame_equal(scmkit.count_codes(path, "lot"), scmkit.count_codes(CODES, "lot"))


@pytest.mark.parametrize("kind", ["polars lazy", "duckdb", "dask"])
def test_an_inventory_elsewhere_plans_as_a_frame_does(kind: str) -> None:
    """Estimates and plans take it, and know its fields."""
    table = pd.DataFrame({"lot": ["000042", "7", "9"], "wine": ["a", "b", "c"]})
    there = KINDS[kind](CODES)
    pd.testing.assert_frame_equal(table.scm.estimate("lot", there).frame, table.scm.estimate("lot", CODES).frame)
    plans = [table.scm.plan("lot", inventory=codes, journal=False) for codes in (there, CODES)]
    pd.testing.assert_frame_equal(*[plan.calls for plan in plans])


def test_a_key_that_is_not_there_is_named() -> None:
    """The nearest column, too."""
    with pytest.raises(MissingColumnError, match=r"'lots' is not in the table \(did you mean 'lot'\?\)"):
        scmkit.count_codes(pl.from_pandas(CODES).lazy(), "lots")


@pytest.mark.parametrize("kind", ["pandas", "polars lazy", "csv"])
def test_a_key_of_one_column_twice_is_refused(kind: str, tmp_path: Path) -> None:
    """Wherever the codes are, as it is of a table."""
    CODES.to_csv(tmp_path / "codes.csv", index=False)
    there = {"pandas": CODES, "csv": tmp_path / "codes.csv"}.get(kind)
    with pytest.raises(MissingColumnError, match="a key is one or more different columns"):
        scmkit.count_codes(KINDS[kind](CODES) if there is None else there, ["lot", "lot"])


def test_an_engine_that_fails_is_one_sentence() -> None:
    """What comes from its depths is named, and nothing is counted."""
    torn = pl.from_pandas(CODES).lazy().with_columns(lot=pl.col("lot").str.to_integer(strict=True))
    with pytest.raises(TableError, match="the inventory, a polars LazyFrame, cannot be counted: ") as caught:
        scmkit.count_codes(torn, "lot")
    assert "\n" not in str(caught.value)
