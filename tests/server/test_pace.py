"""The pace that processes share, in numbers that no server could wait for: real processes and file, simulated time."""

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uploader
from walkers import SimulatedClock, Walk, walk

from scmkit.wire.pacing import CATCH_UP, HEADROOM
from scmkit.wire.turns import FURTHEST_TURN_S

pytestmark = pytest.mark.skipif(os.name != "posix", reason="semaphores and kills as on POSIX")
RATE, PROCESSES = 10, 3
INTERVAL_S = 1 / (RATE * HEADROOM)
# Eleven calls take ten intervals, less what a late one may catch up: the rest of a second is left for the way.
SLACK_S = (RATE - CATCH_UP) * INTERVAL_S - 1.0
SMOOTH = Walk(0, INTERVAL_S)
ROUGH = Walk(0, INTERVAL_S, late_s=0.02, idle_share=0.01, idle_s=5.0, transit_s=0.9 * SLACK_S)


@pytest.fixture(scope="module")
def context() -> Any:
    """Processes that begin with everything imported."""
    return uploader.forks()


def most_in_a_second(times: np.ndarray) -> int:
    """Count the calls in the fullest window [t, t + 1)."""
    times = np.sort(times)
    return int((np.searchsorted(times, times + 1.0) - np.arange(len(times))).max())


class Crowd:
    """Processes at one turnstile, and the times of all calls they made."""

    def __init__(self, context: Any, folder: Path, start: float = 0.0) -> None:
        self.context, self.folder = context, folder
        self.clock = SimulatedClock(context, PROCESSES, start)
        self.files: list[tuple[Path, int]] = []

    def start(self, who: int, plan: Walk, seed: int = 0) -> Any:
        """Let a process walk."""
        times = self.folder / f"times-{len(self.files)}"
        np.full(plan.passages, np.nan).tofile(times)
        self.files.append((times, plan.passages))
        arguments = (self.clock, who, self.folder / "turnstile", times, plan, 1000 * seed + len(self.files))
        process = self.context.Process(target=walk, args=arguments)
        process.start()
        return process

    def run(self, total: int, plan: Walk, seed: int = 0) -> np.ndarray:
        """Let all walk at once, and give the times of all calls together."""
        shares = [len(part) for part in np.array_split(np.arange(total), PROCESSES)]
        walkers = [self.start(who, replace(plan, passages=n), seed) for who, n in enumerate(shares)]
        for walker in walkers:
            walker.join()
        assert [walker.exitcode for walker in walkers] == [0] * PROCESSES
        return self.times()

    def times(self) -> np.ndarray:
        """Give the times of all calls so far, in order."""
        found = np.concatenate([np.fromfile(path) for path, _ in self.files])
        return np.sort(found[~np.isnan(found)])


@pytest.mark.parametrize("plan", [SMOOTH, ROUGH], ids=["on time", "late"])
@pytest.mark.parametrize(
    "total", [20_000, pytest.param(1_000_000, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])]
)
def test_never_more_than_ten_in_any_second(context: Any, tmp_path: Path, total: int, plan: Walk) -> None:
    """Whatever delays three processes, no second holds more than 10 of their calls, and none is lost (I5)."""
    at = Crowd(context, tmp_path).run(total, plan, seed=total)
    print(f"\n{total:,} calls in {at[-1]:,.0f} s: {total / at[-1]:.3f} a second, at most {most_in_a_second(at)} in one")
    assert len(at) == total
    assert most_in_a_second(at) <= RATE
    if plan is SMOOTH:  # simulated time: no process is late unless it is told to be
        assert total / at[-1] >= 0.9 * RATE


@pytest.mark.parametrize("deaths", [5, pytest.param(200, marks=pytest.mark.slow)])
def test_a_process_that_dies_in_the_turnstile_holds_up_nobody(context: Any, tmp_path: Path, deaths: int) -> None:
    """Killed while it holds the lock, a process takes it with it: the others go on at the same pace, none faster."""
    crowd, luck = Crowd(context, tmp_path), np.random.default_rng(7)
    walkers = [crowd.start(who, replace(ROUGH, passages=100 * deaths)) for who in (1, 2)]
    for death in range(deaths):
        victim = crowd.start(0, replace(ROUGH, passages=50, dies_at=int(luck.integers(50))), seed=death)
        victim.join()
        assert victim.exitcode == -signal.SIGKILL
    crowd.clock.gone(0)  # until now the clock stood still whenever one was dead and the next not there yet
    for walker in walkers:
        walker.join()
        assert walker.exitcode == 0
    at = crowd.times()
    assert len(at) > 200 * deaths
    assert most_in_a_second(at) <= RATE


def test_after_a_restart_of_the_machine_the_turns_begin_anew(context: Any, tmp_path: Path) -> None:
    """A turn noted on a clock that has begun at zero since holds nobody up, and lets nobody through too early."""
    before = Crowd(context, tmp_path, start=86_400.0).run(1_000, ROUGH)
    crowd = Crowd(context, tmp_path)
    after = crowd.run(1_000, ROUGH, seed=1)
    assert after[0] <= FURTHEST_TURN_S
    assert after[-1] - after[0] == pytest.approx(before[-1] - before[0], rel=0.1)
    assert max(map(most_in_a_second, (before, after))) <= RATE


@pytest.mark.parametrize("asleep_s", [0.5, 60.0, 86_400.0])
def test_after_a_sleep_of_the_machine_nothing_is_made_up_for(context: Any, tmp_path: Path, asleep_s: float) -> None:
    """When the clock has gone on while all slept, the calls go on at the pace, and do not come in a burst."""
    crowd = Crowd(context, tmp_path)
    crowd.run(600, SMOOTH)
    crowd.clock = SimulatedClock(context, PROCESSES, start=crowd.clock.now() + asleep_s)
    at = crowd.run(600, SMOOTH, seed=1)
    assert len(at) == 1_200
    assert np.diff(at).max() == pytest.approx(asleep_s, abs=2 * INTERVAL_S)
    assert most_in_a_second(at) <= RATE
