"""Which key values to ask the service about: those whose number of codes decides something."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from scmkit.core.arrays import Bools, Ints
from scmkit.core.texts import our_name
from scmkit.estimation.estimate import Estimate
from scmkit.estimation.fan_out import Uncertain, sum_counts

CLEAR = 0.1  # relative standard deviation of all codes together below which an upload hardly takes longer or shorter


def to_ask(known: Estimate, limit: float) -> Ints:
    """Return the positions of the key values to ask about, the most pressing first; none when nothing is open.

    First those that may or may not fit into a sync call of ``limit`` codes; then, while the codes of all of them
    together are uncertain, those that make them so.
    """
    counts = known.counts
    open_ = ~np.isin(known.column("source").to_numpy(dtype=object), ("exact", "asked"))
    pressing = np.flatnonzero(open_ & (counts.low <= limit) & (counts.high > limit))
    if len(pressing):
        return pressing[np.argsort(-counts.high[pressing], kind="stable")]
    return _widest(counts, open_, known.level)


def _widest(counts: Uncertain, open_: Bools, level: float) -> Ints:
    """Return as few of the most uncertain counts as make the sum clear once they are known."""
    order = np.flatnonzero(open_)
    order = order[np.argsort(-counts.sd[order], kind="stable")]
    clear = CLEAR * max(float(counts.codes.sum()), 1.0)
    for asked in [0, *(2**n for n in range(len(order).bit_length())), len(order)]:
        if _sd_without(counts, order[:asked], level) <= clear:
            return order[:asked]
    return order


def _sd_without(counts: Uncertain, asked: Ints, level: float) -> float:
    """Return the standard deviation of the sum when these counts are known."""
    sd, shared = counts.sd.copy(), counts.shared.copy()
    sd[asked] = shared[asked] = 0
    left = counts._replace(sd=sd, shared=shared)
    return float(sum_counts(left, np.array([0, len(sd)]), level).sd[0]) if len(sd) else 0.0


def with_answers(known: Estimate, answers: Mapping[int, int], most: float) -> Estimate:
    """Return an estimate in which the answers stand, by position; more than ``most`` codes were not counted further."""
    at = np.fromiter(answers, np.int64, len(answers))
    said = np.fromiter(answers.values(), float, len(answers))
    counts = Uncertain(*(np.array(values, dtype=float) for values in known.counts))
    cut = said > most
    codes = np.where(cut, np.maximum(counts.codes[at], said), said)
    high = np.where(cut, np.maximum(counts.high[at], codes), said)
    sd, shared = np.where(cut, counts.sd[at], 0), np.where(cut, counts.shared[at], 0)
    for values, answer in zip(counts, (codes, said, high, sd, shared), strict=True):
        values[at] = answer
    source = known.column("source").to_numpy(dtype=object).copy()
    source[at] = "asked"
    names = {name: our_name(name, list(known.key)) for name in ("codes", "low", "high", "source")}
    whole = {names[name]: np.round(getattr(counts, name)).astype(np.int64) for name in ("codes", "low", "high")}
    moved = int(whole["codes"].sum()) - known.total  # what was known of the sum is known still
    interval = known.total_interval[0] + moved, known.total_interval[1] + moved
    frame = known.frame.assign(**whole, **{names["source"]: source})
    return replace(known, frame=frame, total_interval=interval, sd=counts.sd, shared=counts.shared)
