"""`upload`: a table or a plan becomes a job that runs."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from scmkit.core import contract, results
from scmkit.core.arguments import JOURNAL
from scmkit.core.errors import PlanError
from scmkit.journal.journal import Journal
from scmkit.journal.listings import WhereIfAny
from scmkit.journal.memory import in_memory
from scmkit.journal.storage import or_else
from scmkit.journal.stored_plans import begin, begin_in_file
from scmkit.planning.plan import Plan
from scmkit.tables.arguments import TABLE_OR_PLAN, public
from scmkit.uploading import plans
from scmkit.uploading.job import UploadJob
from scmkit.uploading.ledger import Ledger
from scmkit.uploading.run import Run, earlier_jobs
from scmkit.uploading.waiting import wait_for
from scmkit.validation.mapping import MAPPING
from scmkit.wire.client import Client, chosen_client, default_client


@results.upload.register(Plan)
@public(depths=False, options_of=plans.plan, df=TABLE_OR_PLAN, journal=JOURNAL, mapping=MAPPING)
def upload(
    df: pd.DataFrame | Plan,
    client: Client | None = None,
    key: str | Sequence[str] = contract.DEFAULT_KEY,
    mode: str = "auto",
    wait: bool = True,
    verify: bool = False,
    errors: str = "raise",
    progress: bool = True,
    journal: WhereIfAny = None,
    anyway: bool = False,
    **options: Any,
) -> UploadJob:
    """Bring a table's values onto the codes, and say for every row what became of it.

    Parameters
    ----------
    df : DataFrame or Plan
        The table, or what `plan` made of it.
    client : Client, optional
        Default: the one given to `use`, else one made from the environment.
    key, mode : see `plan`
    wait : bool, default True
        Wait for the end, with a progress bar. Ctrl-C then stops feeding, gives calls under way five seconds, and
        gives back the job as it is. With False, the work goes on in the background, for as long as Python runs: a
        script that ends before says what is left, and how to resume it.
    verify : bool, default False
        At the end, download the codes and compare; see `UploadJob.verify`.
    errors : {"raise", "reject"}
        Whether invalid rows forbid the upload (before anything is sent), or end as ``rejected`` while the others
        are sent. What happens after the first call never raises: it is in ``job.rows``.
    progress : bool, default True
        Show a progress bar while waiting.
    journal : path or False, optional
        Where everything is written down before it happens, so that `resume` can carry on whatever becomes of this
        process; False for nowhere. Default: ``SCMKIT_JOURNAL``, else the user's own file.
    anyway : bool, default False
        Send now, although an earlier job may still change the same fields of the same codes. Otherwise this job waits
        for one that is running, and for lost calls of one that is not; tasks that nobody follows forbid it.
    **options
        Of `plan`: ``inventory``, ``estimate``, ``service_time``, ``risk``, ``fields``, ``on_conflict``, ``workers``,
        ``mapping``, ``products``.

    Returns
    -------
    UploadJob

    Raises
    ------
    ValidationError, MissingColumnError, PlanError
        Before anything is sent.
    JournalError
        The journal cannot be used; nothing was sent.
    UnsettledError
        An earlier job has tasks under way over the same codes, and nobody follows them; nothing was sent.
    AuthenticationError, PermissionDeniedError, NotSentError, ConfigurationError
        When the job was stopped before anything was applied.
    """
    if isinstance(df, Plan):
        asked = {"key": key not in (contract.DEFAULT_KEY, *df.key, list(df.key)), "mode": mode not in ("auto", df.mode)}
        if wrong := sorted({*options, *(name for name, differs in asked.items() if differs)}):
            raise PlanError(f"{', '.join(wrong)}: no option here, since this plan is made already")
        made = df
    else:
        known = client or chosen_client()
        if known is not None:
            options.setdefault("assumptions", known.assumptions)
        made = plans.plan(df, key, mode, errors=errors, journal=journal, client=known, **options)
    client = client or default_client()  # after the table was looked at: it may ask for a token
    with client.order.in_turn:
        run = prepared(made, client, journal, verify=verify, anyway=anyway)
        run.begin()
    job = UploadJob(run)
    return wait_for(job, progress) if wait else job


def prepared(
    plan: Plan, client: Client, journal: WhereIfAny = None, *, verify: bool = False,
    anyway: bool = False,
) -> Run:  # fmt: skip
    """Write a job down, and return what only has to begin."""

    def check(book: Journal) -> None:
        if not anyway:
            earlier_jobs(book, plan, client).held_s()

    record = None
    if journal is not False:
        record = begin_in_file(_new_id(), plan, client.base_url, journal, check)
    record = record or begin(_new_id(), plan, client.base_url, in_memory(client.order), check)
    with or_else(record.close):
        return Run(Ledger(plan), client, record, verify=verify, anyway=anyway)


def _new_id() -> str:
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
