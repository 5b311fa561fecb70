"""What every surface is made of: a box of widgets that shows its own errors, and words where there are no widgets."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import ipywidgets

from scmkit.core import display
from scmkit.core.display import Html
from scmkit.core.errors import ScmkitError
from scmkit.widgets.live import Shown
from scmkit.widgets.worker import Worker

Method = TypeVar("Method", bound=Callable[..., Any])
# The control that somebody has used last; work that it started on other threads has it, too.
_CONTROL: ContextVar[Any] = ContextVar("control", default=None)
WIDEST = "calc(100% - 4px)"  # of a control: its place without the margins of 2 px


@contextmanager
def caused_by(control: Any) -> Iterator[None]:
    """Let what happens in the block, and what it starts, show its errors at a control."""
    before = _CONTROL.set(control)
    try:
        yield
    finally:
        _CONTROL.reset(before)


def guarded(method: Method) -> Method:
    """Show what a callback raises at the control that called it: elsewhere nobody would see it."""

    @functools.wraps(method)
    def callback(self: Surface, *args: Any, **options: Any) -> Any:
        cause = args[-1] if args else None  # a button, or a change of a control's value
        with caused_by(getattr(cause, "owner", cause)):
            try:
                return method(self, *args, **options)
            except Exception as error:  # noqa: BLE001 - shown, never swallowed
                return self.fail(error)

    return callback  # type: ignore[return-value]


class Place(ipywidgets.HTML):  # type: ignore[misc]
    """A line for an error, out of sight as long as there is none."""

    def __init__(self) -> None:
        super().__init__(layout=ipywidgets.Layout(display="none", width="auto"))

    def say(self, words: str) -> None:
        """Show an error; take it away with an empty text."""
        shown = f"<b>That did not work:</b> {display.escape(words)}"
        self.value = f'<div role="alert" style="overflow-wrap:anywhere">{shown}</div>' if words else ""
        self.layout.display = None if words else "none"


def with_places(*rows: ipywidgets.Widget) -> tuple[ipywidgets.Widget, ...]:
    """Put a line for errors below each row that holds a control."""
    return tuple(w for row in rows for w in ((row, Place()) if any(map(_is_control, _below(row))) else (row,)))


class Surface:
    """A widget with a plain-text and a static form of the same worth.

    All widgets are made in the constructor, on the kernel's main thread; later, and from other threads, only their
    traits change.

    Attributes
    ----------
    box : ipywidgets.VBox
        What is shown; fill it with `_lay_out`.
    """

    def __init__(self, name: str) -> None:
        self._trouble = Place()
        self.box = ipywidgets.VBox(layout=ipywidgets.Layout(width="auto"))
        self._work = Worker(f"scmkit-{name}-work", self.fail)
        self._view = Worker(f"scmkit-{name}-view", self.fail)
        self._kept: Any = None

    @property
    def troubles(self) -> list[str]:
        """The errors that are shown, as HTML."""
        return [place.value for place in self._places() if place.value]

    def fail(self, error: Exception) -> None:
        """Show an error, below the control that caused it where there is one; the surface stays usable."""
        (_place_of(_CONTROL.get(), self.box) or self._trouble).say(_words(error))

    def succeed(self) -> None:
        """Take the errors away."""
        for place in self._places():
            if place.value:
                place.say("")

    def idle(self) -> bool:
        """Whether there is nothing to do; what is only shown later does not count."""
        return self._work.idle()

    def _places(self) -> list[Place]:
        return [widget for widget in _below(self.box) if isinstance(widget, Place)]

    def close(self) -> None:
        """Stop all work and take the widgets away."""
        self._work.close()
        self._view.close()
        for widget in _below(self.box):
            widget.close()

    def static(self) -> Html:
        """Show as HTML what there is to see now; this is what a saved notebook keeps."""
        return display.card(repr(self), {})

    def without_kernel(self) -> Html:
        """Show what stands in the place of the widgets where they cannot be; it never changes."""
        return self.static()

    def keep(self, folded: str = "") -> None:
        """Put the present state into the notebook itself, below the widgets: it is there without a kernel, too."""
        if self._kept is not None:
            shown = self.static()
            if folded:  # a title, below which the reader unfolds it
                shown = Html(f"<details><summary>{display.escape(folded)}</summary>{shown}</details>")
            self._kept.update(Shown(shown, repr(self)))

    def _lay_out(self, *widgets: ipywidgets.Widget) -> None:
        self.box.children = (self._trouble, *with_places(*widgets))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return self._bundle(self.static())

    def _bundle(self, shown: Html) -> dict[str, Any]:
        """Return the widgets, and what is shown where they cannot be."""
        bundle: dict[str, Any] = dict(self.box._repr_mimebundle_())
        return bundle | {"text/plain": repr(self), "text/html": str(shown)}

    def _ipython_display_(self) -> None:
        from IPython.display import display as show

        show(self._bundle(self.without_kernel()), raw=True)
        self._kept = show(Shown(Html(""), ""), display_id=True)


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, ScmkitError) else f"{type(error).__name__}: {error}"


def _is_control(widget: ipywidgets.Widget) -> bool:
    return isinstance(widget, ipywidgets.Button | ipywidgets.ValueWidget) and not isinstance(widget, ipywidgets.HTML)


def _place_of(control: Any, box: ipywidgets.Widget) -> Place | None:
    """Find the line nearest below a control, unless it is inside something that is not shown."""
    if box.layout.display == "none":
        return None
    children = getattr(box, "children", ())
    row = next((child for child in children if control is child or control in _below(child)), None)
    if row is None:
        return None
    after = children[children.index(row) + 1 :][:1]
    return _place_of(control, row) or next((w for w in after if isinstance(w, Place)), None)


def _below(widget: ipywidgets.Widget) -> list[ipywidgets.Widget]:
    return [w for child in getattr(widget, "children", ()) for w in _below(child)] + [widget]
