"""Text from elsewhere never becomes markup, wherever it enters and in whatever result it is shown."""

import re
from collections.abc import Callable
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import plain_server
import pytest

import scmkit
from scmkit.core import display, errors, results
from scmkit.estimation.service_time import ServiceTime
from scmkit.journal.journal import Journal
from scmkit.uploading import report

PAYLOADS = [
    "<script>alert(1)</script>", "<ScRiPt src=//evil.example></ScRiPt>", "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>", "<svg><animate onbegin=alert(1) attributeName=x></svg>", '"><svg onload=alert(1)>',
    "'><img src=x onerror=alert(1)>", "' onmouseover='alert(1)", '" style="position:fixed" x="', "<iframe srcdoc='x'>",
    "</td></tr></table><iframe src=javascript:alert(1)>", "</style><script>a</script>", "</title><script>a</script>",
    "<!-- --><script>a</script>", "--><script>a</script>", "<![CDATA[<script>a</script>]]>", "<?xml version='1.0'?><x>",
    "&lt;script&gt;alert(1)&lt;/script&gt;", "&#60;script&#62;", "<a href=javascript:a>x</a>", "<base href=//evil>",
    "<meta http-equiv=refresh content='0;url=//evil'>", "<link rel=stylesheet href=//x>", "<form action=//x><input>",
    "<object data=x>", "<math><mi xlink:href=javascript:a>x</mi></math>", "<details open ontoggle=alert(1)>",
    "<body onload=alert(1)>", "\u202e<b>x</b>", "{{7*7}}${7*7}<%= 7*7 %>", "<scr\tipt>", "$\\frac{1}{$ <b>",
    "javascript:alert(1)//<x", "<style>*{background:url(//evil)}</style>",
]  # fmt: skip
PIECE = "x"  # what stands in a payload's place when the form of a page is compared
ATTRIBUTES = {"style", "alt", "src", "charset", "http-equiv", "content", "name", "lang"}


class Form(HTMLParser):
    """What a browser makes of a page: the tags with their attributes, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.others: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag, less the content of pictures."""
        kept = ((n, "picture" if n in ("src", "alt") else v) for n, v in attrs)
        self.tags.append((tag, tuple((n, re.sub("text-align:(left|right)", "", v or "")) for n, v in kept)))

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.text += data

    def handle_comment(self, data: str) -> None:
        """Note what is neither tag nor text."""
        self.others.append(data)

    def unknown_decl(self, data: str) -> None:
        """Note what is neither tag nor text."""
        self.others.append(data)

    def handle_pi(self, data: str) -> None:
        """Note what is neither tag nor text."""
        self.others.append(data)


def assert_same_form(show: Callable[[str], str], *payloads: str) -> None:
    """Check that a page has the tags and attributes that it has with a harmless text, and holds the payload as text."""
    harmless = Form(show(PIECE))
    assert {name for _, attributes in harmless.tags for name, _ in attributes} <= ATTRIBUTES
    for payload in payloads:
        page = Form(show(payload))
        assert page.tags == harmless.tags, payload
        assert page.others == harmless.others == []
        shows_it = any(form in page.text for form in (payload, repr(payload)[1:-1]))
        assert shows_it or "Riskexpected" in page.text, payload  # a risk shows no text of a table


def everywhere(text: str) -> pd.DataFrame:
    """A table with a text in its cells, its columns, its labels, and the name of its index."""
    return pd.DataFrame({"extended_id": ["Code_00000-"], text: [text]}, index=pd.Index([text], name=text))


def lots(text: str) -> pd.DataFrame:
    return pd.DataFrame({"lot_number": [text], "wine_name": [text]}, index=[text])


SHOWN: dict[str, Callable[[str], str]] = {
    "table": lambda t: display.table(everywhere(t), caption=t),
    "findings": lambda t: scmkit.validate(
        pd.DataFrame({t: [t, t, None], "harvest_date": [t, "2026-13-45", t]}, index=[t, "b", t]), key=t, fields=[t]
    )._repr_html_(),
    "estimate": lambda t: scmkit.estimate(lots(t), key="lot_number", inventory=lots(t))._repr_html_(),
    "estimate by a named key": lambda t: scmkit.estimate(everywhere(t), key=t, default=(1, 9))._repr_html_(),
    "plan": lambda t: scmkit.plan(lots(t), key="lot_number", inventory=lots(t), mode="async")._repr_html_(),
    "plan by a named key": lambda t: scmkit.plan(
        everywhere(t), key=t, mode="async", fields=["extended_id", t]
    )._repr_html_(),
    "risk": lambda t: scmkit.simulate(scmkit.plan(everywhere(t), key=t), trials=10, seed=1)._repr_html_(),
    "answer": lambda t: display.card(t, {t: t}, t, display.table(everywhere(t))),
    "page": lambda t: display.page(t, t, display.card(t, {t: t})),
}


@pytest.mark.parametrize("name", SHOWN)
def test_no_payload_changes_the_form_of_a_result(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a payload in cells, columns, labels and names, a result has the tags that it has with a plain text (S17)."""
    monkeypatch.setattr(results, "picture", lambda _: display.Html())  # it takes long, and is looked at below
    assert_same_form(SHOWN[name], *PAYLOADS)


def test_there_are_thirty_payloads_and_all_results_that_show_themselves() -> None:
    """Every class with _repr_html_ is among the results that are looked at (S17)."""
    sources = {path.stem: path.read_text(encoding="utf-8") for path in Path(scmkit.__file__).parent.rglob("*.py")}
    showing = {module for module, text in sources.items() if "def _repr_html_" in text}
    assert showing == {"curve", "estimate", "findings", "job", "live", "plan", "service_time", "simulate"}
    assert len(set(PAYLOADS)) >= 30


@pytest.mark.parametrize("payload", PAYLOADS[:34:3])
def test_no_payload_changes_the_form_of_a_job(
    payload: str, client: scmkit.Client, server: plain_server.PlainServer, tmp_path: Path
) -> None:
    """Neither a table's texts nor a service's words become markup in a job, or in the report that it writes (S17)."""

    @cache
    def run(text: str) -> tuple[str, str]:
        server.answers = [(400, {"detail": text}, {})] * 9
        df = pd.DataFrame({"extended_id": ["Code_00000-", text], text: [text, text]}, index=[text, text])
        job = scmkit.upload(df, client, errors="reject", journal=False, progress=False)
        job.report(tmp_path / "report.html")
        assert errors.in_a_line(text) in "".join(job.rows["message"])
        return job._repr_html_(), (tmp_path / "report.html").read_text(encoding="utf-8")

    for kind in (0, 1):
        assert_same_form(lambda text, kind=kind: re.sub(r"\d{8}-\d{6}-\w+", "", run(text)[kind]), payload)


@pytest.mark.parametrize("payload", [PAYLOADS[0], PAYLOADS[5], PAYLOADS[31]])
def test_no_payload_of_a_task_changes_the_form_of_a_job(
    payload: str, client: scmkit.Client, server: plain_server.PlainServer
) -> None:
    """States, names and times that a service gives for a task are text (S17)."""

    def run(text: str) -> str:
        server.tasks.clear()
        server.answers = [lambda handler, body: (200, failing(handler.server, body, text), {})] * 3
        df = pd.DataFrame({"lot_number": ["000001"], "wine_name": ["a"]})
        job = scmkit.upload(df, client, key="lot_number", mode="async", journal=False, progress=False)
        return display.card("tasks", {}, display.table(job.tasks), display.Html(job._repr_html_()))

    assert_same_form(lambda text: re.sub(r"\d{8}-\d{6}-\w+", "", run(text)), payload)


def failing(world: plain_server.PlainServer, body: dict[str, Any], text: str) -> dict[str, Any]:
    """Accept a task that ends as failed, with a text wherever a service may put one."""
    answer = world.accept(body)
    words = dict.fromkeys(("reference", "created_by", "created_at", "started_at", "completed_at"), text)
    world.tasks[answer["task_id"]] |= words | {"state": "failed"}
    return answer


def test_a_file_name_in_a_report_is_text(table: pd.DataFrame, client: scmkit.Client, tmp_path: Path) -> None:
    """The name of the table's file stands in a report as text, in one written from the journal, too (S17)."""

    def written(text: str) -> str:
        job = scmkit.upload(table, client, progress=False, file=text)
        job.report(tmp_path / "report.html")
        with Journal() as book:
            stored = report.page(report.of_stored(book, job.id))
        return re.sub(r"\d{8}-\d{6}-\w+", "", (tmp_path / "report.html").read_text(encoding="utf-8") + stored)

    assert_same_form(written, *PAYLOADS[:3])


@pytest.mark.parametrize("payload", PAYLOADS)
def test_file_names_are_text_in_errors(payload: str, tmp_path: Path) -> None:
    """A file's name in an error is shown by notebooks as plain text, and in a page it is escaped (S17)."""
    path = tmp_path / f"{payload.replace('/', '_')}.csv"
    path.write_text("a,a\n1,2\n")
    with pytest.raises(scmkit.ScmkitError) as caught:
        scmkit.read_table(path)
    assert path.name in str(caught.value)
    assert not hasattr(caught.value, "_repr_html_")
    assert_same_form(lambda text: display.card("error", {}, text), str(caught.value))


@pytest.mark.parametrize(
    "payload", [p for p in PAYLOADS if "$" in p or "<" in p][:2] + ["$\\frac{1}{$", "a$b$c", "甲州\x07"]
)
def test_pictures_take_any_text(payload: str) -> None:
    """A text that is no formula is drawn as it is, or left out, and never breaks a picture (S17)."""
    made = scmkit.plan(lots(payload), key="lot_number", inventory=lots(payload))
    calls = pd.DataFrame({"codes": [10, 20], "items": [1, 1], "seconds": [0.1, 0.2], "timed_out": False})
    pictured = [made, made.estimate, scmkit.simulate(made, trials=10, seed=1), ServiceTime.fit(calls)]
    for result in pictured:
        html = display.figure(result.plot().figure)
        assert [tag for tag, _ in Form(html).tags] == ["img"]
    named = scmkit.estimate(everywhere(payload), key=payload, default=(1, 9))
    assert display.figure(named.plot().figure).startswith("<img alt=")


def test_a_report_loads_and_runs_nothing(table: pd.DataFrame, client: scmkit.Client, tmp_path: Path) -> None:
    """Its policy forbids everything but its own style and inline pictures, before any text of others (S17)."""
    job = scmkit.upload(table, client, progress=False)
    job.report(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    policy = page.index("default-src 'none'")
    assert policy < page.index("<title>")
    assert "script" not in page
    assert not re.search(r"(?:src|href|url)\W{1,3}(?!data:)\w+:", page)
