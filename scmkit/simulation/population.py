"""Key values to come: each selects as many codes as one of an estimate, drawn at random; and the calls made of them.

What a call of so many key values affects is a sum of that many draws. Its distribution is computed, not approximated by
two moments: a few giants decide the risk, and no bell curve knows them. The convolution is the Fourier transform of one
key value's distribution to that power, tilted by an exponential so that nothing wraps around (Gruebel and Hermesmeier,
1999).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from scmkit.core.arrays import Floats, Ints
from scmkit.core.errors import PlanError
from scmkit.estimation.estimate import Estimate
from scmkit.estimation.fan_out import Bounds, Uncertain, z_of
from scmkit.estimation.service_time import ServiceTime
from scmkit.planning.trials import INTERVAL_S, Schedule, log_sd, play

CELLS = 8_192  # of the distribution of a call's codes
TILT = 20.0  # what wraps around is exp(-TILT) of itself
BEYOND = 0.999  # codes of which so many calls time out are too many, whatever they are
NEVER = 1e-6
# Nodes of what is not known, in sd; far up, since the square of a wide lognormal lives there.
OWN, COMMON = np.linspace(-4, 7, 34), np.linspace(-3.5, 5.5, 19)
PLAYED_ROWS = 2_000_000
DAY_S = 86_400


class Depth(NamedTuple):
    """How much of a long upload is played; the rest takes as long as the later half of it.

    Attributes
    ----------
    calls : int
    shuffled : int
        Trials that are played with the same order of the key values.
    """

    calls: int = 1_200
    shuffled: int = 10


FULLY = Depth()


@dataclass(frozen=True, eq=False)
class KeyValues:
    """Codes per key value, of which those to come are drawn.

    Parameters
    ----------
    counts : Uncertain
        Of each: mean, bounds, standard deviation and what all have in common.
    level : float
        The probability with which the bounds hold.
    """

    counts: Uncertain
    level: float = 0.95

    @classmethod
    def of(cls, codes_per_key: float | Estimate) -> KeyValues:
        """Take the key values of an estimate, or a number that is the same for all."""
        if isinstance(codes_per_key, Estimate):
            values = cls(codes_per_key.counts, codes_per_key.level)
        else:
            codes = np.array([float(codes_per_key)])
            values = cls(Uncertain(codes, codes, codes, 0 * codes, 0 * codes))
        if not (np.isfinite(values.mean) and values.mean > 0):
            raise PlanError(f"codes per key value must be a number above 0, not {values.mean}")
        return values

    @classmethod
    def alike(cls, codes: float, log_sd: float) -> KeyValues:
        """Take key values that are all the same, of which it is not known how many codes they select."""
        z = z_of(cls.level)
        low, high = (np.array([codes * np.exp(side * z * log_sd - log_sd**2 / 2)]) for side in (-1, 1))
        sd = np.array([codes * np.sqrt(np.expm1(log_sd**2))])
        return cls(Uncertain(np.array([codes]), low, high, sd, sd))

    @cached_property
    def mean(self) -> float:
        """The codes of a key value on average."""
        return float(self.counts.codes.mean()) if len(self.counts.codes) else 0.0

    def times(self, factor: float) -> KeyValues:
        """Return key values that each select so many times the codes."""
        return KeyValues(Uncertain(*(values * factor for values in self.counts)), self.level)

    def drawn(self, rows: int, rng: np.random.Generator) -> Ints:
        """Return the numbers of the key values of an upload: each as often as the others, in random order."""
        kinds = len(self.counts.codes)
        if kinds == 1:
            return np.zeros(rows, dtype=np.int64)
        turns = np.tile(np.arange(kinds), (-(-rows // kinds), 1))
        return np.asarray(rng.permuted(turns, axis=1).ravel()[:rows])

    def schedule(self, order: Ints, size: int, service: Service) -> Schedule:
        """Return the sync calls of so many key values each that send these ones, in this order."""
        offsets = np.append(np.arange(0, len(order), size), len(order))
        rows = Uncertain(*(values[order] for values in self.counts))
        is_async = np.zeros(len(offsets) - 1, dtype=bool)
        return Schedule.of_rows(is_async, offsets, rows, self.level, **service._asdict())

    @cached_property
    def known(self) -> tuple[Floats, Floats, Floats, Floats]:
        """The kinds of key values: codes, log-sd of their own, log-sd in common with all others, and their shares."""
        kinds, number = np.unique(np.column_stack(self.counts), axis=0, return_counts=True)
        counts = Uncertain(*kinds.T)
        spread = log_sd(Bounds(*counts[:3]), self.level)
        common = np.minimum(counts.shared / np.maximum(counts.sd, 1e-9), 1)
        return counts.codes, spread * np.sqrt(1 - common**2), spread * common, number / number.sum()


class Service(NamedTuple):
    """Who answers the calls, and how many are under way at a time."""

    model: ServiceTime
    workers: int
    timeout_s: float

    def crowded(self, workers: int, slowdown: float, undisturbed: int = 1) -> Service:
        """Return the same with so many workers, each of which beyond the undisturbed ones slows all calls so much."""
        return Service(self.model.times(1 + slowdown * max(workers - undisturbed, 0)), workers, self.timeout_s)

    def codes_a_day(self, codes: ArrayLike, items: ArrayLike, lost: Floats, risk: float) -> int:
        """Return what calls of the best of some sizes do within a risk: bound by the workers, and by the pace."""
        seconds = np.minimum(self.model.mean_s(codes, items), self.timeout_s)
        rate = np.minimum(self.workers / np.maximum(seconds, 1e-9), 1 / INTERVAL_S) * np.asarray(codes) * (1 - lost)
        return int(DAY_S * np.max(rate, where=lost <= risk, initial=0))


class CallRisk:
    """The timeout risk of a sync call of key values that are drawn at random."""

    def __init__(self, values: KeyValues, model: ServiceTime, timeout_s: float) -> None:
        self._model, self._timeout_s = model, timeout_s
        codes, own, common, share = values.known
        self._weights, factors = _nodes(COMMON, common)  # of what is common: (nodes, kinds)
        self._alike = codes * factors if len(codes) == 1 and not own.any() else None
        if self._alike is not None:
            return
        top = float(max(model.max_codes(BEYOND, timeout_s), 1))
        low = float(model.max_codes(NEVER, timeout_s))
        self._step = max(top / CELLS, 1.0)
        self._codes = self._step * np.arange(CELLS)
        self._looked_at = np.concatenate([np.linspace(0, low, 16, endpoint=False), np.geomspace(max(low, 1), top, 48)])
        self._tilt = np.exp(-TILT / CELLS * np.arange(CELLS))
        own_weights, own_factors = _nodes(OWN, own)
        each = (codes * own_factors, np.outer(own_weights, share))
        self._spectra = np.array([np.fft.rfft(self._tilt * self._cells(each[0] * f, each[1])) for f in factors])

    def __call__(self, size: int) -> float:
        """Return the risk of a call of so many key values."""
        if self._alike is not None:
            alone = np.asarray(self._model.timeout_risk(size * self._alike[:, 0], size, self._timeout_s))
            return float(self._weights @ alone)
        chances = np.fft.irfft(self._weights @ self._spectra ** float(size), CELLS) / self._tilt
        longer = np.asarray(self._model.timeout_risk(self._looked_at, size, self._timeout_s))
        risk = chances @ np.interp(self._codes, self._looked_at, longer) + 1 - chances.sum()
        return float(np.clip(risk, 0, 1))

    def _cells(self, codes: Floats, weights: Floats) -> Floats:
        """Put each count in the two cells beside it, so that the mean stays; what is beyond them times out."""
        place = codes.ravel() / self._step
        inside = place < CELLS - 1
        place, weight = place[inside], weights.ravel()[inside]
        below = place.astype(np.int64)
        right = place - below
        cells = np.bincount(below, weight * (1 - right), CELLS) + np.bincount(below + 1, weight * right, CELLS)
        return np.asarray(cells)


def _nodes(z: Floats, log_sd: Floats) -> tuple[Floats, Floats]:
    """Return weights of nodes, and lognormal factors with mean 1 there, (nodes, kinds); one node for what is known."""
    if not log_sd.any():
        return np.ones(1), np.ones((1, len(log_sd)))
    weights = np.exp(-(z**2) / 2)
    weights /= weights.sum()
    factors = np.exp(np.outer(z, log_sd))
    return weights, factors / (weights @ factors)


class Ends(NamedTuple):
    """Seconds until the end, and calls made again, of each trial."""

    seconds: Floats
    resends: Floats


def play_upload(
    values: KeyValues, rows: int, size: int, service: Service, trials: int, seed: int, depth: Depth = FULLY
) -> Ends:
    """Play sync calls of so many key values each, drawn at random; of a long upload the beginning stands for the rest.

    The rest is taken to go on as between the middle and the end of what was played: what starting and ending take is in
    both and counts once. Trials differ by their service, for the whole upload, and by chance, which evens out.
    """
    parts = np.array_split(np.arange(trials), 1 if len(values.counts.codes) == 1 else -(-trials // depth.shuffled))
    seeds = np.random.SeedSequence(seed).spawn(len(parts))
    calls = 2 * (min(depth.calls, max(PLAYED_ROWS // size, 2 * service.workers)) // 2)
    of_all = min(rows, calls * size)
    played = [_play_order(values, rows, of_all, size, service, len(p), s) for p, s in zip(parts, seeds, strict=True)]
    both = zip(*played, strict=True)
    beginning, later = (Ends(*(np.concatenate(column) for column in zip(*ends, strict=True))) for ends in both)
    more = 2 * (rows / of_all - 1)
    if not more:
        return beginning
    seconds = service.model.mean_of_draws(values.mean * size, size)
    unlike = float(seconds.std() / seconds.mean())  # how much services differ, as a share
    return Ends(*(begun + _going_on(half, more, unlike) for begun, half in zip(beginning, later, strict=True)))


def _going_on(later: Floats, more: float, unlike: float) -> Floats:
    """Return what so many times the later half takes in each trial."""
    mean, variance = later.mean(), later.var()
    lasting = min(variance, (unlike * mean) ** 2)
    wider = np.sqrt((more**2 * lasting + more * (variance - lasting)) / max(variance, 1e-12))
    return np.asarray(np.maximum(more * mean + wider * (later - mean), 0))


def _play_order(
    values: KeyValues, rows: int, of_all: int, size: int, service: Service, trials: int, seed: np.random.SeedSequence
) -> tuple[Ends, Ends]:
    """Play the beginning in one order; return the ends, and what of them the later half takes, where more follows."""
    shuffle, dice = seed.spawn(2)
    order = values.drawn(of_all, np.random.default_rng(shuffle))

    def played(count: int) -> Ends:
        found = play(values.schedule(order[:count], size, service), trials, np.random.default_rng(dice))
        return Ends(found.end, found.resends)

    whole = played(of_all)
    half = whole if of_all == rows else played(of_all // 2)
    return whole, Ends(whole.seconds - half.seconds, whole.resends - half.resends)
