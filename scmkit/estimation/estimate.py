"""How many codes each key value selects: counted in an inventory, or estimated from what else is known."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scmkit.core import contract, display, results
from scmkit.core.arrays import Floats, Ints
from scmkit.core.errors import ClusteredSampleWarning, MissingColumnError, PlanError
from scmkit.core.texts import (
    MISSING,
    TextColumn,
    columns_of,
    first_rows,
    group,
    our_name,
    ours,
    text_column,
    text_table,
)
from scmkit.estimation.fan_out import (
    Bounds,
    Growth,
    Uncertain,
    from_sample,
    learn_growth,
    sum_counts,
    total_from_sample,
)
from scmkit.estimation.work_orders import WorkOrders
from scmkit.tables.inventory import Inventory, columns_in, count_codes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Without any knowledge of an SCM key: "each SCM key can be linked to thousands of codes" [seed], and the upper end
# lies beyond the danger zone, so that nothing unknown is sent where it can time out [assumed]. The mean is that of the
# widest lognormal with this upper end, exp(1.96 ** 2 / 2) below it: it is printed, and it is what a simulation plays.
PRIOR_CODES = 7_300
PRIOR_HIGH = 50_000
WORK_ORDER = "workorder_id"  # of a code download [doc]
MOSTLY = 0.9  # so many codes must have a work order before anything is said about them
WHOLE_ORDERS = (
    "the sample holds whole work orders, not single codes drawn at random: the intervals allow for it; a sample of "
    "single codes would say more"
)


@dataclass(frozen=True)
class Estimate:
    """Codes per key value.

    Attributes
    ----------
    key : tuple of str
        The key's columns.
    frame : DataFrame
        A line per distinct key value: the key under its own name, ``codes``, ``low``, ``high`` (int64) and
        ``source`` (a key that is called so keeps its name, and ours has ``scmkit_`` before it; see `column`). The
        source is ``exact`` (counted in a complete inventory), ``sample`` (seen in a random sample), ``history`` (from
        earlier calls), or ``prior`` (no evidence of its own: what is usual, a guess, or a default).
    level : float
        The probability with which ``low`` to ``high`` holds the true count.
    total_interval : tuple of int
        The interval of ``total``: a sum of uncertain counts is more certain than the sum of their bounds.
    sd, shared : array of float, optional
        For each line, the standard deviation of its count, and the part in which all counts are wrong together.
    note : str
        What else to know, such as that the sample was not drawn code by code.
    """

    key: tuple[str, ...]
    frame: pd.DataFrame
    level: float = 0.95
    total_interval: tuple[int, int] = (0, 0)
    sd: Floats | None = field(default=None, repr=False, compare=False)
    shared: Floats | None = field(default=None, repr=False, compare=False)
    note: str = ""

    @property
    def counts(self) -> Uncertain:
        """The frame's counts as they add up; where nothing else is said, those without evidence are wrong together."""
        bounds = Bounds(*(self.column(name).to_numpy(dtype=float) for name in Bounds._fields))
        if self.sd is None or self.shared is None or len(self.sd) != len(self.frame):
            return Uncertain.between(bounds, self.level, (self.column("source") == "prior").to_numpy())
        return Uncertain(*bounds, self.sd, self.shared)

    @property
    def total(self) -> int:
        """The codes that all key values together select."""
        return int(self.column("codes").sum())

    def column(self, name: str) -> pd.Series:
        """Return ``codes``, ``low``, ``high`` or ``source`` of the frame, whatever the key is called."""
        return ours(self.frame, name)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the codes per key value, largest first, with the documented marks."""
        return results.draw(self, ax)

    def summary(self) -> str:
        """Say in a sentence what is known."""
        sources = ", ".join(f"{n:,} {s}" for s, n in self.column("source").value_counts().items())
        largest = int(self.column("codes").max()) if len(self.frame) else 0
        low, high = self.total_interval
        interval = f" ({low:,} to {high:,} with {self.level:.0%})" if high > low else ""
        return (
            f"{len(self.frame):,} values of {' + '.join(self.key)} select about {self.total:,} codes{interval}; "
            f"largest {largest:,}; {sources or 'no values'}{self.note and '; ' + self.note}"
        )

    def __repr__(self) -> str:
        return f"<Estimate: {self.summary()}>\n{self.frame.head(10).to_string(index=False)}"

    def _repr_html_(self) -> str:
        largest_first = self.frame.sort_values(self.column("codes").name, ascending=False, kind="stable")
        shown = results.picture(self), display.table(largest_first)
        return display.card("Codes per key value", {"estimate": self.summary()}, *shown)


def estimate_codes(
    df: pd.DataFrame,
    key: str | Sequence[str],
    inventory: Inventory | None = None,
    sample_fraction: float = 1.0,
    history: pd.DataFrame | None = None,
    default: int | tuple[int, int] | None = None,
    level: float = 0.95,
    *,
    assumptions: contract.Assumptions = contract.ASSUMPTIONS,
    now: pd.Timestamp | None = None,
) -> Estimate:
    """Estimate from what is given; what it means, `scmkit.estimate` says, which may ask the service besides."""
    keys = columns_of(df.columns, key)
    frame = _distinct_keys(df, keys)
    unique = assumptions.is_unique(keys)
    seen, elsewhere = (None, np.zeros(0)) if inventory is None else _seen(frame, keys, inventory)
    if seen is not None and sample_fraction == 1:
        return _estimate(keys, frame, Uncertain(seen, seen, seen, 0 * seen, 0 * seen), "exact", level)
    earlier = _from_history(frame, keys, history, level, now)
    guess = _guess(keys, default, assumptions, len(frame), level)
    found = np.zeros(len(frame)) if seen is None else seen
    source = np.select([found > 0, np.isfinite(earlier.codes)], ["sample", "history"], "prior")
    if seen is None or unique:
        known = earlier.where(np.isfinite(earlier.codes), guess)
        if unique:  # one code per value, whatever grew
            bounds = Bounds(*(np.clip(bound, np.minimum(found, 1.0), 1.0) for bound in known[:3]))
            known = Uncertain.between(bounds, level, 1.0)
        return _estimate(keys, frame, known, source, level)
    if default is not None:  # a guess speaks where nothing was seen
        earlier = guess.where(source == "prior", earlier)
    told = np.isfinite(earlier.codes)
    orders = _work_orders(frame, keys, inventory, float(seen.sum() + elsewhere.sum()))
    if orders is not None and orders.drawn_whole(sample_fraction):
        warnings.warn(WHOLE_ORDERS, ClusteredSampleWarning, stacklevel=5)  # who called `scmkit.estimate`
        known, total, note = *orders.estimate(sample_fraction, level, earlier), WHOLE_ORDERS
    else:
        known, note = from_sample(seen, sample_fraction, level, elsewhere, earlier), ""
        total = total_from_sample(seen, sample_fraction, level)
    if told.any():
        return replace(_estimate(keys, frame, known, source, level), note=note)
    return replace(_estimate(keys, frame, known.adding_up_to(total.codes, seen), source, level, total), note=note)


def _estimate(
    keys: list[str], frame: pd.DataFrame, known: Uncertain, source: Any, level: float, total: Bounds | None = None
) -> Estimate:
    bounds = [np.round(values).astype(np.int64) for values in (known.low, known.high)]
    codes = np.clip(np.round(known.codes).astype(np.int64), *bounds)
    if total is not None:  # rounded so that the sum is that of the means, of which many may be below a half
        codes = np.diff(np.round(np.cumsum(known.codes)), prepend=0).astype(np.int64)
        bounds = [np.minimum(bounds[0], codes), np.maximum(bounds[1], codes)]
    found = {"codes": codes, "low": bounds[0], "high": bounds[1], "source": source}
    frame = frame.assign(**{our_name(name, keys): values for name, values in found.items()})
    if total is None:
        one = np.unique([0, len(frame)])  # a call of all key values; of none, no call
        summed = sum_counts(known, one, level)
        total = Bounds(*(v[:1].sum() for v in summed[:3]))
    interval = min(round(float(total.low)), int(codes.sum())), max(round(float(total.high)), int(codes.sum()))
    return Estimate(tuple(keys), frame, level, interval, known.sd, known.shared)


def _work_orders(frame: pd.DataFrame, keys: list[str], inventory: Any, codes: float) -> WorkOrders | None:
    """Return a sample's codes by work order, where nearly all of them have one and it is no key itself."""
    if columns_in(inventory).count(WORK_ORDER) != 1 or WORK_ORDER in keys:
        return None
    counts = count_codes(inventory, [*keys, WORK_ORDER])
    each = counts[our_name("codes", [*keys, WORK_ORDER])].to_numpy(dtype=float)
    if not each.sum() > MOSTLY * codes:
        return None
    order, ids = pd.factorize(counts[WORK_ORDER])
    numbers = pd.Series(ids, dtype=object).str.extract(r"(\d{1,15})$", expand=False).astype(float)
    return WorkOrders(
        _index(frame, keys).get_indexer(_index(counts, keys)), order, each, numbers.to_numpy(), len(frame)
    )


def _index(frame: pd.DataFrame, keys: list[str]) -> pd.Index:
    return pd.MultiIndex.from_frame(frame[keys]) if len(keys) > 1 else pd.Index(frame[keys[0]])


def _seen(frame: pd.DataFrame, keys: list[str], inventory: Inventory) -> tuple[Floats, Floats]:
    """Return how many codes of each key value the inventory holds, and of each other that it knows."""
    counts = count_codes(inventory, keys)
    at = _index(counts, keys).get_indexer(_index(frame, keys))
    codes = counts[our_name("codes", keys)].to_numpy(dtype=float)
    return np.where(at >= 0, np.append(codes, 0.0)[at], 0.0), np.delete(codes, at[at >= 0])


def _from_history(
    frame: pd.DataFrame, keys: list[str], history: pd.DataFrame | None, level: float, now: pd.Timestamp | None
) -> Uncertain:
    """Project the last known count of each key value to the present; NaN where there is none."""
    if history is None or len(keys) > 1 or not len(history):
        return Uncertain(*np.full((5, len(frame)), np.nan))
    calls = _known_calls(history, keys[0], now)
    growth = _growth(calls)
    last = calls.drop_duplicates("value", keep="last").set_index("value").reindex(pd.Index(frame[keys[0]]))
    return growth.project(last["codes"].to_numpy(float), last["age"].to_numpy(float), level)


def growth_in(history: pd.DataFrame) -> Growth:
    """Learn from earlier calls, as `scmkit.history` gives them, how codes per key value grow."""
    return _growth(_known_calls(history, None, None))


def _known_calls(history: pd.DataFrame, key: str | None, now: pd.Timestamp | None) -> pd.DataFrame:
    """Return ``value``, ``age`` (days) and ``codes`` of the calls that selected codes, oldest first."""
    for name in ("key_value", "codes_affected"):
        if name not in history.columns:
            raise MissingColumnError.of(name, history.columns, "history's column")
    if (history["codes_affected"].dropna() < 0).any():
        raise PlanError("history holds a negative number of codes_affected")
    # A count of 0 says nothing about codes that are made later: there the prior speaks.
    known = history[(history["codes_affected"] > 0).fillna(False).astype(bool) & history["key_value"].notna()]
    if key is not None and "key" in known.columns:
        known = known[known["key"] == key]
    present = pd.Timestamp.now(tz="UTC") if now is None else pd.Timestamp(now)
    present = present.tz_localize("UTC") if present.tzinfo is None else present
    at = pd.to_datetime(known["at"], utc=True) if "at" in known.columns else pd.Series(present, index=known.index)
    days = (present - at).dt.total_seconds() / 86_400
    values = text_column(known["key_value"], "key_value").take()
    calls = pd.DataFrame({"value": values, "age": days.to_numpy(), "codes": known["codes_affected"].to_numpy(float)})
    return calls.sort_values("age", ascending=False, kind="stable")


def _growth(calls: pd.DataFrame) -> Growth:
    """Learn from calls for the same key value how counts change with time."""
    pairs = calls.assign(
        days=-calls.groupby("value")["age"].diff(), before=calls.groupby("value")["codes"].shift()
    ).dropna()
    pairs = pairs[(pairs["days"] > 0) & (pairs["codes"] > 0) & (pairs["before"] > 0)]
    log_ratios = np.log(pairs["codes"] / pairs["before"]).to_numpy()
    periods = pd.factorize(pairs["age"].round())[0]  # pairs that end on the same day went through the same time
    return learn_growth(log_ratios, pairs["days"].to_numpy(), periods)


def codes_per_row(known: Estimate, keys: Sequence[TextColumn], rows: int) -> pd.DataFrame:
    """Return each row's ``codes``, ``low``, ``high`` and ``source`` from an estimate; unknown values get the prior."""
    if tuple(k.name for k in keys) != known.key:
        raise PlanError(f"the estimate is for key {known.key}, the plan for {tuple(k.name for k in keys)}")
    wanted, at = _distinct(keys, rows)
    lines = np.append(_lines_in(known, wanted), -1)[at]
    guess = _guess(list(known.key), None, contract.ASSUMPTIONS, 1, known.level)
    counts = zip(Uncertain._fields, known.counts, guess, strict=True)
    found = {name: np.append(values, prior)[lines] for name, values, prior in counts}  # at -1 stands the prior
    source = np.append(known.column("source").to_numpy(dtype=object), "prior")[lines]
    whole = {"codes": "int64", "low": "int64", "high": "int64"}
    return pd.DataFrame(found).astype(whole).assign(source=pd.Series(source, dtype=object))


def _lines_in(known: Estimate, wanted: pd.DataFrame) -> Ints:
    """Return the line of each key value in an estimate, -1 where it has none; made for this table, it has all."""
    keys = list(known.key)
    held = known.frame[keys]
    if held.equals(wanted):
        return np.arange(len(wanted))
    first = np.flatnonzero(~held.duplicated())
    found = _index(held.iloc[first], keys).get_indexer(_index(wanted, keys))
    return np.asarray(np.append(first, -1)[found])


def _distinct_keys(df: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    return _distinct(list(text_table(df, keys).values()), len(df))[0]


def _distinct(keys: Sequence[TextColumn], rows: int) -> tuple[pd.DataFrame, Ints]:
    """Return the whole key values by first appearance, a line each, and for each row its line, or -1."""
    groups, count = group(keys, rows)
    first = first_rows(groups, count)
    whole = np.all([k.codes[first] != MISSING for k in keys], axis=0)
    lines = np.where(whole, np.cumsum(whole) - 1, -1)
    return pd.DataFrame({k.name: k.take(first[whole]) for k in keys}), lines[groups]


def _guess(
    keys: list[str], default: int | tuple[int, int] | None, assumptions: contract.Assumptions, rows: int, level: float
) -> Uncertain:
    """Return what is assumed of key values without evidence; whatever it is, it may be wrong for all of them."""
    codes, low, high = (1, 0, 1) if assumptions.is_unique(keys) else (PRIOR_CODES, 0, PRIOR_HIGH)
    if default is not None:
        low, high = (default, default) if isinstance(default, int | float | np.number) else default
        if not 0 <= low <= high:
            raise PlanError(f"default is a count or (low, high) with 0 <= low <= high, not {default}")
        codes = round((low + high) / 2)
    return Uncertain.between(Bounds(*(np.full(rows, float(v)) for v in (codes, int(low), int(high)))), level, 1.0)
