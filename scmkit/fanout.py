"""Codes per key value from incomplete knowledge: a posterior for each, as mean and bounds. Arrays in, arrays out.

From a random sample of known fraction, a key value that selects ``n`` codes shows ``k ~ Binomial(n, fraction)`` of
them. How fan-outs are distributed is learnt from all key values together (empirical Bayes): the smooth distribution
under which the counts are most probable, found by expectation maximisation with a smoothing step (Silverman et al.,
1990). It pulls small counts towards what is usual, says what a key value may select that the sample never saw, and
leaves large counts to speak for themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Narrower, and the distribution would follow single key values; wider, and small counts would learn nothing. Chosen so
# that 95 % intervals cover 93 to 97 % over Zipf, lognormal and equal fan-outs (tests/unit/test_calibration.py).
SMOOTHING = 0.8  # e-foldings
ROUNDS = 60
LARGE = 100  # from this count on, the count alone decides
EVERY_INTEGER = 300  # the grid of fan-outs holds every integer up to here, then steps of 2 %


# How counts change with time while no earlier calls tell: not at all on average, by 3 % in a day, 16 % in a month; as
# much evidence as five pairs of calls [assumed].
GROWTH_SD, GROWTH_PAIRS = 0.03, 5


class Bounds(NamedTuple):
    """Mean, lower and upper bound of unknown counts."""

    codes: Floats
    low: Floats
    high: Floats


def from_sample(seen: Ints, fraction: float, level: float, earlier: Bounds | None = None) -> Bounds:
    """Estimate counts from a random sample.

    Parameters
    ----------
    seen : array of int64, shape (keys,)
        Codes of each key value in the sample; 0 where it has none.
    fraction : float
        The probability with which a code is in the sample.
    level : float
        Posterior probability of the interval.
    earlier : Bounds, optional
        What is known from elsewhere, as medians and bounds of lognormal distributions (missing: NaN); it takes the
        place of the learnt distribution for these key values.
    """
    grid, usual = learn_fan_outs(seen, fraction)
    distinct, inverse = np.unique(seen, return_inverse=True)
    result = np.array([_posterior(int(k), fraction, level, grid, usual) for k in distinct]).reshape(-1, 3)[inverse]
    if earlier is not None:
        for i in np.flatnonzero(np.isfinite(earlier.codes)).tolist():
            known = _lognormal_on(grid, *(float(bound[i]) for bound in earlier))
            result[i] = _posterior(int(seen[i]), fraction, level, grid, known, large=np.inf)
    return Bounds(*result.T)


def learn_fan_outs(seen: Ints, fraction: float) -> tuple[Floats, Floats]:
    """Learn how fan-outs are distributed: a grid of counts, and the probability of each."""
    distinct, weights = np.unique(seen, return_counts=True)
    largest = int(np.max(distinct, initial=0))
    grid = _grid((largest + 6 * np.sqrt(largest) + 10) / fraction)
    width = np.diff(_edges(grid))
    log_likelihood = _log_binomial(distinct, grid, fraction)
    likelihood = np.exp(log_likelihood - log_likelihood.max(axis=1, keepdims=True))
    position = np.log(np.maximum(grid, 0.5))
    smooth = np.exp(-0.5 * ((position[:, None] - position) / SMOOTHING) ** 2) * width
    smooth /= smooth.sum(axis=1, keepdims=True)
    probability = width / width.sum()
    for _ in range(ROUNDS):
        share = likelihood * probability
        share *= (weights / share.sum(axis=1))[:, None]
        probability = (smooth @ (share.sum(axis=0) / width)) * width
        probability /= probability.sum()
    return grid, probability


@dataclass(frozen=True)
class Growth:
    """How the logarithm of a count moves: ``mean`` per day, uncertain by ``mean_se``, and ``sd`` per root of a day."""

    mean: float
    mean_se: float
    sd: float

    def project(self, codes: Floats, days: Floats, level: float) -> Bounds:
        """Give the counts to expect after some days."""
        from scipy.special import ndtri

        age = np.maximum(days, 0)
        middle = codes * np.exp(self.mean * age)
        spread = np.sqrt(self.sd**2 * age + (self.mean_se * age) ** 2) * ndtri((1 + level) / 2)
        return Bounds(middle, np.floor(middle * np.exp(-spread)), np.ceil(middle * np.exp(spread)))


def learn_growth(log_ratios: Floats, days: Floats) -> Growth:
    """Learn growth from pairs of counts of the same key value: the logarithm of their ratio, and the days between."""
    pairs = len(log_ratios)
    elapsed = days.sum() + GROWTH_PAIRS * (days.mean() if pairs else 1.0)
    mean = log_ratios.sum() / elapsed
    squares = GROWTH_PAIRS * GROWTH_SD**2 + ((log_ratios - mean * days) ** 2 / np.maximum(days, 1e-9)).sum()
    sd = float(np.sqrt(squares / (GROWTH_PAIRS + pairs)))
    return Growth(float(mean), sd / float(np.sqrt(elapsed)), sd)


def sum_bounds(counts: Bounds, shared: NDArray[np.bool_], offsets: Ints) -> Bounds:
    """Add up counts, call by call.

    Independent uncertainties partly cancel: their half-widths add as squares. Where nothing but a common prior or guess
    is known, all counts may be wrong in the same direction (``shared``): there the bounds themselves add up.
    """

    def add(values: Floats) -> Floats:
        total = np.concatenate([[0.0], np.cumsum(values)])
        return np.asarray(total[offsets[1:]] - total[offsets[:-1]])

    codes, low, high = (np.asarray(values, dtype=float) for values in counts)
    middle = add(codes)
    below, above = codes - low, high - codes
    down = add(np.where(shared, below, 0)) + np.sqrt(np.maximum(add(np.where(shared, 0, below**2)), 0))
    up = add(np.where(shared, above, 0)) + np.sqrt(np.maximum(add(np.where(shared, 0, above**2)), 0))
    return Bounds(middle, np.maximum(middle - down, 0), middle + up)


def total_from_sample(seen: int, fraction: float, level: float) -> tuple[float, float, float]:
    """Estimate the sum over all key values: the sample shows a binomial share of the sum, too."""
    codes, low, high = _count_alone(seen, fraction, level)
    return (seen / fraction if seen else codes), low, high


def _posterior(
    seen: int, fraction: float, level: float, grid: Floats, prior: Floats, large: float = LARGE
) -> tuple[float, float, float]:
    if seen >= large:
        return _count_alone(seen, fraction, level)
    with np.errstate(divide="ignore"):
        log_weight = _log_binomial(np.array([seen]), grid, fraction)[0] + np.log(prior)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    # Half of a count's own probability: so that whole numbers do not make the interval wider than it says.
    below = np.cumsum(weight) - weight / 2
    tail = (1 - level) / 2
    first = min(int(np.searchsorted(below, tail)), len(grid) - 1)
    last = max(int(np.searchsorted(below, 1 - tail, side="right")) - 1, first)
    low, high = grid[first], grid[last]
    return float(weight @ grid), float(low), float(high)


def _count_alone(seen: int, fraction: float, level: float) -> tuple[float, float, float]:
    """Give the posterior under a prior that knows no scale: what is unseen is negative-binomial."""
    from scipy.stats import nbinom

    tail = (1 - level) / 2
    shown = max(seen, 1)
    low = seen + nbinom.ppf(tail, shown, fraction) if seen else 0
    return seen / fraction if seen else 1 / fraction, float(low), float(seen + nbinom.ppf(1 - tail, shown, fraction))


def _log_binomial(seen: Ints, counts: Floats, fraction: float) -> Floats:
    """Give the log-probability of each number seen for each count, shape (seen, counts)."""
    from scipy.special import gammaln, xlog1py, xlogy

    k, n = np.asarray(seen, dtype=float)[:, None], counts[None, :]
    unseen = np.maximum(n - k, 0)
    log_p = gammaln(n + 1) - gammaln(k + 1) - gammaln(unseen + 1) + xlogy(k, fraction) + xlog1py(unseen, -fraction)
    return np.where(n >= k, log_p, -np.inf)


def _grid(largest: float) -> Floats:
    steps = int(np.ceil(np.log(max(largest / EVERY_INTEGER, 1)) / np.log(1.02)))
    beyond = np.round(EVERY_INTEGER * 1.02 ** np.arange(1, steps + 1))
    return np.concatenate([np.arange(EVERY_INTEGER + 1.0), beyond])


def _edges(grid: Floats) -> Floats:
    position = np.log(np.maximum(grid, 0.5))
    return np.concatenate([[position[0] - 0.5], (position[1:] + position[:-1]) / 2, [position[-1] + 0.01]])


def _lognormal_on(grid: Floats, median: float, low: float, high: float) -> Floats:
    """Give the probability of each count under a lognormal with this median and 95 % interval."""
    from scipy.special import ndtr

    spread = max(np.log(max(high, median, 1) / max(low, 0.5)) / (2 * 1.96), 0.02)
    cells = np.diff(ndtr((_edges(grid) - np.log(max(median, 0.5))) / spread))
    return np.asarray(cells + 1e-12)
