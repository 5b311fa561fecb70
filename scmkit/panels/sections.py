"""The sections of the panel: each makes its widgets once, and shows what it is given. They decide nothing."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ipywidgets
import pandas as pd

from scmkit.core import contract, display
from scmkit.core.display import Html, escape, plural
from scmkit.panels.account import AccountForm
from scmkit.steps.choices import FIXES, KEYS, SUFFIXES, Column, Service, Source, Steps, ready_fixes
from scmkit.validation.findings import Findings
from scmkit.widgets.surface import with_places

SHOWN = 10  # rows of a table
LINKED_BELOW = 2_000_000  # bytes of a file that a link may carry inside the page
NOT_SENT, OTHER, NOTHING = "", "\0other", ""  # None cannot be chosen in a list of ipywidgets
SIGNS = {"done": "&#10003;", "your turn": "&#9656;", "look": "&#9888;"}
KINDS = (("text", "text"), ("date, YYYY-MM-DD", "date"), ("logistic unit", "logistic_unit"))
CONFLICTS = (
    ("which differ: an error, neither is sent", "error"),
    ("which differ: the last one counts", "last"),
    ("which differ: the first one counts", "first"),
)
MODES = (("auto: the quickest that is safe", "auto"), ("all sync", "sync"), ("all async", "async"))
RISKS = (0.0001, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
_LABELS = {"description_width": "9em"}
WIDEST = "calc(100% - 4px)"  # of a control: its place without the margins of 2 px
_QUIET = 'style="opacity:.75"'


def change(widget: ipywidgets.Widget, **traits: Any) -> None:
    """Set what differs, in one message."""
    with widget.hold_sync():
        for name, value in traits.items():
            if getattr(widget, name) != value:
                setattr(widget, name, value)


def write(widget: ipywidgets.HTML, *parts: str) -> None:
    """Set the text of a widget; lines lie closer together than those of controls."""
    body = "".join(parts)
    style = f"line-height:1.4;overflow-wrap:anywhere;{display.IN_ITS_PLACE}"
    change(widget, value=f'<div style="{style}">{body}</div>' if body else "")


def show_if(wanted: bool, *widgets: ipywidgets.Widget) -> None:
    """Show widgets, or take them out of sight and out of the Tab order."""
    for widget in widgets:
        change(widget.layout, display=None if wanted else "none")


def wide() -> ipywidgets.Layout:
    """Make a layout as wide as its box; each widget has one of its own, since it is hidden by its layout."""
    return ipywidgets.Layout(width="auto")  # 100 % and the margins of 2 px would be too wide


def row(*widgets: ipywidgets.Widget) -> ipywidgets.HBox:
    """Put widgets beside each other, as many as the window holds."""
    return ipywidgets.HBox(widgets, layout=ipywidgets.Layout(flex_flow="row wrap", align_items="center"))


def button(words: str, tooltip: str, style: str = "") -> ipywidgets.Button:
    """Make a button as wide as its words."""
    return ipywidgets.Button(
        description=words, tooltip=tooltip, button_style=style, layout=ipywidgets.Layout(width="auto")
    )


def choice(label: str, options: Sequence[Any], tooltip: str, width: str = "34em") -> ipywidgets.Dropdown:
    """Make a labelled list to choose from."""
    return ipywidgets.Dropdown(
        description=label, options=options, tooltip=tooltip, style=_LABELS,
        layout=ipywidgets.Layout(width=width, max_width=WIDEST),
    )  # fmt: skip


def file_button(words: str, tooltip: str) -> ipywidgets.FileUpload:
    """Make a button that asks for a file."""
    layout = ipywidgets.Layout(width="auto")
    return ipywidgets.FileUpload(
        description=words, tooltip=tooltip, accept=",".join(SUFFIXES), icon="upload", layout=layout
    )


def link(path: Path) -> Html:
    """Offer a file that was written: for download, if it is small, and in any case by its path."""
    size = path.stat().st_size
    where = f"written to <code>{escape(path)}</code> ({size / 1e3:,.0f} kB)"
    if size > LINKED_BELOW:
        return Html(where)
    kind = "text/csv" if path.suffix == ".csv" else "text/html"
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    anchor = (
        f'<a download="{escape(path.name)}" href="data:{kind};base64,{data}"><u>Download {escape(path.name)}</u></a>'
    )
    return Html(f"{anchor}, {where}")


class Section:
    """A numbered part of the panel: a heading that says how it stands, and a body that opens when its turn comes."""

    def __init__(self, title: str, *body: ipywidgets.Widget) -> None:
        self._title = title
        self._heading = ipywidgets.HTML(layout=wide())
        layout = ipywidgets.Layout(padding="0 0 0 1.2em", display="none")
        self._body = ipywidgets.VBox(with_places(*body), layout=layout)
        self.box = ipywidgets.VBox([self._heading, self._body], layout=wide())

    def say(self, state: str, words: str, *, is_open: bool = True) -> None:
        """Say how it stands: ``done``, ``your turn``, ``waits`` ... and why."""
        sign = f"{SIGNS.get(state, '')} {escape(state)}"
        heading = f'<b style="font-size:1.1em">{escape(self._title)}</b>'
        line = "border-top:1px solid rgba(128,128,128,.35);margin-top:.4em;padding-top:.4em;line-height:1.5"
        line += ";overflow-wrap:anywhere"
        change(self._heading, value=f'<div style="{line}">{heading} &nbsp;<i>{sign}:</i> {escape(words)}</div>')
        show_if(is_open, self._body)


class TableSection(Section):
    """Which table is uploaded."""

    def __init__(self) -> None:
        self.table = choice("Table", [], "A DataFrame, or a file of this folder")
        self.refresh = button("Look again", "Look again for DataFrames, and for files in this folder")
        self.file = file_button("Read a file", "A CSV, XLSX or Parquet file of this computer, up to about 10 MB")
        self._hint = ipywidgets.HTML(
            f"<span {_QUIET}>Files above about 10 MB may not pass Jupyter: put them into the folder "
            f"<code>{escape(_here())}</code>, and choose them here after <i>Look again</i>.</span>",
            layout=wide(),
        )
        self._preview = ipywidgets.HTML(layout=wide())
        self._shown: Source | None = None
        super().__init__("1. Table", row(self.table, self.refresh, self.file), self._hint, self._preview)

    def show(self, steps: Steps, offers: Sequence[Source]) -> None:
        """Show what there is to choose, and the first rows of what was chosen."""
        listed = (("choose ...", NOTHING), *((o.label, o) for o in offers))
        change(self.table, options=listed, value=steps.table or NOTHING)
        show_if(steps.table is None, self._hint)
        if steps.table is not self._shown:
            self._shown = steps.table
            write(self._preview, "" if steps.table is None else display.table(steps.table.table, max_rows=3))


class CodesSection(Section):
    """Where it is sent, and what is known about the codes there."""

    def __init__(self, when_account: Callable[[Any], object]) -> None:
        self._service = ipywidgets.HTML(layout=wide())
        self.account, self._account_open = AccountForm(when_account), False
        self.other = button("Use another account", "Give another address or token")
        self.look = button("Look again", "Look again for a client or a token")
        self.sandbox = button(
            "Try it on the built-in sandbox",
            "Start a service on this computer that behaves as Scantrust does; nothing leaves it",
            "primary",
        )
        self.leave = button("Leave the sandbox", "Stop it, and look for an account")
        self.codes = choice(
            "Inventory", [], "All codes, one a line: how many codes a key value selects is counted in it"
        )
        self.file = file_button("Read a file", "A code download as CSV, XLSX or Parquet, up to about 10 MB")
        self.campaign = ipywidgets.Text(
            description="Campaign", placeholder="number; empty for all", style=_LABELS,
            layout=ipywidgets.Layout(width="22em"), tooltip="Download the codes of this campaign only",
        )  # fmt: skip
        self.download = button(
            "Download the codes from the service", "Ask the service for its codes; this may take minutes"
        )
        self._row = row(self.campaign, self.download)
        super().__init__(
            "2. Service and codes",
            self._service,
            self.account.box,
            row(self.look, self.other, self.sandbox, self.leave),
            row(self.codes, self.file),
            self._row,
        )

    def open_account(self, wanted: bool) -> None:
        """Let another account be given, or no more."""
        self._account_open = wanted

    def show(self, steps: Steps, offers: Sequence[Source], service: Service | None) -> None:
        """Show what is written to, and the inventories."""
        write(self._service, _service_words(service))
        show_if(service is None or (self._account_open and not service.sandbox), self.account.box)
        show_if(service is not None and not (self._account_open or service.sandbox), self.other)
        show_if(service is None, self.look)
        show_if(service is None or not service.sandbox, self.sandbox)
        show_if(service is not None and service.sandbox, self.leave)
        show_if(service is not None and not service.sandbox, self._row)
        listed = (("none: codes per key are not known", NOTHING), *((o.label, o) for o in offers))
        change(self.codes, options=listed, value=steps.codes or NOTHING)


def _here() -> str:
    """Return the folder whose files are offered; it may be gone."""
    try:
        return str(Path.cwd())
    except OSError:
        return "in which this runs"


def _service_words(service: Service | None) -> str:
    if service is None:
        return (
            "<div>No account is set up here. Give one, or set <code>SCANTRUST_UAT_TOKEN</code> before this is started. "
            "The sandbox needs none.</div>"
        )
    warning = " &#9888; real codes" if service.is_production else ""
    who = f", as <b>{escape(service.who)}</b>" if service.who else ""
    return f"<div>Uploads go to <b>{escape(service.words)}</b>{warning}{who}.</div>"


class MappingSection(Section):
    """Which column is the key, and what the others are sent as."""

    def __init__(self) -> None:
        self.key = choice("Key", [], "The column whose values select the codes")
        self.column = choice("Column", [], "The column to send otherwise", "26em")
        self.field = choice("Send as", [], "The SCM field that its values are written to", "26em")
        self.name = ipywidgets.Text(
            description="Name", placeholder="name of the SCM field", continuous_update=False, style=_LABELS,
            layout=ipywidgets.Layout(width="26em", display="none"), tooltip="The name of the SCM field",
        )  # fmt: skip
        self.kind = choice("Type", KINDS, "What the field holds", "26em")
        self._table = ipywidgets.HTML(layout=ipywidgets.Layout(flex="2 1 34em"))
        self._shown: tuple[object, ...] = ()
        title = ipywidgets.HTML("<b>Change a column</b>")
        editor = ipywidgets.VBox(
            [title, self.column, self.field, self.name, self.kind], layout=ipywidgets.Layout(flex="0 1 28em")
        )
        layout = ipywidgets.Layout(flex_flow="row wrap")
        both = ipywidgets.HBox([self._table, editor], layout=layout)
        super().__init__("3. Key and fields", self.key, both)

    def show(self, steps: Steps, defined: Sequence[str] | None, editing: str, other: bool) -> None:
        """Show how columns are sent, and the one that is being changed."""
        names = tuple(c.name for c in steps.columns)
        change(self.key, options=names, value=steps.key or None)
        if (steps.columns, steps.key) != self._shown:
            self._shown = steps.columns, steps.key
            write(self._table, _mapping(steps))
        column = steps.column(editing)
        if column is None:
            return
        change(self.column, options=names, value=column.name)
        named = OTHER if other else column.field or NOT_SENT
        change(self.field, options=_names(column, defined, is_key=column.name == steps.key), value=named)
        show_if(other, self.name)
        change(self.name, value=column.field or "")
        change(self.kind, value=column.kind, disabled=column.field is None or column.name == steps.key)


def _names(column: Column, defined: Sequence[str] | None, *, is_key: bool) -> tuple[tuple[str, str], ...]:
    known = [*KEYS, *(defined or ())] if is_key else [*(defined or ()), *contract.SPECIAL_FIELDS]
    names = dict.fromkeys([*filter(None, [column.field]), *sorted(known), column.name])
    skip = () if is_key else (("do not send", NOT_SENT),)
    return (*skip, *((name, name) for name in names), ("another name ...", OTHER))


def _mapping(steps: Steps) -> str:
    lines = [
        {
            "column": c.name,
            "is sent as": f"{c.field} (the key)" if c.name == steps.key else c.field or "not sent",
            "type": "" if c.field is None or c.name == steps.key else c.kind.replace("_", " "),
            "for example": ", ".join(text[:24] for text in c.examples),
            "because": c.why,
        }
        for c in steps.columns
    ]
    return _scrolled(display.table(pd.DataFrame(lines, index=pd.RangeIndex(1, len(lines) + 1)), max_rows=200))


def _scrolled(body: Html) -> Html:
    """Return a table a height that leaves room for what comes next; the keyboard can scroll it."""
    return Html(f'<div tabindex="0" style="max-height:22em;overflow:auto">{body}</div>')


class FindingsSection(Section):
    """What is wrong with the table, and what can be done about it."""

    def __init__(self) -> None:
        self.fixes = {name: button("", f"Mend {name} on a copy of the table") for name in FIXES}
        self.fix_all = button("", "Apply all of these fixes, on a copy of the table", "primary")
        self.undo = button("Undo the fixes", "Go back to the table as it was")
        self.conflict = choice(
            "Two rows of a key", CONFLICTS, "What happens where two rows have one key, and different values"
        )
        self.leave_out = ipywidgets.Checkbox(
            indent=False, layout=wide(), tooltip="Rows with errors are not sent; the result lists them"
        )
        self._lines = ipywidgets.HTML(layout=wide())
        self.which = choice("Look at", [], "The findings of one rule")
        self._details = ipywidgets.HTML(layout=wide())
        self._changes = ipywidgets.HTML(layout=wide())
        self._shown: tuple[object, ...] = ()
        super().__init__(
            "4. Findings", self._lines, row(*self.fixes.values(), self.fix_all, self.undo), self.conflict,
            self._changes, self.leave_out, self.which, self._details,
        )  # fmt: skip

    def show(self, steps: Steps, findings: Findings | None, looking_at: str, changes: Html) -> None:
        """Show what was found by rule, the findings of one rule, and what fixes changed."""
        state = (findings, steps.fixes, steps.on_conflict, steps.leave_out, looking_at)
        if findings is None or state == self._shown:
            return
        self._shown = state
        counts = ready_fixes(findings)
        for name, each in self.fixes.items():
            change(each, description=f"Fix {name} ({counts[name]})")
            show_if(counts[name] > 0, each)
        total = sum(counts.values())
        change(self.fix_all, description=f"Fix all of these ({total})")
        show_if(sum(n > 0 for n in counts.values()) > 1, self.fix_all)
        show_if(bool(steps.fixes), self.undo)
        conflicts = (findings.frame["rule"] == "duplicate_conflict").any() or steps.on_conflict != "error"
        show_if(bool(conflicts), self.conflict)
        change(self.conflict, value=steps.on_conflict)
        bad = int(findings.rejected.sum())
        good = findings.rows - bad - int(findings.superseded.sum())
        words = f"Leave out the {plural(bad, 'row')} with errors, and send the other {good:,}"
        strangers = bool((findings.frame["rule"] == "no_key_matches").any())
        if not bad and strangers:
            words = f"Send {plural(good, 'row')} all the same: the inventory is only a part of the codes"
        change(self.leave_out, description=words, value=steps.leave_out)
        show_if((bad > 0 or strangers) and not findings.hopeless, self.leave_out)
        rules = tuple(dict.fromkeys(findings.frame["rule"]))
        listed = (("the first of all", ""), *((rule.replace("_", " "), rule) for rule in rules))
        change(self.which, options=listed, value=looking_at if looking_at in rules else "")
        show_if(len(findings.frame) > 0, self.which, self._details, self._lines)
        write(self._lines, _by_rule(findings))
        write(self._details, _findings(findings, looking_at))
        write(self._changes, _scrolled(changes) if changes else "")


def _by_rule(findings: Findings) -> str:
    lines = _plain(findings.by_rule).drop(columns=["first_row", "first_line"])
    lines = lines.assign(rule=lines["rule"].str.replace("_", " "))
    lines = lines.rename(columns={"findings": "found", "fixes": "fixable", "message": "for example"})
    lines.index = pd.RangeIndex(1, len(lines) + 1)
    return _scrolled(display.table(lines, max_rows=60))


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Take out of the messages what stands in other columns: the place in front, the rule behind."""
    words = frame["message"].str.replace(r"^((row|line) \d+, )?column '[^']*': ", "", regex=True)
    return frame.assign(message=words.str.replace(r" \[\w+\]$", "", regex=True))


def _findings(findings: Findings, rule: str) -> str:
    frame = _plain(findings.frame)
    chosen = frame[frame["rule"] == rule] if rule in set(frame["rule"]) else frame
    by_line = bool(findings.frame["line"].notna().any())
    where = ("line", "line") if by_line else ("label", "row (from 0)")
    lines = chosen[["severity", where[0], "column", "value", "message", "fix"]].set_axis(
        ["severity", where[1], "column", "value", "what is wrong", "fix"], axis=1
    )
    lines.index = pd.RangeIndex(1, len(lines) + 1)
    return display.table(lines, max_rows=SHOWN, caption="Findings")


class PlanSection(Section):
    """Which calls will be made, and how risky they are."""

    def __init__(self) -> None:
        self.mode = ipywidgets.ToggleButtons(
            options=MODES,
            description="Calls",
            tooltip="How the rows are sent",
            style=_LABELS | {"button_width": "auto"},
        )
        self.risk = ipywidgets.SelectionSlider(
            options=[(display.percent(risk), risk) for risk in RISKS], value=0.01, description="Bearable risk",
            continuous_update=False, style=_LABELS, layout=ipywidgets.Layout(width="34em", max_width=WIDEST),
            tooltip="The probability that a sync call may run into the timeout of 60 s",
        )  # fmt: skip
        self._risk_note = ipywidgets.HTML(f"<span {_QUIET}>that a sync call runs into the gateway's timeout</span>")
        self._words = ipywidgets.HTML(layout=wide())
        self._picture = ipywidgets.HTML(layout=wide())
        self.compare = button("Compare with other ways", "Simulate all async, and sync calls of other sizes")
        self._ways = ipywidgets.HTML(layout=wide())
        super().__init__(
            "5. Plan",
            self.mode,
            row(self.risk, self._risk_note),
            self._words,
            self._picture,
            row(self.compare),
            self._ways,
        )

    def show(self, steps: Steps, words: Html, picture: Html, ways: Html, *, can_compare: bool) -> None:
        """Show the plan in words, its risk as a picture, and what else there is."""
        change(self.mode, value=steps.mode)
        if steps.risk in RISKS:
            change(self.risk, value=steps.risk)
        write(self._words, words)
        write(self._picture, picture)
        write(self._ways, ways)
        show_if(can_compare, self.compare)


class UploadSection(Section):
    """The upload itself: asked for, confirmed, followed, and its result."""

    def __init__(self) -> None:
        self.upload = button("Upload", "Ask first, then upload", "primary")
        self._question = ipywidgets.HTML(layout=wide())
        self.yes = button("Yes, upload", "Send it now", "danger")
        self.no = button("No", "Send nothing")
        self._asking = ipywidgets.VBox([self._question, row(self.yes, self.no)], layout=_box("#E69F00"))
        self._bar = ipywidgets.IntProgress(description="Rows", style=_LABELS, layout=ipywidgets.Layout(width="50%"))
        self._far = ipywidgets.HTML()
        self.cancel = button("Cancel the upload", "Send nothing more; calls under way end", "warning")
        self._progress = ipywidgets.VBox([row(self._bar, self._far), row(self.cancel)], layout=wide())
        self._result = ipywidgets.HTML(layout=wide())
        self.verify = button("Read back and compare", "Download the codes and compare them with what was sent")
        self.save = button("Save the rows to look at", "Write them, and why, to a file that can be uploaded again")
        self.report = button("Save a report", "Write an HTML file with all calls, tasks and rows to look at")
        self._after = row(self.verify, self.save, self.report)
        self._files = ipywidgets.HTML(layout=wide())
        super().__init__(
            "6. Upload", row(self.upload), self._asking, self._progress, self._result, self._after, self._files
        )

    def ask(self, words: str, question: Html, yes: str, style: str = "primary") -> None:
        """Show the button, or the question that it asks."""
        change(self.upload, description=words, button_style=style)
        write(self._question, question)
        change(self.yes, description=yes)
        show_if(bool(question), self._asking)
        show_if(bool(words) and not question, self.upload)

    def follow(self, total: int, done: int, words: Html, style: str, *, running: bool, stopping: bool) -> None:
        """Show how far an upload is; at the end, by the bar's style, how it ended."""
        change(self._bar, max=max(total, 1), value=min(done, max(total, 1)), bar_style=style)
        change(self._far, value=words)
        change(self.cancel, disabled=stopping)
        show_if(total > 0, self._progress)
        show_if(running, self.cancel)

    def conclude(self, result: Html, files: Html, *, ended: bool, to_look_at: int) -> None:
        """Show what came of it."""
        write(self._result, result)
        write(self._files, files)
        change(self.save, description=f"Save the {plural(to_look_at, 'row')} to look at")
        show_if(ended, self._after)
        show_if(to_look_at > 0, self.save)


def _box(colour: str) -> ipywidgets.Layout:
    return ipywidgets.Layout(border=f"2px solid {colour}", padding=".4em .8em", margin=".4em 0", width="auto")


class CodeSection:
    """The same in Python."""

    def __init__(self) -> None:
        self.button = button("Show code", "Show the lines of Python that do the same")
        self._code = ipywidgets.HTML(layout=ipywidgets.Layout(width="auto", display="none"))
        self._open = False
        self.box = ipywidgets.VBox([row(self.button), self._code], layout=wide())

    def turn(self) -> None:
        """Show the code, or hide it."""
        self._open = not self._open

    def show(self, code: str) -> None:
        """Show the present code."""
        style = "white-space:pre-wrap;padding:.6em;border:1px solid rgba(128,128,128,.35)"
        change(self._code, value=f'<pre style="{style}">{escape(code)}</pre>' if self._open else "")
        change(self.button, description="Hide code" if self._open else "Show code")
        show_if(self._open, self._code)


def title(words: str) -> ipywidgets.HTML:
    """Make the panel's heading."""
    return ipywidgets.HTML(f'<div style="font-size:1.3em;font-weight:600">{escape(words)}</div>')


def busy_line() -> ipywidgets.HTML:
    """Make the line that says what is being done; screen readers read it out."""
    return ipywidgets.HTML("&nbsp;", layout=wide())


def fitted(picture: Html) -> Html:
    """Make a picture as wide as its place, never wider."""
    return Html(picture.replace("<img ", '<img style="max-width:100%;background:#fff" ', 1))
