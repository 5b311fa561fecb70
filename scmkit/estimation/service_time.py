"""`ServiceTime`: how many seconds a sync call takes, as a function of the codes it affects.

The median is ``base + per_code * codes + per_item * items``, with ``codes`` bent by a ``power`` near 1: work grows with
the codes. What disturbs it (load, caches, neighbours) multiplies: by ``exp(noise * z)``, ``z`` standard normal but for
a ``skew``, and a ``slow_share`` of the calls takes ``slow_times`` as long on top. The parameters are held as draws, so
that every prediction averages over what is not known about them.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scmkit.core import contract, display, results
from scmkit.core.arguments import DRAWS, PROBABILITY
from scmkit.core.arrays import Bools, Floats, Ints
from scmkit.core.errors import PlanError, ServiceChangedWarning
from scmkit.core.search import largest_that, turning_point
from scmkit.estimation.fitting import (
    NAMES,
    Observations,
    from_normal,
    median_s,
    posterior_draws,
    prior_draws,
    to_normal,
    updated_draws,
)
from scmkit.tables.arguments import public

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_NO_NOISE = 1e-12  # stands for 0 where a division by it, or its logarithm, must not fail
_FAR = 30.0  # e-foldings
_NODES = 64  # for the mean of a disturbance
_MOST = 1 << 39  # codes of a call that are looked at: no service has more
_BLOCK = 4_096  # calls whose seconds under all draws are held in memory at a time
DOCUMENTED = "documented"  # the source of what no call has shown yet
FEW_CALLS = 10  # below this, the prior says more than the calls [assumed]
CHANGED_Z = 3.5  # a drift this many standard errors large does not happen by itself


@dataclass(frozen=True)
class FitCheck:
    """How well observed calls agree with the model that was fitted to them.

    Attributes
    ----------
    calls, timed_out : int
        Observations, and how many of them are right-censored.
    residual_sd : float
        Standard deviation of the standardised residuals; near 1 when the noise is described well.
    wild : int
        Observations that have nothing to do with the model.
    drift_z : float
        How much slower the later half was than the earlier one, in standard errors.
    """

    calls: int
    timed_out: int
    residual_sd: float
    wild: int
    drift_z: float

    @property
    def changed(self) -> bool:
        """Whether the service became faster or slower while the calls were made."""
        return abs(self.drift_z) > CHANGED_Z


@public()
@dataclass(frozen=True)
class ServiceTime:
    """Seconds per sync call, with the uncertainty of the parameters as draws.

    Parameters
    ----------
    base_s : array of float, shape (draws,)
        Seconds that every call takes.
    per_code_s : array of float, shape (draws,)
        Seconds for each code affected, in a call of 20,000 codes.
    per_item_s : array of float, shape (draws,)
        Seconds for each item (key value) sent.
    noise : array of float, shape (draws,)
        Standard deviation of the logarithm of the seconds around their median.
    source : str
        Where the parameters come from, in words.
    power : array of float, shape (draws,)
        The power of the codes with which the work grows; 1 where each code takes as long.
    skew : array of float, shape (draws,)
        0 where a call is as often twice as slow as it is twice as fast; above 0 where slow ones are further away.
    slow_share, slow_times : array of float, shape (draws,)
        The share of calls that are slow for no reason of theirs, and how many times as long they take.
    """

    base_s: Floats
    per_code_s: Floats
    per_item_s: Floats
    noise: Floats
    source: str = field(default="given")
    check: FitCheck | None = field(default=None, repr=False)
    power: Floats = field(default_factory=lambda: np.ones(1))
    skew: Floats = field(default_factory=lambda: np.zeros(1))
    slow_share: Floats = field(default_factory=lambda: np.zeros(1))
    slow_times: Floats = field(default_factory=lambda: np.ones(1))

    def __post_init__(self) -> None:
        arrays = np.broadcast_arrays(*(np.atleast_1d(np.asarray(a, float)) for a in self._parameters))
        for name, values in zip(NAMES, arrays, strict=True):
            if not np.all(np.isfinite(values)) or (np.any(values < 0) and name != "skew"):
                raise PlanError(f"ServiceTime: {name} must be finite and not negative")
            object.__setattr__(self, name, values)
        if np.any(self.base_s + self.per_code_s <= 0):
            raise PlanError("ServiceTime: a call must take some time: base_s and per_code_s are both 0")
        if np.any(self.slow_share > 1) or np.any(self.slow_times < 1) or np.any(self.power == 0):
            raise PlanError("ServiceTime: slow_share is at most 1, slow_times at least 1, and power above 0")

    @property
    def _parameters(self) -> tuple[Floats, ...]:
        return tuple(getattr(self, name) for name in NAMES)

    @classmethod
    def documented(cls) -> ServiceTime:
        """Encode what the documentation says, as a prior with uncertainty.

        1,000 codes are safe (risk below 0.1 %), 20,000 codes are in the danger zone (risk between 10 % and
        60 %) of the 60 s gateway. Source of both figures: "Synchronous vs. Asynchronous Uploads" [seed].
        """
        return cls._of(prior_draws(), DOCUMENTED)

    @classmethod
    @public()
    def fit(cls, calls: Any, kind: str | None = None) -> ServiceTime:
        """Update the documented prior with observed calls.

        Parameters
        ----------
        calls : DataFrame or mapping of columns
            ``codes``, ``items``, ``seconds`` and ``timed_out`` of each call, oldest first, such as ``job.calls`` or
            `scmkit.history`. A timed-out call is right-censored at its ``seconds``: it would have taken longer. Where
            there is a column ``mode``, async calls are left out; where there is ``outcome``, calls without a known
            end are.
        kind : str, optional
            Use the calls of this ``key`` only: ``extended_id`` and SCM keys may differ.

        Returns
        -------
        ServiceTime
            With few calls the prior speaks, with many the data; ``source`` says which, ``check`` how well they agree.
            Of more than 2,000 calls the latest of each size are used, and ``check`` still looks at all of them.

        Raises
        ------
        PlanError
            Columns are missing, no call was completed, or values are negative or missing.

        Warns
        -----
        ServiceChangedWarning
            The later calls were much slower or faster than the earlier ones.
        """
        columns = _observed(calls, kind)
        observed = Observations(**columns)
        used = observed.thinned()
        draws = posterior_draws(used)
        check = _check(observed, draws)
        if check.changed:
            way = "slower" if check.drift_z > 0 else "faster"
            warnings.warn(
                f"the service became {way} while these {check.calls} calls were made: the latest count most",
                ServiceChangedWarning,
                stacklevel=4,
            )
        few = ", too few to say much: the documented prior speaks" if check.calls < FEW_CALLS else ""
        of = f"{len(used.codes):,} of " if len(used.codes) < check.calls else ""
        source = f"fitted to {of}{check.calls:,} calls, {check.timed_out:,} of them timed out{few}"
        return cls._of(draws, source, check)

    @classmethod
    @public()
    def fixed(
        cls, base_s: float = 0.3, per_code_s: float = 0.003, per_item_s: float = 0.0005, noise: float = 0.1
    ) -> ServiceTime:
        """Make a service whose parameters are known; the sandbox runs on one."""
        return cls(np.array([base_s]), np.array([per_code_s]), np.array([per_item_s]), np.array([noise]), "fixed")

    def times(self, factor: float) -> ServiceTime:
        """Return the same service, so many times slower."""
        slower = {name: getattr(self, name) * factor for name in ("base_s", "per_code_s", "per_item_s")}
        return replace(self, **slower)

    def after(self, calls: Sequence[tuple[float, float, float, bool]]) -> ServiceTime:
        """Update quickly with a few calls: codes, items, seconds, timed out. What is known exactly stays as it is."""
        codes, items, seconds, timed_out = np.array(calls, dtype=float).T
        draws = np.column_stack(self._parameters)
        if len(draws) == 1:
            return self
        observed = Observations(codes, items, seconds, timed_out > 0).thinned()
        updated = updated_draws(np.where(draws == 0, _NO_NOISE, draws), observed)
        return self._of(updated, f"{self.source}, updated with {len(codes):,} calls", self.check)

    @classmethod
    def _of(cls, draws: Floats, source: str, check: FitCheck | None = None) -> ServiceTime:
        return cls(**dict(zip(NAMES, draws.T, strict=True)), source=source, check=check)

    @property
    def untested(self) -> bool:
        """Whether all that is known is what the documentation says."""
        return self.source == DOCUMENTED

    @property
    def draws(self) -> int:
        """How many parameter sets there are."""
        return len(self.noise)

    @property
    def parameters(self) -> dict[str, dict[str, float]]:
        """Return for each parameter its ``median``, ``low`` and ``high`` (95 %), and ``log_se``.

        ``log_se`` is the standard deviation of the parameter's logarithm, 0 where it is known; of ``skew``, which may
        be negative, its own.
        """
        return {name: _spread(values, name) for name, values in zip(NAMES, self._parameters, strict=True)}

    def median_s(self, codes: ArrayLike, items: ArrayLike = 1) -> Floats:
        """Return the median seconds under each draw of the parameters, shape (..., draws)."""
        codes, items = _counts(codes, "codes"), _counts(items, "items")
        return median_s(codes[..., None], items[..., None], self.base_s, self.per_code_s, self.per_item_s, self.power)

    @cached_property
    def _above_median(self) -> Floats:
        """How many times its median a call takes on average, under each draw."""
        from scipy.special import ndtri

        z = ndtri((np.arange(_NODES) + 0.5) / _NODES)[:, None]
        usual = np.exp(self.noise * from_normal(z, self.skew)).mean(axis=0)
        return np.asarray(usual * (1 + self.slow_share * (self.slow_times - 1)))

    def mean_of_draws(self, codes: ArrayLike, items: ArrayLike = 1) -> Floats:
        """Return the mean seconds under each draw of the parameters, shape (..., draws)."""
        return self.median_s(codes, items) * self._above_median

    def mean_s(self, codes: ArrayLike, items: ArrayLike = 1) -> Floats:
        """Return the mean seconds over all that is not known, in the shape of the arguments."""
        both = np.stack(np.broadcast_arrays(_counts(codes, "codes"), _counts(items, "items")), axis=-1)
        distinct, which = np.unique(both.reshape(-1, 2), axis=0, return_inverse=True)
        blocks = np.array_split(distinct, 1 + len(distinct) // _BLOCK)
        means = [self.mean_of_draws(b[:, 0], b[:, 1]).mean(axis=-1) for b in blocks]
        return np.asarray(np.concatenate(means)[which].reshape(both.shape[:-1]))

    @public(codes=DRAWS, items=DRAWS)
    def timeout_risk(
        self, codes: ArrayLike, items: ArrayLike = 1, timeout_s: float = contract.GATEWAY_TIMEOUT_S
    ) -> Any:
        """Return the probability that a sync call takes longer than the gateway waits.

        Parameters
        ----------
        codes : int or array of int
            Codes affected by the call.
        items : int or array of int
            Key values sent in the call.
        timeout_s : float, default 60
            Seconds after which the gateway answers 504 [seed].

        Returns
        -------
        float or array of float
            Between 0 and 1, in the shape of the arguments.
        """
        room = math.log(timeout_s)
        with np.errstate(divide="ignore"):  # a call without work takes no time: log 0 is -inf, and its risk 0
            risk = self._longer(room, np.log(self.median_s(codes, items)))
        return float(risk) if np.ndim(risk) == 0 else risk

    def _longer(self, log_seconds: Any, log_median: Floats) -> Floats:
        """Return the probability that calls take longer, averaged over the draws, which are the last axis."""
        from scipy.special import ndtr

        def beyond(room: Floats) -> Floats:
            z = to_normal(np.clip(room, -_FAR, _FAR) / np.maximum(self.noise, _NO_NOISE), self.skew)[0]
            return np.where((room == 0) & (self.noise == 0), 0.0, ndtr(-z))  # 0: exactly in time

        room = log_seconds - log_median
        usual, slow = beyond(room), self.slow_share
        if slow.any():
            usual = (1 - slow) * usual + slow * beyond(room - np.log(self.slow_times))
        return np.asarray(usual.mean(axis=-1))

    @public(q=PROBABILITY, codes=DRAWS, items=DRAWS)
    def quantile(self, q: float, codes: ArrayLike, items: ArrayLike = 1) -> Any:
        """Return the seconds that a call stays below with probability ``q``, in the shape of the arguments."""
        centre = np.log(self.median_s(codes, items))
        low, high = centre.min(axis=-1) - _FAR, centre.max(axis=-1) + _FAR
        # The mixture's distribution function is inverted down to 1e-12 or so.
        seconds = np.exp(turning_point(lambda at: self._longer(at[..., None], centre) > 1 - q, low, high, 60))
        return float(seconds) if np.ndim(seconds) == 0 else seconds

    @public(items=DRAWS)
    def max_codes(self, risk: float, timeout_s: float = contract.GATEWAY_TIMEOUT_S, items: int = 1) -> int:
        """Return the most codes that one sync call may affect with at most this risk of a timeout."""
        if self.timeout_risk(0, items, timeout_s) > risk:
            return 0
        return largest_that(lambda codes: bool(self.timeout_risk(codes, items, timeout_s) <= risk), _MOST)

    def draw(self, codes: ArrayLike, items: ArrayLike, rng: np.random.Generator) -> Floats:
        """Draw seconds for calls, a parameter set and a disturbance for each of them."""
        codes = _counts(codes, "codes")
        return self.draw_with(rng.integers(self.draws, size=codes.shape), codes, _counts(items, "items"), rng)

    def draw_with(self, which: Ints, codes: Floats, items: Any, rng: np.random.Generator) -> Floats:
        """Draw seconds for calls under the parameter sets with these numbers, which broadcast against the calls."""
        base, per_code, per_item, noise, power, skew, slow, times = (p[which] for p in self._parameters)
        disturbance = from_normal(rng.standard_normal(np.shape(codes)), skew)
        seconds = median_s(codes, items, base, per_code, per_item, power) * np.exp(noise * disturbance)
        if self.slow_share.any():
            seconds = np.where(rng.random(np.shape(codes)) < slow, times, 1) * seconds
        return np.asarray(seconds, dtype=float)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw seconds against codes, with the gateway's limit and the documented marks."""
        return results.draw(self, ax)

    def _repr_html_(self) -> str:
        return display.card("Seconds per call", {"from": self.source}, results.picture(self))

    def __repr__(self) -> str:
        return (
            f"<ServiceTime {self.source}: 1,000 codes take {self.quantile(0.5, 1000):.3g} s, "
            f"20,000 take {self.quantile(0.5, 20_000):.3g} s (timeout risk {self.timeout_risk(20_000):.1%})>"
        )


def _counts(values: ArrayLike, name: str) -> Floats:
    counts = np.asarray(values, dtype=float)
    if not np.all(np.isfinite(counts)) or np.any(counts < 0):
        raise PlanError(f"{name} must be counts of 0 or more, without missing values")
    return counts


def _spread(values: Floats, name: str) -> dict[str, float]:
    low, middle, high = np.quantile(values, [0.025, 0.5, 0.975])
    known = np.ptp(values) == 0
    log_se = 0.0 if known else float((values if name == "skew" else np.log(values)).std())
    return {"median": float(middle), "low": float(low), "high": float(high), "log_se": log_se}


def _observed(calls: Any, kind: str | None) -> dict[str, NDArray[Any]]:
    """Take the columns of calls that say something about the service, and refuse what cannot be."""
    missing = [name for name in ("codes", "items", "seconds", "timed_out") if name not in calls]
    if missing:
        raise PlanError(f"calls lack {', '.join(missing)}: codes, items, seconds and timed_out are needed")
    timed_out = np.asarray(calls["timed_out"], dtype=bool)
    use = np.ones(len(timed_out), dtype=bool)
    if "mode" in calls:
        use &= np.asarray(calls["mode"]) == "sync"
    if "outcome" in calls:
        use &= timed_out | (np.asarray(calls["outcome"]) == "applied")
    if kind is not None and "key" not in calls:
        raise PlanError("kind= needs calls with a column 'key', such as scmkit.history() gives")
    if kind is not None:
        use &= np.asarray(calls["key"]) == kind
    columns = {name: _numbers(calls[name], name, use) for name in ("codes", "items", "seconds")}
    if not np.any(~timed_out[use]):
        raise PlanError("no completed call among the observations: nothing says how long the service takes")
    return {**columns, "timed_out": timed_out[use]}


def _numbers(values: Any, name: str, use: Bools) -> Floats:
    chosen = [value for value, used in zip(values, use, strict=True) if used]
    numbers = np.array([math.nan if value is None or value != value else float(value) for value in map(_plain, chosen)])
    least = 0.0 if name != "seconds" else np.nextafter(0, 1)
    wrong = np.flatnonzero(~(np.isfinite(numbers) & (numbers >= least)))
    if len(wrong):
        at = int(np.flatnonzero(use)[wrong[0]])
        raise PlanError(f"call {at}: {name} is {chosen[wrong[0]]!r}, and must be a number above or equal to 0")
    return numbers


def _plain(value: Any) -> Any:
    """Turn pandas' missing value, which refuses comparison, into None."""
    return None if type(value).__name__ == "NAType" else value


def _check(observed: Observations, draws: Floats) -> FitCheck:
    """Compare the calls with the middle of the posterior; a censored one counts with what is expected beyond."""
    from scipy.special import log_ndtr

    z = observed.residuals(np.median(draws, axis=0)[None])[0]
    beyond = np.exp(-0.5 * z**2 - log_ndtr(-z)) / math.sqrt(2 * math.pi)
    residuals = np.clip(np.where(observed.timed_out, beyond, z), -4, 4)
    half = len(residuals) // 2
    drift = 0.0
    if half >= FEW_CALLS // 2:
        early, late = residuals[:half], residuals[half:]
        drift = (late.mean() - early.mean()) / math.sqrt(1 / len(early) + 1 / len(late))
    wild = int((np.abs(z[~observed.timed_out]) > 5).sum())
    return FitCheck(len(z), int(observed.timed_out.sum()), float(residuals.std()), wild, float(drift))
