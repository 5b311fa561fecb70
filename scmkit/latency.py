"""`ServiceTime`: how many seconds a sync call takes, as a function of the codes it affects.

The model is ``seconds = (base + per_code * codes + per_item * items) * exp(noise * z)``, ``z`` standard normal:
work grows with the codes, and what disturbs it (load, caches, neighbours) multiplies. The parameters are held as
draws, so that every prediction averages over what is not known about them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scmkit import contract
from scmkit.errors import PlanError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

# The documented prior. The service says that fewer than 1,000 codes a call are recommended and that above 20,000 a call
# is in the danger zone of the 60 s gateway [seed]. These constants put the median of a call of 20,000 codes at 46 s,
# and 1,000 codes below 3 s; the split between base, codes and items is ours [assumed].
DOCUMENTED_BASE_S = 0.3
DOCUMENTED_PER_CODE_S = 46.0 / contract.DANGER_CODES
DOCUMENTED_PER_ITEM_S = 0.0005
DOCUMENTED_NOISE = 0.25  # log-sd of one call around its median [assumed]
DOCUMENTED_UNCERTAINTY = 0.35  # log-sd of what we do not know about the service's speed as a whole [assumed]
_DRAWS = 401
_NO_NOISE = 1e-12  # stands for 0 where a division by it must not fail


@dataclass(frozen=True)
class ServiceTime:
    """Seconds per sync call, with the uncertainty of the parameters as draws.

    Parameters
    ----------
    base_s : array of float, shape (draws,)
        Seconds that every call takes.
    per_code_s : array of float, shape (draws,)
        Seconds for each code affected.
    per_item_s : array of float, shape (draws,)
        Seconds for each item (key value) sent.
    noise : array of float, shape (draws,)
        Standard deviation of the logarithm of the seconds around their median.
    source : str
        Where the parameters come from, in words.
    """

    base_s: Floats
    per_code_s: Floats
    per_item_s: Floats
    noise: Floats
    source: str = field(default="given")

    def __post_init__(self) -> None:
        arrays = np.broadcast_arrays(*(np.atleast_1d(np.asarray(a, float)) for a in self._parameters))
        for name, values in zip(("base_s", "per_code_s", "per_item_s", "noise"), arrays, strict=True):
            if not np.all(np.isfinite(values)) or np.any(values < 0):
                raise PlanError(f"ServiceTime: {name} must be finite and not negative")
            object.__setattr__(self, name, values)
        if np.any(self.base_s + self.per_code_s <= 0):
            raise PlanError("ServiceTime: a call must take some time: base_s and per_code_s are both 0")

    @property
    def _parameters(self) -> tuple[Floats, Floats, Floats, Floats]:
        return self.base_s, self.per_code_s, self.per_item_s, self.noise

    @classmethod
    def documented(cls) -> ServiceTime:
        """Encode what the documentation says, as a prior with uncertainty.

        1,000 codes are safe (risk below 0.1 %), 20,000 codes are in the danger zone (risk between 10 % and
        60 %) of the 60 s gateway. Source of both figures: "Synchronous vs. Asynchronous Uploads" [seed].
        """
        from scipy.special import ndtri

        middle_of_strata = (np.arange(_DRAWS) + 0.5) / _DRAWS
        speed = np.exp(DOCUMENTED_UNCERTAINTY * ndtri(middle_of_strata))
        return cls(
            DOCUMENTED_BASE_S * speed, DOCUMENTED_PER_CODE_S * speed, DOCUMENTED_PER_ITEM_S * speed,
            np.full(_DRAWS, DOCUMENTED_NOISE), source="documented",
        )  # fmt: skip

    @classmethod
    def fixed(
        cls, base_s: float = 0.3, per_code_s: float = 0.003, per_item_s: float = 0.0005, noise: float = 0.1
    ) -> ServiceTime:
        """Make a service whose parameters are known; the sandbox runs on one."""
        return cls(np.array([base_s]), np.array([per_code_s]), np.array([per_item_s]), np.array([noise]), "fixed")

    def median_s(self, codes: ArrayLike, items: ArrayLike = 1) -> Floats:
        """Give the median seconds under each draw of the parameters, shape (..., draws)."""
        codes, items = _counts(codes, "codes"), _counts(items, "items")
        return np.asarray(
            self.base_s + codes[..., None] * self.per_code_s + items[..., None] * self.per_item_s, dtype=float
        )

    def timeout_risk(self, codes: ArrayLike, items: ArrayLike = 1, timeout_s: float = 60.0) -> Any:
        """Give the probability that a sync call takes longer than the gateway waits.

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
        from scipy.special import ndtr

        with np.errstate(divide="ignore"):  # a call without work takes no time: log 0 is -inf, and its risk 0
            room = math.log(_positive(timeout_s, "timeout_s")) - np.log(self.median_s(codes, items))
        at_limit = (room == 0) & (self.noise == 0)  # exactly in time
        risk = np.where(at_limit, 0.0, ndtr(-room / np.maximum(self.noise, _NO_NOISE))).mean(axis=-1)
        return float(risk) if np.ndim(risk) == 0 else risk

    def quantile(self, q: float, codes: ArrayLike, items: ArrayLike = 1) -> Any:
        """Give the seconds that a call stays below with probability ``q``, in the shape of the arguments."""
        from scipy.special import ndtr, ndtri

        if not 0 < q < 1:
            raise PlanError(f"a quantile lies between 0 and 1, not {q}")
        centre = np.log(self.median_s(codes, items))
        each = centre + self.noise * ndtri(q)
        low, high = each.min(axis=-1), each.max(axis=-1)
        for _ in range(50):  # bisection of the mixture's distribution function, down to 1e-12 or so
            middle = (low + high) / 2
            z = (middle[..., None] - centre) / np.maximum(self.noise, _NO_NOISE)
            below = ndtr(z).mean(axis=-1) < q
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        seconds = np.exp(high)
        return float(seconds) if np.ndim(seconds) == 0 else seconds

    def max_codes(self, risk: float, timeout_s: float = 60.0, items: int = 1) -> int:
        """Give the most codes that one sync call may affect with at most this risk of a timeout."""
        if not 0 < risk < 1:
            raise PlanError(f"risk is a probability between 0 and 1, not {risk}")
        if self.timeout_risk(0, items, timeout_s) > risk:
            return 0
        low, high = 0, 1
        while self.timeout_risk(high, items, timeout_s) <= risk:
            low, high = high, high * 2
            if high > 10**12:
                return low
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.timeout_risk(middle, items, timeout_s) <= risk else (low, middle)
        return low

    def draw(self, codes: ArrayLike, items: ArrayLike, rng: np.random.Generator) -> Floats:
        """Draw seconds for calls, a parameter set and a disturbance for each of them."""
        codes = _counts(codes, "codes")
        which = rng.integers(len(self.noise), size=codes.shape)
        base, per_code, per_item, noise = (p[which] for p in self._parameters)
        median = base + per_code * codes + per_item * _counts(items, "items")
        return np.asarray(median * np.exp(noise * rng.standard_normal(codes.shape)), dtype=float)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw seconds against codes, with the gateway's limit and the documented marks."""
        from scmkit import plots

        return plots.service_time(self, ax)

    def __repr__(self) -> str:
        return (
            f"<ServiceTime {self.source}: 1,000 codes take {self.quantile(0.5, 1000):.3g} s, "
            f"20,000 take {self.quantile(0.5, 20_000):.3g} s (timeout risk {self.timeout_risk(20_000):.1%})>"
        )


def _counts(values: ArrayLike, name: str) -> Floats:
    counts = np.asarray(values, dtype=float)
    if np.any(np.isnan(counts)) or np.any(counts < 0):
        raise PlanError(f"{name} must be counts of 0 or more, without missing values")
    return counts


def _positive(value: float, name: str) -> float:
    if not (math.isfinite(value) and value > 0):
        raise PlanError(f"{name} must be a positive number of seconds, not {value}")
    return value
