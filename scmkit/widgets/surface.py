"""What every panel is made of: a box of widgets that shows its own errors, and words for where there are no widgets."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import ipywidgets

from scmkit import display
from scmkit.display import Html
from scmkit.widgets.desk import Desk
from scmkit.widgets.live import Shown

Method = TypeVar("Method", bound=Callable[..., Any])


def guarded(method: Method) -> Method:
    """Show what a callback raises on its own surface: elsewhere nobody would see it."""

    @functools.wraps(method)
    def callback(self: Surface, *args: Any, **options: Any) -> Any:
        try:
            return method(self, *args, **options)
        except Exception as error:  # noqa: BLE001 - shown, never swallowed
            return self.fail(error)

    return callback  # type: ignore[return-value]


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
        self._trouble = ipywidgets.HTML(layout=_hidden())
        self.box = ipywidgets.VBox(layout=ipywidgets.Layout(width="auto"))
        self._work = Desk(f"scmkit-{name}-work", self.fail)
        self._view = Desk(f"scmkit-{name}-view", self.fail)
        self._kept: Any = None

    def fail(self, error: Exception) -> None:
        """Show an error; the surface stays usable."""
        words = f"<b>That did not work:</b> {display.escape(_words(error))}"
        self._trouble.value = f'<div role="alert" style="overflow-wrap:anywhere">{words}</div>'
        self._trouble.layout.display = None

    def succeed(self) -> None:
        """Take the last error away."""
        self._trouble.layout.display, self._trouble.value = "none", ""

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
        self.box.children = (self._trouble, *widgets, self._trouble)  # wherever one looks

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return self._bundle(self.static())

    def _bundle(self, shown: Html) -> dict[str, Any]:
        """Give the widgets, and what is shown where they cannot be."""
        bundle: dict[str, Any] = dict(self.box._repr_mimebundle_())
        return bundle | {"text/plain": repr(self), "text/html": str(shown)}

    def _ipython_display_(self) -> None:
        from IPython.display import display as show

        show(self._bundle(self.without_kernel()), raw=True)
        self._kept = show(Shown(Html(""), ""), display_id=True)


def _words(error: Exception) -> str:
    from scmkit.errors import ScmkitError

    return str(error) if isinstance(error, ScmkitError) else f"{type(error).__name__}: {error}"


def _hidden() -> ipywidgets.Layout:
    return ipywidgets.Layout(display="none")


def _below(widget: ipywidgets.Widget) -> list[ipywidgets.Widget]:
    return [w for child in getattr(widget, "children", ()) for w in _below(child)] + [widget]
