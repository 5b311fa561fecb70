"""What is done for the panel off the kernel's thread, and the state that comes of it. No widgets here."""

from __future__ import annotations

import functools
import re
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from scmkit.core import display
from scmkit.core.display import Html, escape, plural
from scmkit.core.errors import ConfigurationError, PlanError
from scmkit.estimation.estimate import Estimate
from scmkit.journal.listings import WhereIfAny
from scmkit.panels import words
from scmkit.panels.state import NO_HTML, Checked, Question, Result, Sent, State
from scmkit.panels.token_form import TokenField
from scmkit.planning.plan import Plan
from scmkit.plots import drawings as plots
from scmkit.sandbox import Sandbox
from scmkit.simulation.simulate import simulate
from scmkit.steps import choices
from scmkit.steps.choices import Choices, Service, Source
from scmkit.tables.reading import read_table
from scmkit.tables.writing import write_rows
from scmkit.uploading import plans
from scmkit.uploading import upload as uploading
from scmkit.uploading.asking import BUDGET, asked_once
from scmkit.uploading.job import UploadJob
from scmkit.uploading.ledger import not_wholly_applied
from scmkit.validation.validate import validate
from scmkit.widgets.worker import Worker
from scmkit.wire.client import Client, ready_client, use

TRIALS = 2_000  # of the risk's simulation: quick, and the picture is smooth
COMPARED_BELOW = 1_000  # rows; a larger plan is compared with others when somebody asks
SANDBOX_CODES_IN_PYTHON = "sandbox.codes()"


class Work:
    """All that the panel does, one thing after another, and the state that it leaves.

    Parameters
    ----------
    worker : Worker
        Of the surface.
    failed, changed : callable
        Told of an error, and that there is something new to show; on any thread.
    client, journal, max_mb
        See `Panel`.
    """

    def __init__(
        self, worker: Worker, failed: Callable[[Exception], None], changed: Callable[[], None],
        client: Client | None, journal: WhereIfAny, max_mb: float,
    ) -> None:  # fmt: skip
        self.state = State(journal=journal)
        self.sandbox: Any = None
        self._client, self._journal, self._max_mb, self._changed = client, journal, max_mb, changed
        self._worker = worker
        # A second one, since a service may take minutes to answer, and tables can be looked at meanwhile. All that
        # depends on what was asked for before is done by the first one, in order: the sandbox, too, which runs here.
        self._wire = Worker("scmkit-panel-wire", failed)
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self._names = notebook_names()
        self._account: Service | None = None  # given on the page
        self._answers: tuple[Client, Estimate] | None = None  # who was asked about codes, and what was said

    # The state, and what is done

    def change(self, **changed: Any) -> None:
        """Change the state, and have it shown."""
        with self._lock:
            self.state = replace(self.state, **changed)
        self._changed()

    def choose(self, how: Callable[[Choices], Choices], after_s: float = 0.0) -> None:
        """Change the choices, and find out what follows."""
        with self._lock:
            before, after = self.state.choices, how(self.state.choices)
            asked = self.state.asked if after == before else None
            self.change(choices=after, asked=asked)
        if after != before:
            self.do("check", "looking at the table", self.check, after_s)

    def do(self, name: str, told: str, work: Callable[[], object], after_s: float = 0.0, *, asks: bool = False) -> None:
        """Do something soon, and say so meanwhile; behind the others, or beside them if it asks the service."""

        def carry_out() -> None:
            self._say(name, told)
            try:
                work()
            finally:
                self._say(name, "")

        (self._wire if asks else self._worker).do(name, carry_out, after_s)
        self._changed()

    def _say(self, name: str, told: str) -> None:
        """Say what is being done under a name; nothing, when it is done."""
        with self._lock:
            others = {other: words for other, words in self.state.doing.items() if other != name}
            self.change(doing=others | ({name: told} if told else {}))

    def at_rest(self) -> bool:
        """Whether there is nothing to do, and the upload, if there is one, has been looked at."""
        followed = self._closed.is_set() or self.state.sent is None or self.state.result is not None
        return self._worker.idle() and self._wire.idle() and followed

    def sleep(self, seconds: float) -> None:
        """Wait, unless the panel is closed."""
        if self._closed.wait(seconds):
            raise PlanError("the panel was closed")

    def close(self) -> None:
        """Stop, and the panel's own sandbox, too."""
        self._closed.set()
        self._wire.close()
        self._stop_sandbox()

    # Tables to choose

    def known(self, frame: pd.DataFrame, name: str) -> Source:
        """Return a DataFrame under the name that it has in the notebook."""
        found = next((o for o in self.state.offers if o.frame is frame), None)
        return found or self.offer(Source(name, name, frame))

    def offer(self, source: Source) -> Source:
        """Let a table be chosen."""
        with self._lock:
            self.change(offers=(*self.state.offers, source))
        return source

    def find_offers(self) -> None:
        """Look for tables; what was read or given stays on offer."""
        found = [*choices.frames_in(self._names), *files_here()]
        with self._lock:
            chosen, offers = self.state.choices, self.state.offers
            known = {o.identity: o for o in offers if o.frame is not None}
            fresh = [known.get(source.identity, source) for source in found]
            in_use = (chosen.table, chosen.codes)
            kept = [o for o in offers if o not in fresh and (o.path is None or o in in_use)]
            self.change(offers=(*kept, *fresh))

    def open(self, source: Source | None, role: str) -> None:
        """Choose a table or an inventory; a file is read first. Returns at once."""
        if source is None:
            self.choose(lambda before: _with(before, None, role))
        else:
            self._read(source.name, role, lambda: self._opened(source))

    def take_file(self, files: Any, role: str) -> None:
        """Read a file that came from the browser. Returns at once."""
        for item in files:
            name, content = Path(item.name.replace("\\", "/")).name or "table", bytes(item.content)
            self._read(name, role, functools.partial(self._received, name, content))

    def _received(self, name: str, content: bytes) -> Source:
        return self.offer(read_content(name, content, self._max_mb))

    def _opened(self, source: Source) -> Source:
        opened = source.opened(self._max_mb)
        with self._lock:
            self.change(offers=tuple(opened if o is source else o for o in self.state.offers))
        return opened

    def _read(self, name: str, role: str, read: Callable[[], Source]) -> None:
        """Read a table; one that is refused leaves none in its place, rather than the one before."""

        def work() -> None:
            source = None
            try:
                source = read()
            finally:
                self.choose(lambda before: _with(before, source, role))

        self.do("open " + role, f"reading {name}", work)

    # What follows from the choices

    def check(self) -> None:
        """Find out what follows from the choices, as far as it is new."""
        chosen, before = self.state.choices, self.state.checked
        if choices.trouble(chosen):
            self.change(checked=None)
            return
        if before is None or before.choices.basis != chosen.basis:
            before = looked_at(chosen)
            self.change(checked=before)
        if not choices.is_fine(chosen, before.findings):
            self.change(checked=replace(before, choices=chosen))
            return
        self._say("check", "planning the calls")
        after = self._with_plan(before, chosen)
        self.change(checked=after)
        if after.plan is not None and after.plan is not before.plan and len(after.plan):
            self._say("check", "simulating the upload")
            self.change(checked=with_risk(after, after.plan))
            if len(after.plan.order) <= COMPARED_BELOW:
                self._say("check", "simulating other ways")
                self.compare()

    def _with_plan(self, before: Checked, chosen: Choices) -> Checked:
        """Plan; after a change of mode or risk alone, from what is known."""
        made, was = before.plan, before.choices
        answers = self._answers_for(chosen)
        if made is None or was.service != chosen.service or (answers is not None and made.estimate is not answers):
            made = self._plan(before.table, chosen)
        elif (was.mode, was.risk) != (chosen.mode, chosen.risk):
            made = made.with_terms(risk=chosen.risk).otherwise(chosen.mode)
        else:
            return replace(before, choices=chosen)
        return Checked(chosen, before.table, before.findings, before.changes, before.fixable, made)

    def _plan(self, table: pd.DataFrame, chosen: Choices) -> Plan:
        known: dict[str, Any] = {"journal": False}
        if self.state.service is not None:
            client = self.state.service.client
            known = {"journal": self._journal, "service": client.base_url, "assumptions": client.assumptions}
        made = plans.plan(table, **choices.options(chosen), **known, estimate=self._answers_for(chosen))
        path = None if chosen.table is None else chosen.table.path
        file = "" if path is None else path.name
        made = replace(made, load=replace(made.load, mapping=choices.mapping(chosen), file=file))
        # Names that the user alone gave are no evidence of what the campaign defines.
        proven = choices.fields_of(chosen.codes) is not None
        return made if proven else replace(made, load=replace(made.load, defined_fields=None))

    def _answers_for(self, chosen: Choices) -> Estimate | None:
        """Return what the service said about the codes of this key, where no inventory says more."""
        if self._answers is None or self.state.service is None or chosen.codes is not None:
            return None
        client, known = self._answers
        return known if client is self.state.service.client and known.key == (chosen.key_field,) else None

    def compare(self) -> None:
        """Simulate other ways to upload the same."""
        checked = self.state.checked
        if checked is not None and checked.risk is not None:
            self.change(checked=replace(checked, ways=checked.risk.alternatives))

    # The service

    def look_again(self) -> None:
        """Look for tables, and for an account."""
        self.find_offers()
        service, client = self.state.service, self._client or ready_client()
        if client is None or (service is not None and (service.sandbox or service.client is client)):
            return
        known = self._account
        self._use(known if known and known.client is client else Service(client, *self._python_of(client)))

    def _python_of(self, client: Client) -> tuple[str, tuple[str, ...]]:
        """Say how Python gets this client: by its name in the notebook, or made anew."""
        named = [n for n, value in list(self._names.items()) if value is client and n.isidentifier() and n[0] != "_"]
        return (named[0], ()) if named else ("client", (f"client = scmkit.Client({client.base_url!r})",))

    def _use(self, service: Service) -> None:
        self.change(service=service)
        self.choose(lambda before: replace(before, service=service.client.base_url, asks_account=False))

    def sign_in(self, address: str, field: TokenField) -> None:
        """Use an account from now on, by all of this kernel, if the service knows its token."""
        if not address:
            raise ConfigurationError("the address of the service is missing: type it first")
        client = Client(address, field.token())
        try:
            account = Service.of_account(client)
        except Exception:
            client.close()
            raise
        self._client, self._account = client, account
        field.forget()
        use(client)
        self._use(account)

    def start_sandbox(self) -> None:
        """Start a sandbox, and use it, with the inventory if one is chosen that tells the fields."""
        chosen = self.state.choices.codes
        known = chosen if chosen is not None and choices.fields_of(chosen) is not None else None
        codes: Any = choices.SANDBOX_CODES if known is None else known.table
        self.sandbox = sandbox = Sandbox(codes=codes, speed=choices.SANDBOX_SPEED).start()
        if self._closed.is_set():
            self._stop_sandbox()
            return
        told = str(codes) if known is None else known.python
        made = f"sandbox = scmkit.Sandbox(codes={told}, speed={choices.SANDBOX_SPEED}).start()"
        self._use(Service(sandbox.client(), "client", (made, "client = sandbox.client()"), sandbox=True))
        if known is None:
            its_codes = self.offer(Source("the sandbox's codes", SANDBOX_CODES_IN_PYTHON, sandbox.codes()))
            self.choose(lambda before: before.with_codes(its_codes))

    def leave_sandbox(self) -> None:
        """Stop the sandbox, forget its codes, and look for an account."""
        if self.state.running:
            raise PlanError("an upload to the sandbox is running: cancel it first")
        self._stop_sandbox()
        with self._lock:
            codes, its_codes = self.state.choices.codes, SANDBOX_CODES_IN_PYTHON
            mine = codes is not None and codes.python == its_codes
            self.change(service=None, offers=tuple(o for o in self.state.offers if o.python != its_codes))
        self.choose(lambda before: replace(before.with_codes(None) if mine else before, service=""))
        self.look_again()

    def _stop_sandbox(self) -> None:
        with self._lock:
            sandbox, self.sandbox = self.sandbox, None
        if sandbox is not None:
            if self.state.running and self.state.sent is not None and self.state.sent.service.sandbox:
                self.state.sent.job.cancel(0.0)  # nobody will answer it any more
            if self.state.service is not None:
                self.state.service.client.close()
            sandbox.stop()

    def download(self, campaign: str) -> None:
        """Download the codes, and take them as the inventory."""
        service = self.state.service
        if service is None:
            raise PlanError("there is no service to download from")
        filters: Any = {"campaign": campaign} if campaign else {}
        path = service.client.download_codes(sleep=self.sleep, **filters)
        try:
            frame = read_table(path)
        finally:
            path.unlink()
        told = f"campaign={campaign!r}" if campaign else ""
        name = f"codes of campaign {campaign}" if campaign else "all codes of the service"
        codes = self.offer(Source(name, f"scmkit.read_table({service.python}.download_codes({told}))", frame))
        self.choose(lambda before: before.with_codes(codes))

    def count(self) -> None:
        """Ask the service how many codes the key values select whose number decides something, and plan by that."""
        checked, made, service = self.state.fresh, self.state.plan, self.state.service
        if checked is None or made is None or service is None:
            raise PlanError("there is no plan yet, or no service to ask")

        def listen(answers: int, in_sight: int, _: int) -> None:
            if self._closed.is_set():
                raise PlanError("the panel was closed")
            self._say("count", f"{answers:,} of {plural(in_sight, 'answer')}")

        try:
            known = asked_once(made.estimate, service.client, checked.limit, BUDGET, listen, self._journal)
        finally:
            self._say("count", "")
        self._answers = service.client, known
        self.choose(lambda before: replace(before, asks=True))
        self.do("check", "planning the calls", self.check)

    # The upload

    def ask(self) -> None:
        """Ask whether to upload, and say what that will do."""
        checked, plan, service = self._ready()
        question = Question(checked, plan, service, choices.will_happen(plan, service))
        with self._lock:
            self.change(asked=question if plan is self.state.plan else None)

    def _ready(self) -> tuple[Checked, Plan, Service]:
        state = self.state
        if state.why_not or state.checked is None or state.plan is None or state.service is None:
            raise PlanError(state.why_not)
        return state.checked, state.plan, state.service

    def no(self) -> None:
        """Take the question away."""
        self.change(asked=None)

    def yes(self) -> None:
        """Upload what was shown in the question, once."""
        with self._lock:
            asked = self.state.asked
            self.change(asked=None)
        if asked is not None:
            told = "starting the upload"
            self.do("submit", told, lambda: self._upload(asked.checked, asked.plan, asked.service), asks=True)

    def submit(self) -> UploadJob:
        """Upload what is planned now, without the question."""
        return self._upload(*self._ready())

    def _upload(self, checked: Checked, plan: Plan, service: Service) -> UploadJob:
        job = uploading.upload(plan, service.client, wait=False, journal=self._journal)
        self.change(sent=Sent(job, checked, plan, service), result=None, files=NO_HTML)
        return job

    def cancel(self) -> None:
        """Cancel the upload."""
        if self.state.sent is not None:
            self._say("cancel", "stopping: calls under way get a few seconds")
            self.state.sent.job.cancel()

    def conclude(self) -> None:
        """Look at the result of an upload that has ended."""
        sent = self.state.sent
        if sent is not None and sent.job.done():
            self._say("cancel", "")
            self.change(result=Result(sent.job))  # whatever comes now: it has ended, and that is shown
            self.change(result=Result(sent.job, not_wholly_applied(sent.job.rows)))

    def verify(self) -> None:
        """Compare what is on the service with what was sent."""
        if self.state.result is not None:
            job = self.state.result.job
            different, rows = len(job.verify()), job.counts().get("applied", 0)
            told = f"{plural(different, 'difference')}, listed above" if different else job.unproven or "all equal"
            self.change(files=Html(f"<div>Read back: {plural(rows, 'applied row')} compared, {told}.</div>"))
            self.conclude()

    def save(self) -> None:
        """Save the rows to look at."""
        sent, result = self.state.sent, self.state.result
        if sent is not None and result is not None:
            path = Path.cwd() / f"rows-to-look-at-{sent.job.id}.csv"
            write_rows(choices.to_upload_again(sent.checked.choices, sent.checked.table, result.to_look_at), path)
            told = "To upload them again, correct the file and choose it as the table."
            self.change(files=Html(f"<div>{words.link(path)}. {told}</div>"))
            self.find_offers()

    def save_mapping(self) -> None:
        """Save what was chosen as a mapping: the same upload of the next table, in a line."""
        chosen = self.state.choices
        if why := choices.trouble(chosen):
            raise PlanError(why)
        name = "" if chosen.table is None else re.sub(r"[^\w-]+", "-", chosen.table.name.partition(".")[0])
        path = Path.cwd() / f"mapping-{name}.json"
        choices.mapping(chosen).save(path)
        told = f"scmkit upload FILE --mapping {escape(path.name)}"
        self.change(mapping_file=Html(f"<div>{words.link(path)}. For the next table: <code>{told}</code>.</div>"))

    def report(self) -> None:
        """Save a report of the upload."""
        if self.state.result is not None:
            path = Path.cwd() / f"upload-{self.state.result.job.id}.html"
            self.state.result.job.report(path)
            self.change(files=Html(f"<div>{words.link(path)}.</div>"))


def _with(chosen: Choices, source: Source | None, role: str) -> Choices:
    return chosen.with_table(source) if role == "table" else chosen.with_codes(source)


def notebook_names() -> dict[str, Any]:
    """Return the names of the notebook; none outside of one."""
    from IPython import get_ipython

    shell = get_ipython()
    return {} if shell is None else shell.user_ns


def files_here() -> list[Source]:
    """Return the tables of this folder; none where it is gone or may not be read."""
    try:
        return choices.files_in(Path.cwd())
    except OSError:
        return []


def read_content(name: str, content: bytes, max_mb: float) -> Source:
    """Read a file's content with `read_table`, under its own name, and leave nothing behind."""
    choices.check_size(name, len(content), max_mb)
    with tempfile.TemporaryDirectory(prefix="scmkit-") as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        return Source(name, f"scmkit.read_table({name!r})", read_table(path))


def looked_at(chosen: Choices) -> Checked:
    """Apply the fixes on a copy, and check it."""
    table = choices.prepared(chosen)
    changed = choices.changes(chosen, table) if chosen.fixes else pd.DataFrame()
    found = validate(table, **choices.checks(chosen))
    return Checked(chosen, table, found, changed, choices.ready_fixes(found))


def with_risk(checked: Checked, plan: Plan) -> Checked:
    """Simulate the plan and draw it."""
    risk = simulate(plan, trials=TRIALS, seed=1)
    pictures = plots.side_by_side(12, 4, risk, plan)
    alt = f"Two pictures. {risk.summary()}. {display.titles(pictures)}."
    image = display.figure(pictures, alt, width="70em")
    told = f"<div>Simulated {risk.trials:,} times: {escape(risk.summary())}</div>"
    return replace(checked, risk=risk, picture=Html(f"{told}{image}"))
