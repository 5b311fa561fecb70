"""The codes of an inventory, counted where they are."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from scmkit.core import results
from scmkit.core.errors import MissingColumnError, MissingDependencyError, PlanError, TableError
from scmkit.core.paths import expanded
from scmkit.core.texts import columns_of, group, our_name, tallied, text_column, text_table
from scmkit.core.values import Product, Products
from scmkit.tables.arguments import LISTED, public

Inventory: TypeAlias = "pd.DataFrame | str | os.PathLike[str] | Counts"


@dataclass(frozen=True, eq=False)
class Counts:
    """What `count_codes` found in an inventory, in whose place it goes: nothing is counted twice."""

    frame: pd.DataFrame


@public(inventory=LISTED)
def count_codes(inventory: Inventory, key: str | Sequence[str]) -> pd.DataFrame:
    """Count the codes that each key value selects, exactly.

    Parameters
    ----------
    inventory : DataFrame or path
        One line per code, in the shape of a code download; or a path (also a glob) of CSV or Parquet files,
        which DuckDB counts without holding them in memory.
    key : str or list of str
        The key's column or columns. Lines without a key are not counted.

    Returns
    -------
    DataFrame
        The key under its own name (text) and ``codes`` (int64; ``scmkit_codes`` where the key is called so), most
        codes first.

    Raises
    ------
    MissingColumnError
        The inventory has no such column; the nearest one is named.
    TableError
        No file is there, or it cannot be read.
    """
    if isinstance(inventory, Counts):
        return inventory.frame
    if isinstance(inventory, pd.DataFrame):
        keys = columns_of(inventory, key)
        counts = _count_frame(inventory, keys)
    elif isinstance(inventory, str | os.PathLike):
        keys = [key] if isinstance(key, str) else list(key)
        counts = _count_files(str(expanded(inventory)), keys)
    else:
        raise PlanError(f"an inventory is a DataFrame or a path to CSV or Parquet, not a {type(inventory).__name__}")
    codes = our_name("codes", keys)
    return counts.sort_values([codes, *keys], ascending=[False] + [True] * len(keys), ignore_index=True)


def _count_frame(inventory: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    rows, times = inventory, None
    if len(keys) == 1:  # each distinct cell becomes text once
        rows, times = tallied(inventory, keys[0])
    columns = list(text_table(rows, keys).values())
    texts = [np.append(c.texts, "") for c in columns]  # a missing cell, at -1, is as good as an empty one
    whole = np.all([(text != "")[c.codes] for text, c in zip(texts, columns, strict=True)], axis=0)
    groups, count = group(columns, len(rows))
    codes = np.bincount(groups[whole], None if times is None else times[whole], count).astype(np.int64)
    first = np.zeros(count, dtype=np.int64)
    first[groups] = np.arange(len(groups))
    counts = pd.DataFrame({c.name: c.take(first) for c in columns} | {our_name("codes", keys): codes})
    return counts[codes > 0]


def columns_in(inventory: str | os.PathLike[str]) -> list[str]:
    """Return the names of the columns of an inventory in files; no more of them is read."""
    with _opened(os.fspath(inventory)) as codes:
        return [str(name) for name in codes.columns]


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    """Open files as a relation of DuckDB, which reads them when it is asked something."""
    try:
        import duckdb
    except ImportError:
        raise MissingDependencyError.of("duckdb", "large", "Counting codes in files") from None
    if Path(path).is_dir():  # DuckDB would look through all that is in it, and then say that there is no such file
        raise TableError(f"the inventory {path} is a folder: {Path(path) / '*.csv'} stands for the files in it")
    is_parquet = Path(path).suffix.lower() in (".parquet", ".pq")
    # Text stays text: DuckDB would read 000042 as 42 and 12E5 as 1200000, and guess quotes from the first lines.
    as_text: Any = {"all_varchar": True, "header": True, "quotechar": '"', "escapechar": '"'}
    try:
        yield duckdb.read_parquet(path) if is_parquet else duckdb.read_csv(path, **as_text)
    except duckdb.Error as error:
        raise TableError(f"cannot read the inventory {path}: {str(error).splitlines()[0]}") from None


def _count_files(path: str, keys: list[str]) -> pd.DataFrame:
    quoted = ['"' + k.replace('"', '""') + '"' for k in keys]
    filled = " and ".join(f"trim(cast({name} as varchar)) <> ''" for name in quoted)
    with _opened(path) as codes:
        for key in keys:
            if key not in codes.columns:
                raise MissingColumnError.of(key, codes.columns, "key")
        counts = codes.filter(filled).aggregate(", ".join([*quoted, "count(*)"]), ", ".join(quoted)).df()
    texts = {key: text_column(counts.iloc[:, at], key).take() for at, key in enumerate(keys)}
    return pd.DataFrame(texts | {our_name("codes", keys): counts.iloc[:, -1]})


@results.tabulate.register(Products)
def _product_table(products: Products) -> pd.DataFrame:
    names = [each.name for each in fields(Product)]
    table = pd.DataFrame([astuple(each) for each in products.listed], columns=names)
    return table.astype(dict.fromkeys(("codes", "active", "blacklisted"), "Int64"))
