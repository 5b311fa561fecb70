"""Escaped HTML for results, for notebooks and for reports.

Cell values, column names, index labels and file names come from elsewhere, so every text is escaped here, once.
Only `Html` passes unescaped, and only functions of this module make it. No JavaScript, nothing from other hosts,
and colours are inherited, so that a table is legible in light and in dark themes.
"""

from __future__ import annotations

import base64
import html
import io
import warnings
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

LONGEST_CELL = 300
# What is wider than its place scrolls there: the width of the content must not widen the boxes around it.
IN_ITS_PLACE = "overflow-x:auto;width:0;min-width:100%"
LINE = "1px solid rgba(128,128,128,.35)"
_CELL = f"padding:.15em .6em;border-bottom:{LINE};vertical-align:top;text-align:"
_TABLE = (
    "border-collapse:collapse;color:inherit;background:none;font-size:.92em;line-height:1.4;margin:.4em 0;"
    "overflow-wrap:normal"
)
_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72em; margin: 2em auto; padding: 0 1em;
       color: #1c1c1e; background: #ffffff; }
@media (prefers-color-scheme: dark) { body { color: #e6e6e6; background: #18181b; } }
img { max-width: 100%; }
div { overflow-x: auto; }
h1 { font-size: 1.5em; margin: 0 0 .4em; overflow-wrap: anywhere; }
h2 { font-size: 1.15em; margin: 1.6em 0 .4em; break-after: avoid; }
p, li, dd, figcaption { overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2em 1.2em; margin: 1em 0; }
dt { opacity: .7; }
dd { margin: 0; }
figure { margin: 0 0 1em; break-inside: avoid; }
figcaption { font-size: .92em; opacity: .8; }
details { margin: .5em 0; border-top: 1px solid rgba(128,128,128,.35); padding-top: .5em; }
summary { cursor: pointer; font-weight: 600; }
details td:last-child { min-width: 14em; }
ul { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .2em 1.5em; margin: .4em 0; }
@media (max-width: 30em) {
  body { margin: 1em auto; }
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin: 0 0 .5em; }
  details th, details td { padding: .1em .3em !important; }
  details td:last-child { min-width: 9em; }
}
@media print {
  :root { color-scheme: light; }
  body { color: #000000; background: #ffffff; font-size: 11px; max-width: none; margin: 0; padding: 0;
         print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  div { overflow: visible; }
  table { width: 100%; font-size: .85em; }
  th { overflow-wrap: normal; }
  td { overflow-wrap: anywhere; min-width: 5em; }
  details td:last-child { min-width: 0; }
  tr { break-inside: avoid; }
  details::details-content { content-visibility: visible; block-size: auto; }
}
"""
GOOD, DOUBTFUL, BAD = "#1a7f37", "#b35900", "#c62828"  # of a light: all well, somebody should look, something failed
# A report may be opened years later, from anywhere: it loads nothing and runs nothing.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


class Html(str):
    """Text that is HTML already; any other text is escaped."""

    __slots__ = ()


def escape(value: object) -> Html:
    """Return any value as HTML text, quotes and half characters included."""
    text = str(value).encode("utf-8", "replace").decode()  # a lone surrogate would break saving the notebook
    return Html(html.escape(text, quote=True))


def table(
    frame: Any, max_rows: int = 20, caption: str = "", colours: Mapping[str, Sequence[str]] | None = None
) -> Html:
    """Show the first rows of a frame.

    Parameters
    ----------
    frame : DataFrame
        Any columns and any index; a missing cell is shown empty.
    max_rows : int
        How many rows are shown; the rest is counted.
    caption : str
        A title above the table.
    colours : dict of str to sequence of str, optional
        For a column, the colour of each of its cells; empty for the usual one.

    Returns
    -------
    Html
        One ``<table>``, and a line that counts the rows left out.
    """
    shown = frame.head(max(max_rows, 0))
    coloured = {name: list(of) for name, of in (colours or {}).items()}
    cells = [_column(shown.iloc[:, i], coloured.get(name)) for i, name in enumerate(shown.columns)]
    labels = [_cell("th", label) for label in shown.index]
    names = list(frame.index.names)
    head = _cell("th", " / ".join(str(n) for n in names if n is not None))
    head += "".join(_cell("th", _text(name)) for name in frame.columns)
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in zip(labels, *cells, strict=True))
    title = f'<caption style="text-align:left">{escape(caption)}</caption>' if caption else ""
    left = len(frame) - len(shown)
    more = f"<div>... {left} more row{'s' if left > 1 else ''}</div>" if left else ""
    return Html(f'<table style="{_TABLE}">{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}')


def card(title: str, facts: Mapping[str, object], *bodies: str) -> Html:
    """Show a result: a title, its facts in one line each, and bodies below."""
    lines = "".join(f"<tr>{_cell('th', name)}{_cell('td', _text(value))}</tr>" for name, value in facts.items())
    listed = f'<table style="{_TABLE}"><tbody>{lines}</tbody></table>' if lines else ""
    head = f'<div style="font-weight:600">{escape(title)}</div>'
    return Html(f'<div style="color:inherit;{IN_ITS_PLACE}">{head}{listed}{_joined(bodies)}</div>')


def facts(of: Mapping[str, object]) -> Html:
    """List facts by name; on a narrow screen, names stand above."""
    lines = "".join(f"<dt>{escape(name)}</dt><dd>{escape(_text(value))}</dd>" for name, value in of.items())
    return Html(f"<dl>{lines}</dl>")


def section(title: str, *bodies: str) -> Html:
    """Put a heading above bodies."""
    return Html(f"<section><h2>{escape(title)}</h2>{_joined(bodies)}</section>")


def folded(title: str, *bodies: str) -> Html:
    """Hide bodies behind a line that opens them; on paper they are open."""
    return Html(f"<details><summary>{escape(title)}</summary><div>{_joined(bodies)}</div></details>")


def captioned(fig: Any, caption: str) -> Html:
    """Show a matplotlib figure with a sentence below that says what is to be seen."""
    return Html(f"<figure>{figure(fig)}<figcaption>{escape(caption)}</figcaption></figure>")


def light(colour: str, words: str) -> Html:
    """Show a sentence with a light before it."""
    lamp = _spot(colour, "50%")
    return Html(f'<p style="font-size:1.3em;font-weight:600;margin:.2em 0">{lamp} {escape(words)}</p>')


def _spot(colour: str, radius: str) -> str:
    size = f"display:inline-block;width:.75em;height:.75em;border-radius:{radius}"
    return f'<span style="{size};background:{escape(colour)}"></span>'


def shares(counts: Mapping[str, int], colours: Mapping[str, str]) -> Html:
    """Show how a whole is divided: one bar, and each part with its colour, name and number."""
    bar = "".join(
        f'<div style="flex:{count} 0 0;min-width:2px;background:{escape(colours[name])}"></div>'
        for name, count in counts.items()
    )
    names = "".join(f"<li>{_spot(colours[name], '0')} {escape(name)}: {count:,}</li>" for name, count in counts.items())
    return Html(f'<div style="display:flex;height:1.2em;border-radius:.3em">{bar}</div><ul>{names}</ul>')


def page(title: str, *bodies: str) -> Html:
    """Make a self-contained HTML file: it loads nothing, runs nothing, and follows the reader's theme."""
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>"
    )
    body = f"<h1>{escape(title)}</h1>{_joined(bodies)}"
    return Html(f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{body}</body></html>\n')


def figure(fig: Any, alt: str = "", width: str = "") -> Html:
    """Show a matplotlib figure as an inline PNG; without ``alt``, its titles say what it shows."""
    data = base64.b64encode(png(fig)).decode("ascii")
    style = f' style="width:{escape(width)};max-width:100%"' if width else ""
    return Html(f'<img alt="{escape(alt or titles(fig) or "figure")}"{style} src="data:image/png;base64,{data}">')


def png(fig: Any) -> bytes:
    """Draw a matplotlib figure as a PNG."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*[Gg]lyph")  # a name in a script that the font lacks
        fig.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    return buffer.getvalue()


def titles(fig: Any) -> str:
    """Return the titles of a matplotlib figure and of its axes."""
    return "; ".join(filter(None, [fig.get_suptitle(), *(axes.get_title() for axes in fig.axes)]))


def _joined(bodies: Iterable[str]) -> str:
    return "".join(body if isinstance(body, Html) else f"<p>{escape(body)}</p>" for body in bodies)


def _column(column: Any, colours: Sequence[str] | None = None) -> list[str]:
    missing = column.isna().to_numpy(dtype=bool)
    each = (colours or [""] * len(column))[: len(column)]
    return [_cell("td", "" if gone else v, colour) for v, gone, colour in zip(column, missing, each, strict=True)]


def _cell(tag: str, value: object, colour: str = "") -> str:
    number = isinstance(value, Real) and not isinstance(value, bool)
    body: str = escape(_text(value))  # whatever a caller's table holds, it is text
    if colour:  # and bold, for those who do not see it
        body = f'<b style="color:{escape(colour)}">{body}</b>'
    return f'<{tag} style="{_CELL}{"right" if number else "left"}">{body}</{tag}>'


def _text(value: object) -> str:
    """Write whole numbers in full, others with few digits, and long texts cut."""
    if isinstance(value, Real) and not isinstance(value, bool | Integral):
        number = float(value)
        whole = number.is_integer() and abs(number) < 1e15
        return f"{number:.0f}" if whole else f"{number:.4g}" if abs(number) < 1e4 else f"{number:.1f}"
    if isinstance(value, tuple):
        return " / ".join(_text(part) for part in value)
    text = str(value)
    return text if len(text) <= LONGEST_CELL else text[:LONGEST_CELL] + "..."


def plural(count: int, noun: str, ending: str = "s") -> str:
    """Write ``1 row`` or ``2 rows``."""
    return f"{count:,} {noun}{ending if count != 1 else ''}"


def percent(probability: float) -> str:
    """Return a probability as a person reads it: never more digits than say something."""
    if 0 < probability < 0.0001:
        return "below 0.01%"
    return f"{probability:.0%}" if probability >= 0.1 or probability == 0 else f"{probability:.2%}"


def rounded(value: float) -> str:
    """Write a quantity with three digits, or in full where it has more before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def duration(seconds: float) -> str:
    """Write seconds as a person says them: ``40 s``, ``12 min``, ``2 h 10 min``, ``3 days 4 h``."""
    if seconds < 99.5:
        return f"{seconds:.2g} s" if seconds < 9.5 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(round(seconds / 3600), 24)
    return f"{days} days {hours} h" if hours else f"{days} days"


def shown(value: Any) -> str:
    """Show a value in a message: quoted, so that no control character gets through, and cut."""
    try:
        text = repr(value)
    except ValueError:  # a whole number of more than 4,300 digits, which Python refuses to write
        text = f"a {type(value).__name__} of very many digits"
    return text if len(text) <= 60 else f"{text[:57]}..."


def side_by_side(*bodies: Html) -> Html:
    """Put pieces of HTML beside each other, as many as the window holds."""
    cells = "".join(f'<div style="flex:1 1 30em;max-width:44em">{body}</div>' for body in bodies)
    return Html(f'<div style="display:flex;flex-wrap:wrap;gap:1em">{cells}</div>')
