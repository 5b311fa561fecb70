"""The surface: errors of callbacks are shown, harmless, and gone when things work again."""

import html
import threading

import ipywidgets
import pytest
from waiting import wait_for

from scmkit.core.errors import PlanError
from scmkit.widgets.surface import Place, Surface, caused_by, guarded


class Small(Surface):
    """A surface with one button."""

    def __init__(self) -> None:
        super().__init__("small")
        self.button = ipywidgets.Button(description="Go")
        self.error: Exception = PlanError("nothing to do")
        self.button.on_click(self.go)
        self._lay_out(self.button)

        self.do, self.show = self._work.do, self._view.do

    @guarded
    def go(self, _: object) -> None:
        raise self.error

    def __repr__(self) -> str:
        return "<Small: one & only>"


@pytest.mark.parametrize(
    ("error", "words"),
    [(PlanError("nothing to do"), "nothing to do"), (ValueError("<img src=x>"), "ValueError: <img src=x>")],
)
def test_a_callback_that_raises_shows_its_error(error: Exception, words: str) -> None:
    """The error stands on the surface, escaped, with its kind unless it is one of ours; the next success removes it."""
    surface = Small()
    surface.error = error
    surface.button.click()
    [place] = [child for child in surface.box.children if isinstance(child, Place) and child.value]
    assert surface.box.children.index(place) == surface.box.children.index(surface.button) + 1
    assert html.escape(words) in place.value
    assert surface.troubles == [place.value]
    assert "<img" not in place.value
    assert place.layout.display is None
    surface.succeed()
    assert (surface.troubles, place.value, place.layout.display) == ([], "", "none")


def test_an_error_of_later_work_stands_at_its_control() -> None:
    """What a callback has asked for elsewhere, and what that asks for, fails at the control of the callback."""
    surface, done = Small(), threading.Event()
    with caused_by(surface.button):
        surface.do("first", lambda: surface.show("second", lambda: 1 // 0))
    surface.do("third", lambda: [], after_s=0.05)
    surface.do("last", done.set, after_s=0.1)
    assert done.wait(10)
    assert "ZeroDivisionError" in surface.box.children[2].value
    surface.button.layout.display = "none"  # its row is still where one looks
    surface.fail(ValueError("of nobody"))
    assert ["of nobody" in words for words in surface.troubles] == [True, False]


def test_errors_of_its_threads_are_shown_too() -> None:
    """Work on the workers that raises ends in the same place."""
    surface = Small()
    done = threading.Event()
    surface.do("bad", lambda: 1 // 0)
    surface.show("wait", done.set, after_s=0.01)
    assert done.wait(10)
    wait_for(surface.idle)
    assert ["ZeroDivisionError" in words for words in surface.troubles] == [True]


def test_it_says_the_same_without_widgets() -> None:
    """The bundle holds the widget, plain text, and escaped HTML."""
    bundle = Small()._repr_mimebundle_()
    assert bundle["text/plain"] == "<Small: one & only>"
    assert "&lt;Small: one &amp; only&gt;" in bundle["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_close_takes_all_widgets_away() -> None:
    """After `close` no widget of it has a channel to the browser, and no work is taken."""
    surface = Small()
    surface.close()
    assert [w.comm for w in (surface.box, surface.button, surface.box.children[0])] == [None] * 3
    surface.do("late", lambda: pytest.fail("done after close"))
    assert surface.idle()
