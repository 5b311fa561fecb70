"""What was chosen once does the same again: the panel's mapping, and a table and a mapping at a shell."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from plain_server import ASYNC, SYNC, PlainServer, serve

import scmkit
from scmkit.cli.commands import main
from scmkit.core import display
from scmkit.core.errors import PlanError
from scmkit.panels.panel import Panel

FIELDS = ["lot_number", "wine_name", "harvest_date", "country"]


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are written beside the notebook; no picture is drawn."""
    monkeypatch.setattr(display, "figure", lambda *_: display.Html("<img>"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def second(inventory: pd.DataFrame) -> Iterator[PlainServer]:
    """A server like the first one."""
    codes = {i: {"lot_number": lot} for i, lot in zip(inventory["extended_id"], inventory["lot_number"], strict=True)}
    with serve(FIELDS, codes) as running:
        yield running


@pytest.fixture
def panel_of(client: scmkit.Client) -> Iterator[Callable[..., Panel]]:
    made: list[Panel] = []

    def make(*args: Any, **options: Any) -> Panel:
        made.append(scmkit.panel(*args, client=client, **options))
        return made[-1].wait()

    yield make
    for each in made:
        each.close()


@pytest.fixture
def file() -> Path:
    """A month's lots: dates of another form, blanks, a column that is not sent, a row that nobody can mend."""
    rows = ["Lot;Wine Name;Harvested;Remark"]
    rows += [f"{i:06d}; Wine {i % 3};{i + 1}.9.2025;x" for i in range(6)]
    path = Path("lots september.csv")
    path.write_text("\n".join([*rows, "000006;Wine;32.9.2025;y", ""]))
    return path


def press(panel: Panel, name: str) -> None:
    panel.controls[name].click()
    panel.wait()


def choose(panel: Panel, column: str, **values: Any) -> None:
    """Choose what a column is sent as."""
    for name, value in {"column": column, **values}.items():
        panel.controls[name].value = value
        panel.wait()


def bodies(server: PlainServer) -> list[tuple[str, bytes]]:
    """Return all uploads, as bytes, in an order of their own: calls go out at the same time."""
    return sorted((e.route, e.raw) for e in server.exchanges if e.route in (SYNC, ASYNC))


def chosen(panel: Panel) -> None:
    """Name key and fields, and apply the fixes."""
    panel.controls["key"].value = "Lot"
    panel.wait()
    choose(panel, "Lot", field="\0other", name="lot_number")
    choose(panel, "Wine Name", field="\0other", name="wine_name")
    choose(panel, "Harvested", field="\0other", name="harvest_date", kind="date")
    choose(panel, "Remark", field="")
    press(panel, "fix_all")
    panel.controls["leave_out"].value = True
    panel.wait()


def test_a_mapping_saved_from_the_panel_repeats_the_upload_in_the_shell(
    panel_of: Callable[..., Panel], server: PlainServer, second: PlainServer, file: Path
) -> None:
    """Byte by byte, the same calls go out; plan and file say the same mapping."""
    panel = panel_of(scmkit.read_table(file))
    chosen(panel)
    press(panel, "save_mapping")
    saved = Path("mapping-df.json")
    assert saved.name in panel.shown["mapping_file"].value
    assert scmkit.Mapping.load(saved) == panel.plan.mapping
    panel.submit()
    panel.wait()
    assert panel.job.counts() == {"applied": 6, "rejected": 1}
    asked = ["upload", file, "--mapping", saved, "--errors", "reject", "--yes"]
    account = {"SCANTRUST_BASE_URL": second.url, "SCANTRUST_UAT_TOKEN": second.token}
    result = CliRunner().invoke(main, list(map(str, asked)), env=account)
    assert "6 applied" in result.output
    assert bodies(second) == bodies(server) != []
    assert b"2025-09-06" in b"".join(raw for _, raw in bodies(second))


def test_a_panel_begins_with_a_mapping(
    panel_of: Callable[..., Panel], server: PlainServer, file: Path, tmp_path: Path
) -> None:
    """What was chosen once is chosen again, with what it asks of values; a new column is not sent."""
    mapping = scmkit.Mapping(
        columns={"Lot": "lot_number", "Wine Name": "wine_name", "Harvested": "harvest_date", "Remark": None},
        key="lot_number",
        allowed={"wine_name": ["Wine 0", "wine 1"]},
        constants={"country": "CH"},
        fixes=["date_format", "surrounding_blanks"],
    )
    mapping.save("m.json")
    table = scmkit.read_table(file).assign(Size="75 cl")
    panel = panel_of(table, mapping="m.json")
    assert panel.choices.key == "Lot"
    assert {c.name: c.field for c in panel.choices.columns} == mapping.columns | {"Size": None}
    wrong = set(panel.findings.frame["rule"])
    assert {"allowed_value", "no_such_date"} <= wrong
    press(panel, "fix spellings")
    panel.controls["leave_out"].value = True
    panel.wait()
    names: dict[str, Any] = {"scmkit": scmkit, "df": table, "client": None}
    lines = panel.code.splitlines()
    exec("\n".join(line for line in lines if line.startswith("mapping = ")), names)
    assert names["mapping"] == panel.plan.mapping
    assert "mapping=mapping" in lines[-1]
    assert panel.plan.mapping.constants == {"country": "CH"}
    panel.submit()
    panel.wait()
    sent = b"".join(raw for _, raw in bodies(server))
    assert sent.count(b'"country":"CH"') > 0
    assert b"wine 1" in sent
    assert b"Wine 2" not in sent


def test_a_panel_says_what_it_cannot_do_with_a_mapping(panel_of: Callable[..., Panel], file: Path) -> None:
    """Columns that are missing, and a key of several columns."""
    panel = panel_of(
        scmkit.read_table(file), mapping=scmkit.Mapping({"Lots": "lot_number", "Remark": "x"}, "lot_number")
    )
    assert "&#x27;Lots&#x27; is missing (did you mean &#x27;Lot&#x27;?)" in "".join(panel.troubles)
    with pytest.raises(PlanError, match="a panel takes one key, and this mapping has a and b"):
        scmkit.panel(mapping=scmkit.Mapping(key=["a", "b"]))
