"""What the panel is made of: controls and texts that show a state, and the boxes around them. They decide nothing."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import ipywidgets

from scmkit.core import display
from scmkit.core.display import escape
from scmkit.panels.state import State
from scmkit.panels.token_form import TokenField
from scmkit.panels.words import Heading
from scmkit.plots.style import ORANGE
from scmkit.steps.choices import SUFFIXES, Choices
from scmkit.widgets.surface import WIDEST, with_places

if TYPE_CHECKING:
    from scmkit.panels.work import Work

SIGNS = {"done": "&#10003;", "your turn": "&#9656;", "look": "&#9888;"}
LINES = f"line-height:1.4;overflow-wrap:anywhere;{display.IN_ITS_PLACE}"  # closer together than those of controls
LABELS = {"description_width": "9em"}


def change(widget: ipywidgets.Widget, **traits: Any) -> None:
    """Set what differs, in one message."""
    with widget.hold_sync():
        for name, value in traits.items():
            if getattr(widget, name) != value:
                setattr(widget, name, value)


def show_if(wanted: bool, widget: ipywidgets.Widget) -> None:
    """Show a widget, or take it out of sight and out of the Tab order."""
    change(widget.layout, display=None if wanted else "none")


def wide() -> ipywidgets.Layout:
    """Make a layout as wide as its box; each widget has one of its own, since it is hidden by its layout."""
    return ipywidgets.Layout(width="auto")  # 100 % and the margins of 2 px would be too wide


@dataclass(eq=False)
class Control:
    """A widget that somebody uses: a line of the table of what is chosen by what.

    Attributes
    ----------
    chooses : callable, optional
        What becomes of the choices with its new value; of a button, by a press.
    does : callable, optional
        A method of `Work`, called with its new value, or for a press.
    tells : str
        What is said while that is done, off the kernel's thread. Without it, it is done at once.
    asks : bool
        Whether that waits for the service.
    shows : callable
        The traits that differ with the state.
    when : callable
        Whether it is there.
    rests_s : float
        How long it has to rest before its choice is looked at.
    """

    widget: ipywidgets.Widget
    chooses: Callable[..., Choices] | None = None
    does: Callable[..., object] | None = None
    tells: str = ""
    asks: bool = False
    shows: Callable[[State], Mapping[str, Any]] = lambda _: {}
    when: Callable[[State], object] = lambda _: True
    rests_s: float = 0.0

    def show(self, state: State) -> None:
        """Show a state."""
        here = bool(self.when(state))
        show_if(here, self.widget)
        if here:
            change(self.widget, **self.shows(state))

    def listen(self, callback: Callable[[Any], None]) -> None:
        """Have it call, with itself or with the change of its value, whenever somebody uses it."""
        if isinstance(self.widget, ipywidgets.Button):
            self.widget.on_click(callback)
        elif isinstance(self.widget, TokenField):
            self.widget.on_entered(callback)
        elif self.chooses or self.does:
            self.widget.observe(callback, names="value")

    def used(self, work: Work, *told: Any) -> None:
        """Choose, or have done, what it stands for."""
        chooses, does = self.chooses, self.does
        if chooses is not None:
            work.choose(lambda before: chooses(before, *told), self.rests_s)
        elif does is not None and self.tells:
            work.do(self.tells, self.tells, lambda: does(work), asks=self.asks)
        elif does is not None:
            does(work, *told)


class Text:
    """Words that follow from a part of the state, and are made anew only where that part has changed.

    Parameters
    ----------
    words : callable
        Makes HTML of the part. Where it is empty, nothing is there.
    part : callable
        Takes it out of the state.
    """

    layout: ClassVar[dict[str, str]] = {"width": "auto"}

    def __init__(self, words: Callable[[Any], str], part: Callable[[State], Any], **layout: str) -> None:
        self.widget = ipywidgets.HTML(layout=ipywidgets.Layout(**(layout or self.layout)))
        self._words, self._part = words, part
        self._seen: Any = object()  # of no state

    def show(self, state: State) -> None:
        """Show a state."""
        part = self._part(state)
        if part != self._seen:
            self._seen, body = part, self._words(part)
            change(self.widget, value=f'<div style="{LINES}">{body}</div>' if body else "")
            show_if(bool(body), self.widget)


class Note(Text):
    """Words beside a control, as wide as they are."""

    layout: ClassVar[dict[str, str]] = {}

    def show(self, state: State) -> None:
        """Show a state."""
        body = self._words(self._part(state))
        change(self.widget, value=body)
        show_if(bool(body), self.widget)


Parts = Mapping[str, Control | Text]
# A part by its name; or a row of parts; or, behind a function that makes it, another box of them.
Place = str | tuple[Any, ...]


class Group:
    """Parts by name, and how they lie: a line each, or several in a row."""

    def __init__(self, parts: Parts, *places: Place) -> None:
        self.parts, self._boxes = parts, list[ipywidgets.Box]()
        self.box = ipywidgets.VBox(with_places(*map(self._laid, places)), layout=wide())

    def _laid(self, place: Place) -> ipywidgets.Widget:
        if isinstance(place, str):
            return self.parts[place].widget
        make, inside = (place[0], place[1:]) if callable(place[0]) else (row, place)
        self._boxes.append(make(*map(self._laid, inside)))
        return self._boxes[-1]

    def show(self, state: State) -> None:
        """Show a state; a box of which nothing is there is not there either."""
        for part in self.parts.values():
            part.show(state)
        for box in self._boxes:  # the inner ones come first
            show_if(any(child.layout.display != "none" for child in box.children), box)


class Section(Group):
    """A numbered part of the panel: a heading that says how it stands, and a body that opens when its turn comes."""

    def __init__(self, title: str, stands: Callable[[State], Heading], parts: Parts, *places: Place) -> None:
        super().__init__(parts, *places)
        self.title, self.stands, self._body = title, stands, self.box
        self.heading = ipywidgets.HTML(layout=wide())
        change(self._body.layout, padding="0 0 0 1.2em", display="none")
        self.box = ipywidgets.VBox([self.heading, self._body], layout=wide())

    def show(self, state: State) -> None:
        """Show how it stands, and if it is open its parts."""
        sign, words, is_open = self.stands(state)
        style = f"border-top:{display.LINE};margin-top:.4em;padding-top:.4em;line-height:1.5"
        title = f'<b style="font-size:1.1em">{escape(self.title)}</b>'
        line = f"{title} &nbsp;<i>{SIGNS.get(sign, '')} {escape(sign)}:</i> {escape(words)}"
        change(self.heading, value=f'<div style="{style};overflow-wrap:anywhere">{line}</div>')
        if is_open:
            super().show(state)
        show_if(is_open, self._body)


# --- boxes and widgets ------------------------------------------------------------------------------------------


def row(*widgets: ipywidgets.Widget) -> ipywidgets.HBox:
    """Put widgets beside each other, as many as the window holds."""
    return ipywidgets.HBox(widgets, layout=ipywidgets.Layout(flex_flow="row wrap", align_items="center"))


def beside(*widgets: ipywidgets.Widget) -> ipywidgets.HBox:
    """Put boxes beside each other, or below each other in a narrow window."""
    return ipywidgets.HBox(widgets, layout=ipywidgets.Layout(flex_flow="row wrap"))


def narrow(*widgets: ipywidgets.Widget) -> ipywidgets.VBox:
    """Put widgets below each other, in what may stand beside a table."""
    return ipywidgets.VBox(widgets, layout=ipywidgets.Layout(flex="0 1 28em"))


def framed(*widgets: ipywidgets.Widget) -> ipywidgets.VBox:
    """Put a frame around a question."""
    layout = ipywidgets.Layout(border=f"2px solid {ORANGE}", padding=".4em .8em", margin=".4em 0", width="auto")
    return ipywidgets.VBox(widgets, layout=layout)


def button(words: str, tooltip: str, style: str = "") -> ipywidgets.Button:
    """Make a button as wide as its words."""
    return ipywidgets.Button(description=words, tooltip=tooltip, button_style=style, layout=wide())


def labelled(kind: Callable[..., Any], label: str, tooltip: str, width: str = "34em", **options: Any) -> Any:
    """Make a control with a label in front."""
    layout = ipywidgets.Layout(width=width, max_width=WIDEST)
    return kind(description=label, tooltip=tooltip, style=LABELS, layout=layout, **options)


choice = functools.partial(labelled, ipywidgets.Dropdown)
line = functools.partial(labelled, ipywidgets.Text)


def file_button(tooltip: str) -> ipywidgets.FileUpload:
    """Make a button that asks for a file."""
    accept = ",".join(SUFFIXES)
    return ipywidgets.FileUpload(
        description="Read a file", tooltip=tooltip, accept=accept, icon="upload", layout=wide()
    )
