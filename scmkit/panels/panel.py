"""`Panel`: an upload step by step on one surface.

What was chosen is in `Steps`, which is frozen; what follows from it is found on a thread of the panel's own and shown
by the sections. Callbacks only choose: they change the steps and return.
"""

from __future__ import annotations

import functools
import os
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from scmkit.core import display
from scmkit.core.arguments import JOURNAL
from scmkit.core.display import Html, duration, escape, plural
from scmkit.core.errors import PlanError
from scmkit.core.lines import numbered
from scmkit.core.paths import expanded
from scmkit.core.texts import ours
from scmkit.core.token import Token
from scmkit.panels import sections
from scmkit.panels.sections import NOT_SENT, NOTHING, OTHER, change
from scmkit.planning.plan import Plan
from scmkit.simulation.simulate import Risk, simulate
from scmkit.steps import choices
from scmkit.steps.choices import Service, Source, Steps
from scmkit.tables.arguments import TABLE, public
from scmkit.tables.reading import read_table
from scmkit.tables.writing import write_rows
from scmkit.uploading import plans
from scmkit.uploading import upload as uploading
from scmkit.uploading.job import UploadJob
from scmkit.uploading.ledger import not_wholly_applied
from scmkit.validation.findings import Findings
from scmkit.validation.validate import validate
from scmkit.widgets.surface import Method, Surface, caused_by, guarded
from scmkit.widgets.worker import SPACING_S, Worker
from scmkit.wire.client import Client, ready_client, use

TRIALS = 2_000  # of the risk's simulation: quick, and the picture is smooth
COMPARED_BELOW = 1_000  # rows; a larger plan is compared with others when somebody asks
SLIDER_RESTS_S = 0.15
NO_HTML = Html("")
SANDBOX_CODES_IN_PYTHON = "sandbox.codes()"


@dataclass(frozen=True, eq=False)
class Checked:
    """What follows from the steps.

    Attributes
    ----------
    table : DataFrame
        What is sent.
    plan : Plan or None
        None as long as it is being made, or where findings forbid it.
    """

    steps: Steps
    table: pd.DataFrame
    findings: Findings
    plan: Plan | None = None
    risk: Risk | None = None
    words: Html = NO_HTML
    picture: Html = NO_HTML
    ways: Html = NO_HTML
    changes: Html = NO_HTML


@dataclass(frozen=True, eq=False)
class Sent:
    """An upload, and what was uploaded to where."""

    job: UploadJob
    checked: Checked
    service: Service


@dataclass(frozen=True, eq=False)
class Question:
    """What somebody is asked before anything is sent. A yes sends exactly this."""

    checked: Checked
    service: Service
    words: Html
    yes: str


@dataclass(frozen=True, eq=False)
class Result:
    """What came of an upload."""

    verdict: str = ""
    shown: Html = NO_HTML
    to_look_at: pd.DataFrame = field(default_factory=pd.DataFrame)


def heard(method: Method) -> Method:
    """Make a callback of a control: deaf to what the panel itself sets, and its errors are shown."""

    @functools.wraps(method)
    def callback(self: Panel, *args: Any) -> Any:
        if getattr(self._showing, "now", False):
            return None
        self.succeed()
        return method(self, *args)

    return guarded(callback)  # type: ignore[return-value]


@public(depths=False, df=TABLE.optional(), journal=JOURNAL)
class Panel(Surface):
    """Upload step by step: table, service and codes, key and fields, findings, plan, upload.

    Parameters
    ----------
    df : DataFrame, optional
        The table; by default one that is chosen on the surface.
    client : Client, optional
        Default: the one given to `scmkit.use`, else one from the environment, else one that is given on the surface.
    journal : path or False, optional
        See `scmkit.upload`.
    inventory : DataFrame or path, optional
        All codes, one a line.
    max_mb : float, default 50
        Larger files are not read.

    Attributes
    ----------
    steps : Steps
        What has been chosen.
    job : UploadJob or None
        The last upload.
    """

    def __init__(
        self,
        df: pd.DataFrame | None = None,
        client: Client | None = None,
        journal: str | os.PathLike[str] | bool | None = None,
        inventory: pd.DataFrame | str | os.PathLike[str] | None = None,
        max_mb: float = 50,
    ) -> None:
        super().__init__("panel")
        self.steps = Steps()
        self._client, self._journal, self._max_mb = client, journal, max_mb
        self._wire = Worker("scmkit-panel-wire", self.fail)
        self._lock = threading.RLock()
        self._showing = threading.local()
        self._closed = threading.Event()
        self._namespace = _namespace()
        self._offers: list[Source] = []
        self._service: Service | None = None
        self._account: Service | None = None  # given on the page
        self._sandbox: Any = None
        self._checked: Checked | None = None
        self._sent: Sent | None = None
        self._asked: Question | None = None
        self._result: Result | None = None
        self._files = NO_HTML
        self._editing, self._other_name, self._looking_at = "", False, ""
        self._doing: dict[str, str] = {}
        self._build()
        self._listen()
        self._find_offers()
        self._begin(df, inventory)

    # What Python can ask and do

    @property
    def findings(self) -> Findings | None:
        """What was found in the table as it is chosen now; None while it is being looked at."""
        return None if (checked := self._fresh()) is None else checked.findings

    @property
    def plan(self) -> Plan | None:
        """The calls that an upload would make; None while there is no plan."""
        checked = self._fresh()
        return checked.plan if checked is not None and checked.steps == self.steps else None

    @property
    def job(self) -> UploadJob | None:
        """The last upload."""
        return None if self._sent is None else self._sent.job

    @property
    def code(self) -> str:
        """The lines of Python that do the same."""
        return choices.python(self.steps, self._service, self._journal)

    def choose(self, **chosen: Any) -> None:
        """Choose by Python what the controls choose: any of the attributes of `Steps`."""
        self._choose(lambda before: replace(before, **chosen))

    def submit(self) -> UploadJob:
        """Upload what is planned now, without the question.

        Raises
        ------
        PlanError
            If something is missing; the message says what.
        """
        if why := self._why_not():
            raise PlanError(why)
        checked, service = self._checked, self._service
        assert checked is not None and checked.plan is not None and service is not None  # noqa: S101, PT018 - said above
        return self._upload(checked, service)

    def wait(self, timeout: float = 60.0) -> Panel:
        """Wait until the panel has nothing to do, and its upload has ended.

        Raises
        ------
        TimeoutError
            It goes on all the same.
        """
        end = time.monotonic() + timeout
        while not self._at_rest():
            if time.monotonic() > end:
                raise TimeoutError(f"the panel is still at work after {timeout:g} s: {'; '.join(self._doing.values())}")
            self._closed.wait(0.01)
        return self

    def close(self) -> None:
        """Stop all work, the panel's own sandbox included, and take the widgets away. A running upload goes on."""
        self._closed.set()
        self._wire.close()
        super().close()
        self._stop_sandbox()

    # Beginnings

    def _build(self) -> None:
        self._table, self._codes = sections.TableSection(), sections.CodesSection(self._on_account)
        self._mapping, self._found = sections.MappingSection(), sections.FindingsSection()
        self._planned, self._upload_section = sections.PlanSection(), sections.UploadSection()
        self._code_section = sections.CodeSection()
        self._busy = sections.busy_line()
        title = sections.title("Upload to Scantrust, step by step")
        listed = (self._table, self._codes, self._mapping, self._found, self._planned, self._upload_section)
        self._lay_out(title, *(s.box for s in listed), self._busy, self._code_section.box)

    def _listen(self) -> None:
        """Connect each control with what it chooses."""
        chosen: list[tuple[Any, Callable[[Any], None]]] = [
            (self._table.table, self._on_table), (self._table.file, self._on_table_file),
            (self._codes.codes, self._on_codes), (self._codes.file, self._on_codes_file),
            (self._mapping.key, self._on_key), (self._mapping.column, self._on_column),
            (self._mapping.field, self._on_field), (self._mapping.name, self._on_name),
            (self._mapping.kind, self._on_kind), (self._found.conflict, self._on_conflict),
            (self._found.leave_out, self._on_leave_out), (self._found.which, self._on_which),
            (self._planned.mode, self._on_mode), (self._planned.risk, self._on_risk),
        ]  # fmt: skip
        for widget, method in chosen:
            widget.observe(method, names="value")
        pressed: list[tuple[Any, Callable[[Any], None]]] = [
            (self._table.refresh, self._on_look), (self._codes.look, self._on_look),
            (self._codes.other, self._on_other), (self._codes.sandbox, self._on_sandbox),
            (self._codes.leave, self._on_leave), (self._codes.download, self._on_download),
            (self._found.fix_all, self._on_fix_all), (self._found.undo, self._on_undo),
            (self._planned.compare, self._on_compare), (self._upload_section.upload, self._on_upload),
            (self._upload_section.yes, self._on_yes), (self._upload_section.no, self._on_no),
            (self._upload_section.cancel, self._on_cancel), (self._upload_section.verify, self._on_verify),
            (self._upload_section.save, self._on_save), (self._upload_section.report, self._on_report),
            (self._code_section.button, self._on_code),
        ]  # fmt: skip
        pressed += [(each, functools.partial(self._on_fix, name)) for name, each in self._found.fixes.items()]
        for widget, method in pressed:
            widget.on_click(method)

    def _begin(self, df: pd.DataFrame | None, inventory: pd.DataFrame | str | os.PathLike[str] | None) -> None:
        """Start with what the caller gave; the first view comes before any work."""
        table = None if df is None else self._known(df, "df")
        codes = self._known(inventory, "inventory") if isinstance(inventory, pd.DataFrame) else None
        if inventory is not None and codes is None:
            path = expanded(inventory)
            codes = self._offer(Source(path.name, f"scmkit.read_table({str(path)!r})", path=path))
        self._show_once()
        self._errand("service", "looking for an account", self._find_service)
        if codes is not None:
            self._open(codes, "codes")
        if table is not None:
            self._open(table, "table")

    def _known(self, frame: pd.DataFrame, name: str) -> Source:
        """Return a DataFrame under the name that it has in the notebook."""
        found = next((o for o in self._offers if o.frame is frame), None)
        return found or self._offer(Source(name, name, frame))

    def _offer(self, source: Source) -> Source:
        with self._lock:
            self._offers.append(source)
        return source

    def _find_offers(self) -> None:
        """Look for tables; what was read or given stays on offer."""
        found = [*choices.frames_in(self._namespace), *_files_here()]
        with self._lock:
            known = {o.identity: o for o in self._offers if o.frame is not None}
            fresh = [known.get(source.identity, source) for source in found]
            in_use = (self.steps.table, self.steps.codes)
            kept = [o for o in self._offers if o not in fresh and (o.path is None or o in in_use)]
            self._offers = [*kept, *fresh]

    def _find_service(self) -> None:
        if self._service is not None and self._service.sandbox:
            return
        client = self._client or ready_client()
        if client is None or (self._service is not None and self._service.client is client):
            return
        known = self._account
        self._use(known if known and known.client is client else Service(client, *self._python_of(client)))

    def _python_of(self, client: Client) -> tuple[str, tuple[str, ...]]:
        """Say how Python gets this client: by its name in the notebook, or as the panel did."""
        name = next((n for n, value in list(self._namespace.items()) if value is client and n.isidentifier()), "client")
        if self._namespace.get(name) is client and not name.startswith("_"):
            return name, ()
        return "client", (f"client = scmkit.Client({client.base_url!r})",)

    def _use(self, service: Service) -> None:
        self._service = service
        self._choose(lambda before: replace(before, service=service.client.base_url))

    # Choosing

    def _choose(self, how: Callable[[Steps], Steps], after_s: float = 0.0) -> None:
        """Change the steps, and find out what follows."""
        with self._lock:
            before, self.steps = self.steps, how(self.steps)
            if self.steps.table is not before.table:
                self._editing, self._looking_at = self.steps.columns[0].name if self.steps.columns else "", ""
            self._asked, self._other_name = None, False
        self._errand("check", "looking at the table", self._check, after_s)

    @heard
    def _on_table(self, event: Any) -> None:
        if event.new != NOTHING:
            self._open(event.new, "table")

    @heard
    def _on_codes(self, event: Any) -> None:
        if event.new == NOTHING:
            self._choose(lambda before: before.with_codes(None))
        else:
            self._open(event.new, "codes")

    @heard
    def _on_table_file(self, event: Any) -> None:
        self._take_file(self._table.file, "table")

    @heard
    def _on_codes_file(self, event: Any) -> None:
        self._take_file(self._codes.file, "codes")

    def _take_file(self, upload: Any, role: str) -> None:
        """Read a file that came from the browser, and forget its bytes."""
        if not upload.value:
            return
        item = upload.value[0]
        name, content = Path(item.name.replace("\\", "/")).name or "table", bytes(item.content)
        upload.value = ()
        self._read(name, role, lambda: self._offer(_read_content(name, content, self._max_mb)))

    def _open(self, source: Source, role: str) -> None:
        self._read(source.name, role, lambda: self._opened(source))

    def _read(self, name: str, role: str, read: Callable[[], Source]) -> None:
        """Read a table; one that is refused leaves none in its place, rather than the one before."""

        def work() -> None:
            try:
                source = read()
            except Exception:
                self._take(None, role)
                raise
            self._take(source, role)

        self._errand("open " + role, f"reading {name}", work)

    def _opened(self, source: Source) -> Source:
        opened = source.opened(self._max_mb)
        with self._lock:
            self._offers = [opened if o is source else o for o in self._offers]
        return opened

    def _take(self, source: Source | None, role: str) -> None:
        if role == "table":
            self._choose(lambda before: before.with_table(source) if source else before.without_table())
        else:
            self._choose(lambda before: before.with_codes(source))

    @heard
    def _on_look(self, _: Any) -> None:
        self._find_offers()
        self._errand("service", "looking for an account", self._find_service)

    @heard
    def _on_key(self, event: Any) -> None:
        if event.new is not None:
            self._choose(lambda before: before.with_key(event.new))

    @heard
    def _on_column(self, event: Any) -> None:
        self._editing, self._other_name = event.new or "", False
        self._refresh()

    @heard
    def _on_field(self, event: Any) -> None:
        if event.new == OTHER:
            self._other_name = True
            self._refresh()
        elif event.new is not None:
            self._change_column(field=event.new if event.new != NOT_SENT else None, why=choices.CHOSEN)

    @heard
    def _on_name(self, event: Any) -> None:
        if event.new.strip():
            self._change_column(field=event.new.strip(), why=choices.CHOSEN)

    @heard
    def _on_kind(self, event: Any) -> None:
        self._change_column(kind=event.new, told=True)

    def _change_column(self, **changed: Any) -> None:
        column = self.steps.column(self._editing)
        if column is not None:
            self._choose(lambda before: before.with_column(replace(column, **changed)))

    @heard
    def _on_fix(self, name: str, _: Any) -> None:
        self._choose(lambda before: replace(before, fixes=(*before.fixes, *choices.FIXES[name])))

    @heard
    def _on_fix_all(self, _: Any) -> None:
        self._choose(lambda before: replace(before, fixes=(*before.fixes, *sum(choices.FIXES.values(), ()))))

    @heard
    def _on_undo(self, _: Any) -> None:
        self._choose(lambda before: replace(before, fixes=(), leave_out=False))

    @heard
    def _on_conflict(self, event: Any) -> None:
        self._choose(lambda before: replace(before, on_conflict=event.new))

    @heard
    def _on_leave_out(self, event: Any) -> None:
        self._choose(lambda before: replace(before, leave_out=event.new))

    @heard
    def _on_which(self, event: Any) -> None:
        self._looking_at = event.new or ""
        self._refresh()

    @heard
    def _on_mode(self, event: Any) -> None:
        self._choose(lambda before: replace(before, mode=event.new))

    @heard
    def _on_risk(self, event: Any) -> None:
        self._choose(lambda before: replace(before, risk=event.new), after_s=SLIDER_RESTS_S)

    @heard
    def _on_code(self, _: Any) -> None:
        self._code_section.turn()
        self._refresh()

    # What follows, off the kernel's thread

    def _errand(self, name: str, words: str, work: Callable[[], object], after_s: float = 0.0) -> None:
        """Do something on the panel's own thread, and say so meanwhile."""
        self._do(self._work, name, words, work, after_s)

    def _call(self, name: str, words: str, work: Callable[[], object]) -> None:
        """Do something that waits for the service."""
        self._do(self._wire, name, words, work)

    def _do(self, worker: Worker, name: str, words: str, work: Callable[[], object], after_s: float = 0.0) -> None:
        def done_in_words() -> None:
            self._doing[name] = words
            self._refresh()
            try:
                work()
            finally:
                self._doing.pop(name, None)
                self._refresh()

        worker.do(name, done_in_words, after_s)
        self._refresh()

    def _check(self) -> None:
        """Find out what follows from the steps, as far as it is new."""
        chosen = self.steps
        if choices.trouble(chosen):
            self._checked = None
            return
        before = self._checked
        if before is None or before.steps.basis != chosen.basis:
            self._checked = before = _looked_at(chosen)
            self._refresh()
        if not choices.is_fine(chosen, before.findings):
            self._checked = replace(before, steps=chosen)
            return
        self._doing["check"] = "planning the calls"
        self._checked = after = self._with_plan(before, chosen)
        self._refresh()
        made = after.plan
        if made is not None and made is not before.plan and len(made):
            self._doing["check"] = "simulating the upload"
            self._checked = after = _with_risk(after)
            self._refresh()
            if len(made.order) <= COMPARED_BELOW:
                self._doing["check"] = "simulating other ways"
                self._compare()

    def _with_plan(self, before: Checked, chosen: Steps) -> Checked:
        """Plan; after a change of mode or risk alone, from what is known."""
        made, was = before.plan, before.steps
        if made is None or was.service != chosen.service:
            made = self._plan(before.table, chosen)
        elif (was.mode, was.risk) != (chosen.mode, chosen.risk):
            made = made.with_terms(risk=chosen.risk).otherwise(chosen.mode)
        else:
            return replace(before, steps=chosen)
        lines = [made.estimate.summary(), *made.summary().splitlines()]
        listed = "".join(f"<li>{escape(line)}</li>" for line in lines)
        words = Html(f'<ul style="margin:.2em 0">{listed}</ul>')
        return Checked(chosen, before.table, before.findings, made, words=words, changes=before.changes)

    def _plan(self, table: pd.DataFrame, chosen: Steps) -> Plan:
        known: dict[str, Any] = {"journal": False}
        if self._service is not None:
            client = self._service.client
            known = {"journal": self._journal, "service": client.base_url, "assumptions": client.assumptions}
        made = plans.plan(table, **choices.options(chosen), **known)
        # Names that the user alone gave are no evidence of what the campaign defines.
        proven = choices.fields_of(chosen.codes) is not None
        return made if proven else replace(made, load=replace(made.load, defined_fields=None))

    def _compare(self) -> None:
        checked = self._checked
        if checked is None or checked.risk is None:
            return
        ways = checked.risk.alternatives
        shown = pd.DataFrame(
            {
                "calls": ways["calls"],
                "probably": ways["seconds_median"].map(duration),
                "at worst (95 %)": ways["seconds_p95"].map(duration),
                "calls sent again": ways["expected_resends"].map("{:.2g}".format),
                "largest timeout risk": ways["largest_risk"].map(display.percent),
            }
        )
        self._checked = replace(checked, ways=display.table(shown, caption="The same upload in other ways"))

    @heard
    def _on_compare(self, _: Any) -> None:
        self._errand("compare", "simulating other ways", self._compare)

    def _fresh(self) -> Checked | None:
        """Return what follows, unless the steps have changed since."""
        checked = self._checked
        return checked if checked is not None and checked.steps.basis == self.steps.basis else None

    # The service, on its own worker

    @heard
    def _on_other(self, _: Any) -> None:
        self._codes.open_account(True)
        self._refresh()

    @heard
    def _on_account(self, _: Any) -> None:
        address, token = self._codes.account.asked()
        self._call("account", "asking the service whose token this is", lambda: self._sign_in(address, token))

    def _sign_in(self, address: str, token: Token) -> None:
        """Use an account from now on, by all of this kernel, if the service knows its token."""
        client = Client(address, token)
        try:
            account = Service.of_account(client)
        except Exception:
            client.close()
            raise
        self._client, self._account = client, account
        self._codes.account.token.forget()
        self._codes.open_account(False)
        use(client)
        self._use(account)

    @heard
    def _on_sandbox(self, _: Any) -> None:
        # On this computer, so nothing waits for a service: it comes after the tables that were asked for before.
        self._errand("sandbox", "starting the sandbox", self._start_sandbox)

    def _start_sandbox(self) -> None:
        from scmkit.sandbox import Sandbox

        chosen = self.steps.codes
        known = chosen if chosen is not None and choices.fields_of(chosen) is not None else None
        codes: Any = choices.SANDBOX_CODES if known is None else known.table
        sandbox = Sandbox(codes=codes, speed=choices.SANDBOX_SPEED).start()
        if self._closed.is_set():
            sandbox.stop()
            return
        told = str(codes) if known is None else known.python
        setup = (
            f"sandbox = scmkit.Sandbox(codes={told}, speed={choices.SANDBOX_SPEED}).start()",
            "client = sandbox.client()",
        )
        self._sandbox = sandbox
        self._use(Service(sandbox.client(), "client", setup, sandbox=True))
        if known is None:
            self._take(self._offer(Source("the sandbox's codes", SANDBOX_CODES_IN_PYTHON, sandbox.codes())), "codes")

    @heard
    def _on_leave(self, _: Any) -> None:
        if self.job is not None and not self.job.done():
            raise PlanError("an upload to the sandbox is running: cancel it first")
        self._errand("sandbox", "stopping the sandbox", self._leave_sandbox)

    def _leave_sandbox(self) -> None:
        """Stop the sandbox, and forget its codes."""
        self._stop_sandbox()
        with self._lock:
            self._service, its_codes = None, SANDBOX_CODES_IN_PYTHON
            self._offers = [o for o in self._offers if o.python != its_codes]
            mine = self.steps.codes is not None and self.steps.codes.python == its_codes
        self._choose(lambda before: replace(before.with_codes(None) if mine else before, service=""))
        self._errand("service", "looking for an account", self._find_service)

    def _stop_sandbox(self) -> None:
        sandbox, self._sandbox = self._sandbox, None
        if sandbox is not None:
            if self._service is not None:
                self._service.client.close()
            sandbox.stop()

    @heard
    def _on_download(self, _: Any) -> None:
        self._call("download", "downloading the codes from the service", self._download)

    def _download(self) -> None:
        if self._service is None:
            raise PlanError("there is no service to download from")
        campaign = self._codes.campaign.value.strip()
        filters = {"campaign": campaign} if campaign else {}
        path = self._service.client.download_codes(sleep=self._sleep, **filters)
        try:
            frame = read_table(path)
        finally:
            path.unlink()
        told = f"campaign={campaign!r}" if campaign else ""
        python = f"scmkit.read_table({self._service.python}.download_codes({told}))"
        name = f"codes of campaign {campaign}" if campaign else "all codes of the service"
        self._take(self._offer(Source(name, python, frame)), "codes")

    def _sleep(self, seconds: float) -> None:
        if self._closed.wait(seconds):
            raise PlanError("the panel was closed")

    # The upload

    def _why_not(self) -> str:
        """Say why nothing can be uploaded now; empty when it can."""
        if why := choices.trouble(self.steps):
            return why
        if self._service is None:
            return "choose a service in section 2 first"
        checked, plan = self._fresh(), self.plan
        if checked is not None and not choices.is_fine(self.steps, checked.findings):
            return "there are errors: fix them, or choose to leave these rows out (section 4)"
        if plan is None:
            return "the plan is not ready yet"
        if not len(plan):
            return "no row is left to send"
        running = "submit" in self._doing or (self.job is not None and not self.job.done())
        return "an upload is running" if running else ""

    @heard
    def _on_upload(self, _: Any) -> None:
        if why := self._why_not():
            raise PlanError(why)
        checked, plan, service = self._fresh(), self.plan, self._service
        if checked is not None and plan is not None and service is not None:
            self._errand("ask", "adding up", lambda: self._ask(_question(checked, plan, service)))

    def _ask(self, question: Question) -> None:
        with self._lock:
            self._asked = question if question.checked.plan is self.plan else None

    @heard
    def _on_no(self, _: Any) -> None:
        self._asked = None
        self._refresh()

    @heard
    def _on_yes(self, _: Any) -> None:
        with self._lock:
            asked, self._asked = self._asked, None
        if asked is not None:  # what was shown in the question is what is sent, once
            self._call("submit", "starting the upload", lambda: self._upload(asked.checked, asked.service))

    def _upload(self, checked: Checked, service: Service) -> UploadJob:
        assert checked.plan is not None  # noqa: S101 - `_why_not` has looked
        job = uploading.upload(checked.plan, service.client, wait=False, journal=self._journal)
        with self._lock:
            self._sent = Sent(job, checked, service)
            self._result, self._files = None, NO_HTML
        self._refresh()
        return job

    @heard
    def _on_cancel(self, _: Any) -> None:
        if self.job is not None:
            self._doing["cancel"] = "stopping: calls under way get a few seconds"
            self.job.cancel()
            self._refresh()

    def _conclude(self) -> None:
        """Look at the result of an upload that has ended."""
        sent = self._sent
        if sent is None or not sent.job.done():
            return
        self._doing.pop("cancel", None)
        self._result = Result(_verdict(sent))  # whatever comes now: it has ended, and that is shown
        bad = not_wholly_applied(sent.job.rows)
        self._result = Result(self._result.verdict, _result(sent, bad), bad)
        self._refresh()
        self._view.do("keep", self.keep, after_s=SPACING_S)

    @heard
    def _on_verify(self, _: Any) -> None:
        job = self.job
        if job is not None and job.done():
            self._call("verify", "reading the codes back", functools.partial(self._verify, job))

    def _verify(self, job: UploadJob) -> None:
        different = len(job.verify())
        rows = job.counts().get("applied", 0)
        words = f"{plural(different, 'difference')}, listed above" if different else job.unproven or "all equal"
        self._files = Html(f"<div>Read back: {plural(rows, 'applied row')} compared, {words}.</div>")
        self._conclude()

    @heard
    def _on_save(self, _: Any) -> None:
        self._errand("save", "writing the rows", self._save)

    def _save(self) -> None:
        sent, result = self._sent, self._result
        if sent is None or result is None:
            return
        path = Path.cwd() / f"rows-to-look-at-{sent.job.id}.csv"
        write_rows(choices.to_upload_again(sent.checked.steps, sent.checked.table, result.to_look_at), path)
        words = Html(" To upload them again, correct the file and choose it as the table.")
        self._files = Html(f"<div>{sections.link(path)}.{words}</div>")
        self._find_offers()

    @heard
    def _on_report(self, _: Any) -> None:
        self._errand("report", "writing the report", self._save_report)

    def _save_report(self) -> None:
        if self.job is not None:
            path = Path.cwd() / f"upload-{self.job.id}.html"
            self.job.report(path)
            self._files = Html(f"<div>{sections.link(path)}.</div>")

    # Showing

    def _refresh(self) -> None:
        """Show the present state soon; may be called from any thread."""
        self._view.do("show", self._show_once, spacing_s=SPACING_S)

    def _show_once(self) -> None:
        """Set all widgets to the present state; what does not differ is not sent."""
        self._showing.now = True
        try:
            self._show_all()
        finally:
            self._showing.now = False
            self._follow()

    def _follow(self) -> None:
        """Look again soon while an upload runs, and at its result when it has ended."""
        if self._sent is not None and self._result is None:
            if self._sent.job.done():
                with caused_by(self._upload_section.upload):
                    self._errand("conclude", "looking at the result", self._conclude)
            else:
                self._refresh()

    def _show_all(self) -> None:
        chosen, why = self.steps, choices.trouble(self.steps)
        checked = self._fresh()
        self._show_tables(chosen)
        defined = choices.fields_of(chosen.codes)
        state = "waits" if chosen.table is None else "your turn" if why else "look" if chosen.unknown else "done"
        self._mapping.say(state, why or _fields_line(chosen), is_open=chosen.table is not None)
        self._mapping.show(chosen, defined, self._editing, self._other_name)
        self._show_findings(chosen, checked, why)
        self._show_plan(chosen, checked)
        self._show_upload()
        self._code_section.show(self.code)
        change(self._busy, value=_busy(list(self._doing.values())))

    def _show_tables(self, chosen: Steps) -> None:
        with self._lock:
            offers = list(self._offers)
        table = chosen.table
        self._table.say(
            "your turn" if table is None else "done", "choose a DataFrame or a file" if table is None else table.label
        )
        self._table.show(chosen, offers)
        codes = "no inventory" if chosen.codes is None else f"inventory: {chosen.codes.label}"
        where = "no service yet (planning works without)" if self._service is None else self._service.words
        unheard = self._service is not None and not (self._service.sandbox or self._service.client.reached)
        where += ", which has not answered anything yet" if unheard else ""
        state = "your turn" if self._service is None else "chosen" if unheard else "done"
        self._codes.say(state, f"{where}; {codes}")
        self._codes.show(chosen, [o for o in offers if o is not table], self._service)

    def _show_findings(self, chosen: Steps, checked: Checked | None, why: str) -> None:
        findings = None if checked is None else checked.findings
        waiting = "after section 3" if why else "the table is being looked at ..."
        state = "waits" if findings is None else choices.standing(chosen, findings)
        words = waiting if findings is None else _findings_line(findings, chosen)
        self._found.say(state, words, is_open=findings is not None)
        self._found.show(chosen, findings, self._looking_at, NO_HTML if checked is None else checked.changes)

    def _show_plan(self, chosen: Steps, checked: Checked | None) -> None:
        made = None if checked is None else checked.plan
        if made is None or checked is None or not choices.is_fine(chosen, checked.findings):
            ready = checked is not None and choices.is_fine(chosen, checked.findings)
            self._planned.say("waits", "the calls are being planned ..." if ready else "after section 4", is_open=False)
            return
        stale = checked.steps != chosen
        words = "planning again ..." if stale else _plan_line(made)
        self._planned.say("waits" if stale else "look" if made.selects_nothing else "done", words)
        can_compare = checked.risk is not None and not checked.ways
        self._planned.show(chosen, checked.words, checked.picture, checked.ways, can_compare=can_compare)

    def _show_upload(self) -> None:
        section, sent, asked = self._upload_section, self._sent, self._asked
        why, plan = self._why_not(), self.plan
        running = sent is not None and not sent.job.done()
        if sent is not None and running:
            section.say("running", f"to {sent.service.words}")
        elif sent is not None and self._result is not None:
            section.say("done" if sent.job.ok else "look", self._result.verdict)
        else:
            words = why or "ready: you will be asked before anything is sent"
            section.say("waits" if why else "your turn", words, is_open=not why or sent is not None)
        again = " again" if sent is not None and sent.checked.plan is plan else ""
        offer = "" if why or plan is None else f"Upload {plural(len(plan.order), 'row')}{again} ..."
        style = "warning" if plan is not None and plan.selects_nothing else "primary"
        section.ask(offer, *((asked.words, asked.yes) if asked else (NO_HTML, "Yes, upload")), style)
        if sent is not None:
            total, stopping = len(sent.job.plan.index), "cancel" in self._doing
            done, style = _bar(sent.job)
            words = Html(f"<span>{escape(sent.job.progress().words())}</span>")
            section.follow(total, done, words, style, running=running, stopping=stopping)
        else:
            section.follow(0, 0, NO_HTML, "", running=False, stopping=False)
        result = self._result or Result()
        ended = self._result is not None
        section.conclude(result.shown, self._files, ended=ended, to_look_at=len(result.to_look_at))

    def _at_rest(self) -> bool:
        workers = (self._work, self._wire, self._view)
        followed = self._sent is None or self._result is not None
        return all(worker.idle() for worker in workers) and (self._closed.is_set() or followed)

    # Without widgets

    def __repr__(self) -> str:
        lines = [f"{name}: {words}" for name, words in self._story()]
        return "\n".join(["<Panel: upload step by step>", *lines])

    def static(self) -> Html:
        """Show what was chosen and what became of it; this is what a saved notebook keeps."""
        bodies = [self._result.shown] if self._result else []
        code = Html(f"<details><summary>The same in Python</summary><pre>{escape(self.code)}</pre></details>")
        return display.card("Upload step by step", dict(self._story()), *bodies, code)

    def without_kernel(self) -> Html:
        """Say where to look: at this moment nothing has been chosen yet."""
        return Html("<div>Upload step by step: run this cell for the panel. What became of it stands below.</div>")

    def _story(self) -> list[tuple[str, str]]:
        """Say in a line for each section how it stands."""
        chosen, checked, plan = self.steps, self._fresh(), self.plan
        story = [
            ("Table", "none chosen yet" if chosen.table is None else chosen.table.label),
            ("Service", "none yet" if self._service is None else self._service.words),
            ("Inventory", "none" if chosen.codes is None else chosen.codes.label),
        ]
        if chosen.table is not None:
            story.append(("Key and fields", choices.trouble(chosen) or _fields_line(chosen)))
        if checked is not None:
            story.append(("Findings", _findings_line(checked.findings, chosen)))
        if plan is not None:
            story.append(("Plan", _plan_line(plan)))
        if self._sent is not None:
            story.append(("Upload", self._result.verdict if self._result else _verdict(self._sent)))
        else:
            story.append(("Upload", self._why_not() or "ready"))
        return [(name, words) for name, words in story]


def _namespace() -> dict[str, Any]:
    """Return the names of the notebook; none outside of one."""
    from IPython import get_ipython

    shell = get_ipython()
    return {} if shell is None else shell.user_ns


def _files_here() -> list[Source]:
    try:
        return choices.files_in(Path.cwd())
    except OSError:  # a folder that is gone or may not be read
        return []


def _read_content(name: str, content: bytes, max_mb: float) -> Source:
    """Read a file's content with `read_table`, under its own name, and leave nothing behind."""
    choices.check_size(name, len(content), max_mb)
    with tempfile.TemporaryDirectory(prefix="scmkit-") as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        return Source(name, f"scmkit.read_table({name!r})", read_table(path))


def _looked_at(chosen: Steps) -> Checked:
    table = choices.prepared(chosen)
    changed = choices.changes(chosen, table) if chosen.fixes else pd.DataFrame()
    caption = f"The fixes changed {plural(len(changed), 'cell')} of a copy"
    shown = display.table(changed, max_rows=200, caption=caption) if len(changed) else NO_HTML
    return Checked(chosen, table, validate(table, **choices.checks(chosen)), changes=shown)


def _with_risk(checked: Checked) -> Checked:
    """Simulate the plan and draw it."""
    from matplotlib.figure import Figure

    from scmkit.plots import results as plots

    assert checked.plan is not None  # noqa: S101 - the caller has looked
    risk = simulate(checked.plan, trials=TRIALS, seed=1)
    left, right = Figure(figsize=(12, 4), layout="constrained").subplots(1, 2)
    plots.risk(risk, left)
    plots.plan(checked.plan, right)
    alt = f"Two pictures. {risk.summary()}. {left.get_title()}; {right.get_title()}."
    picture = f'<div style="max-width:70em">{sections.fitted(display.figure(left.figure, alt))}</div>'
    words = f"<div>Simulated {risk.trials:,} times: {escape(risk.summary())}</div>"
    return replace(checked, risk=risk, picture=Html(words + picture))


def _fields_line(chosen: Steps) -> str:
    sent = len(chosen.sent) - 1
    left = [c.name for c in chosen.columns if c.field is None]
    not_sent = f"; not sent: {', '.join(left[:5])}{' ...' if len(left) > 5 else ''}" if left else ""
    return f"the key is {chosen.key_field}; {plural(sent, 'field')} sent{not_sent}"


def _findings_line(findings: Findings, chosen: Steps) -> str:
    if findings.hopeless:
        return "the table as a whole cannot be sent: see below"
    counts = f"{plural(findings.errors, 'error')}, {plural(findings.warnings, 'warning')}"
    bad = int(findings.rejected.sum())
    if not bad and (findings.frame["rule"] == "no_key_matches").any():
        return (
            f"{counts}; hardly any key is in the inventory: {'sent all the same' if chosen.leave_out else 'see below'}"
        )
    if not bad:
        return counts
    rest = "these are left out" if chosen.leave_out else "fix what can be fixed, or leave these rows out"
    return f"{counts}; {plural(bad, 'row')} with errors: {rest}"


def _plan_line(plan: Plan) -> str:
    nothing = "; by the inventory they select no code at all" if plan.selects_nothing else ""
    return f"{plural(len(plan.order), 'row')} of {len(plan.index):,} in {plural(len(plan), 'call')}{nothing}"


def _question(checked: Checked, plan: Plan, service: Service) -> Question:
    """Say what will happen, and to whom."""
    kind = "PRODUCTION" if service.is_production else "the sandbox" if service.sandbox else service.words
    where = escape(service.words)
    words = escape(choices.will_happen(plan, service)).replace(where, f"<b>{where}</b>", 1)
    return Question(checked, service, Html(words), f"Yes, upload to {kind}")


def _bar(job: UploadJob) -> tuple[int, str]:
    """Return the rows that a bar shows as done, and its style: of an ended upload, those that are applied."""
    now = job.progress(predict=False)
    if not job.done():
        return now.done, ""
    return now.rows - now.not_applied, "success" if job.ok else "warning" if now.applied else "danger"


def _verdict(sent: Sent) -> str:
    job = sent.job
    if not job.done():
        return f"running ({job.id}, to {sent.service.words})"
    words = "everything arrived" if job.ok else job.state
    if not job.ok and job.state == "complete":
        some = job.counts().get("applied")
        words = "ended, and there are rows to look at" if some else "ended, and nothing was applied"
    read_back = ""
    if job.differences is not None:
        read_back = f"; read back: {plural(len(job.differences), 'difference')}"
    return f"{words}: {job.summary().partition(': ')[2]}{read_back} ({job.id}, to {sent.service.words})"


def _result(sent: Sent, bad: pd.DataFrame) -> Html:
    """Show how many rows are in each state, and those to look at."""
    counts = pd.DataFrame({"state": sent.job.counts().keys(), "rows": sent.job.counts().values()})
    parts = [display.table(counts.set_index("state"))]
    if len(bad):
        lost = ours(bad, "discarded_fields")
        lines = bad.assign(**{lost.name: lost.map(", ".join)}).drop(columns=ours(bad, "call").name)
        lines = numbered(lines, sent.job.plan.index)
        parts.append(display.table(lines, max_rows=sections.SHOWN, caption="Rows to look at"))
    return display.card("What became of the rows", {}, *parts)


def _busy(doing: list[str]) -> str:
    return f"<i>{escape('; '.join(doing))} ...</i>" if doing else "&nbsp;"
