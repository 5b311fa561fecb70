"""What `.plot()` returns shows its picture in a notebook, once, whatever else draws there."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from IPython.core.formatters import DisplayFormatter
from IPython.core.pylabtools import select_figure_formats
from matplotlib import pyplot

import scmkit
from scmkit import ServiceTime, capacity
from scmkit.plots import results as plots

LOTS = pd.DataFrame({"lot_number": ["1", "2"], "wine_name": ["a", "b"]})
CODES = pd.DataFrame({"lot_number": ["1", "1", "2"]})


def plan() -> scmkit.Plan:
    return LOTS.scm.plan(key="lot_number", inventory=CODES)


DRAWN: dict[str, Callable[..., Any]] = {
    "estimate": lambda ax=None: plan().estimate.plot(ax),
    "service time": lambda ax=None: ServiceTime.documented().plot(ax),
    "plan": lambda ax=None: plan().plot(ax),
    "risk": lambda ax=None: scmkit.simulate(plan(), trials=20, seed=1).plot(ax),
    "curve": lambda ax=None: capacity.growth(plan()).plot(ax),
    "job": lambda ax=None: plots.job(SimpleNamespace(counts=lambda: {"applied": 2}), ax),
}


def shown(result: object, inline: bool) -> dict[str, Any]:
    """What a cell with this last line shows, with ``%matplotlib inline`` or without."""
    formatter = DisplayFormatter(active_types=["text/plain", "text/html", "image/png", "image/svg+xml"])
    if inline:
        select_figure_formats(SimpleNamespace(display_formatter=formatter), {"png"})
    return formatter.format(result)[0]


@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize("name", DRAWN)
def test_a_plot_shows_its_picture_once(name: str, inline: bool) -> None:
    """Axes and figure are one PNG each, no name of an object stands there, and pyplot has no figure to show again."""
    ax = DRAWN[name]()
    for result in (ax, ax.figure):
        bundle = shown(result, inline)
        assert set(bundle) == {"text/plain", "image/png"}
        assert bundle["text/plain"].startswith("<scmkit p")
        assert ax.get_title() in bundle["text/plain"]
    assert pyplot.get_fignums() == []


def test_the_pictures_of_the_explorer_are_shown() -> None:
    """`CapacityExplorer.picture` gives a figure that a notebook shows as a picture, as plots are."""
    explorer = scmkit.CapacityExplorer()
    assert set(shown(explorer.picture(), inline=False)) == {"text/plain", "image/png"}
    explorer.close()


@pytest.mark.parametrize("name", DRAWN)
def test_given_axes_are_drawn_on_and_returned(name: str) -> None:
    """A plot goes onto the axes that it is given, those of another plot too, and returns them to go on with."""
    ax = plots.new_axes()
    assert DRAWN[name](ax) is ax
    ax.set_title("my own")
    assert "my own" in shown(ax, inline=False)["text/plain"]
