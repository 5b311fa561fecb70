"""The panel, driven as a browser would: by setting traits and clicking."""

import datetime as dt
import gc
import html.parser
import itertools
import json
import re
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import IPython.display
import ipywidgets
import pandas as pd
import plain_server
import pytest
from traitlets import Bunch
from waiting import wait_for

import scmkit
from scmkit.core import contract, display
from scmkit.panels import sections, words, work
from scmkit.panels.panel import Panel
from scmkit.steps import choices
from scmkit.uploading import plans
from scmkit.uploading import upload as uploading
from scmkit.widgets import worker
from scmkit.widgets.surface import Place

panels = sys.modules[Panel.__module__]
FIGURE = display.figure
PAYLOAD = "<img src=x onerror=alert(1)>'\"</pre><script>alert(2)</script>"
SAFE_TAGS = {
    "div", "b", "i", "u", "a", "span", "table", "caption", "thead", "tbody", "tr", "th", "td", "ul", "li", "img",
    "code", "pre", "p", "details", "summary",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The notebook's folder is an empty one, and nobody watches: updates need not be spaced, nor pictures drawn."""
    monkeypatch.setattr(panels, "SPACING_S", 0.01)
    monkeypatch.setattr(display, "figure", lambda *_, **__: display.Html("<img>"))
    (tmp_path / "notebook").mkdir()
    monkeypatch.chdir(tmp_path / "notebook")


@pytest.fixture
def panel_of() -> Iterator[Callable[..., Panel]]:
    """Make panels that are closed at the end."""
    made: list[Panel] = []

    def make(*args: Any, **options: Any) -> Panel:
        made.append(scmkit.panel(*args, **options))
        return made[-1].wait()

    yield make
    for each in made:
        each.close()


def press(panel: Panel, button: ipywidgets.Button) -> None:
    button.click()
    panel.wait()


def put(panel: Panel, upload: ipywidgets.FileUpload, path: Path, name: str = "") -> None:
    """Choose a file, as the browser tells it."""
    content = memoryview(path.read_bytes())
    told = {"name": name or path.name, "type": "", "size": len(content), "content": content}
    upload.value = (Bunch(told, last_modified=dt.datetime.now(dt.UTC)),)
    panel.wait()


def widgets(panel: Panel) -> list[ipywidgets.Widget]:
    return inside(panel.box)


def inside(widget: ipywidgets.Widget, shown_only: bool = False) -> list[ipywidgets.Widget]:
    """A widget and all in it, in the order of the page."""
    if shown_only and widget.layout.display == "none":
        return []
    return [widget, *(w for child in getattr(widget, "children", ()) for w in inside(child, shown_only))]


def trouble(panel: Panel) -> str:
    return "".join(panel.troubles)


def shown(panel: Panel, name: str) -> bool:
    return panel.controls[name] in inside(panel.box, shown_only=True)


def test_a_newcomer_gets_a_damaged_file_onto_the_sandbox(
    panel_of: Callable[..., Panel], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the controls alone: file, sandbox, fixes, upload, read-back; the sandbox then holds what was sent."""
    monkeypatch.setattr(display, "figure", FIGURE)
    panel = panel_of()
    assert "choose a table first" in repr(panel)
    put(panel, panel.controls["table_file"], data / "damaged.csv")
    assert panel.controls["table_file"].value == ()
    press(panel, panel.controls["sandbox"])
    press(panel, panel.controls["fix_all"])
    assert "The fixes changed 14 cells" in panel.shown["changes"].value
    panel.controls["leave_out"].value = True
    panel.wait()
    press(panel, panel.controls["upload"])
    assert "30 rows in 1 call to <b>the built-in sandbox" in panel.shown["question"].value
    assert panel.job is None
    press(panel, panel.controls["yes"])
    press(panel, panel.controls["verify"])
    assert trouble(panel) == ""
    job = panel.job
    assert job is not None
    assert (job.counts(), len(job.differences)) == ({"applied": 30, "rejected": 26, "superseded": 4}, 0)
    assert "Read back: 30 applied rows compared, all equal" in panel.shown["files"].value
    codes = panel.sandbox.codes().set_index("extended_id")
    assert codes.loc["lQK2_mgUZ-H8", "wine_name"] == "Cañada Fría, lot N° 3"
    assert codes.loc["Xgh9lpap5inh", "wine_name"] == "Clos de l'Étoile"  # had a blank in front
    assert "30 applied, 26 rejected, 4 superseded" in repr(panel)
    assert 'src="data:image/png;base64,' in panel.shown["picture"].value
    assert "all async" in panel.shown["ways"].value


def test_the_shown_code_does_the_same(
    panel_of: Callable[..., Panel], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lines, run elsewhere, leave the sandbox as the panel left its own, and give the same rows."""
    shutil.copy(data / "damaged.csv", "damaged.csv")
    panel = panel_of()
    source = next(value for label, value in panel.controls["table"].options if label.startswith("damaged.csv"))
    panel.controls["table"].value = source
    panel.wait()
    press(panel, panel.controls["sandbox"])
    press(panel, panel.controls["fix dates"])
    press(panel, panel.controls["fix blanks"])
    panel.controls["leave_out"].value = True
    panel.controls["mode"].value = "async"
    press(panel.wait(), panel.controls["upload"])
    press(panel, panel.controls["yes"])
    names: dict[str, Any] = {}
    exec(panel.code, names)
    try:
        job = panel.job
        assert job is not None
        pd.testing.assert_frame_equal(names["sandbox"].codes()[DEFINED], panel.sandbox.codes()[DEFINED])
        assert names["job"].counts() == job.counts()
        assert names["job"].plan.mode == "async"
    finally:
        names["client"].close()
        names["sandbox"].stop()


DEFINED = ["extended_id", "wine_name", "harvest_date", "bottling_date", "vintage_year", "status"]


def test_the_first_view_waits_for_nothing(monkeypatch: pytest.MonkeyPatch, table: pd.DataFrame) -> None:
    """The panel is there, and can be shown, while the first look at the table has not even begun."""
    go, callers = threading.Event(), []

    def slow(*args: Any, **options: Any) -> Any:
        callers.append(threading.current_thread())
        go.wait(30)
        return suggest(*args, **options)

    suggest = choices.suggest
    monkeypatch.setattr(choices, "suggest", slow)
    panel = scmkit.panel(table)
    assert "application/vnd.jupyter.widget-view+json" in panel._repr_mimebundle_()
    go.set()
    panel.wait().close()
    assert threading.current_thread() not in callers
    assert callers


def test_nothing_long_runs_on_the_callers_thread(
    panel_of: Callable[..., Panel], monkeypatch: pytest.MonkeyPatch, table: pd.DataFrame, client: scmkit.Client
) -> None:
    """Reading, checking, planning, simulating, drawing, uploading: all of it on threads of the panel's own."""
    callers: dict[str, set[threading.Thread]] = {}

    def watch(place: Any, name: str) -> None:
        inner = getattr(place, name)

        def watched(*args: Any, **options: Any) -> Any:
            callers.setdefault(name, set()).add(threading.current_thread())
            return inner(*args, **options)

        monkeypatch.setattr(place, name, watched)

    for place, name in (
        (work, "looked_at"), (work, "with_risk"), (work, "read_content"), (plans, "plan"), (uploading, "upload"),
        (choices, "will_happen"), (words, "result"), (scmkit.Client, "download_codes"),
    ):  # fmt: skip
        watch(place, name)
    table.to_csv("table.csv", index=False)
    panel = panel_of(client=client)
    put(panel, panel.controls["table_file"], Path("table.csv"))
    press(panel, panel.controls["download"])
    press(panel, panel.controls["upload"])
    press(panel, panel.controls["yes"])
    press(panel, panel.controls["verify"])
    assert len(callers) == 8
    assert not any(threading.current_thread() in threads for threads in callers.values())


def test_a_widget_gets_one_message_each_time_the_panel_shows_itself(
    panel_of: Callable[..., Panel], monkeypatch: pytest.MonkeyPatch, table: pd.DataFrame, client: scmkit.Client
) -> None:
    """One showing sends at most one message to a widget, and showings are a quarter of a second apart."""
    monkeypatch.setattr(panels, "SPACING_S", worker.SPACING_S)
    sent: list[tuple[int, str]] = []
    times: list[float] = []
    send, do = ipywidgets.Widget._send, worker.Worker.do

    def noted(self: ipywidgets.Widget, *args: Any, **options: Any) -> Any:
        if threading.current_thread().name == "scmkit-panel-view":
            sent.append((len(times), self.model_id))
        return send(self, *args, **options)

    def timed(self: worker.Worker, name: str, work: Callable[[], None], *args: Any, **options: Any) -> None:
        def showing() -> None:
            times.append(time.monotonic())
            work()

        do(self, name, showing if name == "show" else work, *args, **options)

    monkeypatch.setattr(ipywidgets.Widget, "_send", noted)
    monkeypatch.setattr(worker.Worker, "do", timed)
    panel = panel_of(table, client=client)
    for risk in (0.001, 0.05, 0.2):
        panel.controls["risk"].value = risk
        panel.controls["mode"].value = "async" if risk == 0.05 else "auto"
    panel.wait()
    press(panel, panel.controls["upload"])
    press(panel, panel.controls["yes"])
    assert max(Counter(sent).values()) == 1
    assert min(b - a for a, b in itertools.pairwise(sorted(times[1:]))) >= 0.25
    assert panel.controls["bar"].value == panel.controls["bar"].max == 50
    assert "50 applied" in panel.shown["far"].value


def test_what_a_callback_raises_is_shown(panel_of: Callable[..., Panel], table: pd.DataFrame, data: Path) -> None:
    """Wrong files, a table that is too large, an unreachable service: an error on the panel, which works on."""
    with scmkit.Client("http://127.0.0.1:9", "token-of-a-test") as nowhere:
        panel = panel_of(table, client=nowhere, max_mb=0.005)
        Path("broken.csv").write_text('a,b\n"x')
        put(panel, panel.controls["table_file"], Path("broken.csv"), f"{PAYLOAD}/../br<b>oken.csv")
        assert "br&lt;b&gt;oken.csv, line 2" in trouble(panel)
        put(panel, panel.controls["table_file"], data / "damaged.csv")
        assert "takes 0.005" in trouble(panel)
        choose(panel, panel.controls["table"], "df ")
        assert trouble(panel) == ""
        press(panel, panel.controls["download"])
        assert "cannot reach http://127.0.0.1:9" in trouble(panel)
        assert panel.plan is not None
        assert panel.choices.table is not None
        assert panel.choices.table.table is table


def choose(panel: Panel, listed: ipywidgets.Dropdown, label: str) -> None:
    """Choose from a list by how the choice begins."""
    listed.value = next(value for words, value in listed.options if words.startswith(label))
    panel.wait()


def below(panel: Panel, control: ipywidgets.Widget) -> str:
    """What stands in the line below the row of a control, as the browser lays it out."""
    order = [w for w in widgets(panel) if isinstance(w, Place) or w is control]
    return str(order[order.index(control) + 1].value)


@pytest.mark.parametrize("way", ["button", "list"])
@pytest.mark.parametrize("role", ["table", "codes"])
def test_a_refused_file_takes_the_place_of_the_one_before(
    panel_of: Callable[..., Panel],
    table: pd.DataFrame,
    inventory: pd.DataFrame,
    client: scmkit.Client,
    role: str,
    way: str,
) -> None:
    """Refused, a table or an inventory is not shown as if the one before were meant; the next one that is right is."""
    Path("broken.csv").write_text('a,b\n"x')
    panel = panel_of(table, client=client, inventory=inventory)
    title, before = {"table": ("1. Table", "df "), "codes": ("2. Service and codes", "inventory ")}[role]
    listed = panel.controls[role]
    if way == "button":
        put(panel, panel.controls[f"{role}_file"], Path("broken.csv"))
    else:
        choose(panel, listed, "broken")
    assert "broken.csv, line 2" in trouble(panel)
    assert listed.value == sections.NOTHING
    if role == "table":
        assert panel.plan is None
        assert "your turn:</i> choose a DataFrame" in panel.shown[title].value
        assert "choose a table first" in panel.shown["6. Upload"].value
        assert "&#10003;" not in panel.shown["3. Key and fields"].value
        assert panel.shown["preview"].value == ""
    else:
        assert "no inventory" in panel.shown[title].value
    choose(panel, listed, before)
    assert (trouble(panel), panel.plan is not None) == ("", True)
    assert "no inventory" not in panel.shown[title].value


def test_an_error_stands_at_the_control_that_caused_it(panel_of: Callable[..., Panel], table: pd.DataFrame) -> None:
    """Whatever went wrong, at once or on another thread, is said once, below the row of what was pressed or changed."""
    Path("broken.csv").write_text('a,b\n"x')
    with scmkit.Client("http://127.0.0.1:9", "token-of-a-test") as nowhere:
        panel = panel_of(table, client=nowhere)
        for control, act, words in (
            (
                panel.controls["table_file"],
                lambda: put(panel, panel.controls["table_file"], Path("broken.csv")),
                "broken.csv, line 2",
            ),
            (
                panel.controls["codes_file"],
                lambda: put(panel, panel.controls["codes_file"], Path("broken.csv")),
                "broken.csv, line 2",
            ),
            (
                panel.controls["download"],
                lambda: press(panel, panel.controls["download"]),
                "cannot reach http://127.0.0.1:9",
            ),
            (panel.controls["leave"], lambda: press(panel, panel.controls["leave"]), ""),
        ):
            act()
            assert words in below(panel, control)
            assert len(panel.troubles) == bool(words)
        press(panel, panel.controls["upload"])  # in a section that is not open any more
        [at] = [n for n, child in enumerate(panel.box.children) if panel.controls["upload"] in inside(child)]
        assert panel.troubles == [panel.box.children[at + 1].value]
        assert "choose a table first" in panel.troubles[0]


def test_an_upload_that_cannot_begin_says_why(
    panel_of: Callable[..., Panel], table: pd.DataFrame, server: plain_server.PlainServer
) -> None:
    """A token that is refused stops the upload; the panel names the reason, and can be used again."""
    with scmkit.Client(server.url, "wrong-token") as wrong:
        panel = panel_of(table, client=wrong)
        press(panel, panel.controls["upload"])
        press(panel, panel.controls["yes"])
        assert "suspended" in repr(panel)
        assert "401" in panel.shown["6. Upload"].value
        assert shown(panel, "upload")


class Tags(html.parser.HTMLParser):
    """Every tag and attribute of a piece of HTML."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.handlers: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        told = {name for name, _ in attrs if name.startswith("on")}
        self.handlers |= told | {v for name, v in attrs if name == "href" and not str(v).startswith("data:")}


def test_texts_from_elsewhere_stay_texts(panel_of: Callable[..., Panel], server: plain_server.PlainServer) -> None:
    """Payloads in cells, columns, file names and answers of the server reach no widget as tags or handlers."""
    frame = pd.DataFrame(
        {"extended_id": ["Code_00001-", PAYLOAD], PAYLOAD: [PAYLOAD, "x"], "wine_name": [PAYLOAD, "y"]}
    )
    frame.to_csv("rude.csv", index=False)
    server.answers += [(400, {"detail": PAYLOAD}, {})] * 3
    with scmkit.Client(server.url, server.token, limits=scmkit.Limits(speed=20)) as client:
        panel = panel_of(client=client)
        put(panel, panel.controls["table_file"], Path("rude.csv"), PAYLOAD.replace("/", "") + ".csv")
        panel.controls["leave_out"].value = True
        press(panel.wait(), panel.controls["upload"])
        press(panel, panel.controls["yes"])
        press(panel, panel.controls["save"])
        press(panel, panel.controls["code"])
    assert panel.job is not None
    assert panel.job.counts() == {"rejected": 2}
    texts = [w.value for w in widgets(panel) if isinstance(w, ipywidgets.HTML)] + [panel.static()]
    assert sum("&lt;img src=x onerror=alert(1)&gt;" in text for text in texts) >= 6
    found = [Tags(text) for text in texts]
    assert set().union(*(each.tags for each in found)) <= SAFE_TAGS
    assert set().union(*(each.handlers for each in found)) == set()


def test_the_token_is_in_no_widget(panel_of: Callable[..., Panel], table: pd.DataFrame, client: scmkit.Client) -> None:
    """Neither the state of a widget nor what a notebook keeps holds the token."""
    panel = panel_of(table, client=client)
    press(panel, panel.controls["upload"])
    press(panel, panel.controls["yes"])
    press(panel, panel.controls["code"])
    state = json.dumps([w.get_state() for w in widgets(panel)], default=str)
    assert plain_server.TOKEN not in state + repr(panel) + panel.static() + panel.code
    assert len(state) > 1_000


def test_twenty_rounds_leave_nothing_behind(
    table: pd.DataFrame, client: scmkit.Client, server: plain_server.PlainServer
) -> None:
    """Uploads that are cancelled and made again leave no thread and no socket; the last one arrives."""
    before = threads()
    panel = scmkit.panel(table, client=client, journal=False).wait()
    for _ in range(20):
        last = panel.job
        panel.controls["upload"].click()
        wait_for(lambda: panel.shown["question"].value)
        panel.controls["yes"].click()
        wait_for(lambda last=last: panel.job is not last)
        panel.controls["cancel"].click()
        panel.wait()
        assert panel.job is not None
        assert panel.job.state in ("cancelled", "complete")
    press(panel, panel.controls["upload"])
    press(panel, panel.controls["yes"])
    assert panel.job is not None
    assert panel.job.counts() == {"applied": 50}
    panel.close()
    client.close()
    wait_for(lambda: threads() <= before)
    gc.collect()
    wait_for(lambda: sockets_to(server) == 0)


def threads() -> set[str]:
    return {t.name for t in threading.enumerate() if t.name.startswith("scmkit")}


def sockets_to(server: plain_server.PlainServer) -> int:
    """Count this process's open connections to a server, from its own side."""
    port = f":{int(server.url.rpartition(':')[2]):04X}"
    lines = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    return sum(line[2].endswith(port) and line[3] == "01" for line in lines)


def test_a_yes_sends_once_and_only_what_was_asked(
    panel_of: Callable[..., Panel], table: pd.DataFrame, client: scmkit.Client, server: plain_server.PlainServer
) -> None:
    """A change takes the question away, a no sends nothing, and a second yes does nothing."""
    panel = panel_of(table, client=client)
    press(panel, panel.controls["upload"])
    assert shown(panel, "yes")
    panel.controls["risk"].value = 0.2
    panel.wait()
    assert not shown(panel, "yes")
    press(panel, panel.controls["yes"])
    press(panel, panel.controls["upload"])
    press(panel, panel.controls["no"])
    assert (panel.job, server.seen) == (None, [])
    press(panel, panel.controls["upload"])
    panel.controls["yes"].click()
    panel.controls["yes"].click()
    panel.wait()
    job = panel.job
    assert job is not None
    assert sum(len(body["items"]) for _, _, body in server.seen) == len(job.plan.order)


@pytest.mark.parametrize("mode", ["auto", "sync", "async"])
def test_mode_and_risk_make_the_plan_that_plan_makes(
    panel_of: Callable[..., Panel], inventory: pd.DataFrame, mode: str
) -> None:
    """Planning again after a slider has moved gives the calls that `scmkit.plan` gives."""
    lots = pd.DataFrame({"lot_number": sorted(set(inventory["lot_number"])), "wine_name": list("ABCDEFG")})
    panel = panel_of(lots, inventory=inventory)
    panel.controls["risk"].value = 0.0001
    panel.controls["mode"].value = mode
    panel.wait()
    made = scmkit.plan(lots, "lot_number", mode, inventory=inventory, fields=inventory, risk=0.0001)
    assert panel.plan is not None
    pd.testing.assert_frame_equal(panel.plan.calls, made.calls)


def test_without_an_account_it_says_how_to_get_on(
    panel_of: Callable[..., Panel], table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, client: scmkit.Client
) -> None:
    """Nobody is asked for a token; a client or a token that appears is found by looking again."""
    monkeypatch.setattr("getpass.getpass", lambda *_: pytest.fail("asked for a token"))
    panel = panel_of(table)
    assert panel.plan is not None
    assert "SCANTRUST_UAT_TOKEN" in panel.shown["service"].value
    assert "choose a service in section 2 first" in repr(panel)
    with pytest.raises(scmkit.ScmkitError, match="section 2"):
        panel.submit()
    scmkit.use(client)
    press(panel, panel.controls["look"])
    assert client.base_url.removeprefix("http://") in panel.shown["service"].value
    assert panel.submit().result(30).ok
    panel.wait()


def type_in(field: ipywidgets.Password, token: str, enter: bool = False) -> None:
    """Type a token, as the browser tells it: the Enter key is told before the value."""
    messages = [{"method": "custom", "content": {"event": "submit"}}] if enter else []
    for message in [*messages, {"method": "update", "state": {"value": token}, "buffer_paths": []}]:
        field._handle_msg({"content": {"data": message}, "buffers": []})


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Everything that widgets tell browsers, and nbclient."""
    found: list[Any] = []

    def tell(self: ipywidgets.Widget, message: Any, buffers: Any = None) -> None:
        found.append((self, message))

    monkeypatch.setattr(ipywidgets.Widget, "_send", tell)
    return found


@pytest.mark.parametrize("enter", [False, True])
def test_an_account_can_be_given_on_the_page(
    panel_of: Callable[..., Panel], table: pd.DataFrame, server: plain_server.PlainServer, told: list[Any], enter: bool
) -> None:
    """With address, token, and the button or Enter: it says who one is, uploads work, and nobody is told the token."""
    panel = panel_of(table)
    address, field = panel.controls["address"], panel.controls["token"]
    assert shown(panel, "address")
    assert address.value == contract.PRODUCTION_URL
    address.value = f" {server.url}/ "
    type_in(field, plain_server.TOKEN, enter)
    assert field.value == ""
    assert {"value": ""} in [message.get("state") for widget, message in told if widget is field]
    if not enter:
        press(panel, panel.controls["account"])
    panel.wait()
    assert trouble(panel) == ""
    assert "someone@example.com" in panel.shown["service"].value
    assert not shown(panel, "address")
    assert scmkit.wire.client.default_client().me() == {"email": "someone@example.com"}  # the board's, too
    assert panel.submit().result(30).ok
    panel.wait()
    assert f"scmkit.Client({server.url!r})" in panel.code
    state = [w.get_state() for w in widgets(panel)], [message for _, message in told]
    assert plain_server.TOKEN not in repr(state) + repr(panel) + panel.static() + panel.code + repr(vars(field))
    press(panel, panel.controls["other"])
    assert shown(panel, "address")


@pytest.mark.parametrize(
    ("address", "token", "words"),
    [
        ("", "wr0ng", "401"),
        ("", "", "the token is missing"),
        (" ", "wr0ng", "the address of the service is missing"),
        ("http://127.0.0.1:9", "wr0ng", "cannot reach http://127.0.0.1:9"),
        ("http://example.com", "wr0ng", "use https"),
        ("https://user@example.com", "wr0ng", "must not hold user names"),
        ("", "two words", "characters that no token has"),
    ],
)
def test_an_account_that_cannot_be_used_says_why(
    panel_of: Callable[..., Panel], server: plain_server.PlainServer, address: str, token: str, words: str
) -> None:
    """The reason stands at the button, without the token; the right one is then accepted."""
    panel = panel_of()
    where, field = panel.controls["address"], panel.controls["token"]
    where.value = address or server.url
    type_in(field, token)
    press(panel, panel.controls["account"])
    assert words in below(panel, panel.controls["account"])
    assert not token or token not in trouble(panel)
    assert "No account is set up" in panel.shown["service"].value
    where.value = server.url
    type_in(field, plain_server.TOKEN)
    press(panel, panel.controls["account"])
    assert (trouble(panel), "someone@example.com" in panel.shown["service"].value) == ("", True)


def test_the_app_speaks_of_no_cell(panel_of: Callable[..., Panel]) -> None:
    """What stands on the panel before anything was chosen holds where there is no notebook, too."""
    panel = panel_of()
    words = " ".join(str(w.get_state()) for w in widgets(panel)).replace(str(Path.cwd()), "")
    assert not re.search(r"\b(cells?|notebooks?)\b", words, re.I)


def test_production_is_named(panel_of: Callable[..., Panel], table: pd.DataFrame) -> None:
    """Before production is written to, the panel says so: in section 2, in the question, and on the button."""
    with scmkit.Client(contract.PRODUCTION_URL, "token-of-a-test") as client:
        panel = panel_of(table, client=client)
        press(panel, panel.controls["upload"])
        assert "<b>PRODUCTION (api.scantrust.com)</b>" in panel.shown["question"].value
        assert panel.controls["yes"].description == "Yes, upload to PRODUCTION"
        assert "PRODUCTION" in panel.shown["service"].value


def test_columns_are_sent_as_chosen(
    panel_of: Callable[..., Panel], client: scmkit.Client, server: plain_server.PlainServer, inventory: pd.DataFrame
) -> None:
    """Another key, another field, another type, a name of one's own and a column that is not sent reach the service."""
    frame = pd.DataFrame(
        {"Code": inventory["extended_id"][:2], "Name": ["A", "B"], "day": ["24/09/2023"] * 2, "x": [1, 2]}
    )
    panel = panel_of(frame, client=client)
    for column, field in (("Code", "extended_id"), ("Name", sections.OTHER), ("x", sections.NOT_SENT)):
        panel.controls["column"].value = column
        panel.wait()
        panel.controls["field"].value = field
        panel.wait()
        if field == sections.OTHER:
            assert shown(panel, "name")
            panel.controls["name"].value = "wine_name"
            panel.wait()
    panel.controls["column"].value = "day"
    panel.controls["field"].value = sections.OTHER
    panel.controls["name"].value = "harvest_date"
    panel.wait()
    press(panel, panel.controls["fix dates"])
    assert "the key is extended_id; 2 fields sent; not sent: x" in repr(panel)
    job = panel.submit().result(30)
    panel.wait()
    assert job.ok
    code = server.codes[inventory["extended_id"][1]]
    assert (code["wine_name"], code["harvest_date"], "x" in code) == ("B", "2023-09-24", False)


def test_an_inventory_can_be_downloaded(
    panel_of: Callable[..., Panel], table: pd.DataFrame, client: scmkit.Client, inventory: pd.DataFrame
) -> None:
    """The service's codes become the inventory: key values are counted, fields are known."""
    panel = panel_of(table, client=client)
    press(panel, panel.controls["download"])
    assert panel.choices.codes is not None
    assert len(panel.choices.codes.table) == len(inventory)
    assert panel.plan is not None
    assert panel.plan.exact
    assert panel.code.count("download_codes()") == 1


def test_rows_to_look_at_can_be_uploaded_again(
    panel_of: Callable[..., Panel], client: scmkit.Client, inventory: pd.DataFrame
) -> None:
    """The file that is offered reads back as a table whose notes are not sent; corrected, all of it arrives."""
    frame = pd.DataFrame({"extended_id": ["Code_00001-", "Absent_0001"], "wine_name": ["=A", "-B"]})
    panel = panel_of(frame, client=client)
    panel.submit()
    press(panel.wait(), panel.controls["save"])
    [path] = Path.cwd().glob("rows-to-look-at-*.csv")
    assert path.name in panel.shown["files"].value
    path.write_text(path.read_text(encoding="utf-8").replace("Absent_0001", "Code_00002-"), encoding="utf-8")
    put(panel, panel.controls["table_file"], path)
    job = panel.submit().result(30)
    panel.wait()
    assert job.ok
    assert [f.name for f in job.plan.fields] == ["wine_name"]
    assert job.plan.fields[0].take(job.plan.order).tolist() == ["-B"]


@pytest.mark.parametrize(
    ("codes", "applied", "style", "words"),
    [
        (["Code_00001-", "Code_00002-"], 2, "success", "everything arrived"),
        (["Code_00001-", "Absent_0001"], 1, "warning", "rows to look at"),
        (["Absent_0000", "Absent_0001"], 0, "danger", "nothing was applied"),
    ],
)
def test_the_bar_tells_how_an_upload_ended(
    panel_of: Callable[..., Panel], client: scmkit.Client, codes: list[str], applied: int, style: str, words: str
) -> None:
    """At the end the bar holds the rows that were applied, and its colour says whether those are all."""
    panel = panel_of(pd.DataFrame({"extended_id": codes, "wine_name": ["A", "B"]}), client=client)
    panel.submit()
    panel.wait()
    assert (panel.controls["bar"].value, panel.controls["bar"].max, panel.controls["bar"].bar_style) == (
        applied,
        2,
        style,
    )
    assert words in panel.shown["6. Upload"].value


def test_a_table_from_a_file_is_named_by_its_lines(
    panel_of: Callable[..., Panel], client: scmkit.Client, tmp_path: Path
) -> None:
    """Findings, what fixes changed and the result name the file's line; a DataFrame says that it counts from 0."""
    path = tmp_path / "t.csv"
    path.write_text('extended_id,wine_name\nCode_00001-,"a\nb"\n Code_00002-,c\nAbsent_0001,d\n')
    panel = panel_of(scmkit.read_table(path), client=client)
    assert ">line</th>" in panel.shown["details"].value
    press(panel, panel.controls["fix blanks"])
    assert ">line</th>" in panel.shown["changes"].value
    assert '">4</th>' in panel.shown["changes"].value
    panel.submit()
    panel.wait()
    assert '">5</th>' in panel.shown["result"].value
    press(panel, panel.controls["save"])
    [saved] = Path.cwd().glob("rows-to-look-at-*.csv")
    assert scmkit.read_table(saved)["extended_id"].tolist() == ["Absent_0001"]
    plain = panel_of(scmkit.read_table(path).reset_index(drop=True), client=client)
    assert "row (from 0)" in plain.shown["details"].value


def test_keys_that_select_nothing_are_mended_by_a_click(
    panel_of: Callable[..., Panel], client: scmkit.Client, inventory: pd.DataFrame
) -> None:
    """Nothing is done, and no button is blue, while no key is in the inventory; one click adds the zeros."""
    frame = pd.DataFrame({"lot_number": ["1", "2", "3"], "wine_name": ["A", "B", "C"]})
    panel = panel_of(frame, client=client, inventory=inventory)
    assert "your turn" in panel.shown["4. Findings"].value
    assert panel.plan is None
    assert not shown(panel, "upload")
    assert panel.controls["fix zeros in front of keys"].description == "Fix zeros in front of keys (3)"
    panel.controls["leave_out"].value = True  # all the same: the inventory may be a part
    panel.wait()
    assert panel.plan is not None
    for title in ("4. Findings", "5. Plan"):
        assert "look:" in panel.shown[title].value
    assert "select no code at all" in panel.shown["5. Plan"].value
    assert panel.controls["upload"].button_style == "warning"
    press(panel, panel.controls["fix zeros in front of keys"])
    for title in ("4. Findings", "5. Plan"):
        assert "done:" in panel.shown[title].value
    assert panel.controls["upload"].button_style == "primary"
    assert panel.plan.estimate.total == 300
    assert panel.submit().result(30).ok
    assert "['unmatched_key']" in panel.code


def test_code_gives_no_name_to_what_has_it(
    panel_of: Callable[..., Panel], table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A DataFrame that is called table is used as it is: no line says `table = table`."""
    monkeypatch.setattr(work, "notebook_names", lambda: {"table": table})
    code = panel_of(table).code
    assert "table = table" not in code
    assert "scmkit.upload(table, " in code


def test_code_names_what_is_public(
    panel_of: Callable[..., Panel], table: pd.DataFrame, inventory: pd.DataFrame, client: scmkit.Client
) -> None:
    """A client without a name in the notebook is made anew, for the same service, by names that scmkit makes public."""
    scmkit.use(client)
    panel = panel_of(table, inventory=inventory)
    assert f"client = scmkit.Client({client.base_url!r})" in panel.code
    assert set(re.findall(r"scmkit\.(\w+)", panel.code)) <= set(scmkit.__all__)


def test_tables_of_the_notebook_are_offered(
    panel_of: Callable[..., Panel], table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DataFrames and files that appear are there after looking again; a file that was changed is read anew."""
    names: dict[str, Any] = {"wines": table}
    monkeypatch.setattr(work, "notebook_names", lambda: names)
    panel = panel_of(table)
    assert panel.code.splitlines()[2] == "table = wines"
    names["others"] = table.head(2)
    table.head(3).to_csv("three.csv", index=False)
    press(panel, panel.controls["refresh"])
    offered = dict(panel.controls["table"].options)
    assert {"wines (50 rows, 3 columns)", "others (2 rows, 3 columns)"} <= offered.keys()
    panel.controls["table"].value = next(s for label, s in offered.items() if label.startswith("three.csv"))
    panel.wait()
    assert panel.choices.table is not None
    assert len(panel.choices.table.table) == 3
    table.head(4).to_csv("three.csv", index=False)
    press(panel, panel.controls["refresh"])
    panel.controls["table"].value = next(s for label, s in panel.controls["table"].options if "file" in label)
    panel.wait()
    assert len(panel.choices.table.table) == 4


def test_the_sandbox_can_be_left(panel_of: Callable[..., Panel], table: pd.DataFrame, inventory: pd.DataFrame) -> None:
    """A sandbox made from one's own inventory holds it; leaving stops it and keeps the inventory."""
    panel = panel_of(table, inventory=inventory)
    press(panel, panel.controls["sandbox"])
    url = panel.sandbox.url
    assert len(panel.sandbox.codes()) == 700
    panel.submit()
    press(panel.wait(), panel.controls["leave"])
    assert "no service yet" in repr(panel)
    assert panel.choices.codes is not None
    with scmkit.Client(url, "token-of-a-test") as client, pytest.raises(scmkit.ScmkitError, match="cannot reach"):
        client.me()


def test_the_service_is_asked_about_codes(
    panel_of: Callable[..., Panel], client: scmkit.Client, server: plain_server.PlainServer
) -> None:
    """The button says what it costs; then the plan knows, nothing is left to ask, and the shown code asks, too."""
    server.filters_known = True
    df = pd.DataFrame({"lot_number": [f"{i:06d}" for i in range(5)], "wine_name": [f"Wine {i}" for i in range(5)]})
    panel = panel_of(df, client=client)
    ask = panel.controls["count"]
    assert "Ask the service (5 questions, about 1 s)" in ask.description
    press(panel, ask)
    assert trouble(panel) == ""
    estimate = panel.plan.estimate.frame
    assert (estimate["source"].tolist(), estimate["codes"].tolist()) == (["asked"] * 5, [100] * 5)
    assert ask.layout.display == "none"
    assert ", ask=client" in panel.code
    before = len(server.authorizations)
    panel.controls["mode"].value = "async"
    assert panel.wait().plan.estimate.frame.equals(estimate)
    assert len(server.authorizations) == before


def test_an_upload_to_the_sandbox_ends_with_the_panel(
    panel_of: Callable[..., Panel], table: pd.DataFrame, inventory: pd.DataFrame
) -> None:
    """Nobody will answer it any more: it is cancelled, and its thread does not go on trying."""
    panel = panel_of(table, inventory=inventory)
    press(panel, panel.controls["sandbox"])
    panel.sandbox.stop()
    job = panel.submit()
    panel.close()
    assert job.wait(3)
    assert job.state == "cancelled"


def test_the_sandbox_comes_after_the_inventory_that_was_given(
    table: pd.DataFrame, inventory: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for while the inventory is still to be read, it holds that inventory, and does not take its place."""
    started, start = threading.Event(), scmkit.Sandbox.start
    monkeypatch.setattr(work, "ready_client", lambda: started.wait(0.5) and None)
    monkeypatch.setattr(scmkit.Sandbox, "start", lambda sandbox: (start(sandbox), started.set())[0])
    panel = scmkit.panel(table, inventory=inventory)
    panel.controls["sandbox"].click()
    try:
        assert len(panel.wait().sandbox.codes()) == 700
        assert panel.submit().result(30).ok
    finally:
        panel.close()


def test_close_ends_its_work(table: pd.DataFrame, inventory: pd.DataFrame) -> None:
    """After `close` there is no thread, no sandbox and no widget, whatever was under way."""
    before = {t for t in threading.enumerate() if t.is_alive()}
    panel = scmkit.panel(table, inventory=inventory)
    panel.controls["sandbox"].click()
    panel.wait().submit()
    panel.close()
    wait_for(lambda: {t for t in threading.enumerate() if t.is_alive()} <= before)
    assert panel.box.comm is None


def test_a_saved_notebook_tells_the_result(
    panel_of: Callable[..., Panel], table: pd.DataFrame, client: scmkit.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept says the same as the widgets: choices, findings, plan, result, and the code."""
    panel = panel_of(table, client=client)
    kept: list[Any] = []
    monkeypatch.setattr(IPython.display, "display", lambda *_, **__: SimpleNamespace(update=kept.append))
    panel._ipython_display_()
    panel.submit()
    panel.wait()
    [last] = kept[-1:]
    for told in ("df (50 rows, 3 columns)", "50 rows of 50 in", "everything arrived: 50 applied", "scmkit.upload("):
        assert told in last._repr_html_()
    assert ">What became of the rows</div>" in last._repr_html_()  # a table, and not the text of its HTML
    assert "&lt;" not in last._repr_html_()
    assert "everything arrived: 50 applied" in repr(last)


def test_a_service_that_was_never_contacted_is_not_done(
    panel_of: Callable[..., Panel], client: scmkit.Client, table: pd.DataFrame
) -> None:
    """That there is an account says nothing about whether the service can be reached; its first answer does (F59)."""
    scmkit.use(client)
    panel = panel_of(table)
    assert "done" not in panel.shown["2. Service and codes"].value
    assert "has not answered anything yet" in panel.shown["2. Service and codes"].value
    client.me()
    panel.refresh()
    panel.wait()
    assert "done" in panel.shown["2. Service and codes"].value
