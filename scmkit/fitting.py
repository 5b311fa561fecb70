"""From observed calls to the parameters of a service time: a posterior, as draws. Arrays in, arrays out.

The logarithm of a call's seconds is normal around the logarithm of ``base + per_code * codes + per_item * items``. A
call that the gateway cut is right-censored: all that is known is that it would have taken longer. A few observations
may have nothing to do with the model (a sleeping laptop, a restart): each is wild with a small probability, and then
can be anything. The prior is the documented one, so that with few calls the prior speaks, and with many the data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scmkit import contract

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

NAMES = ("base_s", "per_code_s", "per_item_s", "noise")
# The documented prior: medians and log-sds of the parameters. The service says that fewer than 1,000 codes a call are
# recommended and that above 20,000 a call is in the danger zone of the 60 s gateway [seed]: the median of a call of
# 20,000 codes is put at 46 s. The other constants, and all uncertainties, are ours [assumed].
PRIOR_MEDIAN = np.array([0.3, 46.0 / contract.DANGER_CODES, 0.0005, 0.25])
PRIOR_LOG_SD = np.array([1.0, 0.5, 1.0, 0.4])

WILD = 0.02  # probability that an observation has nothing to do with the model [assumed]
WILD_LOG_RANGE = 10.0  # a wild one is anywhere within this many e-foldings [assumed]
DRAWS = 400
MOST = 2_000  # calls that a fit looks at: more of them hardly change what it predicts, and take time and memory
ENOUGH_DRAWS = 40  # effective ones that an update leaves; fewer, and the posterior is computed anew
_PROPOSALS = 8_000
_LEAST_PROPOSALS = 1_000  # where the calls are many the posterior is close to normal, and few proposals describe it
_AT_ONCE = 250_000  # residuals that are held in memory at a time
_IN_ALL = 2_000_000  # and those of all proposals together, as far as these may become fewer
_FAR = 30.0  # e-foldings
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

    def log_likelihood(self, log_parameters: Floats) -> Floats:
        """Give the log-likelihood of parameter sets, shape (sets, 4), as shape (sets,)."""
        if log_parameters.ndim == 1:
            return self._log_likelihood(log_parameters)
        blocks = np.array_split(log_parameters, 1 + log_parameters.shape[0] * len(self.codes) // _AT_ONCE)
        return np.concatenate([self._log_likelihood(block) for block in blocks])

    def _log_likelihood(self, log_parameters: Floats) -> Floats:
        from scipy.special import log_ndtr

        z, noise = self.residuals(log_parameters)
        model = -0.5 * z**2 - np.log(noise * np.sqrt(2 * np.pi))
        model[..., self.timed_out] = log_ndtr(-z[..., self.timed_out])
        wild = np.where(self.timed_out, np.log(WILD / 2), np.log(WILD / WILD_LOG_RANGE))
        return np.asarray(np.logaddexp(model + np.log(1 - WILD), wild).sum(axis=-1))

    def residuals(self, log_parameters: Floats) -> tuple[Floats, Floats]:
        """Give each call's standardised log-seconds under parameter sets, shape (sets, calls), and the noise."""
        bounded = np.clip(log_parameters, -_FAR, _FAR)  # a search may step where no number is large enough
        base, per_code, per_item, noise = (np.exp(p)[..., None] for p in np.moveaxis(bounded, -1, 0))
        centre = np.log(base + per_code * self.codes + per_item * self.items)
        return np.asarray((np.log(self.seconds) - centre) / noise), np.asarray(noise)


def prior_draws(count: int = DRAWS) -> Floats:
    """Draw parameters from the documented prior, shape (count, 4): the same ones every time."""
    from scipy.stats import norm, qmc

    uniform = qmc.Sobol(len(NAMES), rng=np.random.default_rng(0)).random(1 << (count - 1).bit_length())[:count]
    return np.asarray(np.exp(np.log(PRIOR_MEDIAN) + PRIOR_LOG_SD * norm.ppf(uniform)))


def posterior_draws(observed: Observations, count: int = DRAWS, seed: int = 0) -> Floats:
    """Draw parameters from the posterior, shape (count, 4).

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
    log_weight = _log_posterior(observed, proposals) - log_proposal
    weight = np.exp(log_weight - log_weight.max())
    steps = (np.arange(count) + rng.random()) / count
    chosen = np.searchsorted(np.cumsum(weight) / weight.sum(), steps)
    return np.asarray(np.exp(proposals[np.minimum(chosen, size - 1)]))


def updated_draws(draws: Floats, observed: Observations) -> Floats:
    """Update given draws with new calls: by how well they explain them or, where hardly any does, anew."""
    log_weight = observed.log_likelihood(np.log(draws))
    weight = np.exp(log_weight - np.max(log_weight))
    weight /= weight.sum()
    if 1 / (weight**2).sum() < ENOUGH_DRAWS:
        return posterior_draws(observed)
    steps = (np.arange(len(draws)) + 0.5) / len(draws)
    return np.asarray(draws[np.minimum(np.searchsorted(np.cumsum(weight), steps), len(draws) - 1)])


def _mode(observed: Observations) -> tuple[Floats, Floats]:
    """Find the most probable log-parameters, and the covariance of a normal distribution around them."""
    from scipy.optimize import minimize

    scale = PRIOR_LOG_SD

    def cost(step: Floats) -> float:
        return -float(_log_posterior(observed, np.log(PRIOR_MEDIAN) + scale * step))

    # Starts from faster and slower services, since a wild observation can make a second, lower summit.
    starts = [np.array([0.0, speed, 0.0, 0.0]) for speed in (0.0, -2.0, 2.0)]
    best = min((minimize(cost, start, method="BFGS") for start in starts), key=lambda found: found.fun)
    spread = _inverse_curvature(cost, best.x)
    return np.log(PRIOR_MEDIAN) + scale * best.x, spread * np.outer(scale, scale)


def _inverse_curvature(cost: object, at: Floats, step: float = 1e-2) -> Floats:
    """Invert the numerical second derivatives; directions without curvature keep the prior's spread."""
    assert callable(cost)  # noqa: S101 - for the type checker
    moves = step * np.eye(len(at))
    curvature = np.array(
        [
            [(cost(at + a + b) - cost(at + a - b) - cost(at - a + b) + cost(at - a - b)) / (4 * step**2) for b in moves]
            for a in moves
        ]
    )
    values, vectors = np.linalg.eigh((curvature + curvature.T) / 2)
    return np.asarray((vectors / np.maximum(values, 0.5)) @ vectors.T)


def _log_posterior(observed: Observations, log_parameters: Floats) -> Floats:
    prior = -0.5 * (((log_parameters - np.log(PRIOR_MEDIAN)) / PRIOR_LOG_SD) ** 2).sum(axis=-1)
    return np.asarray(observed.log_likelihood(log_parameters) + prior)
