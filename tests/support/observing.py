"""Made-up calls of a service, and how honest the risks are that are predicted for them."""

from collections.abc import Callable

import numpy as np
import pandas as pd


def observe(
    seconds_of: Callable[[np.ndarray, np.ndarray], np.ndarray], per_code_s: float, calls: int, rng: np.random.Generator
) -> pd.DataFrame:
    """Make calls of many sizes, about a fifth of which run into the gateway."""
    codes = np.round(np.exp(rng.uniform(np.log(300), np.log(3.2 * 60 / per_code_s), calls)))
    items = rng.integers(1, 50, calls)
    seconds = seconds_of(codes, items)
    return pd.DataFrame(
        {"codes": codes, "items": items, "seconds": np.minimum(seconds, 60.0), "timed_out": seconds > 60}
    )


def calibration_error(risks: np.ndarray, happened: np.ndarray) -> float:
    """The expected calibration error over ten bins of equal width."""
    at = np.minimum((risks * 10).astype(int), 9)
    return float(sum(abs(risks[at == b].mean() - happened[at == b].mean()) * (at == b).mean() for b in np.unique(at)))
