"""Codes per key value, asked of the service itself: a small download for each key value that decides something."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd

from scmkit.core import contract
from scmkit.core.arguments import CLIENT, JOURNAL, Kind, is_flag, whole
from scmkit.core.display import plural
from scmkit.core.errors import AnswerLostError, JournalError, ScmkitError, UnavailableError, UnreadableAnswerError
from scmkit.core.texts import text_of
from scmkit.estimation.estimate import Estimate, estimate_codes
from scmkit.estimation.questions import to_ask, with_answers
from scmkit.estimation.service_time import ServiceTime
from scmkit.journal.answers import remember, remembered
from scmkit.journal.listings import Where, WhereIfAny
from scmkit.tables.arguments import public
from scmkit.tables.inventory import Inventory
from scmkit.validation.mapping import MAPPING, mapping_of
from scmkit.validation.mapping import Mapping as TableMapping
from scmkit.validation.validate import look_at
from scmkit.wire.client import Client, default_client

BUDGET = 200  # questions, of four calls or more each; the service allows 3,000 calls a minute [doc]
AT_ONCE = 8  # questions under way
SPACING_S = 0.1  # between two questions: 10 a second are 40 calls or more, of the 50 that are allowed [doc]
ANSWER_S = 3.0  # from a question to its answer, where few codes are selected [assumed]
FRESH_S = 86_400.0  # for so long an answer is not asked for again
FIRST_ROWS = 100  # of a table, in which a whole key is looked for
TRIES = 2  # of a question whose answer was lost

Listener = Callable[[int, int, int], object]  # answers, questions in sight, codes counted
ASK = Kind(
    "a Client, or True for the one that is used",
    lambda v: v is None or is_flag(v) or CLIENT.accepts(v),
    hint=CLIENT.hint,
)


@public(ask=ASK, budget=whole(1), mapping=MAPPING, journal=JOURNAL)
def estimate(
    df: pd.DataFrame,
    key: str | Sequence[str] = contract.DEFAULT_KEY,
    inventory: Inventory | None = None,
    sample_fraction: float = 1.0,
    history: pd.DataFrame | None = None,
    default: int | tuple[int, int] | None = None,
    level: float = 0.95,
    *,
    ask: Client | bool | None = None,
    budget: int = BUDGET,
    service_time: ServiceTime | None = None,
    risk: float = 0.01,
    timeout_s: float = contract.GATEWAY_TIMEOUT_S,
    progress: bool = True,
    assumptions: contract.Assumptions = contract.ASSUMPTIONS,
    now: pd.Timestamp | None = None,
    mapping: TableMapping | None = None,
    journal: WhereIfAny = None,
) -> Estimate:
    """Estimate how many codes each key value of a table selects.

    Parameters
    ----------
    df : DataFrame
        The table that is to be uploaded.
    key : str or list of str
        The column or columns that select codes.
    inventory : DataFrame or path, optional
        Codes, one a line. All of them (``sample_fraction=1``) give exact counts, 0 for a key value that no code
        carries.
    sample_fraction : float, default 1.0
        The probability with which a code is in ``inventory``, if that is a random sample of all codes.
    history : DataFrame, optional
        Earlier calls, as `scmkit.history` gives them: ``key_value`` and ``codes_affected``, and where known ``key``
        and ``at``. How counts grew between calls tells how far they may have grown since.
    default : int or (low, high), optional
        Your own guess for key values about which nothing else is known.
    level : float, default 0.95
        The probability with which ``low`` to ``high`` shall hold the truth.
    ask : Client or True, optional
        The service is asked about the key values whose number decides something: those that may or may not fit into
        a sync call, and then those that make the number of all codes uncertain. An answer is a small code download,
        counted while it streams, and cut off once it is decided. True: the client of `use`, or of the environment.
    budget : int, default 200
        The most questions; each takes four calls or more, of the 3,000 a minute that the service allows [doc].
    service_time, risk, timeout_s : see `plan`
        What a sync call may hold.
    progress : bool, default True
        Show how many answers there are while the service is asked.
    now : Timestamp, optional
        The time for which the estimate holds; by default the present.
    mapping : Mapping or path, optional
        What the columns are sent as, the key among them; see `validate`.
    journal : path or False, optional
        Where answers are remembered: what was answered within a day is not asked again, and older answers are
        a history to `plan`. False for nowhere. Default: ``SCMKIT_JOURNAL``, else the user's own file.

    Returns
    -------
    Estimate
        A line per distinct key value, in order of appearance. Sources combine: an earlier call tells what to expect
        of a sample. Without any, a unique key (``extended_id``) selects at most one code, and any other key an unknown
        number up to 50,000. The source of an answer is ``asked``.

    Raises
    ------
    MissingColumnError, PlanError
    ServiceError
        The service refuses the first question, for want of the permission ``codes_view`` for example.
    """
    if mapping is not None:
        mapping = mapping_of(df, mapping, key, "error")
        df, key = look_at(df, mapping, None, inventory, sample_fraction).table, list(mapping.keys)
    known = estimate_codes(
        df, key, inventory, sample_fraction, history, default, level, assumptions=assumptions, now=now
    )
    if not ask:
        return known
    limit = (service_time or ServiceTime.documented()).max_codes(risk, timeout_s)
    with _told(progress) as listener:
        client = default_client() if ask is True else ask
        return asked_once(known, client, limit, budget, listener, journal)


def fields_asked(client: Client, df: pd.DataFrame, keys: Sequence[str]) -> list[str] | None:
    """Return the fields that the campaign of a table's first codes defines; None where the service does not tell.

    A client remembers the answer for tables with the same key.
    """
    known = client.known_fields
    if tuple(keys) not in known:
        texts = ([text_of(cell)[0] or "" for cell in row] for row in df[list(keys)].head(FIRST_ROWS).to_numpy(object))
        first = next((dict(zip(keys, row, strict=True)) for row in texts if all(row)), None)
        try:
            known[tuple(keys)] = None if first is None else client.fields(**contract.filters_of(first))
        except ScmkitError:  # nothing is known, and the upload itself will say what is wrong
            return None
    return known[tuple(keys)]


@contextmanager
def _told(progress: bool) -> Iterator[Listener]:
    """Show how many answers there are."""
    if not progress:
        yield lambda *_: None
        return
    from tqdm.auto import tqdm

    with tqdm(unit="answer", desc="asking the service", file=sys.stderr, leave=False) as bar:

        def listen(answers: int, in_sight: int, codes: int) -> None:
            bar.total = in_sight
            bar.set_postfix_str(f"{codes:,} codes counted", refresh=False)
            bar.update(answers - bar.n)

        yield listen


def asked_once(
    known: Estimate, client: Client, limit: float, budget: int, listener: Listener, journal: WhereIfAny
) -> Estimate:
    """Ask as `asked` does, but not what was answered within a day, and remember the answers in a journal."""
    if journal is False:
        return asked(known, client, limit, budget, listener)
    known = with_remembered(known, client.base_url, limit, journal)
    said = asked(known, client, limit, budget, listener)
    new = np.flatnonzero((said.column("source") == "asked") & (known.column("source") != "asked"))
    keys, codes = said.frame[list(said.key)].to_numpy(dtype=object), said.column("low").to_numpy()
    with suppress(JournalError):  # the answers are there all the same
        remember(
            client.base_url, said.key, ((keys[at], int(codes[at]), bool(codes[at] > int(limit))) for at in new), journal
        )
    return said


def cost(known: Estimate, limit: float) -> tuple[int, float]:
    """Return how many questions are open at first, up to the budget, and about how many of the service's seconds."""
    questions = min(len(to_ask(known, limit)), BUDGET)
    return questions, questions * SPACING_S + ANSWER_S


def with_remembered(known: Estimate, service: str, limit: float, journal: Where) -> Estimate:
    """Return an estimate in which stands what a service answered within a day; a count cut below the limit is open."""
    try:
        fresh = [a for a in remembered(service, known.key, journal) if a.age_s < FRESH_S]
    except JournalError:
        return known
    said = {answer.value: answer for answer in fresh if answer.codes > limit or not answer.cut}
    is_near = known.frame[known.key[0]].isin([value[0] for value in said]) & (known.column("source") != "exact")
    near, keys = np.flatnonzero(is_near).tolist(), known.frame[list(known.key)].to_numpy(dtype=object)
    found = {at: said[tuple(keys[at])] for at in near if tuple(keys[at]) in said}
    for cut, most in ((True, limit), (False, float("inf"))):
        known = with_answers(known, {at: answer.codes for at, answer in found.items() if answer.cut == cut}, most)
    return known


def asked(
    known: Estimate, client: Client, limit: float, budget: int = BUDGET, listener: Listener = lambda *_: None
) -> Estimate:
    """Ask about the key values whose number decides something, and return the estimate with the answers.

    Parameters
    ----------
    known : Estimate
    client : Client
    limit : float
        The codes that a sync call may hold: beyond, a count is cut off.
    budget : int
        The most questions.
    listener : callable
        Is told how it goes on.

    Raises
    ------
    ServiceError
        The service refuses the first question. What was answered before Ctrl-C, or before it begins to refuse, stands.
    """
    answers: dict[int, int] = {}
    note = ""
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="scmkit-ask")
    try:
        while wanted := to_ask(known, limit)[: budget - len(answers)].tolist():
            in_sight = len(answers) + len(wanted)
            for at, codes in _answers(pool, client, known, wanted, int(limit)):
                answers[at] = codes
                listener(len(answers), in_sight, sum(answers.values()))
            known = with_answers(known, {at: answers[at] for at in wanted}, limit)
    except KeyboardInterrupt:
        note = f"asking was interrupted after {plural(len(answers), 'answer')}"
    except ScmkitError as error:
        if not answers or isinstance(error, UnreadableAnswerError):  # which makes the other answers doubtful, too
            raise
        note = f"asking ended after {plural(len(answers), 'answer')}: {error}"
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return replace(with_answers(known, answers, limit), note="; ".join(filter(None, (known.note, note))))


def _answers(
    pool: ThreadPoolExecutor, client: Client, known: Estimate, wanted: list[int], most: int
) -> Iterator[tuple[int, int]]:
    """Ask about some key values, several at a time, and yield each answer with its position as it comes."""
    keys = known.frame[list(known.key)].to_numpy(dtype=object)
    waiting, under_way = iter(wanted), dict[Future[int], int]()
    while True:
        for at in islice(waiting, AT_ONCE - len(under_way)):
            under_way[pool.submit(_count, client, dict(zip(known.key, keys[at], strict=True)), most)] = at
            time.sleep(SPACING_S / client.limits.speed)
        if not under_way:
            return
        for done in wait(under_way, return_when=FIRST_COMPLETED).done:
            yield under_way.pop(done), done.result()


def _count(client: Client, key: dict[str, str], most: int) -> int:
    filters: dict[str, Any] = contract.filters_of(key)
    for _ in range(TRIES - 1):
        try:
            return client.count(most, **filters)
        except (AnswerLostError, UnavailableError):
            time.sleep(1.0 / client.limits.speed)
    return client.count(most, **filters)
