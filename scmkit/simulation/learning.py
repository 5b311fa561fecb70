"""What must be collected first: calls to know the service, and a sample to know the codes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from scmkit.core import contract
from scmkit.core.arguments import POSITIVE, PROBABILITY, WHOLES, Kind, is_real
from scmkit.core.arrays import Floats
from scmkit.core.display import percent
from scmkit.estimation.estimate import Estimate
from scmkit.estimation.fan_out import from_sample, z_of
from scmkit.estimation.fitting import NAMES, Observations, posterior_draws
from scmkit.estimation.service_time import ServiceTime
from scmkit.simulation.curve import Curve
from scmkit.simulation.population import KeyValues
from scmkit.tables.arguments import public

RANGE = Kind(
    "(fewest, most) codes of a call, 1 or more",
    lambda v: len(v) == 2 and all(is_real(c) and c <= 1e12 for c in v) and 1 <= v[0] <= v[1],
)
FRACTIONS = Kind("a list of numbers above 0 and below 1", lambda v: len(v) > 0 and all(map(PROBABILITY.accepts, v)))


@public(within=PROBABILITY, calls=WHOLES, codes=RANGE)
def calls_to_collect(
    risk: float = 0.01,
    within: float = 0.015,
    *,
    service_time: ServiceTime | None = None,
    calls: Sequence[int] = (10, 30, 100, 300, 1_000),
    codes: tuple[float, float] = (100, contract.DANGER_CODES),
    certainty: float = 0.9,
    timeout_s: float = contract.GATEWAY_TIMEOUT_S,
    trials: int = 24,
    seed: int = 0,
) -> Curve:
    """How many calls must I collect before 1 % means 1 %? Simulate fits to so many calls, and what they are worth.

    Services are drawn from what is known, observed for so many calls, and fitted as `ServiceTime.fit` does; the size
    that the fit allows has a true risk, which only the simulation knows. All fits together take some ten seconds.

    Parameters
    ----------
    risk : float, default 0.01
        The risk that is asked for.
    within : float, default 0.015
        What the true risk shall not exceed.
    service_time : ServiceTime, optional
        What is known about the service; default: the documentation.
    calls : sequence of int
        Numbers of calls that are tried.
    codes : (float, float)
        The fewest and most codes of an observed call; in between all sizes are as frequent, by their logarithm.
    certainty : float, default 0.9
        The share of services for which that shall hold.
    trials : int, default 24
        Services that are drawn.

    Returns
    -------
    Curve
        ``calls``, ``timeout_risk`` (true, on average), ``low`` (5 %) and ``high`` (``certainty``), and ``used``, the
        codes of the chosen size as a share of those that the true service allows (median); ``best`` is the smallest
        number from which on ``high`` is at most ``within``.
    """
    known = service_time or ServiceTime.documented()
    lines = []
    for count in sorted(calls):
        learnt = [
            _learnt(known, count, codes, risk, timeout_s, each)
            for each in np.random.SeedSequence(seed).generate_state(trials).tolist()
        ]
        true, used = np.array(learnt).T
        lines.append((count, true.mean(), *np.quantile(true, [0.05, certainty]), np.median(used)))
    frame = pd.DataFrame(lines, columns=["calls", "timeout_risk", "low", "high", "used"])
    best = _from_on(frame["calls"], frame["high"] <= within)
    last = f"{frame['calls'].max():,} leave {percent(frame['high'].iloc[-1])}"
    words = f"{percent(risk)} is at most {percent(within)} in truth, in {certainty:.0%} of the cases"
    return Curve(
        frame, "calls", "timeout_risk", f"What {percent(risk)} means after so many calls",
        ("calls observed (number)", "true timeout risk (probability)"), within, best, "enough",
        f"No number of calls that was tried is enough: {last}."
        if best is None else f"After {best:,.0f} calls {words}.",
    )  # fmt: skip


def _learnt(
    known: ServiceTime, count: int, codes: tuple[float, float], risk: float, timeout_s: float, seed: int
) -> tuple[float, float]:
    """Draw a service, observe it, fit, choose a size; return its true risk, and its share of the right size."""
    rng = np.random.default_rng(seed)
    truth = _one_of(known, int(rng.integers(known.draws)))
    low, high = np.log(codes)
    sizes: Floats = np.round(np.exp(rng.uniform(low, high, count))).astype(np.float64)
    seconds = truth.draw(sizes, np.ones(count), rng)
    seen = Observations(sizes, np.ones(count), np.minimum(seconds, timeout_s), seconds > timeout_s)
    fitted = ServiceTime(**dict(zip(NAMES, posterior_draws(seen.thinned()).T, strict=True)))
    chosen = fitted.max_codes(risk, timeout_s)
    return float(truth.timeout_risk(chosen, 1, timeout_s)), chosen / max(truth.max_codes(risk, timeout_s), 1)


def _one_of(known: ServiceTime, draw: int) -> ServiceTime:
    return ServiceTime(**{name: getattr(known, name)[[draw]] for name in NAMES})


def risk_in_truth(known: ServiceTime, codes: float, timeout_s: float, certainty: float = 0.9) -> float:
    """Return what the risk of a call is at most, with this certainty, in one of the services that are possible.

    The risk that is said everywhere is the mean over these.
    """
    some = np.unique(np.linspace(0, known.draws - 1, 60).astype(int)).tolist()
    return float(np.quantile([_one_of(known, at).timeout_risk(codes, 1, timeout_s) for at in some], certainty))


def sample_for(codes: float, within: float = 0.2, level: float = 0.95) -> float:
    """Return the fraction of all codes that, sampled at random, tells a key value of so many codes so narrowly.

    Of ``codes`` a sample shows a binomial share, and half of the interval is ``z * sqrt(codes * (1 - f) / f)``.
    """
    return float(1 / (1 + codes * (within / z_of(level)) ** 2))


@public(within=POSITIVE, fractions=FRACTIONS, largest=PROBABILITY)
def sample_to_collect(
    codes_per_key: float | Estimate,
    within: float = 0.2,
    *,
    fractions: Sequence[float] = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
    largest: float = 0.1,
    level: float = 0.95,
    trials: int = 2,
    seed: int = 0,
) -> Curve:
    """What sample of the codes must I collect? Return how wide the intervals of the largest key values are.

    Parameters
    ----------
    codes_per_key : float or Estimate
        How many codes the key values select, as far as is known: samples are drawn from these and estimated as
        `scmkit.estimate` does.
    within : float, default 0.2
        Half of the interval, as a share of the count, that is narrow enough.
    fractions : sequence of float
        Fractions of all codes that are tried, up to the second one that is enough.
    largest : float, default 0.1
        The share of the key values, those with the most codes, that count: they decide whether a call times out.
    level : float, default 0.95
        The probability of the intervals.
    trials, seed : int
        Samples that are drawn for each fraction.

    Returns
    -------
    Curve
        ``fraction``, ``codes`` (expected in the sample), ``width`` (the median of the largest key values); ``best``
        is the smallest fraction from which on ``width`` is at most ``within``.
    """
    counts = np.round(KeyValues.of(codes_per_key).counts.codes).astype(np.int64)
    first = np.argsort(-counts, kind="stable")[: max(round(largest * len(counts)), 1)]
    rng = np.random.default_rng(seed)
    lines = []
    for fraction in sorted(fractions):
        widths = []
        for _ in range(trials):
            found = from_sample(rng.binomial(counts, fraction).astype(float), fraction, level)
            widths.append(np.median((found.high - found.low)[first] / (2 * np.maximum(counts[first], 1))))
        lines.append((fraction, float(counts.sum() * fraction), float(np.mean(widths))))
        if [line[2] <= within for line in lines[-2:]] == [True, True]:
            break
    frame = pd.DataFrame(lines, columns=["fraction", "codes", "width"])
    best = _from_on(frame["fraction"], frame["width"] <= within)
    return Curve(
        frame, "fraction", "width", f"Width of the {level:.0%} intervals of the largest key values",
        ("codes in the sample (share of all)", "half of the interval (share of the count)"), within, best, "enough",
        "No fraction that was tried is enough: count them all." if best is None else
        f"A sample of {100 * best:.3g} % of the codes tells the largest key values to {within:.0%}.",
    )  # fmt: skip


def _from_on(xs: pd.Series, enough: pd.Series) -> float | None:
    """Return the first of some numbers from which on all are enough."""
    good = np.flip(np.cumprod(np.flip(enough.to_numpy(dtype=int))))
    return float(xs.iloc[int(np.argmax(good))]) if good.any() else None
