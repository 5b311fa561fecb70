"""Make the pictures of the README from the sample data: `python notebooks/pictures/make_pictures.py`.

The widgets are photographed in a real JupyterLab, in Debian's Chromium (see `tests/support/lab.py`), in both themes.
"""

import sys
import tempfile
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

import scmkit

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
DATA = ROOT / "data"
sys.path.insert(0, str(ROOT / "tests" / "support"))

import lab as labs

SETUP = f"""
import time, scmkit
sandbox = scmkit.Sandbox(codes="{DATA}/inventory.csv", speed=60).start()
scmkit.use(sandbox.client())
inventory = sandbox.codes()
lots = scmkit.read_table("{DATA}/lots.csv")
for part in (lots.tail(30), lots.iloc[5:25]):
    part.scm.upload(key="lot_number", inventory=inventory, progress=False)
"""
CELLS = (
    SETUP,
    "panel = lots.scm.panel(inventory=inventory); panel",
    "assert panel.wait()",
    "explorer = scmkit.CapacityExplorer(codes_per_key=150, batch=40); explorer",
    "big = lots.scm.upload(key='lot_number', inventory=inventory, wait=False)",
    "board = scmkit.TaskBoard(); board",
)
COLOURS = 128  # of a picture: text stays sharp, and the file is small


def main() -> None:
    """Draw what decides, then photograph what people see."""
    draw_plan()
    with tempfile.TemporaryDirectory() as folder, labs.chromium() as browser, labs.jupyterlab(Path(folder)) as server:
        context = browser.new_context(viewport={"width": 1100, "height": 900})
        lab = labs.Lab.of(context, server=server, folder=server.folder)
        lab.open(*CELLS)
        lab.run_all()
        lab.page.get_by_role("button", name="Upload 400 rows").click()
        lab.page.get_by_role("button", name="Yes, upload").wait_for()
        lab.page.get_by_label("Job").select_option(index=1)
        for theme in ("light", "dark"):
            lab.theme(theme)
            photograph(lab, theme)


def draw_plan() -> None:
    """Draw the codes behind each lot, and the plan that follows from them."""
    lots = scmkit.read_table(DATA / "lots.csv")
    plan = lots.scm.plan(key="lot_number", inventory=DATA / "inventory.csv")
    figure = Figure(figsize=(12, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    plan.estimate.plot(left)
    plan.plot(right)
    figure.savefig(HERE / "readme.png", dpi=110, metadata={"Software": None})


def photograph(lab: labs.Lab, theme: str) -> None:
    """Take a picture of each surface; of the panel the sections that decide."""
    surfaces = {name: lab.outputs(number).locator(".widget-vbox").first for name, number in
                (("panel", 1), ("explorer", 3), ("board", 5))}  # fmt: skip
    sections = surfaces["panel"].locator("> .widget-vbox")
    titled = {n: sections.filter(has_text=n).first for n in ("4. Findings", "6. Upload")}
    lab.picture(f"panel-{theme}", titled["4. Findings"], titled["6. Upload"])
    for name in ("explorer", "board"):
        lab.picture(f"{name}-{theme}", surfaces[name])
    for name in surfaces:
        shrink(labs.OUTPUT / f"{name}-{theme}.png", HERE / f"{name}-{theme}.png")


def shrink(source: Path, target: Path) -> None:
    """Write a picture with few colours."""
    with Image.open(source) as picture:
        picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)


if __name__ == "__main__":
    main()
