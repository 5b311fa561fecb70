"""HTML for results: everything escaped, nothing loaded, legible in any theme."""

from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from scmkit.core import display

PAYLOADS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "</td></table><iframe src=javascript:alert(1)>",
    "</style><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
)
TAGS = {
    "table", "caption", "thead", "tbody", "tr", "th", "td", "div", "p", "img", "html", "head", "body", "meta", "title",
    "style", "h1",
}  # fmt: skip


class Reader(HTMLParser):
    """Collects what a browser would see."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag and its attributes."""
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.text += data


def cells(html: str) -> list[str]:
    """Give the texts of a table's data cells."""
    return [part.split(">", 1)[1].split("</td>")[0] for part in html.split("<td")[1:]]


def assert_harmless(html: str, payload: str) -> None:
    """Check that a payload is visible text, and that no tag or handler came of it."""
    seen = Reader(html)
    assert set(seen.tags) <= TAGS
    assert not [name for name, _ in seen.attributes if name.startswith("on")]
    assert payload in seen.text  # shown as it is, not dropped


@pytest.mark.parametrize("payload", PAYLOADS)
def test_nothing_from_a_table_becomes_markup(payload: str) -> None:
    """Cells, columns, index labels, index names and captions show as the text they are (S17)."""
    frame = pd.DataFrame({"a": [1]}, index=["i"])
    assert_harmless(display.table(frame.assign(a=payload)), payload)
    assert_harmless(display.table(frame.rename(columns={"a": payload})), payload)
    assert_harmless(display.table(frame.rename(index={"i": payload})), payload)
    assert_harmless(display.table(frame.rename_axis(payload)), payload)
    assert_harmless(display.table(frame, caption=payload), payload)
    assert_harmless(display.table(frame.set_index(pd.MultiIndex.from_tuples([(payload, 1)]))), payload)
    assert_harmless(display.table(pd.DataFrame({"a": [display.Html(payload)]})), payload)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_nothing_from_a_card_or_page_becomes_markup(payload: str) -> None:
    """Titles, facts and plain bodies are escaped, once (S17)."""
    assert_harmless(display.card(payload, {}), payload)
    assert_harmless(display.card("t", {payload: 1}), payload)
    assert_harmless(display.card("t", {"fact": payload}), payload)
    assert_harmless(display.card("t", {}, payload), payload)
    assert_harmless(display.page(payload), payload)
    assert_harmless(display.page("t", display.card("t", {}, payload)), payload)


def test_only_html_passes_unescaped() -> None:
    """A body that this module made goes through as it is; the same text as a plain string does not."""
    made = display.table(pd.DataFrame({"a": [1]}))
    assert made in display.page("t", display.card("t", {}, made))
    assert made not in display.card("t", {}, str.__str__(made))


def test_missing_cells_are_empty_and_numbers_stand_right() -> None:
    """Every kind of missing is an empty cell, only numbers are right-aligned, and whole numbers show all digits."""
    frame = pd.DataFrame(
        {"cell": pd.Series([None, np.nan, pd.NA, pd.NaT, 12.0, 0.25, 123456789, "x", True], dtype=object)}
    )
    html = display.table(frame)
    assert cells(html) == ["", "", "", "", "12", "0.25", "123456789", "x", "True"]
    assert [part.split('"')[1].endswith("right") for part in html.split("<td")[1:]][4:] == [True] * 3 + [False] * 2


def test_long_tables_and_long_cells_are_cut() -> None:
    """Only the first rows are shown, the rest is counted; a huge cell does not fill the screen."""
    html = display.table(pd.DataFrame({"a": range(23)}), max_rows=20)
    assert cells(html) == [str(i) for i in range(20)]
    assert "... 3 more rows" in html
    assert "more row" not in display.table(pd.DataFrame({"a": range(20)}))
    assert len(display.table(pd.DataFrame({"a": ["x" * 100_000]}))) < 2_000


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame(),
        pd.DataFrame(columns=["a"]),
        pd.DataFrame({1: [1], 2: ["b"]}),
        pd.DataFrame([[1, 2]], columns=["a", "a"], index=[pd.NaT]),
        pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", 1)])),
        pd.DataFrame({"a": [1, 2]}, index=["same", "same"]),
    ],
)
def test_any_frame_can_be_shown(frame: pd.DataFrame) -> None:
    """Empty frames, repeated columns and labels, and names that are no text: one table with all their cells."""
    html = display.table(frame)
    assert html.count("<table") == 1
    assert len(cells(html)) == frame.size


def test_half_characters_can_be_saved() -> None:
    """A lone surrogate in a cell does not break saving the notebook or the report."""
    assert (
        "a?b"
        in display.page("t", display.table(pd.DataFrame({"a": ["a\ud800b"]}, dtype=object))).encode("utf-8").decode()
    )


def test_a_page_loads_nothing_and_runs_nothing() -> None:
    """A report has no link, no script, forbids both, and follows the reader's theme."""
    html = display.page("t", display.table(pd.DataFrame({"a": [1]})))
    assert "prefers-color-scheme: dark" in html
    assert "default-src 'none'" in html
    assert "http:" not in html
    assert "https:" not in html
    assert "<script" not in html
    assert "background:#" not in display.table(pd.DataFrame({"a": [1]}))


def test_a_figure_is_inline_and_has_words() -> None:
    """A figure is a PNG inside the page, and its titles stand in for it where it cannot be seen."""
    fig = Figure()
    fig.subplots().set_title('Risk "<b>"')
    image = Reader(display.figure(fig))
    attributes = dict(image.attributes)
    assert image.tags == ["img"]
    assert attributes["alt"] == 'Risk "<b>"'
    assert str(attributes["src"]).startswith("data:image/png;base64,iVBOR")
    assert 'alt="given"' in display.figure(fig, "given")
