"""The capacity explorer, driven as a browser would: by setting traits and clicking."""

import re
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from waiting import wait_for

import scmkit
from scmkit import ServiceTime, capacity
from scmkit.core.display import duration, percent
from scmkit.estimation.estimate import Estimate
from scmkit.planning.trials import play
from scmkit.plots.style import number
from scmkit.plots.svg import drawn
from scmkit.simulation.explore import TRIALS, Answer, Question, explore, scaled
from scmkit.simulation.population import KeyValues, Service
from scmkit.widgets.explorer import CapacityExplorer

UNEVEN = KeyValues.of(
    Estimate(("lot",), pd.DataFrame({"lot": list("abcdefghij"), "codes": [1] * 9 + [91]}).assign(
        low=lambda f: f["codes"], high=lambda f: f["codes"], source="exact"
    ))
)  # fmt: skip
CURVES = ("risk", "makespan", "growth")
SECONDS = float(ServiceTime.documented().quantile(0.5, 1_000))


def rest(explorer: CapacityExplorer) -> None:
    wait_for(explorer.idle)


def test_the_advice_is_what_the_functions_say() -> None:
    """The sentence under the pictures holds the largest batch and the risk that `scmkit.capacity` gives."""
    answer = explore(Question(400, 8, 5_000, 8, 0.01, SECONDS))
    largest = capacity.largest_batch(400, 0.01)
    assert answer.largest == largest
    advice, chosen, day, *_ = answer.words()
    assert f"400 codes a key and a bearable risk of 1 %, send at most {largest} keys a call" in advice
    assert "for 5,000 keys with 8 workers" in advice
    assert chosen.startswith("Within the bearable risk: 8 keys a call")
    assert f"{capacity.codes_per_day(400):,} codes" in day
    curve = capacity.risk_by_batch(400, batches=[8]).frame
    assert answer.chosen_risk == pytest.approx(curve["timeout_risk"].iloc[0])


def test_the_word_of_a_limit_stands_where_the_curve_is_not() -> None:
    """A curve that begins near its limit has the word at its other end."""
    curve = capacity.risk_by_batch(100, batches=[1, 2, 200])
    near = replace(curve, frame=curve.frame.assign(timeout_risk=[0.011, 0.02, 0.3]))
    assert 'text-anchor="start" style="fill:currentColor;">limit 1%' in drawn(curve)
    assert 'text-anchor="end" style="fill:currentColor;">limit 1%' in drawn(near)


@pytest.mark.parametrize(("codes", "batch"), [(5, 200), (400, 10)])
def test_a_few_rounds_stand_for_the_whole_upload(codes: int, batch: int) -> None:
    """The shortened play predicts the duration within a tenth of the whole one, under the same draws."""
    asked = Question(codes, batch, 50_000, 8, 0.01, SECONDS)
    short = explore(asked).makespan.frame.set_index("rows").loc[batch, "seconds"]
    schedule = KeyValues.of(codes).schedule(np.zeros(50_000, int), batch, Service(ServiceTime.documented(), 8, 60.0))
    whole = np.median(play(schedule, TRIALS, np.random.default_rng(1)).end)
    assert short == pytest.approx(whole, rel=0.1)


def test_where_no_call_is_safe_it_says_what_to_do_instead() -> None:
    """A key value too large for any sync call is sent as a task, and no duration is made up."""
    answer = explore(Question(100_000, 10, 100, 8, 0.01, SECONDS))
    assert answer.largest == 0
    assert "not even one key fits into a sync call: send each as a task" in answer.words()[0]
    assert answer.words()[1].startswith("Too large: 10 keys a call: timeout risk 100%")
    assert not len(answer.makespan.frame)
    assert "too risky" in drawn(answer.makespan)


def test_every_position_of_the_sliders_has_an_answer() -> None:
    """Whatever the sliders say, each question has its sentence, and three pictures."""
    rng = np.random.default_rng(5)
    ends = {"codes_per_key": 1e5, "batch": 1e4, "keys": 1e6, "workers": 32}
    for _ in range(12):
        facts = {name: round(float(np.exp(rng.uniform(0, np.log(end))))) for name, end in ends.items()}
        risk, seconds = 0.001 * 500 ** rng.random(), 0.05 * 1000 ** rng.random()
        answer = explore(Question(**facts, risk=risk, seconds=seconds), values=rng.choice([None, UNEVEN]))
        assert len(answer.words()) == (7 if answer.largest else 5)
        for curve in (answer.risk, answer.makespan, answer.growth):
            assert drawn(curve).endswith("</svg>")
            assert "nan" not in drawn(curve)


def test_the_curves_follow_a_slider() -> None:
    """A moved slider changes field, words, pictures and numbers; the field moves the slider."""
    explorer = CapacityExplorer(codes_per_key=400, batch=4)
    words, pictures = explorer.shown["words"].value, {name: explorer.shown[name].value for name in CURVES}
    explorer.controls["codes_per_key"].slider.value = 50.0
    rest(explorer)
    assert explorer.question.codes_per_key == 50
    assert "With 50 codes a key" in explorer.shown["words"].value != words
    assert all(explorer.shown[name].value != old for name, old in pictures.items())
    explorer.controls["batch"].field.value = 77
    rest(explorer)
    assert explorer.controls["batch"].slider.value == 77
    assert explorer.answer.asked.batch == 77
    assert set(explorer.frame["asked_batch"]) == {77}
    assert 77 in explorer.frame["keys_per_call"].tolist()


def test_only_the_last_of_many_positions_is_computed() -> None:
    """A dragged slider does not fill a queue: what is passed is skipped, what it rests on is there."""
    explorer = CapacityExplorer()
    for value in np.geomspace(2, 900, 200):
        explorer.controls["codes_per_key"].slider.value = float(value)
    rest(explorer)
    assert explorer.answer.asked.codes_per_key == pytest.approx(900)
    assert len(explorer.spent_ms) < 20


def test_it_starts_from_real_numbers(inventory: pd.DataFrame) -> None:
    """A plan gives codes per key, keys, workers, risk, batch and service time; unequal keys are riskier."""
    table = pd.DataFrame({"lot_number": ["000001", "000002", "000003"], "wine_name": list("abc")})
    plan = scmkit.plan(table, key="lot_number", inventory=inventory, workers=3, risk=0.02, mode="sync")
    asked = CapacityExplorer(plan).question
    assert (asked.codes_per_key, asked.keys, asked.workers, asked.risk) == (100, 3, 3, 0.02)
    assert asked.batch == plan.calls["rows"].max()
    even = explore(Question(400, 10, 100, 8, 0.01, SECONDS))
    uneven = explore(Question(400, 10, 100, 8, 0.01, SECONDS), values=UNEVEN)
    assert uneven.largest < even.largest


PLANS = [
    ("lots", "lot_number", {"mode": "auto"}), ("lots", "lot_number", {"mode": "sync"}),
    ("lots", "lot_number", {"mode": "async"}), ("lots", "lot_number", {"risk": 0.1, "timeout_s": 30}),
    ("pallets", "pallet", {"mode": "sync", "batch": 40}), ("codes", "extended_id", {}),
]  # fmt: skip


@pytest.mark.parametrize("known", ["exact", "guessed", "unknown"])
@pytest.mark.parametrize(("name", "key", "options"), PLANS)
def test_it_opens_with_the_numbers_of_the_plan(data: Path, name: str, key: str, options: dict, known: str) -> None:
    """The first thing it says is the plan's own largest timeout risk, and its seconds; then come the sliders."""
    about = {"exact": {"inventory": data / "inventory.csv"}, "guessed": {"default": (20, 2_000)}, "unknown": {}}[known]
    plan = scmkit.plan(scmkit.read_table(data / f"{name}.csv"), key, **about, **options)
    explorer = CapacityExplorer(plan)
    words = repr(explorer).splitlines()
    largest = plan.calls["timeout_risk"].max()
    if not plan.is_async.all():
        assert explorer.answer.chosen_risk == pytest.approx(largest, rel=0.005, abs=1e-6)
        assert f"largest timeout risk {percent(largest)}" in words[-1]
    assert words[-1].endswith(f"about {duration(plan.seconds)}.")
    explorer.controls["workers"].field.value = 3
    rest(explorer)
    assert words[-1] in explorer.shown["words"].value
    assert f"with {plan.workers} workers" in words[1] or "not even one" in words[1]


@pytest.mark.parametrize("codes", [1, 58.4, 400, 15_000, 100_000])
@pytest.mark.parametrize("keys", [1, 40, 5_000])
def test_sentence_and_pictures_name_the_same_size(codes: float, keys: int) -> None:
    """What the pictures mark is the size that the sentence advises, and where none is there is no rate a day."""
    answer = explore(Question(codes, 30, keys, 8, 0.01, SECONDS))
    if not answer.largest:
        assert answer.risk.best is answer.makespan.best is None
        assert "codes a day" not in " ".join(answer.words())
        assert answer.codes_per_day == 0
        return
    assert f"at most {answer.largest:,} key" in answer.words()[0]
    assert answer.risk.best == answer.largest
    assert answer.makespan.best == min(answer.largest, keys)
    assert f"at most {number(answer.largest)}" in drawn(answer.risk)
    assert f" {int(answer.makespan.best):,} " in answer.words()[0]


def test_numbers_and_picture_are_saved_beside_older_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The buttons write a CSV and a PNG into the current folder, and never over a file."""
    monkeypatch.chdir(tmp_path)
    explorer = CapacityExplorer()
    for button in ("picture", "numbers", "numbers"):
        explorer.controls[button].click()
        rest(explorer)
    assert {path.name for path in tmp_path.iterdir()} == {"capacity.png", "capacity.csv", "capacity-2.csv"}
    assert (tmp_path / "capacity.png").read_bytes().startswith(b"\x89PNG")
    written = pd.read_csv(tmp_path / "capacity.csv")
    pd.testing.assert_frame_equal(written, explorer.frame, check_dtype=False)
    assert "capacity-2.csv" in explorer.shown["saved"].value


def test_without_widgets_it_says_the_same(data: Path) -> None:
    """Text and HTML of a saved notebook hold the advice, the pictures and the numbers."""
    explorer = CapacityExplorer(codes_per_key=400)
    bundle = explorer._repr_mimebundle_()
    for words in explorer.answer.words():
        assert words in bundle["text/plain"]
        assert words in bundle["text/html"]
    assert re.search(r'<img alt="Timeout risk[^"]+from [^"]+" src="data:image/png', bundle["text/html"])
    assert "keys_per_call" in bundle["text/html"]


def test_the_static_form_is_of_one_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slider that moves while the notebook takes the state does not mix an old picture with new words."""
    explorer = CapacityExplorer(codes_per_key=400)
    newer = explore(Question(50, 10, 5_000, 8, 0.01, SECONDS))
    whole = Answer.words

    def words(answer: Answer) -> list[str]:
        explorer.answer = newer
        return whole(answer)

    monkeypatch.setattr(Answer, "words", words)
    html = explorer.static()
    assert "With 400 codes" in html
    assert "risk at 400 codes" in html
    assert "50 codes" not in html


def test_a_slider_that_the_browser_rounds_changes_nothing() -> None:
    """A browser moves sliders to the nearest of their steps: 5,000 stays 5,000 and does not become 5,012."""
    explorer = CapacityExplorer()
    for dial in (explorer.controls[each.name] for each in fields(Question)):
        before = dial.value
        dial.slider.value *= 10**0.004
        assert dial.value == before
    explorer.controls["keys"].slider.value *= 10**0.02
    assert explorer.question.keys == round(5_000 * 10**0.024)


def test_a_scaled_service_takes_what_the_slider_says() -> None:
    """1,000 codes take the asked seconds, whatever the model was."""
    assert scaled(ServiceTime.documented(), 7.5).quantile(0.5, 1_000) == pytest.approx(7.5)


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"risk": 1.0}, {"seconds": float("nan")}])
def test_what_no_slider_could_say_is_refused(wrong: dict[str, float]) -> None:
    """A start beyond all sense is an error that names it."""
    with pytest.raises(scmkit.ScmkitError, match=next(iter(wrong))):
        CapacityExplorer(**wrong)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.42, "0.42 s"), (42, "42 s"), (600, "10 min"), (7800, "2 h 10 min"), (7200, "2 h"), (190_000, "2 days 5 h")],
)
def test_durations_are_said_as_people_say_them(seconds: float, words: str) -> None:
    """Two units at most, and no fractions of minutes."""
    assert duration(seconds) == words


def test_what_planners_ask_follows_the_dials() -> None:
    """A tighter time, a slower service and faster growth each change the sentence that is about them."""
    asked = {"codes_per_key": 400, "batch": 5, "keys": 5_000, "workers": 8, "risk": 0.01, "seconds": SECONDS}
    done, slows, grows, learn = explore(Question(**asked)).planned
    assert "with 95% certainty" in done
    assert "16 workers are best" in slows or "32 workers are best" in slows
    assert re.search(r"too many after \d+ months", grows)
    assert "observe more calls first" in learn
    worse = explore(Question(**asked, hours=0.1, slowdown=100, growth=50)).planned
    assert "probability of 100%" in done
    assert "probability of 100%" not in worse[0]
    assert "1 worker is best" in worse[1] or "2 workers are best" in worse[1]
    assert int(re.search(r"(\d+) month", worse[2])[1]) < int(re.search(r"(\d+) month", grows)[1])


def test_it_answers_quickly(data: Path) -> None:
    """Lots of very unequal sizes are answered in less than two seconds, on any machine."""
    table = scmkit.read_table(data / "lots.csv")
    explorer = CapacityExplorer(scmkit.estimate(table, "lot_number", data / "inventory.csv"))
    explorer.controls["workers"].field.value = 3
    rest(explorer)
    assert explorer.spent_ms[-1] < 2_000
