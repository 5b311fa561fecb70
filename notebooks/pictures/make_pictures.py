"""Make the picture of the README from the sample data: `python notebooks/pictures/make_pictures.py`."""

from pathlib import Path

from matplotlib.figure import Figure

import scmkit

HERE = Path(__file__).parent
DATA = HERE.parent.parent / "data"


def main() -> None:
    """Draw what decides: the codes behind each lot, and the plan that follows from them."""
    lots = scmkit.read_table(DATA / "lots.csv")
    plan = lots.scm.plan(key="lot_number", inventory=DATA / "inventory.csv")
    figure = Figure(figsize=(12, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    plan.estimate.plot(left)
    plan.plot(right)
    figure.savefig(HERE / "readme.png", dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
