"""Made-up codes and tables with realistic wine data: seeded, offline, every cell text or None.

The fields are those of a real wine deployment, and ``pallet``, a logistic unit. Names of producers are invented.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scmkit.core.arrays import Ints
from scmkit.core.contract import CODE_COLUMNS

FIELDS = (
    "lot_number", "wine_name", "origin", "country_of_origin", "produced_by", "varietal_name", "vintage_year",
    "wine_color", "harvest_date", "bottling_date", "number_of_bottles", "product", "pallet",
)  # fmt: skip
SEED = 2026
LARGEST_LOT = "000042"
CODES_PER_LOT = 150  # on average; half of all codes are in few lots
CODES_PER_PALLET = 600
_SKEW = 1.585  # the lot of rank r has about r**-1.585 times the codes of the largest: 26,400 of 60,000
_ID_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
_ID_LENGTH = 12
_EVERY_HARMFUL = 100  # so many codes for one whose id a careless reader would damage
_PRODUCTS = (
    ("4101", "CL-ROUGE-075", "Clos Exemple"), ("4102", "CL-BLANC-075", "Clos Exemple"),
    ("4103", "CL-ROSE-075", "Clos Exemple"), ("4104", "CL-ROUGE-150", "Clos Exemple"),
    ("4105", "BM-BRUT-075", "Belle Mousse"), ("4106", "BM-ROSE-075", "Belle Mousse"),
)  # fmt: skip
# wine_name, origin, country_of_origin, produced_by, varietal_name, wine_color
_WINES = (
    ("Château Bellegarde-Laforêt", "Pauillac", "France", "SCEA Bellegarde & Fils", "Cabernet Sauvignon, Merlot", "red"),
    ("Clos de l'Étoile", "Gevrey-Chambertin", "France", "Domaine Aubépin", "Pinot Noir", "red"),
    ("Les Graviers d'Été", "Sancerre", "France", "Domaine François Thévenaz", "Sauvignon Blanc", "white"),
    ('"La Folie" du Chêne', "Châteauneuf-du-Pape", "France", "Mas du Chêne Vert", "Grenache, Syrah, Mourvèdre", "red"),
    ("Côte Rosée", "Bandol", "France", "Domaine de la Crique, Vignerons", "Mourvèdre, Cinsault", "rosé"),
    ("Belle Mousse Brut", "Champagne", "France", "Belle Mousse SA", "Chardonnay, Pinot Meunier", "sparkling"),
    ("Saint-Saphorin Les Blassinges", "Lavaux", "Switzerland", "Cave des Terrasses", "Chasselas", "white"),
    ("Vigna Però", "Barolo", "Italy", "Cantina Peròlio S.r.l.", "Nebbiolo", "red"),
    ("Tenuta dell'Uccellino", "Bolgheri", "Italy", "Tenuta dell'Uccellino", "Cabernet Franc, Petit Verdot", "red"),
    ("Viña Señorío del Búho", "Rioja", "Spain", "Bodegas Búho, S.L.", "Tempranillo, Graciano", "red"),
    ("Cañada Fría", "Rías Baixas", "Spain", "Adega Cañada Fría", "Albariño", "white"),
    ("Quinta da Conceição", "Douro", "Portugal", "Irmãos Gonçalves", "Touriga Nacional, Tinta Roriz", "red"),
    ("Dürnsteiner Höhe", "Wachau", "Austria", "Weingut Gößl", "Grüner Veltliner", "white"),
    ("Würzgärtlein Spätlese", "Mosel", "Germany", "Weingut Müller-Lüdenscheid", "Riesling", "white"),
    ("Tokaji Aszú 5 puttonyos", "Tokaj", "Hungary", "Kővágó Pincészet", "Furmint, Hárslevelű", "sweet"),
    ("Dealul Ștefăniței", "Dealu Mare", "Romania", "Crama Ștefăniței", "Fetească Neagră", "red"),
    ("Κτήμα Αμπελώνας", "Νάουσα", "Greece", "Οινοποιείο Παπαδάκη", "Ξινόμαυρο", "red"),
    ("ქვევრის ღვინო", "კახეთი", "Georgia", "მარანი იმერი", "საფერავი", "red"),
    ("Шато Долина", "Тракийска низина", "Bulgaria", "Винарна Долина ООД", "Мавруд", "red"),
    ("甲州 樽発酵", "山梨県", "Japan", "架空ワイナリー株式会社", "甲州", "white"),
    ("כרם הגליל", "גליל עליון", "Israel", "יקב הדוגמה", "Carignan", "red"),
    ("شاتو الأرز", "سهل البقاع", "Lebanon", "Domaine des Cèdres Blancs", "Cinsault, Obaideh", "white"),
    ("Finca Ñandú", "Valle de Uco", "Argentina", "Bodega Ñandú", "Malbec", "red"),
    ("Peñón Austral", "Valle del Maipo", "Chile", "Viña Peñón Austral", "Carménère", "red"),
    ("Klipspringer Reserve", "Stellenbosch", "South Africa", "Vlakfontein & Sons", "Chenin Blanc", "white"),
    ("O'Rourke's Block 7", "Barossa Valley", "Australia", "O'Rourke Estate", "Shiraz", "red"),
    ("Te Kōwhai", "Marlborough", "New Zealand", "Te Kōwhai Wines", "Sauvignon Blanc", "white"),
    ("Coyote Ridge", "Napa Valley", "United States", "Coyote Ridge, LLC", "Zinfandel", "red"),
)
_SELECTIONS = ("", ", Vieilles Vignes", ' "Réserve"', " – Grande Cuvée", ", lot N° 3", " Nº 1", " & Amis", " (magnum)")
_SOUTHERN = ("Argentina", "Chile", "South Africa", "Australia", "New Zealand")  # harvest in autumn, which is March
_WINE_COLUMNS = FIELDS[1:6] + FIELDS[7:8]


def inventory(codes: int = 60_000, lots: int | None = None, seed: int = SEED) -> pd.DataFrame:
    """Make up the codes of a campaign, in the shape of a code download.

    Parameters
    ----------
    codes : int
        How many codes, at least 1.
    lots : int, optional
        Over how many lots, at most as many as codes; one for 150 codes by default. ``000042`` is the largest.
    seed : int
        Equal seeds give equal codes.

    Returns
    -------
    DataFrame
        A row for each code: the 12 columns of every download, then the SCM fields. Lot and pallet are set; the rest
        is filled for one lot in twenty.

    Raises
    ------
    ValueError
        If there are no codes, or fewer codes than lots.
    """
    lots = max(1, round(codes / CODES_PER_LOT)) if lots is None else lots
    if not 1 <= lots <= codes:
        raise ValueError(f"{codes} codes cannot be spread over {lots} lots: each lot needs a code")
    rng = np.random.default_rng(seed)
    numbers, sizes = _lots(codes, lots, rng)
    lot = np.repeat(np.arange(lots), sizes)
    columns: dict[str, Iterable[Any]] = dict.fromkeys((*CODE_COLUMNS, *FIELDS), [None] * codes)
    columns |= {
        "extended_id": _ids(codes, rng),
        "serial_number": [f"{n:010d}" for n in 100_000 + np.cumsum(rng.integers(1, 10, codes))],
        "workorder_id": [str(20_300 + at // 8) for at in lot],
        "lot_number": numbers[lot],
        "pallet": _pallets(sizes),
    }
    columns |= _products(lot, rng) | _statuses(codes, rng) | _filled_before(numbers, lot, rng)
    return _frame(columns)


def codes_table(inventory: pd.DataFrame, rows: int = 5_000, seed: int = SEED) -> pd.DataFrame:
    """Make up values for single codes, keyed by ``extended_id``: no two rows alike, a few cells missing.

    At most as many rows as there are codes.
    """
    rng = np.random.default_rng(seed + 1)
    chosen = np.sort(rng.permutation(len(inventory))[:rows])
    columns = _wines(len(chosen), rng)
    for name, cells in columns.items():
        gaps = rng.integers(0, 25, len(chosen)) == 0
        columns[name] = [None if gap and name != "wine_name" else c for gap, c in zip(gaps, cells, strict=True)]
    return _frame({"extended_id": inventory["extended_id"].iloc[chosen], **columns})


def lots_table(inventory: pd.DataFrame, seed: int = SEED) -> pd.DataFrame:
    """Make up values for each lot, keyed by ``lot_number``: a wine, its vintage, harvest and bottling."""
    rng = np.random.default_rng(seed + 2)
    sizes = inventory["lot_number"].value_counts().sort_index()
    columns = _wines(len(sizes), rng)
    columns["number_of_bottles"] = [str(size) for size in sizes]  # a code is a bottle
    return _frame({"lot_number": sizes.index, **columns})


def pallets_table(inventory: pd.DataFrame, seed: int = SEED) -> pd.DataFrame:
    """Make up values for each pallet, keyed by ``pallet``: what its lot's are, and the bottles on it."""
    of_lot = lots_table(inventory, seed).set_index("lot_number")
    lot = inventory.drop_duplicates("pallet").set_index("pallet")["lot_number"].sort_index()
    bottles = inventory["pallet"].value_counts().sort_index()
    return _frame(
        {
            "pallet": bottles.index,
            "origin": of_lot.loc[lot, "origin"],
            "bottling_date": of_lot.loc[lot, "bottling_date"],
            "number_of_bottles": [str(n) for n in bottles],
        }
    )


# What is wrong, and the cells that show it; {id} stands for the row's code.
DAMAGES: tuple[tuple[str, dict[str, str | None]], ...] = (
    ("key missing", {"extended_id": None}),
    ("key empty", {"extended_id": ""}),
    ("key blank", {"extended_id": "   "}),
    ("key with bad characters", {"extended_id": "Clos/Été.0001"}),
    ("key with bad characters", {"extended_id": "AbC 0001 xYz"}),
    ("key too short", {"extended_id": "AbC-001"}),
    ("key with blanks around", {"extended_id": " {id}"}),
    ("key with blanks around", {"extended_id": "{id} "}),
    ("key lost digits", {"extended_id": "123456789012345000"}),
    ("key lost digits", {"extended_id": "3.03425E+24"}),
    ("date DD/MM/YYYY", {"harvest_date": "24/09/2023"}),
    ("date MM/DD/YYYY", {"harvest_date": "09/24/2023"}),
    ("date DD/MM or MM/DD", {"bottling_date": "03/04/2024"}),
    ("date DD.MM.YYYY", {"harvest_date": "24.09.2023"}),
    ("date without zeros", {"bottling_date": "2024-4-3"}),
    ("date with time", {"harvest_date": "2023-09-24 00:00:00"}),
    ("date with time", {"bottling_date": "2024-04-03T14:30:00Z"}),
    ("date as an Excel serial number", {"harvest_date": "45193"}),
    ("date impossible", {"bottling_date": "2025-02-30"}),
    ("date impossible", {"harvest_date": "2023-13-01"}),
    ("field misspelled", {"vintage_yaer": "2023"}),
    ("status out of range", {"activation_status": "7"}),
    ("status as a word", {"activation_status": "active"}),
    ("reason without status 2", {"blacklist_reason": "4"}),
    ("reason without status 2", {"activation_status": "1", "blacklist_reason": "3"}),
    ("reason out of range", {"activation_status": "2", "blacklist_reason": "11"}),
    ("number as 12.0", {"number_of_bottles": "12.0"}),
    ("number as 1.2E+05", {"number_of_bottles": "1.2E+05"}),
    ("identifier lost digits", {"lot_number": "1.2E+05"}),
    ("identifier lost digits", {"lot_number": "123456789012345000"}),
    ("identifier lost digits", {"pallet": "3.03425E+24"}),
    ("value with blanks around", {"wine_name": " Clos de l'Étoile"}),
    ("value with blanks around", {"wine_name": "Clos de l'Étoile "}),
    ("value with blanks around", {"produced_by": "\tDomaine Aubépin"}),
)
_REPEATED = 4  # rows of each kind of duplicate


def damaged_table(inventory: pd.DataFrame, rows: int = 60, seed: int = SEED) -> pd.DataFrame:
    """Make up a table with every kind of damage that validation knows, among good rows.

    Keyed by ``extended_id``. Each of `DAMAGES` is there in a row of its own; then come rows that repeat an earlier
    one, equal and with another value. There are never fewer rows than that takes, nor more good ones than codes.
    """
    good = codes_table(inventory, max(rows, len(DAMAGES) + 4 * _REPEATED) - 2 * _REPEATED, seed)
    good = good.assign(lot_number=None, pallet=None, vintage_yaer=None, activation_status=None, blacklist_reason=None)
    lines: list[dict[str, Any]] = good.to_dict("records")
    for line, (_, cells) in zip(lines, DAMAGES, strict=False):
        line.update({name: _filled_in(text, line["extended_id"]) for name, text in cells.items()})
    equal, changed = lines[len(DAMAGES) :][:_REPEATED], lines[len(DAMAGES) + _REPEATED :][:_REPEATED]
    order = np.random.default_rng(seed + 3).permutation(len(lines))
    lines = [lines[at] for at in order]
    lines += equal + [{**line, "wine_name": "Another Wine"} for line in changed]
    return _frame({name: [line[name] for line in lines] for name in good.columns})


def _filled_in(text: str | None, extended_id: str) -> str | None:
    return None if text is None else text.replace("{id}", extended_id)


def _frame(columns: Mapping[str, Iterable[Any]]) -> pd.DataFrame:
    # dtype=object: None stays None with every pandas.
    return pd.DataFrame({name: pd.Series(list(cells), dtype=object) for name, cells in columns.items()})


def _lots(codes: int, lots: int, rng: np.random.Generator) -> tuple[NDArray[np.object_], Ints]:
    """Return the lot numbers in order, and how many codes each has: one has most, many have hardly any."""
    sizes = _sizes(codes, lots, rng)
    others = rng.permutation(max(9_999, 2 * lots)) + 1
    drawn = np.append(int(LARGEST_LOT), others[others != int(LARGEST_LOT)][: lots - 1])
    order = np.argsort(drawn)
    return np.array([f"{n:06d}" for n in drawn[order]], dtype=object), sizes[order]


def _sizes(codes: int, lots: int, rng: np.random.Generator) -> Ints:
    """Share out the codes, each lot at least one; the largest first."""
    weights = np.array([rank**-_SKEW for rank in range(1, lots + 1)])
    weights[1:] *= rng.integers(70, 131, lots - 1) / 100
    if lots > 10:
        weights[-1] = 0  # a lot of a single code
    spare = codes - lots
    sizes = 1 + (spare * weights / weights.sum()).astype(np.int64)
    sizes[: codes - sizes.sum()] += 1
    return np.asarray(sizes)


def _pallets(sizes: Ints) -> list[str]:
    """Fill pallets lot by lot, numbered throughout."""
    pallets = -(-sizes // CODES_PER_PALLET)
    first = np.cumsum(pallets) - pallets
    within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return [f"P-{n + 1:05d}" for n in np.repeat(first, sizes) + within // CODES_PER_PALLET]


def _ids(codes: int, rng: np.random.Generator) -> list[str]:
    """Draw distinct ids, some of which a careless reader would take for a number or an option."""
    letters = np.array(list(_ID_LETTERS))
    found: dict[str, None] = {}
    while len(found) < codes:
        drawn = letters[rng.integers(0, len(letters), (codes - len(found), _ID_LENGTH))]
        ids = ["".join(row) for row in drawn]
        digits = rng.integers(10_000_000, 100_000_000, len(ids))
        for at in range(0, len(ids), _EVERY_HARMFUL):
            forms = (f"0000{digits[at]}", f"12E5{digits[at]}", f"-{ids[at][1:]}", f"{ids[at][:-1]}-", f"_{ids[at][1:]}")
            ids[at] = forms[at // _EVERY_HARMFUL % len(forms)]
        found |= dict.fromkeys(ids)
    return list(found)


def _products(lot: Ints, rng: np.random.Generator) -> dict[str, list[str]]:
    chosen = rng.integers(0, len(_PRODUCTS), lot[-1] + 1)[lot]
    return {name: [_PRODUCTS[at][i] for at in chosen] for i, name in enumerate(("product", "sku", "brand"))}


def _statuses(codes: int, rng: np.random.Generator) -> dict[str, list[str | None]]:
    """Most codes are active, one in fifty is inactive, one in a hundred blacklisted."""
    status = np.array(list("200" + "1" * 97))[rng.integers(0, 100, codes)]
    reasons = rng.integers(1, 11, codes)
    return {
        "status": status.tolist(),
        "blacklist_reason": [str(r) if s == "2" else None for s, r in zip(status, reasons, strict=True)],
    }


def _filled_before(numbers: Sequence[str] | NDArray[np.object_], lot: Ints, rng: np.random.Generator) -> dict[str, Any]:
    """Fill one lot in twenty, and never the largest: the uploads of the examples have the rest to do."""
    filled = (rng.integers(0, 20, len(numbers)) == 0) & (np.asarray(numbers) != LARGEST_LOT)
    columns = _wines(len(numbers), rng)
    columns |= {
        "scm_updated_by": ["cellar@example.com"] * len(numbers),
        "scm_updated_at": [f"2026-0{at % 9 + 1}-15T08:30:00Z" for at in range(len(numbers))],
    }
    return {name: [cells[at] if filled[at] else None for at in lot] for name, cells in columns.items()}


def _wines(count: int, rng: np.random.Generator) -> dict[str, list[Any]]:
    """Draw a wine, its vintage, harvest, bottling and quantity for each of `count` rows."""
    wines = [_WINES[at] for at in rng.integers(0, len(_WINES), count)]
    names = [_SELECTIONS[at] for at in rng.integers(0, len(_SELECTIONS), count)]
    years = rng.integers(2012, 2025, count).tolist()
    days = rng.integers(0, 50, count).tolist()
    columns: dict[str, list[Any]] = {name: [w[i] for w in wines] for i, name in enumerate(_WINE_COLUMNS)}
    columns["wine_name"] = [w + s for w, s in zip(columns["wine_name"], names, strict=True)]
    columns["vintage_year"] = [str(year) for year in years]
    harvests = [_harvest(w[2], year, day) for w, year, day in zip(wines, years, days, strict=True)]
    waits = rng.integers(150, 600, count).tolist()
    columns["harvest_date"] = [day.isoformat() for day in harvests]
    columns["bottling_date"] = [(d + dt.timedelta(wait)).isoformat() for d, wait in zip(harvests, waits, strict=True)]
    columns["number_of_bottles"] = [str(6 * n) for n in rng.integers(100, 8_000, count)]
    return {name: columns[name] for name in FIELDS if name in columns}


def _harvest(country: str, year: int, day: int) -> dt.date:
    return dt.date(year, 2 if country in _SOUTHERN else 9, 20 if country in _SOUTHERN else 1) + dt.timedelta(day)
