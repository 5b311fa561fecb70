"""From observed calls to the parameters of a service time: a posterior, as draws. Arrays in, arrays out.

The median seconds of a call grow with a power of its codes. What disturbs it multiplies: the logarithm of the seconds
is spread around that of the median, normally but for a skew (a sinh-arcsinh distribution: Jones and Pewsey, 2009), and
a share of the calls takes several times as long. A call that the gateway cut is right-censored: all that is known is
that it would have taken longer. A few observations may have nothing to do with the model (a sleeping laptop, a lucky
cache): each is wild with a small probability, and then can be anything. The prior is the documented one, so that with
few calls the prior speaks, and with many the data.

A service has good and bad hours. What the calls of one hour have in common is a level that comes and goes; how much,
and how slowly, is learnt from their order, and what is predicted starts from where the level was last.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from scmkit.core import contract
from scmkit.core.arrays import Bools, Floats, Ints

# In the order of a parameter set. The median seconds of a call are ``base + per_code * AT * (codes / AT) ** power +
# per_item * items``: work grows with a power of the codes near 1; ``per_code`` is what a code takes in a call of AT.
NAMES = ("base_s", "per_code_s", "per_item_s", "noise", "power", "skew", "slow_share", "slow_times")
AT = float(contract.DANGER_CODES)
# The documented prior: normal distributions, which `_natural` turns into the parameters. The service says that fewer
# than 1,000 codes a call are recommended and that above 20,000 a call is in the danger zone of the 60 s gateway [seed]:
# the median of a call of 20,000 codes is put at 46 s. The other constants, and all uncertainties, are ours [assumed]: a
# base of 0.3 s, 0.5 ms an item, a noise of 0.25; 2 % of the calls slow, by 1.6 e-foldings, which is 5 times.
PRIOR_MEAN = np.array([*np.log([0.3, 46.0 / AT, 0.0005, 0.25]), 0.0, 0.0, *np.log([0.02, 1.6])])
PRIOR_SD = np.array([1.0, 0.5, 1.0, 0.4, 1.0, 1.0, 1.0, 0.25])
# Most services have a power near 1 and little skew, and a few are far from that (`_tailed`) [assumed].
POWER_SCALE, SKEW_SCALE = 0.02, 0.03
MOST_SLOW = 0.3  # of the calls; if more are slow, that is what the service is like

WILD = 0.005  # probability that an observation has nothing to do with the model [assumed]
WILD_LOG_RANGE = 10.0  # a wild one is anywhere within this many e-foldings [assumed]
DRAWS = 400
MOST = 2_000  # calls that a fit looks at: more of them hardly change what it predicts, and take time and memory
ENOUGH_DRAWS = 40  # effective ones that an update leaves; fewer, and the posterior is computed anew
_PROPOSALS = 8_000
_LEAST_PROPOSALS = 1_000  # where the calls are many the posterior is close to normal, and few proposals describe it
_AT_ONCE = 250_000  # residuals that are held in memory at a time
_IN_ALL = 2_000_000  # and those of all proposals together, as far as these may become fewer
_FAR = 30.0  # e-foldings
_MOST_CODES = 1e15  # beyond, a power of them may be no number
_FIRST_LOOK = 200  # calls from which the search for the mode begins
_TAILS = 5.0  # degrees of freedom of the proposals, heavier than the posterior


@dataclass(frozen=True)
class Observations:
    """Calls that were made: ``codes``, ``items`` and ``seconds`` of each, and whether the gateway cut it."""

    codes: Floats
    items: Floats
    seconds: Floats
    timed_out: Bools

    def thinned(self, most: int = MOST) -> Observations:
        """Return the latest calls of each size, at most so many in all.

        Only order and size choose, never how a call ended: one that the gateway cut is as likely to stay as one of its
        size that was completed, so that the fit is as honest as that to all of them. Large calls, which are rare and
        say the most, stay too.
        """
        if len(self.codes) <= most:
            return self
        sizes = np.floor(2 * np.log2(1 + np.column_stack([self.codes, self.items])))
        _, size = np.unique(sizes, axis=0, return_inverse=True)
        latest_first = np.argsort(size[::-1].ravel(), kind="stable")  # side by side within a size
        sorted_sizes = size[::-1].ravel()[latest_first]
        place = np.arange(len(size)) - np.searchsorted(sorted_sizes, sorted_sizes)  # 0 is the latest of its size
        kept = np.sort(len(size) - 1 - latest_first[np.argsort(place, kind="stable")[:most]])
        return Observations(self.codes[kept], self.items[kept], self.seconds[kept], self.timed_out[kept])

    def log_likelihood(self, sets: Floats) -> Floats:
        """Return the log-likelihood of parameter sets, shape (sets, 8), as shape (sets,)."""
        blocks = np.array_split(sets, 1 + len(sets) * len(self.codes) // _AT_ONCE)
        return np.concatenate([np.logaddexp.reduce(self.components(block)).sum(axis=-1) for block in blocks])

    def components(self, sets: Floats) -> Floats:
        """Return how well each call is explained as a usual, a slow and a wild one, as logarithms: (3, sets, calls)."""
        noise, skew, share, times = (sets[:, [i]] for i in (3, 5, 6, 7))
        usual = self.residuals(sets)
        wild = np.where(self.timed_out, np.log(WILD / 2), np.log(WILD / WILD_LOG_RANGE))
        return np.array(
            [
                self._log_density(usual, noise, skew) + np.log1p(-share - WILD),
                self._log_density(usual - np.log(times) / noise, noise, skew) + np.log(share),
                np.broadcast_to(wild, usual.shape),
            ]
        )

    def residuals(self, sets: Floats) -> Floats:
        """Return each call's distance from the median under parameter sets, in units of the noise: (sets, calls)."""
        columns = (sets[:, [i]] for i in range(5))
        base, per_code, per_item, noise, power = columns
        centre = np.log(median_s(self.codes, self.items, base, per_code, per_item, power))
        return np.asarray((np.log(self.seconds) - centre) / noise)

    def _log_density(self, distance: Floats, noise: Floats, skew: Floats) -> Floats:
        """Return the log-density of the calls' log-seconds, or the log-probability of more, where the gateway cut."""
        from scipy.special import log_ndtr

        z, slope = to_normal(distance, skew)
        found: Floats = -0.5 * z**2 + np.log(slope) - np.log(noise * np.sqrt(2 * np.pi))
        found[..., self.timed_out] = log_ndtr(-z[..., self.timed_out])
        return found


def median_s(
    codes: Floats, items: Floats, base_s: Floats, per_code_s: Floats, per_item_s: Floats, power: Floats
) -> Floats:
    """Return the median seconds of calls; all arguments broadcast."""
    bent = np.minimum(codes, _MOST_CODES)
    if np.any(power != 1):  # else there may be much to draw, and a power takes its time
        bent = AT * (bent / AT) ** power
    return np.asarray(base_s + per_code_s * bent + per_item_s * items)


def to_normal(distance: Floats, skew: Floats) -> tuple[Floats, Floats]:
    """Turn distances from the median, in units of the noise, into standard normal numbers; also return the slope."""
    shifted = distance + np.sinh(skew)
    bent = np.arcsinh(shifted) - skew
    return np.sinh(bent), np.cosh(bent) / np.sqrt(1 + shifted**2)


def from_normal(z: Floats, skew: Floats) -> Floats:
    """Turn standard normal numbers into distances from the median, in units of the noise."""
    return z if not np.any(skew) else np.asarray(np.sinh(np.arcsinh(z) + skew) - np.sinh(skew))


def prior_draws(count: int = DRAWS) -> Floats:
    """Draw parameters from the documented prior, shape (count, 8): the same ones every time."""
    from scipy.special import ndtri
    from scipy.stats import qmc

    uniform = qmc.Sobol(len(NAMES), rng=np.random.default_rng(0)).random(1 << (count - 1).bit_length())[:count]
    return _natural(PRIOR_MEAN + PRIOR_SD * ndtri(uniform))


def posterior_draws(observed: Observations, count: int = DRAWS, seed: int = 0) -> Floats:
    """Draw parameters from the posterior, shape (count, 8), as they are after the last call.

    Proposals from a heavy-tailed distribution around the mode are weighted by the posterior and drawn again in
    proportion: exact but for the Monte Carlo error. The same observations give the same draws.
    """
    mode, spread = _mode(observed)
    rng = np.random.default_rng(seed)
    size = min(_PROPOSALS, max(_LEAST_PROPOSALS, _IN_ALL // len(observed.codes)))
    normal = rng.standard_normal((size, len(mode)))
    shrink = np.sqrt(_TAILS / rng.chisquare(_TAILS, size))[:, None]
    proposals = mode + (normal * shrink) @ np.linalg.cholesky(spread).T
    log_proposal = -0.5 * (_TAILS + len(mode)) * np.log1p((normal**2).sum(axis=1) * shrink[:, 0] ** 2 / _TAILS)
    chosen = _resampled(_log_posterior(observed, proposals) - log_proposal, count, rng.random())
    return _at_its_level(observed, _natural(proposals[chosen]), _natural(mode[None]), rng)


def updated_draws(draws: Floats, observed: Observations) -> Floats:
    """Update given draws with new calls: by how well they explain them or, where hardly any does, anew."""
    log_weight = observed.log_likelihood(draws)
    weight = np.exp(log_weight - np.max(log_weight))
    if weight.sum() ** 2 / (weight**2).sum() < ENOUGH_DRAWS:
        return posterior_draws(observed)
    return draws[_resampled(log_weight, len(draws), 0.5)]


def _resampled(log_weight: Floats, count: int, offset: float) -> Ints:
    """Choose numbers in proportion to their weights, evenly."""
    weight = np.cumsum(np.exp(log_weight - log_weight.max()))
    chosen = np.searchsorted(weight / weight[-1], (np.arange(count) + offset) / count)
    return np.minimum(chosen, len(weight) - 1)


def _natural(free: Floats) -> Floats:
    """Turn free parameters, shape (sets, 8), on which there is a normal prior, into those of the model."""
    bounded = np.clip(free, -_FAR, _FAR)  # a search may step where no number is large enough
    base, code, item, noise, power, skew, share, times = bounded.T
    return np.column_stack(
        [
            *np.exp([base, code, item, np.clip(noise, -6, 3)]),
            1 + POWER_SCALE * _tailed(power), SKEW_SCALE * _tailed(skew),
            MOST_SLOW * np.exp(share) / (MOST_SLOW + np.exp(share)), np.exp(np.exp(np.clip(times, -4, 2))),
        ]
    )  # fmt: skip


def _tailed(normal: Floats) -> Floats:
    """Most of them near 0, and some far away."""
    return np.asarray(np.sinh(2 * np.clip(normal, -2.1, 2.1)) / 2)


def _mode(observed: Observations) -> tuple[Floats, Floats]:
    """Find the most probable free parameters, and the covariance of a normal distribution around them."""
    # Starts from faster and slower services, since a wild observation can make a second, lower summit.
    starts = [np.eye(len(NAMES))[1] * speed for speed in (0.0, -2.0, 2.0)]
    first_look = observed.thinned(_FIRST_LOOK)
    best = min((_climb(first_look, start) for start in starts), key=lambda found: found.fun)
    if first_look is not observed:
        best = _climb(observed, best.x)
    spread = _inverse_curvature(observed, best.x)
    return PRIOR_MEAN + PRIOR_SD * best.x, spread * np.outer(PRIOR_SD, PRIOR_SD)


def _climb(observed: Observations, start: Floats, step: float = 1e-4) -> Any:
    """Look for the summit from a start, in units of the prior's spread."""
    from scipy.optimize import minimize

    moves = step * np.eye(len(start))

    def cost(at: Floats) -> float:
        return -float(_log_posterior(observed, (PRIOR_MEAN + PRIOR_SD * at)[None])[0])

    def slope(at: Floats) -> Floats:
        around = -_log_posterior(observed, PRIOR_MEAN + PRIOR_SD * (at + np.concatenate([moves, -moves])))
        return np.asarray(around[: len(at)] - around[len(at) :]) / (2 * step)

    return minimize(cost, start, jac=slope, method="BFGS", options={"maxiter": 80, "gtol": 1e-3})


def _inverse_curvature(observed: Observations, at: Floats, step: float = 1e-2) -> Floats:
    """Invert the numerical second derivatives; directions without curvature keep the prior's spread."""
    size = len(at)
    moves = step * np.eye(size)
    plus, minus = moves[:, None] + moves, moves[:, None] - moves
    around = np.array([plus, minus, -minus, -plus]).reshape(-1, size)
    costs = -_log_posterior(observed, PRIOR_MEAN + PRIOR_SD * (at + around)).reshape(4, size, size)
    curvature = (costs[0] - costs[1] - costs[2] + costs[3]) / (4 * step**2)
    values, vectors = np.linalg.eigh((curvature + curvature.T) / 2)
    return np.asarray((vectors / np.maximum(values, 0.5)) @ vectors.T)


def _log_posterior(observed: Observations, free: Floats) -> Floats:
    prior = -0.5 * (((free - PRIOR_MEAN) / PRIOR_SD) ** 2).sum(axis=-1)
    return np.asarray(observed.log_likelihood(_natural(free)) + prior)


# What calls in a row have in common: a level with a standard deviation of so many noises that keeps this share from one
# call to the next, beside a noise that is smaller than it seemed, or that changed once, after this share of the calls.
_REST = (0.4, 0.6, 0.8, 1.0)
_NONE = [(0.0, 0.0, 1.0, 1.0)]
_MOVING = [*itertools.product((0.3, 0.6, 1.0, 2.0), (0.7, 0.9, 0.97), _REST, (1.0,))]
_CHANGED = [*itertools.product((1.0,), (1.0,), _REST, np.linspace(0.1, 0.95, 18))]
_LEVELS = np.array([*_NONE, *_MOVING, *_CHANGED])
# How probable each is before anything was seen [assumed].
_PRIOR_OF_LEVELS = np.concatenate(
    [np.full(len(kind), share / len(kind)) for kind, share in ((_NONE, 0.8), (_MOVING, 0.1), (_CHANGED, 0.1))]
)
_LEVEL_CALLS = 500  # the latest; older ones say nothing about the level now
_AHEAD = 40  # calls ahead for which is predicted: an upload has tens of them, and the level goes on moving


def _at_its_level(observed: Observations, draws: Floats, mode: Floats, rng: np.random.Generator) -> Floats:
    """Move draws to the level that the service had last, as far as calls in a row have something in common."""
    weights, levels, spreads = _levels(observed, mode)
    which = _resampled(np.log(np.maximum(weights, 1e-300)), len(draws), rng.random())
    sd, keeps, rest, _ = _LEVELS[which].T
    ahead = keeps ** rng.integers(1, _AHEAD + 1, len(draws))
    noise = draws[:, 3]
    variance = ahead**2 * spreads[which] + (1 - ahead**2) * sd**2
    level = (ahead * levels[which] + np.sqrt(variance) * rng.standard_normal(len(draws))) * noise
    moved = draws.copy()
    moved[:, :3] *= np.exp(level)[:, None]
    moved[:, 3] *= rest
    return moved


def _levels(observed: Observations, mode: Floats) -> tuple[Floats, Floats, Floats]:
    """Follow the level through the calls by a Kalman filter for each of `_LEVELS`.

    Returns
    -------
    weights, levels, variances : array, shape (levels,)
        How probable each is, and where the level was after the last call, in units of the noise.
    """
    from scipy.special import log_ndtr

    scores, usual = _scores(observed, mode)
    sd, keeps, rest, change = _LEVELS.T
    change_at = np.round(change * len(scores)).astype(int)
    level, variance, fit = np.zeros(len(sd)), sd**2, np.log(_PRIOR_OF_LEVELS)
    for call, (score, share, cut) in enumerate(zip(scores, usual, observed.timed_out[-_LEVEL_CALLS:], strict=True)):
        new = (1 - keeps**2) + (2.0**2) * (change_at == call)  # a change is as likely upwards as downwards
        level, variance = keeps * level, keeps**2 * variance + new * sd**2
        spread = variance + rest**2 / max(share, 1e-3)
        off = (score - level) / np.sqrt(spread)
        gain = variance / np.sqrt(spread)
        if cut:  # it was at least that slow: the moments of what is left of the normal distribution
            fit += share * log_ndtr(-off)
            hazard = np.exp(-0.5 * off**2 - log_ndtr(-off)) / np.sqrt(2 * np.pi)
            level, variance = level + gain * hazard, variance - gain**2 * hazard * (hazard - off)
        else:
            fit -= share * 0.5 * (np.log(spread) + off**2)
            level, variance = level + gain * off, variance - gain**2
    weights = np.exp(fit - fit.max())
    return weights / weights.sum(), level, variance


def _scores(observed: Observations, mode: Floats) -> tuple[Floats, Floats]:
    """Return the latest calls' normal scores, or those that a cut one exceeds, and how probably each is a usual one."""
    z = to_normal(observed.residuals(mode), mode[:, [5]])[0][0]
    explained = observed.components(mode)[:, 0]
    usual = np.exp(explained[0] - np.logaddexp.reduce(explained))
    return z[-_LEVEL_CALLS:], usual[-_LEVEL_CALLS:]
