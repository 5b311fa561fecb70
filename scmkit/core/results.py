"""What a result can do that only a room above its own knows how: it registers itself when that room is loaded."""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatch
from typing import TYPE_CHECKING, Any

from scmkit.core import display

if TYPE_CHECKING:
    from matplotlib.axes import Axes

load_rooms: list[Callable[[], Any]] = []  # what `scmkit` loads its rooms with: a result may be there before them


@singledispatch
def draw(result: Any, ax: Axes | None = None) -> Axes:
    """Draw a result on axes, or on new ones; done in `scmkit.plots`."""
    known = _once_loaded(draw, result, TypeError(f"there is no picture of a {type(result).__name__}"))
    axes: Axes = known(result, ax)
    return axes


def picture(result: Any) -> display.Html:
    """Return a small picture for a result's card; nothing where none can be drawn: the card is shown without it."""
    try:
        return display.figure(draw(result).figure, width="40em")
    except Exception:  # noqa: BLE001 -- such as matplotlib not being installed
        return display.Html()


@singledispatch
def simulate(plan: Any, **options: Any) -> Any:
    """Play a plan many times; done in `scmkit.simulation`."""
    return _once_loaded(simulate, plan, TypeError(f"a {type(plan).__name__} cannot be simulated"))(plan, **options)


@singledispatch
def upload(plan: Any, **options: Any) -> Any:
    """Make the calls of a plan; done in `scmkit.uploading`."""
    return _once_loaded(upload, plan, TypeError(f"a {type(plan).__name__} cannot be uploaded"))(plan, **options)


@singledispatch
def show(job: Any) -> None:
    """Show in a notebook what moves; done in `scmkit.widgets`."""
    _once_loaded(show, job, NotImplementedError())(job)


@singledispatch
def tabulate(values: Any) -> Any:
    """Return values as a DataFrame; done in `scmkit.tables`."""
    return _once_loaded(tabulate, values, TypeError(f"there is no table of a {type(values).__name__}"))(values)


def _once_loaded(function: Any, result: Any, error: Exception) -> Callable[..., Any]:
    """Return who knows how, now that all rooms are there."""
    for load in load_rooms:
        load()
    if (known := function.dispatch(type(result))) is function.dispatch(object):
        raise error
    return known  # type: ignore[no-any-return]
