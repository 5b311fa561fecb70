"""How often the intervals of a sample hold the truth: `python tests/support/interval_coverage.py [--quick]`.

A line is a law of fan-outs, a number of key values and the fraction of codes in the sample; the columns are the share
of 95 % intervals that hold the truth: of all key values, of those that the sample did not show, of calls as they are
planned (heaviest first, until the upper bounds fill a call), and of the sum. Exact truths in lumps (key values that
are all equal, or of very few codes) cannot be covered in 95 of 100 cases: there the number lies above.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from scmkit.estimation.fan_out import Uncertain, from_sample, sum_counts, total_from_sample

LEVEL = 0.95
SYNC_CODES = 9_000  # about as many as `plan` puts in a sync call
LARGEST = 10**6

Rng = np.random.Generator
Law = Callable[[int, float, Rng], np.ndarray]


def zipf(power: float) -> Law:
    """The r-th largest of all has r**-power times its codes."""

    def draw(keys: int, mean: float, rng: Rng) -> np.ndarray:
        shape = rng.permutation(1 / np.arange(1, keys + 1) ** power)
        return shape / shape.mean() * mean

    return draw


def lognormal(spread: float) -> Law:
    return lambda keys, mean, rng: mean * np.exp(spread * rng.standard_normal(keys) - spread**2 / 2)


LAWS: dict[str, Law] = {
    "equal": lambda keys, mean, rng: np.full(keys, mean),
    "lognormal, light": lognormal(0.7),
    "lognormal, heavy": lognormal(2.0),
    "Zipf 1.1": zipf(1.1),
    "Zipf 1.5": zipf(1.5),
    "Zipf 2": zipf(2.0),
    "geometric": lambda keys, mean, rng: rng.geometric(1 / mean, keys),
    "Pareto 1.5": lambda keys, mean, rng: mean / 3 * (1 + rng.pareto(1.5, keys)),
    "many small, few giants": lambda keys, mean, rng: np.where(
        rng.random(keys) < 0.03, rng.poisson(20 * mean, keys), rng.poisson(0.3 * mean, keys)
    ),
    "two sizes": lambda keys, mean, rng: np.where(rng.random(keys) < 0.5, mean / 5, 2 * mean),
    "uniform": lambda keys, mean, rng: rng.integers(1, int(2 * mean), keys),
    "a third without codes": lambda keys, mean, rng: np.where(rng.random(keys) < 0.3, 0, rng.poisson(mean, keys)),
}


class KnownKeys(NamedTuple):
    """The shares of intervals that hold the truth: of key values, of unseen ones, of calls, and of the sum."""

    key: float
    unseen: float
    call: float
    total: float


def draw(law: str, keys: int, mean: float, rng: Rng) -> np.ndarray:
    """Codes per key value of a made-up world; only one of the laws knows key values without codes."""
    least = 0 if law == "a third without codes" else 1
    return np.clip(np.round(LAWS[law](keys, mean, rng)), least, LARGEST).astype(np.int64)


def as_planned(high: np.ndarray, limit: float) -> tuple[np.ndarray, np.ndarray]:
    """Order the key values by upper bound and cut where those of a call would exceed the limit."""
    order = np.argsort(-high, kind="stable")
    filled = np.cumsum(high[order])
    cuts = [0]
    while cuts[-1] < len(high):
        before = filled[cuts[-1] - 1] if cuts[-1] else 0.0
        cuts.append(max(cuts[-1] + 1, int(np.searchsorted(filled, before + limit, side="right"))))
    return order, np.array(cuts)


def measure(law: str, keys: int, mean: float, fraction: float, worlds: int, level: float = LEVEL) -> KnownKeys:
    """Sample made-up worlds and count which intervals hold the truth."""
    held: list[list[np.ndarray]] = [[], [], [], []]
    for seed in range(worlds):
        rng = np.random.default_rng([seed, keys])
        true = draw(law, keys, mean, rng)
        seen = rng.binomial(true, fraction)
        known = from_sample(seen, fraction, level)
        inside = (known.low <= true) & (true <= known.high)
        held[0].append(inside)
        held[1].append(inside[seen == 0])
        for limit in (SYNC_CODES, known.high.sum() / 8):
            order, cuts = as_planned(known.high, limit)
            calls = sum_counts(Uncertain(*(values[order] for values in known)), cuts, level)
            sums = np.add.reduceat(true[order], cuts[:-1])
            held[2].append((np.floor(calls.low) <= sums) & (sums <= np.ceil(calls.high)))
        total = total_from_sample(seen, fraction, level)
        held[3].append(np.array([total.low <= true.sum() <= total.high]))
    # A world counts once, however many calls it has: they are wrong together. Unseen key values are rare in most.
    shares = [float(np.mean([each.mean() for each in kind])) for kind in (held[0], held[2], held[3])]
    unseen = np.concatenate(held[1])
    return KnownKeys(shares[0], float(unseen.mean()) if len(unseen) >= 50 else np.nan, *shares[1:])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer key values, fractions and worlds")
    parser.add_argument("--mean", type=float, default=200.0, help="codes per key value")
    parser.add_argument("--law", choices=LAWS, action="append", help="only these laws")
    asked = parser.parse_args()
    sizes = ((5, 200), (500, 20)) if asked.quick else ((5, 400), (50, 200), (500, 60), (5_000, 20), (20_000, 10))
    fractions = (0.005, 0.1) if asked.quick else (0.005, 0.05, 0.5)
    print(f"{'law':<24}{'keys':>7}{'fraction':>10}{'key':>8}{'unseen':>8}{'call':>8}{'sum':>8}")
    for law in asked.law or LAWS:
        for keys, worlds in sizes:
            for fraction in fractions:
                held = measure(law, keys, asked.mean, fraction, worlds)
                cells = "".join("      - " if np.isnan(share) else f"{share:8.1%}" for share in held)
                print(f"{law:<24}{keys:>7,}{fraction:>10}{cells}", flush=True)


if __name__ == "__main__":
    main()
