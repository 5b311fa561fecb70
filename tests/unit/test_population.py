"""Calls of key values that are drawn at random: risks and makespans as a plain loop finds them."""

import heapq

import numpy as np
import pandas as pd
import pytest

from scmkit import ServiceTime, capacity
from scmkit.estimation.estimate import Estimate
from scmkit.planning.trials import INTERVAL_S
from scmkit.simulation.population import CallRisk, Depth, KeyValues, Service, play_upload

RNG = np.random.default_rng(11)
TABLES = {
    "Zipf": np.maximum(20_000 // np.arange(1, 301), 1),
    "Pareto": np.minimum(5 * (RNG.pareto(1.2, 500) + 1), 60_000).astype(int),
    "lognormal": np.exp(RNG.normal(3, 2, 400)).astype(int),
    "light": RNG.poisson(40, 300),
}
MODELS = {"documented": ServiceTime.documented(), "known": ServiceTime.fixed(noise=0.2)}


def counted(codes: np.ndarray, low: object = None, high: object = None) -> Estimate:
    frame = pd.DataFrame({"lot": [f"L{i}" for i in range(len(codes))], "codes": codes})
    bounds = {"low": codes if low is None else low, "high": codes if high is None else high}
    return Estimate(("lot",), frame.assign(**bounds, source="exact" if high is None else "sample"))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("table", TABLES)
def test_the_largest_batch_has_its_risk_in_a_plain_loop(table: str, model: str) -> None:
    """Calls of key values drawn one by one time out as often as was asked, whatever the tail."""
    codes, service = TABLES[table].astype(float), MODELS[model]
    size = capacity.largest_batch(counted(codes.astype(int)), 0.01, service)
    rng = np.random.default_rng(3)
    sums = np.array([rng.choice(codes, size).sum() for _ in range(3_000)])
    seconds = service.draw(np.tile(sums, 20), np.full(60_000, size), rng)
    assert np.mean(seconds > 60) == pytest.approx(0.01, abs=0.0035)


def test_a_call_of_one_key_value_has_the_mean_of_their_risks() -> None:
    """The closed form for one key value; for two, the mean over all pairs."""
    codes, service = np.array([10.0, 8_000, 15_000]), MODELS["known"]
    law = CallRisk(KeyValues.of(counted(codes.astype(int))), service, 60.0)
    assert law(1) == pytest.approx(np.mean(service.timeout_risk(codes, 1)), rel=0.02)
    pairs = (codes[:, None] + codes).ravel()
    assert law(2) == pytest.approx(np.mean(service.timeout_risk(pairs, 2)), rel=0.02)


def test_what_is_not_known_about_codes_makes_calls_riskier() -> None:
    """The same means with wide intervals allow smaller calls, as a loop over lognormal counts finds."""
    codes = np.full(50, 100)
    sure, unsure = counted(codes), counted(codes, codes // 10, codes * 6)
    assert capacity.largest_batch(unsure, 0.01) < capacity.largest_batch(sure, 0.01)
    size, rng = capacity.largest_batch(unsure, 0.01, MODELS["known"]), np.random.default_rng(0)
    log_sd = 1.96 - np.sqrt(1.96**2 - 2 * np.log(6))
    drawn = 100 * np.exp(log_sd * rng.standard_normal((20_000, size)) - log_sd**2 / 2)
    seconds = MODELS["known"].draw(drawn.sum(axis=1), np.full(20_000, size), rng)
    assert np.mean(seconds > 60) == pytest.approx(0.01, abs=0.004)


def test_a_body_holds_no_more_items() -> None:
    """However few codes they select, the items of a call fill at most 2 MB."""
    quick = ServiceTime.fixed(base_s=0.1, per_code_s=1e-9, per_item_s=0)
    assert 9_900 < capacity.largest_batch(1, 0.01, quick) <= 10_000
    assert capacity.largest_batch(1, 0.01, quick, item_bytes=20_000) == 99
    assert capacity.makespan_by_batch(30_000, 1, quick, trials=2).frame["rows"].max() < 10_000


def looped(codes: np.ndarray, size: int, workers: int, service: ServiceTime, rng: np.random.Generator) -> float:
    """Send calls row by row: a call that takes longer than 60 s is cut in two halves, each behind all others."""
    queue = [(0.0, codes[at : at + size]) for at in range(0, len(codes), size)]
    free, permit, end = [0.0] * workers, 0.0, 0.0
    while queue:
        ready, rows = queue.pop(0)
        begin = max(heapq.heappop(free), ready, permit)
        permit = begin + INTERVAL_S
        seconds = float(service.draw(rows.sum(), len(rows), rng))
        done = begin + min(seconds, 60.0)
        heapq.heappush(free, done)
        end = max(end, done)
        if seconds > 60:
            middle = (len(rows) + 1) // 2
            queue += [(done, rows[:middle]), (done, rows[middle:])]
    return end


@pytest.mark.parametrize("size", [4, 20])
def test_a_makespan_is_that_of_a_plain_loop(size: int) -> None:
    """Cut calls fall apart with the rows that they have, and all orders of the table count."""
    codes = np.minimum(TABLES["Pareto"][:150] * 10, 12_000)
    played = play_upload(KeyValues.of(counted(codes)), 150, size, Service(MODELS["known"], 4, 60.0), 600, 1).seconds
    rng = np.random.default_rng(2)
    truth = [looped(rng.permutation(codes).astype(float), size, 4, MODELS["known"], rng) for _ in range(300)]
    assert played.mean() == pytest.approx(np.mean(truth), rel=0.06)
    assert np.quantile(played, 0.9) == pytest.approx(np.quantile(truth, 0.9), rel=0.08)


def test_a_long_upload_is_played_as_its_beginning_says() -> None:
    """What starting and ending take counts once: 40 calls tell what 2,000 take, by a plain loop."""
    service = Service(ServiceTime.fixed(base_s=5, per_code_s=0, per_item_s=0, noise=0.3), 8, 60.0)
    played = play_upload(KeyValues.of(1), 2_000, 1, service, 200, 0, Depth(80)).seconds
    rng = np.random.default_rng(0)
    assert np.mean(played) == pytest.approx(looped(np.ones(2_000), 1, 8, service.model, rng), rel=0.03)


@pytest.mark.parametrize("model", MODELS)
def test_the_beginning_also_tells_how_uncertain_the_whole_is(model: str) -> None:
    """Chance evens out over a long upload, a slow service stays slow: the median and 95 % are those of the whole."""
    values, service = KeyValues.of(100), Service(MODELS[model], 8, 60.0)
    whole, begun = (play_upload(values, 8_000, 8, service, 400, 0, Depth(most)).seconds for most in (2_000, 160))
    assert np.quantile(begun, [0.5, 0.95]) == pytest.approx(np.quantile(whole, [0.5, 0.95]), rel=0.1)
    assert np.quantile(begun, 0.05) == pytest.approx(np.quantile(whole, 0.05), rel=0.25)
