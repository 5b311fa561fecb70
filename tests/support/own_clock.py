"""A transport on a clock of its own: replies come when it is their time, and nobody waits."""

import heapq
import itertools

from scmkit.engine.engine import Poll, Post, Reply


class OwnClock:
    """What an engine needs of a transport; `answer` gives the reply that will come, after its seconds."""

    def __init__(self, clock: float = 0.0) -> None:
        self.clock = clock
        self.at: list[tuple[float, object]] = []  # what somebody does at a moment
        self._replies: list[tuple[float, int, Reply]] = []
        self._numbers = itertools.count()

    def now(self) -> float:
        return self.clock

    def wake(self) -> None:
        pass

    def close(self) -> None:
        pass

    def start(self, work: Post | Poll) -> None:
        reply = self.answer(work)
        heapq.heappush(self._replies, (self.clock + reply.seconds, next(self._numbers), reply))

    def wait(self, seconds: float | None) -> Reply | None:
        until = float("inf") if seconds is None else self.clock + seconds
        until = max(self.clock, min([until, *(moment for moment, _ in self.at)]))
        if self._replies and self._replies[0][0] <= until:
            moment, _, reply = heapq.heappop(self._replies)
            self.clock = max(self.clock, moment)
            return reply
        assert until < float("inf"), "the engine waits for a reply that never comes"
        self.clock = until
        due, self.at = [a for m, a in self.at if m <= until], [(m, a) for m, a in self.at if m > until]
        for action in due:
            action()
        return None

    def answer(self, work: Post | Poll) -> Reply:
        raise NotImplementedError
