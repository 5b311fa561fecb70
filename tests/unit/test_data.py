"""The samples: what they promise, and that data/ is what the generators write."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scmkit.core import contract
from scmkit.sandbox import samples
from scmkit.tables.reading import read_table

DATA = Path(__file__).parents[2] / "data"
NAMES = ("inventory", "codes", "lots", "pallets", "damaged")


@pytest.fixture(scope="module")
def inventory() -> pd.DataFrame:
    """The sample of 60,000 codes."""
    return samples.inventory()


@pytest.fixture(scope="module")
def tables(inventory: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Every sample, as its generator makes it."""
    return {
        "inventory": inventory,
        "codes": samples.codes_table(inventory),
        "lots": samples.lots_table(inventory),
        "pallets": samples.pallets_table(inventory),
        "damaged": samples.damaged_table(inventory),
    }


def test_the_script_reproduces_data_byte_for_byte(tmp_path, capsys):
    """Running data/make_data.py again changes no byte of the folder."""
    spec = importlib.util.spec_from_file_location("make_data", DATA / "make_data.py")
    make_data = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_data)
    make_data.main(tmp_path)
    for name in NAMES:
        assert (tmp_path / f"{name}.csv").read_bytes() == (DATA / f"{name}.csv").read_bytes(), name
    assert "60,000 rows" in capsys.readouterr().out


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_survives_its_file(tables, name):
    """Reading a sample's CSV gives the very cells that the generator made; blank ones are missing."""
    made, held = tables[name], read_table(DATA / f"{name}.csv")
    assert list(held.columns) == list(made.columns)
    for column in made:
        assert held[column].tolist() == [cell if cell and cell.strip() else None for cell in made[column]], column
    raw = (DATA / f"{name}.csv").read_bytes()
    assert b"\r" not in raw
    assert len(raw) < 6_000_000


def test_inventory_has_the_shape_of_a_download(inventory):
    """60,000 distinct codes: the 12 columns of a download, then the fields; keys set, other fields mostly blank."""
    assert tuple(inventory.columns[:12]) == contract.CODE_COLUMNS
    assert set(inventory.columns) == {*contract.CODE_COLUMNS, *samples.FIELDS}
    assert len(inventory) == inventory["extended_id"].nunique() == inventory["serial_number"].nunique() == 60_000
    assert inventory["extended_id"].map(lambda i: bool(contract.EXTENDED_ID.fullmatch(i)) and len(i) == 12).all()
    assert inventory[["lot_number", "pallet", "product", "sku", "brand", "workorder_id"]].notna().all(axis=None)
    assert inventory["wine_name"].isna().mean() > 0.9
    assert (inventory["status"] == "1").mean() > 0.9
    assert inventory.loc[inventory["status"] != "2", "blacklist_reason"].isna().all()
    assert inventory["product"].nunique() <= 10


def test_inventory_holds_ids_that_look_dangerous(inventory):
    """There are ids with leading zeros, with a leading or a trailing - or _, and digits with an E."""
    ids = inventory["extended_id"]
    for pattern in (r"0000\d+", r"\d+E\d+", r"-.+", r"_.+", r".+-", r".+_"):
        assert ids.str.fullmatch(pattern).sum() > 10, pattern
    assert inventory["lot_number"].str.fullmatch(r"00\d{4}").all()


def test_lots_are_unequal(inventory):
    """One lot of 26,000 to 27,000 codes, the smallest of a single code, and a median far below the mean."""
    sizes = inventory["lot_number"].value_counts()
    assert len(sizes) == 400
    assert sizes.index[0] == samples.LARGEST_LOT
    assert 26_000 <= sizes.iloc[0] <= 27_000
    assert sizes.iloc[-1] == 1
    assert sizes.median() < sizes.mean() / 5


def test_a_pallet_holds_at_most_600_codes_of_one_lot(inventory):
    """Pallets are named P-00017, hold up to 600 codes, and never mix lots."""
    by_pallet = inventory.groupby("pallet")["lot_number"]
    assert by_pallet.size().max() == 600
    assert by_pallet.nunique().max() == 1
    assert inventory["pallet"].str.fullmatch(r"P-\d{5}").all()


@pytest.mark.parametrize(
    ("codes", "lots"), [(1, None), (2, None), (7, 7), (299, None), (300, 2), (1_000, 1), (5_000, 40)]
)
def test_inventory_scales(codes, lots):
    """Any number of codes from 1 up works, each lot gets one, and 000042 stays the largest."""
    made = samples.inventory(codes, lots, seed=3)
    sizes = made["lot_number"].value_counts()
    assert made["extended_id"].nunique() == sizes.sum() == codes
    assert len(sizes) == (lots or max(1, round(codes / 150)))
    assert sizes[samples.LARGEST_LOT] == sizes.max()
    assert len(samples.codes_table(made, rows=20)) == min(20, codes)
    assert len(samples.lots_table(made)) == len(sizes)


@pytest.mark.parametrize(("codes", "lots"), [(0, None), (3, 4), (10, 0)])
def test_inventory_refuses_what_cannot_be(codes, lots):
    """No codes, or more lots than codes, is an error that says so."""
    with pytest.raises(ValueError, match="each lot needs a code"):
        samples.inventory(codes, lots)


def test_seeds_decide_everything():
    """Equal seeds give equal tables, other seeds other ones, whatever NumPy's global state."""
    np.random.seed(1)
    one, same, other = samples.inventory(500), samples.inventory(500), samples.inventory(500, seed=1)
    pd.testing.assert_frame_equal(one, same)
    assert not set(one["extended_id"]) & set(other["extended_id"])
    pd.testing.assert_frame_equal(samples.damaged_table(one), samples.damaged_table(one))


def test_codes_differ_from_row_to_row(tables):
    """5,000 codes of the inventory, no two with equal values, a few cells missing, names of many scripts."""
    codes = tables["codes"]
    assert codes.shape[0] == codes["extended_id"].nunique() == 5_000
    assert set(codes["extended_id"]) <= set(tables["inventory"]["extended_id"])
    assert set(codes.columns) - {"extended_id"} <= set(samples.FIELDS)
    assert not codes.drop(columns="extended_id").duplicated().any()
    assert 0.01 < codes.isna().mean(axis=None) < 0.1
    for sign in ",\"'éțΚქШ甲כش":
        assert codes["wine_name"].str.contains(re.escape(sign)).any(), sign


@pytest.mark.parametrize("name", ["codes", "lots"])
def test_wines_are_plausible(tables, name):
    """The harvest is of the vintage, bottling comes later, and dates are YYYY-MM-DD."""
    table = tables[name].dropna()
    dates = table[["harvest_date", "bottling_date"]]
    assert dates.map(lambda d: bool(re.fullmatch(r"\d{4}-\d\d-\d\d", d))).all(axis=None)
    assert (dates["harvest_date"].str[:4] == table["vintage_year"]).all()
    assert (dates["harvest_date"] < dates["bottling_date"]).all()


def test_lots_and_pallets_cover_the_inventory(tables):
    """One row for each lot, all different, and one for each pallet, which shares values with others."""
    inventory, lots, pallets = tables["inventory"], tables["lots"], tables["pallets"]
    assert set(lots["lot_number"]) == set(inventory["lot_number"])
    assert len(lots) == 400
    assert not lots.drop(columns="lot_number").duplicated().any()
    assert set(pallets["pallet"]) == set(inventory["pallet"])
    assert len(pallets) == inventory["pallet"].nunique()
    assert pallets.drop(columns="pallet").duplicated().any()


def test_damaged_holds_every_damage_among_good_rows(tables):
    """Each damage is there as written, equal and conflicting duplicates too, and good rows remain."""
    damaged = tables["damaged"]
    assert len(damaged) == 60
    for rule, cells in samples.DAMAGES:
        for name, text in cells.items():
            held = damaged[name].isna() if text is None else damaged[name] == text
            if text is not None and "{id}" in text:
                held = damaged[name].str.contains(" ", na=False)
            assert held.any(), rule
    repeated = damaged[damaged["extended_id"].duplicated(keep=False) & damaged["extended_id"].notna()]
    different = repeated.groupby("extended_id")["wine_name"].nunique()
    assert sorted(different) == [1] * 4 + [2] * 4
    assert "vintage_yaer" not in samples.FIELDS
    assert damaged["extended_id"].isin(tables["inventory"]["extended_id"]).sum() > 40
