"""Samples drawn by the work order: codes come in whole work orders or not at all. Arrays in, arrays out.

Such a sample looks like one of single codes, and says far less. No count alone gives it away, but three things do that
single codes cannot bring about: work orders more alike in size than chance would have them; work orders with numbers in
a row of which just the sampled fraction is there, though none is small; and key values of which as many are missing as
their number of work orders lets expect, though hardly one shows a single code.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from scmkit.core.arrays import Floats, Ints
from scmkit.estimation.fan_out import Bounds, Uncertain, from_sample, tails

ALIKE = 1e-4  # the probability with which work orders may be this much alike by chance
ERRORS = 3.0  # so many standard errors apart, two shares may still be the same
SINGLES = 0.05  # where more than one is missing for each that shows one code, so few singles explain nothing
BORROWED = 2.0  # the codes per work order of all count like so many work orders of the key value's own
AS_MANY, MISSING = (0.6, 3.0), 0.05  # missing for those expected from work orders seen once or twice (Chao); of all
MANY_CODES, FEW, SOME = 5, 3, 8  # codes per work order, missing ones, and work orders from which something can be said


@dataclass(frozen=True, eq=False)
class WorkOrders:
    """The codes of a sample by key value and work order.

    Parameters
    ----------
    key : array of int64, shape (pairs,)
        Position of the key value in the table, -1 where it is not there.
    order : array of int64, shape (pairs,)
        The number of the work order, from 0.
    codes : array of float, shape (pairs,)
    names : array of float, shape (work orders,)
        What the work orders are called, where that is a whole number; else NaN.
    keys : int
        Key values in the table.
    """

    key: Ints
    order: Ints
    codes: Floats
    names: Floats
    keys: int

    @cached_property
    def sizes(self) -> Floats:
        """The codes of each work order."""
        return np.asarray(np.bincount(self.order, self.codes), dtype=float)

    @cached_property
    def seen(self) -> Floats:
        """The codes of each key value of the table."""
        return self._by_key(self.codes)

    @cached_property
    def per_key(self) -> Floats:
        """The work orders of each key value of the table."""
        return self._by_key(np.ones(len(self.key)))

    def _by_key(self, values: Floats) -> Floats:
        mine = self.key >= 0
        return np.asarray(np.bincount(self.key[mine], values[mine], self.keys), dtype=float)

    def drawn_whole(self, fraction: float) -> bool:
        """Whether the sample gives itself away as one of work orders."""
        return self._alike(fraction) or self._gaps(fraction) or self._missing(fraction)

    def _alike(self, fraction: float) -> bool:
        from scipy.special import gammainc

        mean, degrees = self.sizes.mean(), len(self.sizes) - 1
        spread = ((self.sizes - mean) ** 2).sum() / (mean * (1 - fraction))
        return bool(degrees >= SOME and mean >= MANY_CODES and gammainc(degrees / 2, spread / 2) < ALIKE)

    def _gaps(self, fraction: float) -> bool:
        if len(self.names) < SOME or np.isnan(self.names).any():
            return False
        span = np.ptp(self.names) + 1
        missing, singles = span - len(self.names), np.count_nonzero(self.sizes == 1)
        return bool(missing >= FEW and _few(singles, missing) and _same(1 - missing / span, fraction, span))

    def _missing(self, fraction: float) -> bool:
        shown = self.per_key > 0
        missing, singles = np.count_nonzero(~shown), np.count_nonzero(self.seen == 1)
        if missing < FEW or not shown.any() or not _few(singles, missing):
            return False
        once, twice = (np.count_nonzero(self.per_key == number) for number in (1, 2))
        if twice and AS_MANY[0] <= missing / (once**2 / (2 * twice) + 1e-9) <= AS_MANY[1]:
            return bool(missing >= MISSING * self.keys)
        each = self.per_key[shown].mean()
        orders = np.geomspace(1, 1e4, 2_000)  # of a key value, of which so many are seen on average if any is
        seen = orders * fraction / (1 - (1 - fraction) ** orders)
        expected = (1 - fraction) ** orders[np.argmin(np.abs(seen - each))]
        together = max(self.per_key.sum() / max(len(np.unique(self.order[self.key >= 0])), 1), 1)
        among = 1 / (1 / self.keys + 1 / np.count_nonzero(shown)) / together  # `each` is an estimate, too
        return _same(missing / self.keys, float(expected), among)

    def estimate(self, fraction: float, level: float, earlier: Uncertain) -> tuple[Uncertain, Bounds]:
        """Estimate the codes of each key value and their sum; what is known from elsewhere (not NaN) goes first."""
        found = self.seen.sum()
        unseen = np.array([found * (1 - fraction) / fraction])
        low, high = _spread_out(unseen, np.sqrt([self._variance(fraction)]), level)
        total = Bounds(*(found + values[0] for values in (unseen, low, high)))
        told = earlier._replace(**{name: np.maximum(getattr(earlier, name), self.seen) for name in Bounds._fields})
        return told.where(np.isfinite(earlier.codes), self._known(fraction, level)), total

    def _known(self, fraction: float, level: float) -> Uncertain:
        """Take the work orders of a key value that were not drawn to be like the others."""
        elsewhere = np.ones(np.count_nonzero(self.key < 0))  # which belong together does not matter much
        drawn = from_sample(self.per_key, fraction, level, elsewhere)
        unseen = np.maximum(drawn.codes - self.per_key, 0)
        typical, spread = self.codes.mean(), self.codes.std()
        each = (self.seen + BORROWED * typical) / (self.per_key + BORROWED)
        of_sizes = spread**2 * (unseen + unseen**2 / (self.per_key + BORROWED))
        sd = np.sqrt(of_sizes + (drawn.sd * each) ** 2)
        low, high = _spread_out(unseen * each, sd, level)
        low, high = np.where(drawn.low > self.per_key, low, 0), np.where(drawn.high > self.per_key, high, 0)
        shared = np.maximum(drawn.shared * each, sd * self._share(sd, fraction))
        codes = self.seen + np.minimum(unseen * each, high)
        return Uncertain(codes, self.seen + np.floor(low), self.seen + np.ceil(high), sd, shared)

    def _variance(self, fraction: float) -> float:
        mine = self.key >= 0
        sizes = np.bincount(self.order[mine], self.codes[mine])
        return float(((sizes**2).sum() + self.sizes.mean() ** 2) * (1 - fraction) / fraction**2)

    def _share(self, sd: Floats, fraction: float) -> float:
        """Return what key values share for being made in the same work orders: so much that the sum's sd is right."""
        apart, together = (sd**2).sum(), sd.sum() ** 2
        share = (self._variance(fraction) - apart) / max(together - apart, 1e-9)
        return float(np.sqrt(np.clip(share, 0, 1)))


def _few(singles: Any, missing: Any) -> bool:
    return bool(singles + 1 <= max(SINGLES * missing, 1))


def _same(share: Any, expected: float, among: Any) -> bool:
    return bool(abs(share - expected) <= ERRORS * np.sqrt(expected * (1 - expected) / max(among, 1)) + 1e-9)


def _spread_out(mean: Floats, sd: Floats, level: float) -> tuple[Floats, Floats]:
    """Return bounds that hold for a gamma distribution and for a lognormal, whichever lies further out."""
    from scipy.special import gammaincinv, ndtri

    mean, sd = np.maximum(mean, 1e-9), np.maximum(sd, 1e-9)
    ends = tails(level)
    shape, spread = (mean / sd) ** 2, np.sqrt(np.log1p((sd / mean) ** 2))
    gamma = [gammaincinv(shape, end) * mean / shape for end in ends]
    normal = [mean * np.exp(spread * ndtri(end) - spread**2 / 2) for end in ends]
    return np.minimum(gamma[0], normal[0]), np.maximum(gamma[1], normal[1])
