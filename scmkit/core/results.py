"""What a result can do that only a room above its own knows how: it registers itself when that room is loaded."""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatch
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

load_rooms: list[Callable[[], Any]] = []  # what `scmkit` loads its rooms with: a result may be there before them


@singledispatch
def draw(result: Any, ax: Axes | None = None) -> Axes:
    """Draw a result on axes, or on new ones; done in `scmkit.plots`."""
    if (known := _once_loaded(draw, result)) is None:
        raise TypeError(f"there is no picture of a {type(result).__name__}")
    axes: Axes = known(result, ax)
    return axes


@singledispatch
def simulate(plan: Any, **options: Any) -> Any:
    """Play a plan many times; done in `scmkit.simulation`."""
    if (known := _once_loaded(simulate, plan)) is None:
        raise TypeError(f"a {type(plan).__name__} cannot be simulated")
    return known(plan, **options)


@singledispatch
def upload(plan: Any, **options: Any) -> Any:
    """Make the calls of a plan; done in `scmkit.uploading`."""
    if (known := _once_loaded(upload, plan)) is None:
        raise TypeError(f"a {type(plan).__name__} cannot be uploaded")
    return known(plan, **options)


@singledispatch
def show(job: Any) -> None:
    """Show in a notebook what moves; done in `scmkit.widgets`."""
    if (known := _once_loaded(show, job)) is None:
        raise NotImplementedError
    known(job)


def _once_loaded(function: Any, result: Any) -> Any:
    """Return who knows how, now that all rooms are there; None if nobody does."""
    for load in load_rooms:
        load()
    known = function.dispatch(type(result))
    return None if known is function.dispatch(object) else known
