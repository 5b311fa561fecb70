"""The same upload as a discrete-event model in SimPy: the oracle of the simulation."""

from collections.abc import Iterator, Sequence

import numpy as np
import simpy

import scmkit
from scmkit.planning.trials import ASYNC_ANSWER_S


def simpy_makespans(plan: scmkit.Plan, codes: Sequence[int], trials: int, seed: int) -> np.ndarray:
    """The same upload row by row, as a discrete-event model: it knows the plan's rows, and nothing of its schedule.

    A cut call joins the end of the queue as two halves with their own rows when the gateway has answered, a single row
    as a task; the client makes 9.5 calls a second; the service works on tasks one after the other on each server.
    """
    model, rng, assumed = plan.service_time, np.random.default_rng(seed), plan.assumptions
    per_row, ends = np.asarray(codes, dtype=float), np.zeros(trials)

    def one_trial(trial: int) -> None:
        env = simpy.Environment()
        workers, servers = simpy.Resource(env, plan.workers), simpy.Resource(env, assumed.parallel_tasks)
        which, permit = rng.integers(len(model.noise)), [0.0]

        def seconds(rows: np.ndarray, items: int) -> float:
            work = model.per_code_s[which] * per_row[rows].sum() + model.per_item_s[which] * items
            return float((model.base_s[which] + work) * np.exp(model.noise[which] * rng.standard_normal()))

        def task(rows: np.ndarray) -> Iterator[object]:
            with servers.request() as turn:
                yield turn
                yield env.timeout(seconds(rows, 1))
            ends[trial] = max(ends[trial], env.now + assumed.task_overhead_s)

        def call(is_async: bool, rows: np.ndarray) -> Iterator[object]:
            with workers.request() as turn:
                yield turn
                start = max(env.now, permit[0])
                permit[0] = start + 1 / 9.5
                took = ASYNC_ANSWER_S if is_async else seconds(rows, len(rows))
                yield env.timeout(start - env.now + min(took, plan.timeout_s))
            ends[trial] = max(ends[trial], env.now)
            if is_async:
                env.process(task(rows))
            elif took > plan.timeout_s:
                for half in np.array_split(rows, 2) if len(rows) > 1 else [rows]:
                    env.process(call(len(rows) == 1, half))

        for number, is_async in enumerate(plan.is_async.tolist()):
            env.process(call(is_async, plan.rows_of(number)))
        env.run()

    for trial in range(trials):
        one_trial(trial)
    return ends
