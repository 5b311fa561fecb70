"""How each section of the panel stands, and what it shows of tables and results, as words and HTML."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from scmkit.core import display
from scmkit.core.display import Html, duration, escape, plural
from scmkit.core.lines import numbered
from scmkit.core.texts import ours
from scmkit.panels.state import Checked, Question, Result, Sent, State
from scmkit.planning.plan import Plan
from scmkit.steps import choices as steps
from scmkit.steps.choices import Choices, Service, Source
from scmkit.uploading.progress import Progress
from scmkit.validation.findings import Findings

SHOWN = 10  # rows of a table
LINKED_BELOW = 2_000_000  # bytes of a file that a link may carry inside the page
_QUIET = 'style="opacity:.75"'


class Heading(NamedTuple):
    """How a section stands: ``done``, ``your turn``, ``look``, ``waits`` ..., why, and whether it is open."""

    sign: str
    words: str
    is_open: bool = True


# --- how each section stands ------------------------------------------------------------------------------------


def table(state: State) -> Heading:
    """Say which table was chosen."""
    chosen = state.choices.table
    return Heading("your turn", "choose a DataFrame or a file") if chosen is None else Heading("done", chosen.label)


def codes(state: State) -> Heading:
    """Say where it is sent, and what is known about the codes there."""
    chosen, service = state.choices.codes, state.service
    inventory = "no inventory" if chosen is None else f"inventory: {chosen.label}"
    if service is None:
        return Heading("your turn", f"no service yet (planning works without); {inventory}")
    if service.sandbox or service.client.reached:
        return Heading("done", f"{service.words}; {inventory}")
    return Heading("chosen", f"{service.words}, which has not answered anything yet; {inventory}")


def mapping(state: State) -> Heading:
    """Say what the columns are sent as."""
    chosen, why = state.choices, steps.trouble(state.choices)
    if chosen.table is None:
        return Heading("waits", why, is_open=False)
    if why:
        return Heading("your turn", why)
    left = [c.name for c in chosen.columns if c.field is None]
    not_sent = f"; not sent: {', '.join(left[:5])}{' ...' if len(left) > 5 else ''}" if left else ""
    words = f"the key is {chosen.key_field}; {plural(len(chosen.sent) - 1, 'field')} sent{not_sent}"
    return Heading("look" if chosen.unknown else "done", words)


def findings(state: State) -> Heading:
    """Say what was found."""
    if state.fresh is None:
        why = steps.trouble(state.choices)
        return Heading("waits", "after section 3" if why else "the table is being looked at ...", is_open=False)
    found, chosen = state.fresh.findings, state.choices
    return Heading(steps.standing(chosen, found), _found(found, chosen))


def _found(found: Findings, chosen: Choices) -> str:
    if found.hopeless:
        return "the table as a whole cannot be sent: see below"
    counts, bad = f"{plural(found.errors, 'error')}, {plural(found.warnings, 'warning')}", int(found.rejected.sum())
    if bad:
        rest = "these are left out" if chosen.leave_out else "fix what can be fixed, or leave these rows out"
        return f"{counts}; {plural(bad, 'row')} with errors: {rest}"
    if steps.strangers(found):
        rest = "sent all the same" if chosen.leave_out else "see below"
        return f"{counts}; hardly any key is in the inventory: {rest}"
    return counts


def plan(state: State) -> Heading:
    """Say how many calls there are."""
    made = state.fresh.plan if state.fresh is not None else None
    if made is None or not state.is_fine:
        return Heading("waits", "the calls are being planned ..." if state.is_fine else "after section 4", False)
    if state.plan is None:
        return Heading("waits", "planning again ...")
    nothing = "; by the inventory they select no code at all" if made.selects_nothing else ""
    words = f"{plural(len(made.order), 'row')} of {len(made.index):,} in {plural(len(made), 'call')}{nothing}"
    return Heading("look" if made.selects_nothing else "done", words)


def upload(state: State) -> Heading:
    """Say how the upload stands."""
    sent, why = state.sent, state.why_not
    if sent is not None and (state.running or state.result is not None):
        sign = "running" if state.running else "done" if sent.job.ok else "look"
        return Heading(sign, f"{_verdict(sent)} ({sent.job.id}, to {sent.service.words})")
    words = why or "ready: you will be asked before anything is sent"
    return Heading("waits" if why else "your turn", words, not why or sent is not None)


def _verdict(sent: Sent) -> str:
    job = sent.job
    if not job.done():
        return "under way"
    words = "everything arrived" if job.ok else job.state
    if not job.ok and job.state == "complete":
        some = job.counts().get("applied")
        words = "ended, and there are rows to look at" if some else "ended, and nothing was applied"
    different = job.differences
    read_back = "" if different is None else f"; read back: {plural(len(different), 'difference')}"
    return f"{words}: {job.summary().partition(': ')[2]}{read_back}"


# --- what the sections show -------------------------------------------------------------------------------------


def large_files(table: Source | None) -> str:
    """Say where files go that are too large for a button, as long as there is no table."""
    if table is not None:
        return ""
    return (
        f"<span {_QUIET}>Files above about 10 MB may not pass Jupyter: put them into the folder "
        f"<code>{escape(_here())}</code>, and choose them here after <i>Look again</i>.</span>"
    )


def _here() -> str:
    """Return the folder whose files are offered; it may be gone."""
    try:
        return str(Path.cwd())
    except OSError:
        return "in which this runs"


def preview(table: Source | None) -> str:
    """Show the first rows of the table."""
    return "" if table is None else display.table(table.table, max_rows=3)


def service(service: Service | None) -> str:
    """Say where uploads go, and as whom."""
    if service is None:
        return (
            "<div>No account is set up here. Give one, or set <code>SCANTRUST_UAT_TOKEN</code> before this is started. "
            "The sandbox needs none.</div>"
        )
    warning = " &#9888; real codes" if service.is_production else ""
    who = f", as <b>{escape(service.who)}</b>" if service.who else ""
    return f"<div>Uploads go to <b>{escape(service.words)}</b>{warning}{who}.</div>"


def columns(chosen: Choices) -> str:
    """Show what each column is sent as."""
    lines = [
        {
            "column": c.name,
            "is sent as": f"{c.field} (the key)" if c.name == chosen.key else c.field or "not sent",
            "type": "" if c.field is None or c.name == chosen.key else c.kind.replace("_", " "),
            "for example": ", ".join(text[:24] for text in c.examples),
            "because": c.why,
        }
        for c in chosen.columns
    ]
    return _scrolled(display.table(_from_one(pd.DataFrame(lines)), max_rows=200))


def _from_one(lines: pd.DataFrame) -> pd.DataFrame:
    return lines.set_axis(pd.RangeIndex(1, len(lines) + 1))


def _scrolled(body: Html) -> Html:
    """Return a table a height that leaves room for what comes next; the keyboard can scroll it."""
    return Html(f'<div tabindex="0" style="max-height:22em;overflow:auto">{body}</div>')


def rules(found: Findings) -> str:
    """Show what was found, by rule."""
    if not len(found.frame):
        return ""
    lines = _plain(found.by_rule).drop(columns=["first_row", "first_line"])
    lines = lines.assign(rule=lines["rule"].str.replace("_", " "))
    lines = lines.rename(columns={"findings": "found", "fixes": "fixable", "message": "for example"})
    return _scrolled(display.table(_from_one(lines), max_rows=60))


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Take out of the messages what stands in other columns: the place in front, the rule behind."""
    words = frame["message"].str.replace(r"^((row|line) \d+, )?column '[^']*': ", "", regex=True)
    return frame.assign(message=words.str.replace(r" \[\w+\]$", "", regex=True))


def details(seen: tuple[Findings, str]) -> str:
    """Show the findings of a rule, or the first of all."""
    found, rule = seen
    if not len(found.frame):
        return ""
    frame = _plain(found.frame)
    chosen = frame[frame["rule"] == rule] if rule in set(frame["rule"]) else frame
    by_line = bool(frame["line"].notna().any())
    where = ("line", "line") if by_line else ("label", "row (from 0)")
    lines = chosen[["severity", where[0], "column", "value", "message", "fix"]].set_axis(
        ["severity", where[1], "column", "value", "what is wrong", "fix"], axis=1
    )
    return display.table(_from_one(lines), max_rows=SHOWN, caption="Findings")


def changed(checked: Checked) -> str:
    """Show what the fixes changed."""
    cells = checked.changes
    caption = f"The fixes changed {plural(len(cells), 'cell')} of a copy"
    return _scrolled(display.table(cells, max_rows=200, caption=caption)) if len(cells) else ""


def leave_out(found: Findings) -> str:
    """Offer to send what can be sent; empty where there is nothing to leave out."""
    bad = int(found.rejected.sum())
    good = found.rows - bad - int(found.superseded.sum())
    if found.hopeless or not (bad or steps.strangers(found)):
        return ""
    if not bad:
        return f"Send {plural(good, 'row')} all the same: the inventory is only a part of the codes"
    return f"Leave out the {plural(bad, 'row')} with errors, and send the other {good:,}"


def risk_note(_: None) -> str:
    """Say what the risk is of."""
    return f"<span {_QUIET}>that a sync call runs into the gateway's timeout</span>"


def calls(plan: Plan | None) -> str:
    """Show a plan in words."""
    lines = [] if plan is None else [plan.estimate.summary(), *plan.summary().splitlines()]
    listed = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<ul style="margin:.2em 0">{listed}</ul>' if lines else ""


def ways(checked: Checked) -> str:
    """Show how else the upload could be made."""
    others = checked.ways
    if others is None:
        return ""
    shown = pd.DataFrame(
        {
            "calls": others["calls"],
            "probably": others["seconds_median"].map(duration),
            "at worst (95 %)": others["seconds_p95"].map(duration),
            "calls sent again": others["expected_resends"].map("{:.2g}".format),
            "largest timeout risk": others["largest_risk"].map(display.percent),
        }
    )
    return display.table(shown, caption="The same upload in other ways")


def question(asked: Question | None) -> str:
    """Say what will happen, and to whom."""
    if asked is None:
        return ""
    where = escape(asked.service.words)
    return escape(asked.words).replace(where, f"<b>{where}</b>", 1)


def yes(asked: Question | None) -> str:
    """Name on the button what is written to."""
    service = asked.service if asked else None
    if service is None:
        return "Yes, upload"
    kind = "PRODUCTION" if service.is_production else "the sandbox" if service.sandbox else service.words
    return f"Yes, upload to {kind}"


def how_far(progress: Progress | None) -> str:
    """Say how far an upload is, and when it will end."""
    return "" if progress is None else escape(progress.words())


def result(ended: Result | None) -> str:
    """Show how many rows are in each state, and those to look at."""
    if ended is None:
        return ""
    bad, counts = ended.to_look_at, ended.job.counts()
    parts = [display.table(pd.DataFrame({"state": counts.keys(), "rows": counts.values()}).set_index("state"))]
    if len(bad):
        lost = ours(bad, "discarded_fields")
        lines = bad.assign(**{lost.name: lost.map(", ".join)}).drop(columns=ours(bad, "call").name)
        lines = numbered(lines, ended.job.plan.index)
        parts.append(display.table(lines, max_rows=SHOWN, caption="Rows to look at"))
    return display.card("What became of the rows", {}, *parts)


def to_save(ended: Result | None) -> str:
    """Offer the rows to look at; empty where there are none."""
    return f"Save the {plural(len(ended.to_look_at), 'row')} to look at" if ended and len(ended.to_look_at) else ""


def link(path: Path) -> Html:
    """Offer a file that was written: for download, if it is small, and in any case by its path."""
    size = path.stat().st_size
    where = f"written to <code>{escape(path)}</code> ({size / 1e3:,.0f} kB)"
    if size > LINKED_BELOW:
        return Html(where)
    kind, name = "text/csv" if path.suffix == ".csv" else "text/html", escape(path.name)
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return Html(f'<a download="{name}" href="data:{kind};base64,{data}"><u>Download {name}</u></a>, {where}')


def lines_of_python(code: str) -> str:
    """Show the lines that do the same."""
    style = f"white-space:pre-wrap;padding:.6em;border:{display.LINE}"
    return f'<pre style="{style}">{escape(code)}</pre>' if code else ""


def busy(doing: str) -> str:
    """Say what is being done; screen readers read it out."""
    return f"<i>{escape(doing)} ...</i>" if doing else "&nbsp;"


def to_ask(questions: int, seconds: float) -> str:
    """Say what it costs to ask the service about codes."""
    return f"Ask the service ({plural(questions, 'question')}, about {max(1, round(seconds)):,} s)"
