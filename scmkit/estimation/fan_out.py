"""Codes per key value from incomplete knowledge: a posterior for each, and for their sums. Arrays in, arrays out.

From a random sample of known fraction, a key value that selects ``n`` codes shows ``k ~ Binomial(n, fraction)`` of
them. How fan-outs are distributed is learnt from all key values together, in two steps. First a family: a lognormal,
some key values without any code, and a few of which nothing is known, in all combinations that the counts leave
possible. Then, from each of `MEMBERS` draws of those, the distribution itself by expectation maximisation, from half of
the key values taken at random and pulled towards the draw as much as ``pull`` key values would.

A key value is judged by the members that have not seen it, so none is its own witness; and where the members disagree,
all key values are wrong in the same direction, which a sum of many must know. Calls are formed by sorting on the
upper bound: a posterior that is right for each count seen is right after any such choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from scmkit.core.arrays import Bools, Floats, Ints

KNOWN = 0.015  # a count that the sample tells to 1.5 % is left alone, and teaches nothing about smaller ones
BLOCK = 500  # posteriors that are computed at a time

# The grid of fan-outs: every integer up to here, then steps small beside what a sample can tell.
EVERY_INTEGER, STEP_SD, STEP_LOW = 30, 0.25, 0.08

# The family: shares of key values without codes and of which nothing is known, each with its prior probability.
EMPTY = ((0.001, 0.35), (0.03, 0.2), (0.1, 0.2), (0.25, 0.15), (0.5, 0.1))
STRANGE = ((0.001, 0.34), (0.02, 0.33), (0.1, 0.33))
CENTRES, SPREADS, NARROWEST, WIDEST, ZOOMS = 40, 14, 0.002, 3.0, 4

# How strongly members are pulled towards the family, and what they weigh: a wrong family is as possible as a right
# one. The last are made sparse, which equal fan-outs need. Without momentum, ten times as many rounds are needed until
# many key values are seen as often as the answer says. Chosen, as are all numbers here, so that intervals hold what
# they say over twelve laws (tests/support/interval_coverage.py prints the table).
MEMBERS, ROUNDS = 32, 60
MOMENTUM, STRIDE = 0.9, 2.0
PULLS, WEIGHTS, SPARSE_FROM = (1e9, 40.0, 5.0, 0.0), (3, 3, 3, 1), 20
TEMPER = 0.05  # predictions of the key values left out count this much in weighing members
DISAGREEMENT = 1.4  # members share half of their key values, and no distribution is quite in reach of all
# A key value's own count, without any distribution, weighs as much as so many others: in the mean; and, as many that
# the sample shows, in the bounds, which shall hold where the distribution is none of the family's.
OWN = 1.0, 8.0
PULLED = 0.08  # how far a count is pulled towards the others is known no better than this
NARROW = 0.25  # of the width that a count has by itself: so much stays, however alike the key values seem to be

# How counts change with time while no earlier calls tell: not at all on average, by 3 % in a day, 16 % in a month; as
# much evidence as five pairs of calls [assumed].
GROWTH_SD, GROWTH_PAIRS = 0.03, 5


class Bounds(NamedTuple):
    """Mean, lower and upper bound of unknown counts."""

    codes: Floats
    low: Floats
    high: Floats


class Uncertain(NamedTuple):
    """Unknown counts: mean, bounds, standard deviation, and the part of it in which all counts move together."""

    codes: Floats
    low: Floats
    high: Floats
    sd: Floats
    shared: Floats

    @classmethod
    def between(cls, bounds: Bounds, level: float, shared: Bools | float) -> Uncertain:
        """Return counts of which only mean and bounds are known, and the share of their sd that is common."""
        sd = np.asarray((bounds.high - bounds.low) / (2 * z_of(level)))
        return cls(*bounds, sd, sd * shared)

    def where(self, mask: Bools, others: Uncertain) -> Uncertain:
        """Return these counts where the mask holds, and others elsewhere."""
        return Uncertain(*(np.where(mask, mine, theirs) for mine, theirs in zip(self, others, strict=True)))

    def adding_up_to(self, total: Floats, seen: Floats) -> Uncertain:
        """Return these counts with means that add up to a total that is known better, none below what was seen."""
        unseen = np.maximum(self.codes - seen, 0)
        factor = np.maximum(total - seen.sum(), 0) / max(unseen.sum(), 1e-12)
        return self._replace(codes=seen + unseen * factor)


def sum_counts(counts: Uncertain, offsets: Ints, level: float) -> Uncertain:
    """Add up counts, call by call; each call has at least one.

    Variances add, except for what is common to all counts: there the deviations themselves do. The bounds lie as many
    deviations from the mean as those of a normal distribution where many counts are independent, and as many as those
    of the counts themselves where one of them, or what they share, makes up the sum (to first order in its skewness).
    """

    def add(values: Floats) -> Floats:
        return np.add.reduceat(values, offsets[:-1])

    if len(offsets) < 2:
        return Uncertain(*(np.zeros(0) for _ in counts))
    codes, low, high, sd, shared = (np.asarray(values, dtype=float) for values in counts)
    middle, common = add(codes), add(shared)
    total = np.sqrt(add(np.maximum(sd**2 - shared**2, 0)) + common**2)
    safe = np.maximum(total, 1e-12)
    alone = np.minimum(np.maximum(add(sd**3), common**3) / safe**3, 1)
    weight = np.maximum(add(sd**2), 1e-12)
    z = z_of(level)
    below, above = (z + alone * (add(gap * sd) / weight - z) for gap in (codes - low, high - codes))
    return Uncertain(middle, np.maximum(middle - below * total, add(low)), middle + above * total, total, common)


def from_sample(
    seen: Floats, fraction: float, level: float, elsewhere: Floats | None = None, earlier: Uncertain | None = None
) -> Uncertain:
    """Estimate counts from a random sample.

    Parameters
    ----------
    seen : array of float, shape (keys,)
        Codes of each key value in the sample; 0 where it has none.
    fraction : float
        The probability with which a code is in the sample.
    level : float
        Posterior probability of the interval.
    elsewhere : array of float, optional
        Codes in the sample of other key values, at least 1 each: they, too, tell how fan-outs are distributed.
    earlier : Uncertain, optional
        What is known from elsewhere (missing: NaN), taken as lognormal; it takes the place of the learnt distribution
        for these key values.
    """
    learnt = learn_fan_outs(seen, fraction, elsewhere, 0.0 if earlier is None else np.nanmax(earlier.high, initial=0))
    distinct, inverse = np.unique(seen, return_inverse=True)
    small = distinct <= _large(fraction)
    result = np.concatenate([learnt.posterior(distinct[small], level), _alone(distinct[~small], fraction, level)])[
        inverse
    ]
    if earlier is not None:
        told = np.flatnonzero(np.isfinite(earlier.codes))
        for rows in np.array_split(told, len(told) // BLOCK + 1):
            result[rows] = learnt.updated(seen[rows], Uncertain(*(np.asarray(v)[rows] for v in earlier)), level)
    return Uncertain(*result.T)


def total_from_sample(seen: Floats, fraction: float, level: float) -> Bounds:
    """Estimate the sum over all key values, whatever their distribution: the sample shows a binomial share of it.

    The bounds are exact but for half of the probability of what was seen ("mid-p"); without any code seen, the upper
    one is 3 / fraction: the rule of three.
    """
    found = seen.sum()
    codes, low, high = _alone(np.array([found]), fraction, level)[0, :3]
    return Bounds(*(np.array(v) for v in (found / fraction if found else codes, low, high)))


@dataclass(frozen=True, eq=False)
class FanOuts:
    """How fan-outs are distributed, as far as a sample tells: several answers, and who saw which counts."""

    fraction: float
    grid: Floats
    members: Floats
    counts: Floats
    left_out: Floats
    keys: float
    shown: float

    @cached_property
    def edges(self) -> Floats:
        """Where each count of the grid ends and the next begins."""
        return _edges(self.grid)

    def posterior(self, seen: Floats, level: float) -> Floats:
        """Return mean, bounds, sd and shared sd of a key value for each number seen, where it tells too little."""
        blocks = np.array_split(seen, len(seen) // BLOCK + 1)
        return np.concatenate([self._posterior(block, level) for block in blocks])

    def _posterior(self, seen: Floats, level: float) -> Floats:
        likelihood = _binomial(seen, self.grid, self.fraction)
        at = np.clip(np.searchsorted(self.counts, seen), 0, len(self.counts) - 1)
        expected = np.maximum(likelihood @ self.members, 1e-300)
        learnt = likelihood * ((self.left_out[at] / expected) @ self.members.T)
        learnt, alone = _normalised(learnt), self._unlearnt(seen, likelihood)
        middle = (likelihood * self.grid) @ self.members / expected
        mean = (self.left_out[at] * middle).sum(axis=1, keepdims=True)
        apart = np.sqrt((self.left_out[at] * (middle - mean) ** 2).sum(axis=1))
        for_mean, for_bounds = OWN[0] / (OWN[0] + self.keys), OWN[1] / (OWN[1] + self.shown)
        pulled = np.abs(mean[:, 0] - seen / self.fraction)
        shared = (1 - for_mean) * np.hypot(DISAGREEMENT * apart, PULLED * pulled)
        result = self._described(learnt + for_mean * (alone - learnt), shared, level)
        bounds = self._bounds(learnt + for_bounds * (alone - learnt), level)
        least = NARROW * z_of(level) * np.sqrt(result[:, 0] * (1 - self.fraction) / self.fraction)
        result[:, 1] = np.minimum(bounds[:, 0], np.maximum(seen, np.floor(result[:, 0] - least)))
        result[:, 2] = np.maximum(bounds[:, 1], np.ceil(result[:, 0] + least))
        return result

    def updated(self, seen: Floats, earlier: Uncertain, level: float) -> Floats:
        """Return the same for key values of which something was known before the sample."""
        likelihood = _binomial(seen, self.grid, self.fraction)
        weight = _normalised(likelihood * (_lognormals(self.edges, *_log_moments(earlier.codes, earlier.sd)).T + 1e-12))
        result = self._described(weight, np.zeros(len(seen)), level)
        result[:, 4] = earlier.shared * np.minimum(result[:, 3] / np.maximum(earlier.sd, 1e-9), 1) ** 2
        return result

    def _unlearnt(self, seen: Floats, likelihood: Floats) -> Floats:
        """Return the posteriors whose bounds are those of `total_from_sample`: half one prior and half another.

        Of a key value that was not seen, the one says that it has no code: less likely the more others have some.
        """
        flat = likelihood * np.diff(self.edges)
        scaleless = flat / np.maximum(self.grid, 1)
        scaleless[seen == 0] = self.grid == 0
        empty = np.where(seen == 0, 1 / (2 + self.shown), 0.5)[:, None]
        return _normalised(flat) + empty * (_normalised(scaleless) - _normalised(flat))

    def _described(self, weight: Floats, shared: Floats, level: float) -> Floats:
        mean = weight @ self.grid
        sd = np.sqrt(np.maximum(weight @ self.grid**2 - mean**2, 0))
        return np.column_stack([mean, self._bounds(weight, level), np.maximum(sd, shared), shared])

    def _bounds(self, weight: Floats, level: float) -> Floats:
        ends = tails(level)
        below = np.concatenate([np.zeros((len(weight), 1)), np.cumsum(weight, axis=1)], axis=1)
        return np.round([np.interp(ends, row, self.edges) for row in below]).reshape(-1, 2)


def learn_fan_outs(seen: Floats, fraction: float, elsewhere: Floats | None = None, largest: float = 0.0) -> FanOuts:
    """Learn how fan-outs are distributed, from the key values of a table and others that the sample shows."""
    others = np.zeros(0) if elsewhere is None else elsewhere
    everything = np.concatenate([seen, others])
    within = np.append(everything[everything <= _large(fraction)], 0)  # there is always a line for what nobody saw
    counts, inverse, number = np.unique(_binned(within), return_inverse=True, return_counts=True)
    counts = np.bincount(inverse, within) / number  # the mean of each bin
    number[0] -= 1
    outside = float(np.count_nonzero(others <= _large(fraction)))
    grid = _grid(float(within.max()), fraction, largest)
    likelihood = _binomial(counts, grid, fraction)
    rng = np.random.default_rng(0)
    family = np.tile(_family(likelihood, grid, number, outside), (1, len(PULLS)))
    seen_by = np.tile(rng.binomial(number[:, None], 0.5, (len(number), MEMBERS)).astype(float), (1, len(PULLS)))
    members = _maximised(likelihood, family, seen_by, outside / 2)
    left_out = number[:, None] - seen_by
    score = (
        (left_out * np.log(np.maximum(likelihood @ members, 1e-300))).sum(axis=0).reshape(len(PULLS), -1).mean(axis=1)
    )
    score[-1] = min(score[-1], score[:-1].max())  # a sparse answer is never the best: its gaps are no knowledge
    weight = np.repeat(np.exp(TEMPER * (score - score.max())) * WEIGHTS, MEMBERS)
    left_out = np.where(left_out.any(axis=1, keepdims=True), left_out, 1) * weight
    return FanOuts(
        fraction, grid, members, counts, _normalised(left_out), len(everything), float(np.count_nonzero(everything))
    )


def _family(likelihood: Floats, grid: Floats, number: Ints, outside: float) -> Floats:
    """Draw distributions from the family, as probable as the counts make them; shape (grid, members)."""
    edges = _edges(grid)
    steps = np.diff(np.log(np.maximum(edges, 0.5)))
    small = np.tril(np.broadcast_to(steps, (len(grid), len(grid))))
    small[:, 0] = np.maximum(small[:, 1:].sum(axis=1), 1e-9)
    small = _normalised(small).T  # column i: half at 0, half anywhere in the logarithm up to the i-th count
    shares = np.array([(e, s, np.log(p * q)) for e, p in EMPTY for s, q in STRANGE])
    lesser = likelihood @ small
    low, high = np.log([0.5, NARROWEST]), np.log([grid[-1], WIDEST])
    for _ in range(ZOOMS):  # into the part of the plane that the counts leave possible
        axes = [np.linspace(a, b, n) for a, b, n in zip(low, high, (CENTRES, SPREADS), strict=True)]
        centre, spread = (axis.ravel() for axis in np.meshgrid(*axes, indexing="ij"))
        regular = likelihood @ _lognormals(edges, centre, np.exp(spread))
        to = np.minimum(np.searchsorted(grid, np.exp(centre)), len(grid) - 1)
        log_p = np.empty((len(shares), len(centre)))
        for i, (empty, odd, log_prior) in enumerate(shares):
            p = (1 - empty - odd) * regular + odd * lesser[:, -1:] + empty * lesser[:, to]
            log_p[i] = number @ np.log(np.maximum(p, 1e-300)) + log_prior + spread - np.log1p(np.exp(2 * spread))
            log_p[i] -= outside * np.log(np.maximum(1 - p[0], 1e-3))  # others are known because they were seen
        likely = log_p.max(axis=0) > log_p.max() - 9
        points, step = np.stack([centre[likely], spread[likely]]), np.array([a[1] - a[0] for a in axes])
        low, high = np.maximum(points.min(axis=1) - step, low), np.minimum(points.max(axis=1) + step, high)
    p = np.exp(log_p - log_p.max()).T.ravel()
    drawn = np.searchsorted(np.cumsum(p) / p.sum(), (np.arange(MEMBERS) + 0.5) / MEMBERS)
    at, (empty, odd, _) = drawn // len(shares), shares[drawn % len(shares)].T
    family = (1 - empty - odd) * _lognormals(edges, centre[at], np.exp(spread[at]))
    return np.asarray(family + odd * small[:, -1:] + empty * small[:, to[at]])


def _maximised(likelihood: Floats, family: Floats, seen_by: Floats, outside: float) -> Floats:
    """Move each member towards the distribution that makes the counts it saw most probable."""
    pull = np.repeat(PULLS, MEMBERS)
    members = before = np.maximum(family, 1e-300)
    for turn in range(ROUNDS):
        ahead = _normalised((members * np.clip(members / before, 1 / STRIDE, STRIDE) ** MOMENTUM).T).T
        expected = likelihood @ ahead
        unseen = np.minimum(expected[0], 0.95)
        counted = seen_by / np.maximum(expected, 1e-300)
        counted[0] += outside * unseen / (1 - unseen) / np.maximum(expected[0], 1e-300)
        before, members = members, ahead * (likelihood.T @ counted) + np.maximum(pull, 1e-6) * family
        if turn > SPARSE_FROM:
            members = np.maximum(members - (pull == 0), 0) + 1e-12 * family
        members = np.maximum(members / members.sum(axis=0), 1e-300)
    return members


@dataclass(frozen=True)
class Growth:
    """How the logarithm of a count moves.

    ``mean`` per day, uncertain by ``mean_se``; and by ``sd`` per root of a day, of which ``common`` moves all counts.
    """

    mean: float
    mean_se: float
    sd: float
    common: float = 0.0

    def project(self, codes: Floats, days: Floats, level: float) -> Uncertain:
        """Return the counts to expect after some days."""
        age = np.maximum(days, 0)
        common = self.common**2 * age + (self.mean_se * age) ** 2
        variance = (self.sd**2 - self.common**2) * age + common
        mean = codes * np.exp(self.mean * age + variance / 2)
        low, high = (mean * np.exp(side * z_of(level) * np.sqrt(variance) - variance / 2) for side in (-1, 1))
        sd, shared = (mean * np.sqrt(np.expm1(part)) for part in (variance, common))
        return Uncertain(mean, np.floor(low), np.ceil(high), sd, shared)


def learn_growth(log_ratios: Floats, days: Floats, periods: Ints) -> Growth:
    """Learn growth from pairs of counts of the same key value.

    Parameters
    ----------
    log_ratios, days : array of float, shape (pairs,)
        The logarithm of the ratio of both counts, and the days between them.
    periods : array of int64, shape (pairs,)
        A number for each stretch of time, from 0: what moves all counts in one of them is common to them.
    """
    pairs = len(log_ratios)
    elapsed = days.sum() + GROWTH_PAIRS * (days.mean() if pairs else 1.0)
    mean = log_ratios.sum() / elapsed
    rest = log_ratios - mean * days
    squares = GROWTH_PAIRS * GROWTH_SD**2 + (rest**2 / np.maximum(days, 1e-9)).sum()
    variance = squares / (GROWTH_PAIRS + pairs)
    common, mean_variance = 0.0, variance / elapsed
    number = np.bincount(periods)
    if len(number) > 1:
        moved, lasted = (np.bincount(periods, values) / number for values in (rest, days))
        chance = variance * lasted / number
        few = (len(number) + 1) / (len(number) - 1) ** 2  # few stretches of time tell little, and more may come
        common = max(((moved**2 - chance) / lasted).sum() * few, 0.0)
        mean_variance += common / lasted.sum()
    return Growth(
        float(mean), float(np.sqrt(mean_variance)), float(np.sqrt(max(variance, common))), float(np.sqrt(common))
    )


def _alone(seen: Floats, fraction: float, level: float) -> Floats:
    """Return mean, bounds, sd and shared sd from the counts alone: what is unseen is negative-binomial.

    As `FanOuts._unlearnt`: half of the posterior under a prior without scale, half of that under a flat one.
    """
    from scipy.special import betainc

    k = np.asarray(seen, dtype=float)[:, None]
    target = tails(level)
    below, at = np.full((len(k), 2), -1.0), np.broadcast_to(np.ceil((2 * k + 100) / fraction), (len(k), 2))
    while (at - below).max(initial=0) > 1:  # by bisection, the least number unseen that is probable enough
        middle = np.floor((below + at) / 2)
        of_k = np.where(k > 0, betainc(np.maximum(k, 1), middle + 1, fraction), 1)
        enough = (of_k + betainc(k + 1, middle + 1, fraction)) / 2 >= target
        open_ = at - below > 1
        below, at = np.where(open_ & ~enough, middle, below), np.where(open_ & enough, middle, at)
    mean, sd = k + (k + 0.5) * (1 - fraction) / fraction, np.sqrt((k + 0.5) * (1 - fraction)) / fraction
    return np.column_stack([mean, k + at, sd, np.zeros(len(k))])


def _binomial(seen: Floats, counts: Floats, fraction: float) -> Floats:
    """Return the probability of each number seen for each count, shape (seen, counts)."""
    from scipy.special import gammaln, xlog1py, xlogy

    k, n = np.asarray(seen, dtype=float)[:, None], counts[None, :]
    unseen = np.maximum(n - k, 0)
    log_p = gammaln(n + 1) - gammaln(k + 1) - gammaln(unseen + 1) + xlogy(k, fraction) + xlog1py(unseen, -fraction)
    return np.where(n >= k, np.exp(log_p), 0)


def _lognormals(edges: Floats, centre: Floats, spread: Floats) -> Floats:
    """Return the probability of each count under lognormals; none is narrower than the grid can hold."""
    from scipy.special import ndtr

    at = np.clip(np.searchsorted(edges, np.exp(centre)), 1, len(edges) - 1)
    cell = (edges[at] - edges[at - 1]) / np.maximum(np.exp(centre), 0.5)
    width = np.hypot(spread, 0.4 * cell)
    below = ndtr((np.log(edges[1:-1])[:, None] - centre) / width)
    ends = np.zeros((1, len(centre)))
    return np.diff(np.concatenate([ends, below, ends + 1]), axis=0)


def _log_moments(mean: Floats, sd: Floats) -> tuple[Floats, Floats]:
    """Return centre and spread of the lognormals with these moments."""
    mean = np.maximum(mean, 0.5)
    variance = np.log1p((np.maximum(sd, 0.02 * mean) / mean) ** 2)
    return np.log(mean) - variance / 2, np.sqrt(variance)


def _large(fraction: float) -> float:
    """Return the number seen from which on the count alone decides."""
    return max((1 - fraction) / KNOWN**2, EVERY_INTEGER)


def _grid(seen: float, fraction: float, largest: float) -> Floats:
    upper = max((seen + 6 * np.sqrt(seen) + 12) / fraction, largest)
    points = [*range(EVERY_INTEGER), float(EVERY_INTEGER)]
    while points[-1] < upper:
        n = points[-1]
        told = STEP_SD * np.sqrt(n * (1 - fraction) / fraction)
        points.append(round(n + max(1.0, min(STEP_LOW * n, told))))
    return np.array(points, dtype=float)


def _edges(grid: Floats) -> Floats:
    return np.concatenate([[-0.5], (grid[1:] + grid[:-1]) / 2, [1.5 * grid[-1] - 0.5 * grid[-2]]])


def _binned(seen: Floats) -> Floats:
    """Take large counts together that a sample can hardly tell apart."""
    return np.where(seen <= EVERY_INTEGER, seen, EVERY_INTEGER + np.round(8 * np.sqrt(seen)))


def _normalised(rows: Floats) -> Floats:
    return np.asarray(rows / np.maximum(rows.sum(axis=1, keepdims=True), 1e-300))


def tails(level: float) -> Floats:
    """Return the probabilities below both ends of an interval that holds the truth with this one."""
    return np.asarray((1 + level * np.array([-1, 1])) / 2)


def z_of(level: float) -> float:
    """Return how many standard deviations from the mean an interval of a normal distribution ends."""
    from scipy.special import ndtri

    return float(ndtri(tails(level)[1]))
