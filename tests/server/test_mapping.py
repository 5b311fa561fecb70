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
from scmkit.core.errors import PlanError, ValidationError
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


def shell(*arguments: object, at: PlainServer | None = None) -> str:
    """Run a command as a shell does, and return what it wrote."""
    account = {"SCANTRUST_BASE_URL": at.url, "SCANTRUST_UAT_TOKEN": at.token} if at else {}
    result = CliRunner().invoke(main, list(map(str, arguments)), env=account)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.output


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
    panel.controls["mode"].value = "sync"  # no task to wait for
    panel.wait()
    press(panel, "save_mapping")
    saved = Path("mapping-df.json")
    assert saved.name in panel.shown["mapping_file"].value
    assert scmkit.Mapping.load(saved) == panel.plan.mapping
    panel.submit()
    panel.wait()
    assert panel.job.counts() == {"applied": 6, "rejected": 1}
    asked = ["--mapping", saved, "--mode", "sync", "--yes"]
    told = shell("upload", file, *asked, "--errors", "reject", "--rejected", "left.csv", at=second)
    assert "6 applied" in told
    assert bodies(second) == bodies(server) != []
    assert b"2025-09-06" in b"".join(raw for _, raw in bodies(second))
    left = Path("left.csv").read_text().replace("32.9.2025", "30.9.2025")
    Path("left.csv").write_text(left)
    assert "1 applied" in shell("upload", "left.csv", *asked, at=second)
    assert b"2025-09-30" in b"".join(raw for _, raw in bodies(second))


def test_products_of_the_service_are_looked_up() -> None:
    """What a client lists is what `upload` knows: a misspelt product is told before anything is sent."""
    codes = pd.DataFrame({"extended_id": [f"Code_{i:04d}" for i in range(4)], "product": "Wine", "sku": "SKU-1"})
    with scmkit.Sandbox(codes=codes, speed=50) as sandbox, sandbox.client() as client:
        table = codes[["extended_id"]].assign(product=["SKU-1", "SKU-1", "SKU-1", "SKU1"])
        with pytest.raises(ValidationError, match=r"'SKU1' \(did you mean 'SKU-1'\?\)"):
            scmkit.upload(table, client, products=client.products(), progress=False)
        assert not [r for r in sandbox.requests()["path"] if "upload" in r]
        good = table.assign(product="SKU-1")
        assert scmkit.upload(good, client, products=client.products(), progress=False).ok


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"colums": {}}', "b.json: a mapping has no 'colums' (did you mean 'columns'?)"),
        ('{"scmkit_mapping": 9}', "version 9"),
        ('{"columns": {"Lots": "lot_number"}, "key": "lot_number"}', "'Lots' is missing (did you mean 'Lot'?)"),
        ('{"patterns": {"Lot": "(?=0)"}}', "not understood"),
    ],
)
def test_a_shell_says_in_a_sentence_what_is_wrong_with_a_mapping(file: Path, text: str, words: str) -> None:
    """No traceback, and nothing sent."""
    Path("b.json").write_text(text)
    told = shell("plan", file, "--mapping", "b.json")
    assert words in told
    assert told.startswith("Error: ")


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
