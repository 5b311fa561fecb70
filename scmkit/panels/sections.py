"""The table of the panel's controls: what each chooses or has done, and what it shows. Section by section.

To add a step, add what is chosen to `Choices`, and here the control that chooses it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import ipywidgets

from scmkit.core import contract, display
from scmkit.core.display import plural
from scmkit.panels import words
from scmkit.panels.parts import (
    LABELS,
    Control,
    Group,
    Note,
    Parts,
    Section,
    Text,
    beside,
    button,
    choice,
    file_button,
    framed,
    labelled,
    line,
    narrow,
    wide,
)  # fmt: skip
from scmkit.panels.state import State
from scmkit.panels.token_form import TokenField
from scmkit.panels.work import Work
from scmkit.steps.choices import CHOSEN, FIXES, KEYS, Choices, Source, fields_of, trouble
from scmkit.wire.client import current_service

NOT_SENT, OTHER, NOTHING = "", "\0other", ""  # None cannot be chosen in a list of ipywidgets
KINDS = (("text", "text"), ("date, YYYY-MM-DD", "date"), ("logistic unit", "logistic_unit"))
CONFLICTS = (
    ("which differ: an error, neither is sent", "error"),
    ("which differ: the last one counts", "last"),
    ("which differ: the first one counts", "first"),
)
MODES = (("auto: the quickest that is safe", "auto"), ("all sync", "sync"), ("all async", "async"))
RISKS = (0.0001, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
SLIDER_RESTS_S = 0.15


def sets(name: str) -> Callable[[Choices, Any], Choices]:
    """Make of a value what it chooses where that is all: an attribute of the choices."""
    return lambda chosen, value: replace(chosen, **{name: value})


def sections() -> list[Section]:
    """Make the sections of a panel, and all their controls."""
    return [table(), codes(), mapping(), findings(), plan(), upload()]


def table() -> Section:
    """Choose which table is uploaded."""
    parts: Parts = {
        "table": Control(choice("Table", "A DataFrame, or a file of this folder"),
                         does=lambda work, source: work.open(source or None, "table"),
                         shows=lambda s: _offered("choose ...", s.offers, s.choices.table)),
        "refresh": Control(button("Look again", "Look again for DataFrames, and for files in this folder"),
                           does=Work.look_again, tells="looking for tables and an account"),
        "table_file": Control(file_button("A CSV, XLSX or Parquet file of this computer, up to about 10 MB"),
                              does=lambda work, files: work.take_file(files, "table"), shows=_no_file),
        "hint": Text(words.large_files, lambda s: s.choices.table),
        "preview": Text(words.preview, lambda s: s.choices.table),
    }  # fmt: skip
    return Section("1. Table", words.table, parts, ("table", "refresh", "table_file"), "hint", "preview")


def _offered(none: str, offers: Sequence[Source], chosen: Source | None) -> dict[str, Any]:
    return {"options": ((none, NOTHING), *((o.label, o) for o in offers)), "value": chosen or NOTHING}


def _no_file(_: State) -> dict[str, Any]:
    """Forget the bytes of a file, since they have been taken."""
    return {"value": ()}


def codes() -> Section:
    """Choose where it is sent, and say what is known about the codes there."""
    campaign = line("Campaign", "Download the codes of this campaign only", "22em", placeholder="number; empty for all")
    parts: Parts = {
        "service": Text(words.service, lambda s: s.service),
        **_account(),
        "look": Control(button("Look again", "Look again for a client or a token"), does=Work.look_again,
                        tells="looking for tables and an account", when=lambda s: s.service is None),
        "other": Control(button("Use another account", "Give another address or token"),
                         lambda chosen: replace(chosen, asks_account=True),
                         when=lambda s: s.service is not None and not (s.choices.asks_account or s.on_sandbox)),
        "sandbox": Control(button("Try it on the built-in sandbox", "Start a service on this computer that behaves as "
                                  "Scantrust does; nothing leaves it", "primary"),
                           does=Work.start_sandbox, tells="starting the sandbox", when=lambda s: not s.on_sandbox),
        "leave": Control(button("Leave the sandbox", "Stop it, and look for an account"),
                         does=Work.leave_sandbox, tells="stopping the sandbox", when=lambda s: s.on_sandbox),
        "codes": Control(choice("Inventory", "All codes, one a line: how many codes a key value selects is counted "
                                "in it"),
                         does=lambda work, source: work.open(source or None, "codes"), shows=_inventories),
        "codes_file": Control(file_button("A code download as CSV, XLSX or Parquet, up to about 10 MB"),
                              does=lambda work, files: work.take_file(files, "codes"), shows=_no_file),
        "campaign": Control(campaign, when=_can_download),
        "download": Control(button("Download the codes from the service",
                                   "Ask the service for its codes; this may take minutes"),
                            does=lambda work: work.download(campaign.value.strip()), asks=True,
                            tells="downloading the codes from the service", when=_can_download),
        "count": Control(button("Ask the service", "Count the codes of the key values whose number decides something, "
                                "by a small download each"),
                         does=Work.count, asks=True, tells="asking the service how many codes there are",
                         when=_questions, shows=lambda s: {"description": words.to_ask(*_questions(s) or (0, 0.0))}),
    }  # fmt: skip
    buttons = ("look", "other", "sandbox", "leave")
    rows = ("address", ("token", "account"), buttons, ("codes", "codes_file"), ("campaign", "download", "count"))
    return Section("2. Service and codes", words.codes, parts, "service", *rows)


def _account() -> Parts:
    """Ask for an address and a token."""
    where = f"Such as {contract.PRODUCTION_URL}, or {contract.STAGING_URL} to try things out"
    address = line("Service", where, value=current_service(), continuous_update=False)
    token = labelled(TokenField, "Token", "It is sent to this service only, and stands in no file and no log")

    def sign_in(work: Work) -> None:
        work.sign_in(address.value.strip(), token)

    def wanted(state: State) -> bool:
        return state.service is None or (state.choices.asks_account and not state.on_sandbox)

    press = button("Use this account", "Ask the service whose token this is")
    tells = "asking the service whose token this is"
    return {
        "address": Control(address, when=wanted),
        "token": Control(token, does=sign_in, tells=tells, asks=True, when=wanted),
        "account": Control(press, does=sign_in, tells=tells, asks=True, when=wanted),
    }


def _can_download(state: State) -> bool:
    return state.service is not None and not state.on_sandbox


def _questions(state: State) -> tuple[int, float] | None:
    """Return how many questions about codes the plan leaves open, and the seconds; None where there is none to ask."""
    if state.service is None or state.plan is None or state.choices.codes is not None:
        return None
    questions, seconds = state.seen.cost
    return (questions, seconds / state.service.client.limits.speed) if questions else None


def _inventories(state: State) -> dict[str, Any]:
    others = [o for o in state.offers if o is not state.choices.table]
    return _offered("none: codes per key are not known", others, state.choices.codes)


def mapping() -> Section:
    """Choose which column is the key, and what the others are sent as."""
    parts: Parts = {
        "key": Control(choice("Key", "The column whose values select the codes"), Choices.with_key,
                       shows=lambda s: {"options": s.choices.names, "value": s.choices.key or None}),
        "columns": Text(words.columns, lambda s: s.choices, flex="2 1 34em"),
        "change": Text(lambda _: "<b>Change a column</b>", lambda _: None),
        "column": Control(choice("Column", "The column to send otherwise", "26em"),
                          lambda chosen, name: replace(chosen, editing=name, naming=False),
                          shows=lambda s: {"options": s.choices.names, "value": s.choices.editing or None}),
        "field": Control(choice("Send as", "The SCM field that its values are written to", "26em"),
                         _send_as, shows=_sent_as),
        "name": Control(line("Name", "The name of the SCM field", "26em", placeholder="name of the SCM field",
                             continuous_update=False),
                        lambda chosen, name: _send_as(chosen, name.strip()) if name.strip() else chosen,
                        shows=lambda s: {"value": s.choices.edited.field or ""}, when=lambda s: s.choices.naming),
        "kind": Control(choice("Type", "What the field holds", "26em", options=KINDS),
                        lambda chosen, kind: chosen.with_edited(kind=kind, told=True), shows=_kind),
    }  # fmt: skip
    editor = (narrow, "change", "column", "field", "name", "kind")
    return Section("3. Key and fields", words.mapping, parts, "key", (beside, "columns", editor))


def _send_as(chosen: Choices, field: str) -> Choices:
    if field == OTHER:
        return replace(chosen, naming=True)
    return chosen.with_edited(field=None if field == NOT_SENT else field, why=CHOSEN)


def _sent_as(state: State) -> dict[str, Any]:
    chosen, column = state.choices, state.choices.edited
    is_key, defined = column.name == chosen.key, fields_of(chosen.codes) or ()
    known = sorted([*KEYS, *defined] if is_key else [*defined, *contract.SPECIAL_FIELDS])
    names = dict.fromkeys([*filter(None, [column.field]), *known, column.name])
    skip = () if is_key else (("do not send", NOT_SENT),)
    options = (*skip, *((name, name) for name in names), ("another name ...", OTHER))
    return {"options": options, "value": OTHER if chosen.naming else column.field or NOT_SENT}


def _kind(state: State) -> dict[str, Any]:
    column = state.choices.edited
    return {"value": column.kind, "disabled": column.field is None or column.name == state.choices.key}


def findings() -> Section:
    """Say what is wrong with the table, and choose what is done about it."""
    fixes = {f"fix {name}": _fix(f"Fix {name}", f"Mend {name}", name) for name in FIXES}
    parts: Parts = {
        "rules": Text(words.rules, lambda s: s.seen.findings),
        **fixes,
        "fix_all": _fix("Fix all of these", "Apply all of these fixes", *FIXES),
        "undo": Control(button("Undo the fixes", "Go back to the table as it was"),
                        lambda chosen: replace(chosen, fixes=(), leave_out=False), when=lambda s: s.choices.fixes),
        "conflict": Control(choice("Two rows of a key", "What happens where two rows have one key, "
                                   "and different values", options=CONFLICTS),
                            sets("on_conflict"), shows=lambda s: {"value": s.choices.on_conflict}, when=_in_conflict),
        "changes": Text(words.changed, lambda s: s.seen),
        "leave_out": Control(ipywidgets.Checkbox(indent=False, layout=wide(), tooltip="Rows with errors are not sent; "
                                                 "the result lists them"),
                             sets("leave_out"), when=lambda s: words.leave_out(s.seen.findings),
                             shows=lambda s: {"description": words.leave_out(s.seen.findings),
                                              "value": s.choices.leave_out}),
        "which": Control(choice("Look at", "The findings of one rule"), sets("rule"), shows=_rules,
                         when=lambda s: len(s.seen.findings.frame)),
        "details": Text(words.details, lambda s: (s.seen.findings, s.choices.rule)),
    }  # fmt: skip
    rows = ("rules", (*fixes, "fix_all", "undo"), "conflict", "changes", "leave_out", "which", "details")
    return Section("4. Findings", words.findings, parts, *rows)


def _fix(words: str, tooltip: str, *names: str) -> Control:
    """Offer a fix, or several where more than one has something to mend."""

    def ready(state: State) -> list[int]:
        return [n for name, n in state.seen.fixable.items() if n and name in names]

    return Control(
        button("", f"{tooltip}, on a copy of the table", "primary" if len(names) > 1 else ""),
        lambda chosen: chosen.with_fixes(*names),
        shows=lambda s: {"description": f"{words} ({sum(ready(s))})"},
        when=lambda s: len(ready(s)) >= min(len(names), 2),
    )


def _in_conflict(state: State) -> bool:
    return state.choices.on_conflict != "error" or "duplicate_conflict" in set(state.seen.findings.frame["rule"])


def _rules(state: State) -> dict[str, Any]:
    rules, chosen = tuple(dict.fromkeys(state.seen.findings.frame["rule"])), state.choices.rule
    listed = (("the first of all", ""), *((rule.replace("_", " "), rule) for rule in rules))
    return {"options": listed, "value": chosen if chosen in rules else ""}


def plan() -> Section:
    """Choose how the rows are sent, and say which calls that makes, and how risky they are."""
    mode = ipywidgets.ToggleButtons(
        options=MODES, description="Calls", tooltip="How the rows are sent", style=LABELS | {"button_width": "auto"}
    )
    risk = labelled(
        ipywidgets.SelectionSlider, "Bearable risk",
        "The probability that a sync call may run into the timeout of 60 s",
        options=[(display.percent(risk), risk) for risk in RISKS], value=0.01, continuous_update=False,
    )  # fmt: skip
    parts: Parts = {
        "mode": Control(mode, sets("mode"), shows=lambda s: {"value": s.choices.mode}),
        "risk": Control(risk, sets("risk"), rests_s=SLIDER_RESTS_S,
                        shows=lambda s: {"value": s.choices.risk} if s.choices.risk in RISKS else {}),
        "risk_note": Note(words.risk_note, lambda _: None),
        "calls": Text(words.calls, lambda s: s.seen.plan),
        "picture": Text(lambda picture: picture, lambda s: s.seen.picture),
        "compare": Control(button("Compare with other ways", "Simulate all async, and sync calls of other sizes"),
                           does=Work.compare, tells="simulating other ways",
                           when=lambda s: s.seen.risk is not None and s.seen.ways is None),
        "ways": Text(words.ways, lambda s: s.seen),
    }  # fmt: skip
    rows = ("mode", ("risk", "risk_note"), "calls", "picture", ("compare",), "ways")
    return Section("5. Plan", words.plan, parts, *rows)


def upload() -> Section:
    """Ask, upload, follow the upload, and show its result."""
    parts: Parts = {
        "upload": Control(button("Upload", "Ask first, then upload", "primary"), does=Work.ask, tells="adding up",
                          shows=_uploads, when=lambda s: not s.why_not and s.asked is None),
        "question": Text(words.question, lambda s: s.asked),
        "yes": Control(button("Yes, upload", "Send it now", "danger"), does=Work.yes,
                       shows=lambda s: {"description": words.yes(s.asked)}, when=lambda s: s.asked),
        "no": Control(button("No", "Send nothing"), does=Work.no, when=lambda s: s.asked),
        "bar": Control(labelled(ipywidgets.IntProgress, "Rows", "", "50%"), shows=_bar, when=lambda s: s.progress),
        "far": Note(words.how_far, lambda s: s.progress),
        "cancel": Control(button("Cancel the upload", "Send nothing more; calls under way end", "warning"),
                          does=Work.cancel, when=lambda s: s.running,
                          shows=lambda s: {"disabled": "cancel" in s.doing}),
        "result": Text(words.result, lambda s: s.result),
        "verify": Control(button("Read back and compare", "Download the codes and compare them with what was sent"),
                          does=Work.verify, tells="reading the codes back", asks=True, when=lambda s: s.result),
        "save": Control(button("Save", "Write them, and why, to a file that can be uploaded again"), does=Work.save,
                        tells="writing the rows", shows=lambda s: {"description": words.to_save(s.result)},
                        when=lambda s: words.to_save(s.result)),
        "report": Control(button("Save a report", "Write an HTML file with all calls, tasks and rows to look at"),
                          does=Work.report, tells="writing the report", when=lambda s: s.result),
        "files": Text(lambda files: files, lambda s: s.files),
    }  # fmt: skip
    asking = (framed, "question", ("yes", "no"))
    rows = (("upload",), asking, ("bar", "far"), ("cancel",), "result", ("verify", "save", "report"), "files")
    return Section("6. Upload", words.upload, parts, *rows)


def _uploads(state: State) -> dict[str, Any]:
    made = state.seen.plan
    if made is None:
        return {}
    again = " again" if state.sent is not None and state.sent.plan is made else ""
    style = "warning" if made.selects_nothing else "primary"
    return {"description": f"Upload {plural(len(made.order), 'row')}{again} ...", "button_style": style}


def _bar(state: State) -> dict[str, Any]:
    """Show the rows that are done; of an upload that has ended those that are applied, and by a colour how it ended."""
    far, sent = state.progress, state.sent
    if far is None or sent is None:
        return {}
    most = max(far.rows, 1)
    if state.running:
        return {"max": most, "value": min(far.done, most), "bar_style": ""}
    style = "success" if sent.job.ok else "warning" if far.applied else "danger"
    return {"max": most, "value": far.rows - far.not_applied, "bar_style": style}


def code() -> Group:
    """Show the same in Python."""
    parts: Parts = {
        "code": Control(button("Show code", "Show the lines of Python that do the same"),
                        lambda chosen: replace(chosen, shows_python=not chosen.shows_python),
                        shows=lambda s: {"description": "Hide code" if s.choices.shows_python else "Show code"}),
        "save_mapping": Control(button("Save mapping", "Write what was chosen to a file, which does the same with the "
                                       "next table"),
                                does=Work.save_mapping, tells="writing the mapping",
                                when=lambda s: not trouble(s.choices)),
        "mapping_file": Text(lambda file: file, lambda s: s.mapping_file),
        "python": Text(words.lines_of_python, lambda s: s.python if s.choices.shows_python else ""),
    }  # fmt: skip
    return Group(parts, ("code", "save_mapping"), "mapping_file", "python")


def busy() -> Text:
    """Say what is being done at the moment."""
    return Text(words.busy, lambda s: "; ".join(s.doing.values()))
