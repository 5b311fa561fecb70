"""The panel in JupyterLab, by mouse and keyboard alone."""

from __future__ import annotations

import json
import re
from pathlib import Path

import fault_server
import lab as labs
from attacks import ATTACKS
from plain_server import TOKEN, PlainServer
from playwright.sync_api import Locator

DATA = Path(__file__).parent.parent.parent / "data"


def give(lab: labs.Lab, panel: Locator, path: Path) -> None:
    """Choose a file of this computer as the table."""
    lab.choose_file(panel.get_by_role("button", name="Read a file").first, path)


def section(panel: Locator, title: str) -> Locator:
    """Give the line that says how a section stands."""
    return panel.locator("div", has=panel.page.locator("b", has_text=title)).last


def gives_an_account(lab: labs.Lab, panel: Locator, server: PlainServer) -> None:
    """Type address and token, and press Enter; then the page says whose account it is, and the field is empty."""
    panel.get_by_label("Service", exact=True).fill(server.url)
    token = panel.locator("input[type=password]")
    token.fill("wr0ng")
    token.press("Enter")
    labs.expect(panel.get_by_role("alert")).to_contain_text("401")
    lab.assert_fits(panel)
    lab.picture("panel-account", panel)
    token.fill(TOKEN)
    token.press("Enter")
    labs.expect(section(panel, "2. Service")).to_contain_text(server.url.removeprefix("http://"))
    labs.expect(panel.get_by_text("as someone@example.com")).to_be_visible()
    labs.expect(token).to_have_value("")
    assert TOKEN not in lab.page.content()


def test_a_newcomer_gets_a_damaged_file_onto_the_sandbox(lab: labs.Lab, server: PlainServer) -> None:
    """With the mouse alone, from a file to codes on the service; the saved notebook tells it without a kernel."""
    lab.open("import scmkit\npanel = scmkit.panel()\npanel")
    panel = lab.run(0)
    give(lab, panel, DATA / "damaged.csv")
    labs.expect(section(panel, "1. Table")).to_contain_text("damaged.csv (60 rows, 16 columns)")
    gives_an_account(lab, panel, server)
    panel.get_by_role("button", name="Try it on the built-in sandbox").click()
    labs.expect(section(panel, "2. Service")).to_contain_text("the built-in sandbox (127.0.0.1")
    panel.get_by_label("Key", exact=True).select_option("lot_number")
    labs.expect(section(panel, "3. Key")).to_contain_text("the key is lot_number")
    panel.get_by_label("Key", exact=True).select_option("extended_id")
    labs.expect(section(panel, "3. Key")).to_contain_text("the key is extended_id; 14 fields sent")
    panel.get_by_role("button", name="Fix dates (7)").click()
    panel.get_by_role("button", name="Fix all of these (7)").click()
    labs.expect(section(panel, "4. Findings")).to_contain_text("26 rows with errors")
    panel.get_by_label("Leave out the 26 rows with errors").check()
    labs.expect(section(panel, "5. Plan")).to_contain_text("30 rows of 60 in 1 call")
    labs.expect(panel.get_by_role("img", name="Two pictures")).to_be_visible()
    labs.expect(panel).to_contain_text("The same upload in other ways")
    for theme in ("light", "dark"):
        lab.theme(theme)
        lab.assert_legible(panel, least=3)  # disabled controls of JupyterLab's own have less than 4.5
        lab.assert_fits(panel)
        lab.picture(f"panel-{theme}", panel)
    panel.get_by_role("button", name="Upload 30 rows").click()
    labs.expect(panel).to_contain_text("This sends 30 rows in 1 call to the built-in sandbox")
    lab.picture("panel-question", panel)
    panel.get_by_role("button", name="Yes, upload to the sandbox").click()
    labs.expect(section(panel, "6. Upload")).to_contain_text("30 applied, 26 rejected, 4 superseded")
    panel.get_by_role("button", name="Read back and compare").click()
    labs.expect(section(panel, "6. Upload")).to_contain_text("read back: 0 differences")
    panel.get_by_role("button", name="Save the 26 rows to look at").click()
    labs.expect(panel.get_by_role("link", name="Download rows-to-look-at")).to_be_visible()
    held = lab.value("panel.sandbox.codes().set_index('extended_id').loc['Xgh9lpap5inh', 'wine_name']")
    assert held == "Clos de l'Étoile"
    assert len(list(lab.folder.glob("rows-to-look-at-*.csv"))) == 1
    lab.save()
    assert TOKEN not in lab.notebook.read_text()
    lab.show(lab.notebook, theme="dark", kernel=False)
    labs.expect(lab.outputs(0)).to_contain_text("30 applied, 26 rejected, 4 superseded")
    lab.picture("panel-no-kernel", lab.outputs(0))


SLOW = f"""
import time, pandas as pd, scmkit
inventory = pd.read_csv("{DATA}/inventory.csv", dtype=str)
sandbox = scmkit.Sandbox(codes=inventory, speed=2).start()
lots = scmkit.read_table("{DATA}/lots.csv").tail(60)
panel = scmkit.panel(lots, client=sandbox.client(), inventory=inventory)
panel.choose(mode="async")
panel
"""
BUSY = "while not panel.job.done():\n    time.sleep(0.01)"


def test_progress_moves_while_another_cell_runs(lab: labs.Lab) -> None:
    """The upload is followed on the surface while the kernel is busy, and its end is seen."""
    lab.open(SLOW, BUSY)
    panel = lab.run(0)
    panel.get_by_role("button", name="Upload 60 rows").click()
    panel.get_by_role("button", name="Yes, upload").click()
    line = panel.get_by_text(re.compile("s left"))
    line.wait_for()
    lab.start(1)
    for _ in range(3):
        labs.expect(line).not_to_have_text(line.inner_text())
    assert lab.running(1)
    lab.finished(1)
    labs.expect(section(panel, "6. Upload")).to_contain_text("everything arrived: 60 applied")
    assert lab.value("panel.job.ok") is True


def test_a_callback_that_raises_shows_its_error(lab: labs.Lab) -> None:
    """A file that cannot be read is an error below its button, in the place of the table before; the next one works."""
    (lab.folder / "broken.csv").write_text('a,b\n"x')
    lab.open("import scmkit\npanel = scmkit.panel()\npanel")
    panel = lab.run(0)
    give(lab, panel, DATA / "lots.csv")
    labs.expect(section(panel, "1. Table")).to_contain_text("lots.csv (400 rows")
    give(lab, panel, lab.folder / "broken.csv")
    alert = panel.get_by_role("alert")
    labs.expect(alert).to_contain_text("broken.csv, line 2")
    labs.expect(section(panel, "1. Table")).to_contain_text("your turn: choose a DataFrame or a file")
    place, control = alert.bounding_box(), panel.get_by_role("button", name="Read a file").first.bounding_box()
    assert place is not None
    assert control is not None
    assert 0 <= place["y"] - control["y"] - control["height"] < 20
    lab.picture("panel-refused", panel)
    give(lab, panel, DATA / "lots.csv")
    labs.expect(section(panel, "1. Table")).to_contain_text("lots.csv (400 rows")
    labs.expect(alert).to_have_count(0)


def test_no_text_from_elsewhere_runs(lab: labs.Lab, rude: fault_server.FaultServer) -> None:
    """Scripts in cells, columns, names of files and answers of the server are shown as the text they are."""
    (lab.folder / "attacks.json").write_text(json.dumps(ATTACKS))
    lab.open(
        f"""
import json, pandas as pd, scmkit
from pathlib import Path
attacks = json.loads(Path("attacks.json").read_text())
codes = [f"Code_{{i:05d}}-" for i in range(len(attacks))]
table = pd.DataFrame({{"extended_id": codes, "wine_name": attacks, **{{name: attacks for name in attacks}}}})
bad = pd.DataFrame({{"extended_id": attacks, "harvest_date": attacks}})
client = scmkit.Client("{rude.url}", "{rude.token}")
panel = scmkit.panel(table, client=client, journal=False)
for name in attacks[:10]:
    Path(name.replace("/", "") + ".csv").write_text("extended_id,x\\nCode_00001-,1\\n")
panel
"""
    )
    panel = lab.run(0)
    panel.get_by_role("button", name="Upload 20 rows").click()
    panel.get_by_role("button", name="Yes, upload").click()
    labs.expect(section(panel, "6. Upload")).to_contain_text("20 rejected")
    panel.get_by_role("button", name="Save the 20 rows to look at").click()
    panel.get_by_role("button", name="Show code").click()
    labs.expect(panel.get_by_role("link", name="Download")).to_be_visible()
    for name in (f"{ATTACKS[2]}.csv", "bad"):
        listed = panel.get_by_label("Table", exact=True)
        labs.expect(listed).to_contain_text(name)  # the list is made anew after each choice
        texts = [text.replace("\xa0", " ") for text in listed.locator("option").all_inner_texts()]
        listed.select_option(index=[text.startswith(name) for text in texts].index(True))
        labs.expect(section(panel, "1. Table")).to_contain_text(name)
    labs.expect(section(panel, "4. Findings")).to_contain_text("errors")
    assert panel.locator(".widget-html-content :is(script, iframe, svg, video, input[autofocus])").count() == 0
    lab.save()
    lab.page.goto(labs.converted(lab.notebook).as_uri())
