"""`scmkit app`: an upload by mouse alone, in Voilà."""

from __future__ import annotations

import re
import shutil
import urllib.request
from pathlib import Path

import lab as labs
from playwright.sync_api import Page

import scmkit

DATA = Path(__file__).parent.parent.parent / "data"


def press(window: labs.Window, name: str) -> None:
    """Press the first button whose words match, as soon as it can be pressed."""
    window.page.get_by_role("button", name=re.compile(name)).first.click()


def send_what_is_right(window: labs.Window) -> None:
    """Mend the table that is chosen, leave out what cannot be mended, and upload the others."""
    page = window.page
    press(window, "Fix all of these")
    labs.expect(page.get_by_role("button", name="Undo the fixes")).to_be_visible()
    duplicates = page.get_by_label("Two rows of a key")
    duplicates.select_option(duplicates.locator("option", has_text="the last").get_attribute("value"))
    page.get_by_label(re.compile("Leave out the .* rows with errors")).check()
    press(window, r"Upload \d+ rows")
    press(window, "Yes, upload")


def gives_an_account(page: Page) -> None:
    """Type the address and the token of a service, and use it: the page says whose it is, and not the token."""
    with scmkit.Sandbox(codes=10) as sandbox:
        page.get_by_label("Service", exact=True).fill(sandbox.url)
        page.locator("input[type=password]").fill(sandbox.token)
        page.get_by_role("button", name="Use this account").click()
        labs.expect(page.get_by_text("Uploads go to")).to_contain_text(f"{sandbox.url[7:]}, as ")
        labs.expect(page.locator("input[type=password]")).to_have_value("")
        assert sandbox.token not in page.content()
        assert "in a cell" not in page.locator("body").inner_text()


def test_a_newcomer_gets_a_damaged_table_onto_the_sandbox(window: labs.Window, tmp_path: Path) -> None:
    """Without an account and without a word of Python: files, sandbox, fixes, plan, upload, proof."""
    page = window.page
    with labs.app(tmp_path) as address:
        page.goto(address)
        files = page.get_by_role("button", name="Read a file")
        window.choose_file(files.first, DATA / "damaged.csv")
        labs.expect(page.get_by_label("Table", exact=True)).to_contain_text("damaged.csv (60 rows, 16 columns)")
        window.choose_file(files.nth(1), DATA / "inventory.csv")
        labs.expect(page.get_by_label("Inventory")).to_contain_text("60,000 rows")
        press(window, "Try it on the built-in sandbox")
        labs.expect(page.get_by_text("Uploads go to")).to_contain_text("sandbox")
        page.get_by_role("button", name="Leave the sandbox").click()
        gives_an_account(page)
        press(window, "Try it on the built-in sandbox")
        labs.expect(page.get_by_text("Uploads go to")).to_contain_text("sandbox")
        window.picture("app-checked", page.locator("body"))
        send_what_is_right(window)
        labs.expect(page.locator("body")).to_contain_text("rows to look at")
        press(window, "Read back and compare")
        labs.expect(page.locator("body")).to_contain_text("read back: 0 differences")
        press(window, "Save the .*rows? to look at")
        labs.expect(page.get_by_role("link", name=re.compile("rows-to-look-at"))).to_be_visible()
        window.assert_legible(page.locator("body"), least=3)  # buttons have the theme's own colours
        window.assert_fits(page.locator(".jupyter-widgets").first)
        window.picture("app-done", page.locator("body"))
    assert [path.suffix for path in tmp_path.glob("rows-to-look-at-*")] == [".csv"]
    assert window.errors == []


def assert_closed(address: str) -> None:
    """Check that the address without its token leads to a login page."""
    with urllib.request.urlopen(address.partition("?")[0]) as answer:
        assert "/login" in answer.url


def test_an_account_from_the_environment_is_used(window: labs.Window, tmp_path: Path) -> None:
    """What the environment names is where the upload goes; no token is on the page, and nobody gets in without one."""
    table = scmkit.read_table(DATA / "lots.csv").tail(5)
    table.to_csv(tmp_path / "lots.csv", index=False)
    with scmkit.Sandbox(codes=DATA / "inventory.csv", speed=60) as sandbox:
        account = {"SCANTRUST_BASE_URL": sandbox.url, "SCANTRUST_UAT_TOKEN": sandbox.token}
        with labs.app(tmp_path, **account) as address:
            assert_closed(address)
            window.page.goto(address)
            tables = window.page.get_by_label("Table", exact=True)
            tables.select_option(tables.locator("option", has_text="lots.csv").get_attribute("value"))
            labs.expect(window.page.get_by_text("Uploads go to")).to_contain_text(sandbox.url.removeprefix("http://"))
            press(window, "Upload 5 rows")
            press(window, "Yes, upload")
            labs.expect(window.page.locator("body")).to_contain_text("everything arrived")
            content = window.page.content()
        assert sandbox.token not in content
        assert "os.chdir" not in content
        held = sandbox.codes().set_index("lot_number")["wine_name"]
    for lot, wine in zip(table["lot_number"], table["wine_name"], strict=True):
        assert set(held[[lot]]) == {wine}


def test_the_interactive_notebook_is_an_app_too(window: labs.Window, tmp_path: Path) -> None:
    """Under Voilà, notebook 03 shows its panels, the board and the explorer, and no error."""
    shutil.copytree(DATA, tmp_path / "data")
    notebook = shutil.copy(DATA.parent / "notebooks" / "03_interactive_upload.ipynb", tmp_path)
    with labs.voila(tmp_path, Path(notebook)) as server:
        window.page.goto(f"{server.url}/?token={server.token}")
        body = window.page.locator("body")
        for words in ("5. Plan", "everything arrived: 40 applied", "Show only", "Codes per key"):
            labs.expect(body).to_contain_text(words)
        assert "Traceback" not in body.inner_text()
    assert window.errors == []
