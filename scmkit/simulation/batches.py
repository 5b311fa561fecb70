"""How large may a call be: its risk, how long an upload takes by the size of its calls, and how much a day holds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from scmkit.core import contract
from scmkit.core.arguments import KINDS, PROBABILITY, Kind, is_ours
from scmkit.core.arrays import Ints
from scmkit.core.display import plural
from scmkit.core.errors import PlanError
from scmkit.estimation.estimate import Estimate
from scmkit.estimation.service_time import ServiceTime
from scmkit.planning.plan import WORKERS
from scmkit.simulation.curve import Curve
from scmkit.simulation.scenario import ITEM_BYTES, TRIALS, Scenario, sizes_up_to
from scmkit.tables.arguments import public

# Calls are observed with up to 8 under way at a time. Nobody knows what the service does with more; each further one is
# taken to make all of them slower by a twentieth, so that 1,000 workers do no more than 20 would alone [assumed].
CROWDING = 0.05
CROWDS = (1, 2, 4, 8, 12, 16, 24, 32, 64, 128)  # workers that are compared


@public()
def largest_batch(
    codes_per_key: float | Estimate,
    risk: float = 0.01,
    service_time: ServiceTime | None = None,
    timeout_s: float = contract.GATEWAY_TIMEOUT_S,
    item_bytes: float = ITEM_BYTES,
) -> int:
    """Return the most key values that a sync call may hold with at most this risk of a timeout; 0 if not even one.

    Parameters
    ----------
    codes_per_key : float or Estimate
        An estimate's key values are drawn at random, with what is not known about each of them: a few giants count as
        what they are.
    risk : float, default 0.01
    service_time : ServiceTime, optional
        Default: the documented one.
    timeout_s : float, default 60
        Seconds after which the gateway cuts a sync call [seed].
    item_bytes : float, default 200
        Bytes of a key value with its fields, as an item of the call [assumed]; a body holds 2 MB [assumed].

    Returns
    -------
    int
    """
    return Scenario.of(codes_per_key, service_time, timeout_s, risk=risk, item_bytes=item_bytes).largest


@public()
def risk_by_batch(
    codes_per_key: float | Estimate,
    service_time: ServiceTime | None = None,
    batches: Sequence[int] | None = None,
    risk: float = 0.01,
    timeout_s: float = contract.GATEWAY_TIMEOUT_S,
    item_bytes: float = ITEM_BYTES,
) -> Curve:
    """Return the timeout risk of a sync call against the key values in it; arguments as of `largest_batch`.

    Returns
    -------
    Curve
        ``rows``, ``codes`` (mean), ``timeout_risk``; ``best`` is the largest batch of these within the bearable risk.
    """
    asked = Scenario.of(codes_per_key, service_time, timeout_s, risk=risk, item_bytes=item_bytes)
    if batches is not None:
        return risk_curve(asked, np.asarray(batches, dtype=np.int64))
    hopeless = 3 * asked.service.model.max_codes(0.5, timeout_s) / asked.values.mean
    grid = sizes_up_to(min(max(hopeless, 10), asked.most))
    return risk_curve(asked, np.union1d(grid, [asked.largest] if asked.largest else []).astype(np.int64))


def risk_curve(asked: Scenario, sizes: Ints) -> Curve:
    """Return the timeout risk of calls of these sizes; see `risk_by_batch`."""
    risks = [asked.risk_of(size) for size in sizes.tolist()]
    frame = pd.DataFrame({"rows": sizes, "codes": asked.values.mean * sizes, "timeout_risk": risks})
    bearable = frame.loc[frame["timeout_risk"] <= asked.risk, "rows"]
    return Curve(
        frame, "rows", "timeout_risk", f"Timeout risk at {asked.values.mean:,.0f} codes per key value",
        ("key values in a sync call (number)", "timeout risk (probability)"),
        asked.risk, None if bearable.empty else float(bearable.max()),
    )  # fmt: skip


@public()
def makespan_by_batch(
    rows: int,
    codes_per_key: float | Estimate,
    service_time: ServiceTime | None = None,
    workers: int = WORKERS,
    batches: Sequence[int] | None = None,
    timeout_s: float = contract.GATEWAY_TIMEOUT_S,
    trials: int = TRIALS,
    seed: int = 0,
    slowdown: float = 0.0,
    item_bytes: float = ITEM_BYTES,
) -> Curve:
    """Return the seconds of an upload of so many key values against the batch size, lost calls and resends included.

    Parameters
    ----------
    rows : int
        Key values to upload.
    codes_per_key, service_time, timeout_s, item_bytes : see `largest_batch`
    workers : int, default 8
        Calls under way at a time.
    batches : sequence of int, optional
        Key values of a call; by default from one to all, as far as a body holds them.
    trials, seed : int
        How often each size is played, and the seed of it.
    slowdown : float, default 0
        Each worker beyond the first makes all calls slower by this share of their seconds.

    Returns
    -------
    Curve
        ``rows`` (a call), ``calls``, ``seconds`` (median), ``low`` and ``high`` (90 %), ``resends``; ``best`` is the
        batch size with the shortest median.
    """
    options = {"item_bytes": item_bytes, "trials": trials, "seed": seed}
    asked = Scenario.of(codes_per_key, service_time, timeout_s, **options).with_workers(workers, slowdown)
    sizes = sizes_up_to(min(rows, asked.most), steps=24) if batches is None else np.asarray(batches, dtype=np.int64)
    return makespan_curve(asked, rows, sizes.tolist())


def makespan_curve(asked: Scenario, rows: int, sizes: Sequence[int]) -> Curve:
    """Play an upload with calls of these sizes; see `makespan_by_batch`."""
    lines = []
    for size in sizes:
        ends = asked.play(rows, size)
        low, middle, high = np.quantile(ends.seconds, [0.05, 0.5, 0.95])
        lines.append((size, -(-rows // size), middle, low, high, ends.resends.mean()))
    frame = pd.DataFrame(lines, columns=["rows", "calls", "seconds", "low", "high", "resends"])
    return Curve(
        frame, "rows", "seconds", f"Seconds for {rows:,} key values with {plural(asked.service.workers, 'worker')}",
        ("key values in a sync call (number)", "seconds until all is done"),
        best=float(frame.loc[frame["seconds"].idxmin(), "rows"]) if len(frame) else None,
    )  # fmt: skip


@public(
    codes_per_key=KINDS["codes_per_key"].optional(), slowdown=KINDS["slowdown"].optional(),
    risk=Kind(PROBABILITY.words, lambda v: PROBABILITY.accepts(v) or is_ours(v, "ServiceTime")),
)  # fmt: skip
def codes_per_day(
    codes_per_key: float | Estimate | None = None,
    risk: float | ServiceTime = 0.01,
    service_time: ServiceTime | None = None,
    workers: int = WORKERS,
    timeout_s: float = contract.GATEWAY_TIMEOUT_S,
    slowdown: float | None = None,
    item_bytes: float = ITEM_BYTES,
) -> int:
    """Return how many codes a day sync calls can update: at the best size within the risk, and at our pace.

    Parameters
    ----------
    codes_per_key : float or Estimate, optional
        By default calls are as large as the risk allows, whatever keys they hold. A number below 1 is taken as the
        risk, and what follows as the service time: so this function was called before it knew codes per key value.
    risk, service_time, timeout_s, item_bytes : see `largest_batch`
    workers : int, default 8
        Calls under way at a time. No more than 9.5 calls start in a second, however many these are.
    slowdown : float, optional
        Each worker beyond the first makes all calls slower by this share. By default, up to 8 do not disturb each
        other, and each beyond them makes all calls slower by 5 % [assumed]. No more work than do the most.

    Returns
    -------
    int
        Codes of calls that the gateway does not cut; 0 where not even one key value fits into a call.
    """
    if not isinstance(codes_per_key, Estimate | None) and codes_per_key < 1:  # as it was: risk, service_time
        model = risk if isinstance(risk, ServiceTime) else service_time
        return codes_per_day(None, codes_per_key, model, workers, timeout_s, slowdown, item_bytes)
    if isinstance(risk, ServiceTime):
        raise PlanError("codes_per_day: risk is a probability between 0 and 1, and service_time follows it")
    any_keys = codes_per_key is None
    asked = Scenario.of(codes_per_key or 1, service_time, timeout_s, risk=risk, item_bytes=item_bytes)
    each, undisturbed = (CROWDING, WORKERS) if slowdown is None else (slowdown, 1)
    counts = {*(n for n in CROWDS if n < workers), workers}  # more than do the most are not used
    crowds = (asked.with_workers(count, each, undisturbed) for count in counts)
    return max(_of_any_keys(crowd) if any_keys else crowd.codes_a_day() for crowd in crowds)


def _of_any_keys(asked: Scenario) -> int:
    """Return the codes a day of calls as large as the risk allows, whatever keys they hold."""
    model, timeout_s = asked.service.model, asked.service.timeout_s
    codes = sizes_up_to(model.max_codes(asked.risk, timeout_s), steps=40)
    lost = np.asarray(model.timeout_risk(codes, 1, timeout_s))
    return asked.service.codes_a_day(codes, np.ones(len(codes)), lost, asked.risk)
