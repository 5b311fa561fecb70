"""What `.plot()` returns shows its picture in a notebook, once, whatever else draws there."""

import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from IPython.core.formatters import DisplayFormatter
from IPython.core.pylabtools import select_figure_formats
from matplotlib import pyplot
from matplotlib.colors import to_rgb

import scmkit
from scmkit import ServiceTime, capacity
from scmkit.core.results import draw
from scmkit.core.values import RowCounts
from scmkit.plots import drawings as plots
from scmkit.plots import style
from tests.support import pictures

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
    "job": lambda ax=None: draw(RowCounts(applied=2), ax),
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


def boxes(ax: Any) -> list[tuple[str, Any]]:
    """The texts of a picture that are not blank, and where each stands, without those on the margin of their axis."""
    ax.figure.draw_without_rendering()
    labels = [*ax.get_xticklabels(), *ax.get_yticklabels(), ax.title, ax.xaxis.label, ax.yaxis.label, *ax.texts]
    labels += ax.get_legend().get_texts() if ax.get_legend() else []
    return [(text.get_text(), text.get_window_extent()) for text in labels if text.get_text().strip()]


COUNTS = [1, 6, pytest.param(400, marks=pytest.mark.slow), pytest.param(20_000, marks=pytest.mark.slow)]


@pytest.mark.parametrize("count", COUNTS)
def test_no_words_of_a_picture_overlap(count: int) -> None:
    """Titles, marks of axes, legends and the words of lines stand apart, and paper and axes are transparent."""
    for name, plot in [*pictures.each(count), *(pictures.planned() if count == 1 else [])]:
        ax = plot()
        found = boxes(ax)
        for (one, a), (other, b) in itertools.combinations(found, 2):
            assert not a.overlaps(b), (name, count, one, other)
        assert (ax.figure.get_facecolor()[3], ax.get_facecolor()[3]) == (0, 0), name
        size = ax.figure.get_tightbbox()
        assert (size.width < 7.7, size.height < 4.7) == (True, True), (name, count)


def test_a_title_says_what_is_found_and_what_stands_out_is_named() -> None:
    """How many calls go async, which lot is the largest, and probabilities as percentages."""
    drawn = {name: plot() for name, plot in pictures.each(6)}
    assert drawn["plan"].get_title() == "2 of 3 calls go async"
    assert drawn["estimate, exact"].get_title() == "1 of 6 values of lot_number selects more than 20,000 codes"
    assert drawn["job"].get_title() == "6 of 7 rows applied"
    for name in ("plan", "estimate, exact"):
        assert "lot_number 000042: 26,125 codes" in [text.get_text() for text in drawn[name].get_legend().get_texts()]
    for name in ("plan", "growth"):
        marks = [label.get_text() for label in drawn[name].get_yticklabels()]
        assert {"0.01%", "1%", "100%"} <= set(marks)
    assert "20%" in [label.get_text() for label in drawn["risk"].get_yticklabels()] or drawn["risk"].get_ylim()[1] < 0.2


def test_colours_stand_out_from_light_and_from_dark() -> None:
    """Words stand out by 4 to 1 from white and from JupyterLab's black, what is drawn by 3 to 1, after WCAG 2."""

    def light(colour: str) -> float:
        parts = np.array(to_rgb(colour))
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ (0.2126, 0.7152, 0.0722)) + 0.05

    for colour, least in ((style.INK, 4), (style.BLUE, 3), (style.ORANGE, 3)):
        assert min(light("white") / light(colour), light(colour) / light("#111111")) > least


def test_a_card_has_a_small_picture_and_is_there_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plan, estimate, risk, curve and service time alone show their card and picture; no error breaks a card."""
    made = plan()
    risk = scmkit.simulate(made, trials=20, seed=1)
    results = [made, made.estimate, risk, capacity.growth(made), ServiceTime.documented()]
    assert all("<img alt=" in result._repr_html_() for result in results)
    monkeypatch.setattr(plots, "new_axes", None)
    assert all("<img" not in result._repr_html_() and "font-weight" in result._repr_html_() for result in results)
