"""What a result can do that only a room above its own knows how: it registers itself when scmkit is imported."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@singledispatch
def draw(result: Any, ax: Axes | None = None) -> Axes:
    """Draw a result on axes, or on new ones; done in `scmkit.plots`."""
    raise TypeError(f"there is no picture of a {type(result).__name__}")


@singledispatch
def simulate(plan: Any, **options: Any) -> Any:
    """Play a plan many times; done in `scmkit.simulation`."""
    raise TypeError(f"a {type(plan).__name__} cannot be simulated")


@singledispatch
def upload(plan: Any, **options: Any) -> Any:
    """Make the calls of a plan; done in `scmkit.uploading`."""
    raise TypeError(f"a {type(plan).__name__} cannot be uploaded")


@singledispatch
def show(job: Any) -> None:
    """Show in a notebook what moves; done in `scmkit.widgets`."""
    raise NotImplementedError
