"""Codes per key value: exact from a full inventory, honest without one."""

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import scmkit
from scmkit.core.errors import MissingColumnError, PlanError, TableError
from scmkit.core.texts import text_table
from scmkit.estimation.estimate import PRIOR_CODES, Estimate, codes_per_row


@pytest.fixture
def lots() -> pd.DataFrame:
    return pd.DataFrame(
        {"lot_number": ["000042", "000042", "000007", "7", None, " ", ""], "extended_id": list("abcdefg")}
    )


def test_counts_are_exact_and_keys_stay_text(lots: pd.DataFrame) -> None:
    """Leading zeros make different keys, and codes without a key are not counted."""
    counts = scmkit.count_codes(lots.assign(lot_number=lots["lot_number"].replace(" ", None)), "lot_number")
    assert counts.to_dict("list") == {"lot_number": ["000042", "000007", "7"], "codes": [2, 1, 1]}
    assert counts["codes"].dtype == "int64"


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_files_give_the_same_counts_as_frames(tmp_path: Path, lots: pd.DataFrame, suffix: str) -> None:
    """A path, or a glob of paths, is counted like the frame it holds."""
    for name, part in (("a", lots.iloc[:2]), ("b", lots.iloc[2:])):
        path = tmp_path / f"{name}{suffix}"
        part.to_csv(path, index=False) if suffix == ".csv" else part.to_parquet(path)
    from_files = scmkit.count_codes(tmp_path / f"*{suffix}", "lot_number")
    expected = scmkit.count_codes(lots.assign(lot_number=lots["lot_number"].replace(" ", None)), "lot_number")
    pd.testing.assert_frame_equal(from_files, expected, check_dtype=False)


def test_several_columns_are_counted_together(lots: pd.DataFrame) -> None:
    """A compound key counts the codes that carry all of its values."""
    counts = scmkit.count_codes(
        lots.assign(colour=["red", "red", "red", "white"] + [None] * 3), ["lot_number", "colour"]
    )
    assert counts.loc[0].to_list() == ["000042", "red", 2]
    assert len(counts) == 3


@pytest.mark.parametrize("dtype", ["object", "category", "string"])
def test_key_values_keep_their_order_whatever_the_dtype(dtype: str) -> None:
    """A table's key values stand in order of appearance, and missing cells count for nothing."""
    cells = pd.Series(["b", None, "a", "c", "b", "a", "b"], dtype=object).astype(dtype)
    known = scmkit.estimate(pd.DataFrame({"lot_number": cells}), "lot_number", pd.DataFrame({"lot_number": cells}))
    assert known.frame[["lot_number", "codes"]].to_numpy().tolist() == [["b", 3], ["a", 2], ["c", 1]]


def test_texts_beside_other_cells_are_told_apart() -> None:
    """1, True and 1.0 have one hash and three texts."""
    counts = scmkit.count_codes(pd.DataFrame({"lot": [1, True, "1", 1.0, "true", "x"]}, dtype=object), "lot")
    assert counts.to_numpy().tolist() == [["1", 3], ["true", 2], ["x", 1]]


@pytest.mark.benchmark
@pytest.mark.parametrize("dtype", ["str", "object"])
def test_counting_takes_little_more_than_pandas_itself(dtype: str) -> None:
    """Five million codes in three times what `value_counts` takes, and 100,000 key values of a sample in a second."""
    rng = np.random.default_rng(0)
    names = np.array([f"{i:06d}" for i in range(100_000)], dtype=object)
    codes = pd.DataFrame({"lot_number": pd.Series(names[rng.integers(0, 5_000, 5_000_000)], dtype=dtype)})
    begun = time.perf_counter()
    codes["lot_number"].value_counts()
    pandas_s = time.perf_counter() - begun
    begun = time.perf_counter()
    scmkit.estimate(codes, "lot_number", codes)
    assert time.perf_counter() - begun < 3 * 2 * pandas_s + 0.1  # it counts the table and the inventory
    sample = pd.DataFrame({"lot_number": np.repeat(names, rng.poisson(3 * np.exp(rng.standard_normal(100_000))))})
    begun = time.perf_counter()
    scmkit.estimate(pd.DataFrame({"lot_number": names}), "lot_number", sample, 0.1)
    assert time.perf_counter() - begun < 1


def test_estimate_from_inventory_is_exact(lots: pd.DataFrame) -> None:
    """Each distinct key value has one line; an unknown one selects no code."""
    df = pd.DataFrame({"lot_number": ["000042", "no such lot", "000042"], "wine_name": "x"})
    known = scmkit.estimate(df, "lot_number", inventory=lots)
    assert known.frame.to_dict("list") == {
        "lot_number": ["000042", "no such lot"],
        "codes": [2, 0], "low": [2, 0], "high": [2, 0], "source": ["exact", "exact"],
    }  # fmt: skip
    assert known.total == 2


@pytest.mark.parametrize(
    ("key", "default", "line"),
    [
        ("extended_id", None, (1, 0, 1)),
        ("lot_number", None, (7_300, 0, 50_000)),
        ("lot_number", 30, (30, 30, 30)),
        ("lot_number", (10, 30), (20, 10, 30)),
    ],
)
def test_without_inventory_the_prior_speaks(lots: pd.DataFrame, key: str, default: object, line: tuple) -> None:
    """A unique key selects one code at most; another key anything, unless the user knows better."""
    known = scmkit.estimate(lots, key, default=default)
    assert set(map(tuple, known.frame[["codes", "low", "high"]].to_numpy())) == {line}
    assert set(known.frame["source"]) == {"prior"}


def test_bad_input_is_a_clear_error(lots: pd.DataFrame, tmp_path: Path) -> None:
    """Errors name what is missing and the nearest right answer."""
    with pytest.raises(MissingColumnError, match="did you mean 'lot_number'"):
        scmkit.count_codes(lots, "lotnumber")
    lots.to_csv(tmp_path / "lots.csv", index=False)
    with pytest.raises(KeyError, match="did you mean 'lot_number'"):
        scmkit.count_codes(tmp_path / "lots.csv", "lotnumber")
    with pytest.raises(TableError, match="nothing-there"):
        scmkit.count_codes(tmp_path / "nothing-there.csv", "lot_number")
    with pytest.raises(PlanError, match="a DataFrame, another frame that Narwhals knows, or a path"):
        scmkit.count_codes([1, 2], "lot_number")  # type: ignore[arg-type]
    with pytest.raises(PlanError, match="low <= high"):
        scmkit.estimate(lots, "lot_number", default=(5, 1))
    with pytest.raises(PlanError, match="level"):
        scmkit.estimate(lots, "lot_number", level=95)
    for fraction in (0, -0.1, 1.5, float("nan")):
        with pytest.raises(PlanError, match="sample_fraction is above 0 and at most 1"):
            scmkit.estimate(lots, "lot_number", lots, sample_fraction=fraction)
    with pytest.raises(KeyError, match="codes_affected"):
        scmkit.estimate(lots, "lot_number", history=pd.DataFrame({"key_value": ["a"]}))
    with pytest.raises(PlanError, match="negative"):
        scmkit.estimate(lots, "lot_number", history=pd.DataFrame({"key_value": ["a"], "codes_affected": [-1]}))


def test_an_empty_table_selects_no_code(lots: pd.DataFrame) -> None:
    """Without a key value there is no line and no code, counted or guessed; and no error speaks of arrays."""
    for options in ({}, {"inventory": lots}, {"inventory": lots, "sample_fraction": 0.5}):
        known = scmkit.estimate(lots[:0], "lot_number", **options)
        assert (len(known.frame), known.total, known.total_interval[0]) == (0, 0, 0)


def test_a_folder_is_no_inventory(tmp_path: Path) -> None:
    """What stands for the files in it is said, and nobody looks through a whole disk for them."""
    for folder in (Path("/"), tmp_path):
        with pytest.raises(TableError, match=r"is a folder: .*\*\.csv stands for the files in it"):
            scmkit.count_codes(folder, "lot_number")


def test_results_show_themselves(lots: pd.DataFrame) -> None:
    """The text says the total and the sources; the HTML escapes what cells hold."""
    known = scmkit.estimate(lots.assign(lot_number="<script>alert(1)</script>"), "lot_number", default=3)
    assert "1 values of lot_number select about 3 codes" in repr(known)
    assert "<script>" not in known._repr_html_()
    assert known.plot().get_ylabel() == "codes selected (number)"


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("keys", [["lot"], ["lot", "site"]])
def test_each_row_has_the_first_line_of_its_key_value_in_any_estimate(keys: list[str], seed: int) -> None:
    """A line of an estimate is found by the key's text, whatever table it is of; else the prior speaks."""
    rng = np.random.default_rng(seed)
    lines = pd.DataFrame({key: rng.choice(list("abcd"), 6) for key in keys})
    known = Estimate(tuple(keys), lines.assign(codes=np.arange(6), low=np.arange(6), high=np.arange(6), source="exact"))
    table = pd.DataFrame({key: rng.choice(np.array([*"abcdef", None], dtype=object), 20) for key in keys})
    held = [tuple(line) for line in lines.to_numpy()]
    expected = [held.index(row) if row in held else PRIOR_CODES for row in map(tuple, table.to_numpy())]
    found = codes_per_row(known, list(text_table(table).values()), len(table))
    assert found["codes"].tolist() == expected
    assert found["source"].tolist() == ["prior" if row not in held else "exact" for row in map(tuple, table.to_numpy())]
    same = codes_per_row(known, list(text_table(lines).values()), len(lines))
    assert same["codes"].tolist() == [held.index(row) for row in held]
