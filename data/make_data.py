"""Write the samples of this folder again, byte for byte: ``python data/make_data.py``."""

import sys
from pathlib import Path

from scmkit.sandbox import samples


def main(folder: Path) -> None:
    """Write the five tables into a folder."""
    inventory = samples.inventory()
    tables = {
        "inventory": inventory,
        "codes": samples.codes_table(inventory),
        "lots": samples.lots_table(inventory),
        "pallets": samples.pallets_table(inventory),
        "damaged": samples.damaged_table(inventory),
    }
    for name, table in tables.items():
        path = folder / f"{name}.csv"
        path.write_bytes(table.to_csv(index=False, lineterminator="\n").encode())
        print(f"{path.name}: {len(table):,} rows, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
