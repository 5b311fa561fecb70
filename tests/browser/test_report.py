"""A report in a browser: nothing overflows, nothing is cut, on a screen, on a telephone and on paper."""

from __future__ import annotations

from pathlib import Path

import lab as labs
import pytest

import scmkit

DATA = Path(__file__).parent.parent.parent / "data"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of an upload that ended with rows that were rejected, unmatched, or lost fields."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    lots = scmkit.read_table(DATA / "lots.csv").head(40)
    lots.loc[3:9, "lot_number"] = [str(n) for n in range(7)]
    lots.loc[12:14, "harvest_date"] = "31.12.2025"
    lots.loc[20:25, "no_such_field"] = "x"
    with scmkit.Sandbox(codes=DATA / "inventory.csv", speed=200) as sandbox:
        options = {"key": "lot_number", "inventory": sandbox.codes(), "errors": "reject", "journal": False}
        scmkit.upload(lots, sandbox.client(), progress=False, **options).report(path)
    return path


@pytest.mark.parametrize(("width", "media"), [(1400, "screen"), (390, "screen"), (720, "print")])
def test_a_report_fits_screen_telephone_and_paper(width: int, media: str, window: labs.Window, report: Path) -> None:
    """With all details open, as on paper, no line is wider than the page, and all is legible in both themes."""
    page = window.page
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(report.as_uri())
    for theme in ("light", "dark"):
        page.emulate_media(media=media, color_scheme=theme)
        if media == "screen":
            page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        labs.expect(page.get_by_role("cell", name="unmatched").first).to_be_visible()
        window.assert_legible(page.locator("body"))
        window.picture(f"report-{media}-{width}-{theme}")
