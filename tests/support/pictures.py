"""Every picture with one, six, 400 and 20,000 points: for tests, and to look at.

``python -m tests.support.pictures FOLDER`` draws each as a PNG, on white and on the black of a dark theme.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import scmkit
from scmkit import ServiceTime, capacity
from scmkit.core.display import png
from scmkit.core.results import draw
from scmkit.core.values import RowCounts

POINTS = (1, 6, 400, 20_000)
THEMES = {"light": (255, 255, 255), "dark": (17, 17, 17)}


def lots(count: int, seed: int = 1) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make a table of lots that all differ, and their codes: a few lots have very many."""
    rng = np.random.default_rng(seed)
    codes = np.minimum(np.exp(rng.normal(1.5, 1, count)).astype(int) + 1, 300)
    codes[: min(count, 2)] = (26_125, 4_200)[: min(count, 2)]
    names = [f"{at:06d}" for at in range(42, 42 + count)]
    table = pd.DataFrame({"lot_number": names, "wine_name": [f"Cuvee {at}" for at in range(count)]})
    return table, pd.DataFrame({"lot_number": np.repeat(names, codes)})


def each(count: int) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Return the pictures of so many lots, by name."""
    table, inventory = lots(count)
    plan = scmkit.plan(table, key="lot_number", inventory=inventory)
    single = plan if count == 1 else plan.otherwise("sync", batch=1)
    sample = inventory.sample(frac=0.5, random_state=1)
    guessed = scmkit.estimate(table, "lot_number", inventory=sample, sample_fraction=0.5)
    risk = scmkit.simulate(plan, trials=count, seed=1)
    seconds = np.random.default_rng(1).lognormal(0, 0.3, count)
    fitted = ServiceTime.fit(pd.DataFrame({"codes": 500, "items": 1, "seconds": seconds, "timed_out": False}))
    yield "plan", plan.plot
    yield "plan, a call per row", single.plot
    yield "estimate, exact", plan.estimate.plot
    yield "estimate, sampled", guessed.plot
    yield "risk", risk.plot
    yield "service time", fitted.plot
    yield "growth", capacity.growth(plan).plot
    yield "job", partial(draw, RowCounts(applied=count, rejected=count // 5))


MODEL = ServiceTime.fixed(base_s=0.5, per_code_s=0.003, per_item_s=0.001, noise=0.3)
CURVES: dict[str, Callable[[], capacity.Curve]] = {
    "risk by batch": lambda: capacity.risk_by_batch(100),
    "makespan by batch": lambda: capacity.makespan_by_batch(500, 20, MODEL, trials=50),
    "on time": lambda: capacity.on_time(500, 60, 20, batches=[1, 5], service_time=MODEL, trials=20),
    "fits in": lambda: capacity.fits_in(60, 20, service_time=MODEL, trials=20),
    "best workers": lambda: capacity.best_workers(500, 20, service_time=MODEL, trials=20),
    "calls to collect": lambda: capacity.calls_to_collect(within=0.05, calls=[20, 50], trials=2),
    "sample to collect": lambda: capacity.sample_to_collect(500, fractions=[0.01, 0.2]),
}


def planned() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Return the pictures of capacity planning, by name."""
    for name, make in CURVES.items():
        yield name, make().plot


def draw_all(folder: Path) -> None:
    """Write a sheet of pictures for each number of points and theme."""
    from io import BytesIO

    from PIL import Image

    for count, plots_of in [*((count, each(count)) for count in POINTS), (0, planned())]:
        drawn = [(name, Image.open(BytesIO(png(plot().figure))).convert("RGBA")) for name, plot in plots_of]
        for theme, paper in THEMES.items():
            for name, picture in drawn:
                page = Image.new("RGBA", picture.size, (*paper, 255))
                page.alpha_composite(picture)
                page.convert("RGB").save(folder / f"{name.replace(', ', '-').replace(' ', '_')}-{count}-{theme}.png")


if __name__ == "__main__":
    draw_all(Path(sys.argv[1]))
