"""A service that can go wrong in every way, on a clock of its own, as the transport of one engine.

It holds what was set, and when, so that each claim is compared with what really happened. A call can take effect at
once, late, or never, whatever its sender is told.
"""

import json
import random

from own_clock import OwnClock

from scmkit.core import errors
from scmkit.core.contract import TaskState
from scmkit.core.values import AsyncAnswer, Mode, SyncAnswer, Task
from scmkit.engine.engine import Poll, Post, Reply

FIELDS = ("wine_name", "vintage_year")
# What becomes of an attempt: how long until the reply, whether and when the call takes effect, and what is told.
FAULTS = {
    "answered": None,
    "reset, applied": (0.0, errors.AnswerLostError("reset")),
    "reset, applied late": (50.0, errors.AnswerLostError("reset")),
    "reset, not applied": (None, errors.AnswerLostError("reset")),
    "refused": (None, errors.NotSentError("refused")),
    "gateway": (None, errors.GatewayTimeoutError(504)),
    "gateway, applied": (0.0, errors.GatewayTimeoutError(504)),
    "unavailable": (None, errors.UnavailableError(503)),
    "broken, applied": (0.0, errors.UnavailableError(500)),
    "throttled": (None, errors.ThrottledError(429)),
    "bad request": (None, errors.BadRequestError(400)),
    "too large": (None, errors.TooLargeError(413)),
    "expired": (None, errors.AuthenticationError(401)),
}
TASKS = ("complete", "complete", "failed", "failed half-way", "pending", "never found", "slow")
RARELY = ("expired",)
LATEST_S = 59.0  # after it was sent, a sync call that was lost takes effect; the gateway cuts at 60 s
LEAST_PAUSE_S = 1.0  # after a 429 that does not say how long [faults: 1, 2, 4 s]


class Service(OwnClock):
    """A transport on a clock of its own, and the codes behind it."""

    def __init__(self, codes: set[str], draw: random.Random, faults: list[str], calm_after: int) -> None:
        super().__init__(1000.0)
        self.codes, self.draw, self.faults, self.calm_after = codes, draw, faults, calm_after
        self.task_limit = 10**6  # codes; a larger task fails half-way
        self.sent: list[float] = []
        self.throttled_at: list[float] = []  # when a sender heard of it
        self.told: list[tuple[set[str], str]] = []  # the keys of each attempt, and what became of it
        self.writes: list[tuple[float, str, dict[str, str]]] = []
        self.tasks: dict[str, tuple[str, float, int]] = {}

    def answer(self, work: Post | Poll) -> Reply:
        """Give the reply that will come, after its seconds."""
        answer, error, seconds = self._post(work) if isinstance(work, Post) else self._poll(work)
        return Reply(work, None if error else answer, error, seconds)

    def held(self, until: float = float("inf")) -> dict[str, dict[str, str]]:
        """Say what the codes hold once everything up to a moment has taken effect."""
        held: dict[str, dict[str, str]] = {}
        for _, code, values in sorted((w for w in self.writes if w[0] <= until), key=lambda w: w[0]):
            held.setdefault(code, {}).update(values)
        return held

    def _post(self, work: Post) -> tuple[object, Exception | None, float]:
        self.sent.append(self.clock)
        body, seconds = json.loads(work.body), self.draw.choice([0.01, 0.2, 3.0, 40.0])
        items = {i.pop("extended_id"): i for i in body["items"]} if "items" in body else _by_key(body)
        name = self._fault(work, items)
        self.told.append((set(items), name))
        if name == "throttled":
            self.throttled_at.append(self.clock + seconds)
        delay, error = FAULTS[name] or (0.0, None)
        if work.call.mode is Mode.ASYNC:
            return (*self._accept(items, delay, error), seconds)
        if delay is not None:
            self._write(items, self.clock + min(seconds + delay, LATEST_S))
        found = {key: tuple(values) for key, values in items.items() if key in self.codes}
        return SyncAnswer(len(found), len(found), found), error, seconds

    def _fault(self, work: Post, items: dict[str, dict[str, str]]) -> str:
        return self.draw.choice(self.faults) if len(self.sent) <= self.calm_after else "answered"

    def _accept(self, items: dict[str, dict[str, str]], delay: float | None, error: Exception | None) -> tuple:
        name = f"task-{len(self.tasks)}"
        calm = len(self.sent) > self.calm_after
        kind, codes = ("complete" if calm else self.draw.choice(TASKS)), sorted(items.keys() & self.codes)
        kind = "failed half-way" if len(codes) > self.task_limit else kind
        ends = self.clock + (300.0 if kind == "slow" else 5.0) + (delay or 0.0)
        done = {"failed": 0, "pending": 0, "failed half-way": len(codes) // 2}.get(kind, len(codes))
        if delay is not None:
            self.tasks[name] = (kind, ends, len(codes))
            self._write({key: items[key] for key in codes[:done]}, ends)
        return AsyncAnswer(name), error

    def _poll(self, work: Poll) -> tuple[object, Exception | None, float]:
        kind, ends, codes = self.tasks[work.followed.task_id]
        if kind == "never found":
            return None, errors.NotFoundError(404), 0.1
        if self.draw.random() < 0.1:
            return None, errors.AnswerLostError("reset"), 0.1
        word = "pending" if kind == "pending" or self.clock < ends else kind.split(" ")[0].replace("slow", "complete")
        state = TaskState.read(word)
        return Task(work.followed.task_id, state, word, codes if state is TaskState.COMPLETE else None), None, 0.1

    def _write(self, items: dict[str, dict[str, str]], when: float) -> None:
        self.writes += [(when, key, values) for key, values in items.items() if key in self.codes]


def _by_key(body: dict) -> dict[str, dict[str, str]]:
    keys = body["constraints"]["extended_id"]
    return dict.fromkeys(keys if isinstance(keys, list) else [keys], body["scm_data"])
