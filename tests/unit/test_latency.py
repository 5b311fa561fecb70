"""Service times: what is documented, and that the arithmetic agrees with SciPy's."""

import numpy as np
import pytest
from scipy import stats

from scmkit import ServiceTime
from scmkit.core.errors import PlanError


def test_documented_marks() -> None:
    """1,000 codes are safe, 20,000 are in danger: below 0.1 %, and between 10 % and 60 %."""
    model = ServiceTime.documented()
    assert model.timeout_risk(1_000) < 0.001
    assert 0.10 < model.timeout_risk(20_000) < 0.60
    assert model.max_codes(0.01) > 1_000


def test_risk_agrees_with_the_lognormal_distribution() -> None:
    """With known parameters the risk is the tail of a lognormal distribution."""
    model = ServiceTime.fixed(base_s=1, per_code_s=0.002, per_item_s=0.01, noise=0.4)
    codes = np.array([0, 10, 5_000, 30_000])
    oracle = stats.lognorm.sf(60, s=0.4, scale=1 + 0.002 * codes + 0.01 * 7)
    assert model.timeout_risk(codes, items=7) == pytest.approx(oracle)
    assert model.quantile(0.9, codes, 7) == pytest.approx(stats.lognorm.ppf(0.9, s=0.4, scale=1.07 + 0.002 * codes))


def test_risk_and_quantile_are_inverse() -> None:
    """The time that a call exceeds with probability p is its (1 - p) quantile, parameters unknown or not."""
    model = ServiceTime.documented()
    for risk in (0.01, 0.3, 0.9):
        limit = model.quantile(1 - risk, 12_345)
        assert model.timeout_risk(12_345, timeout_s=limit) == pytest.approx(risk, abs=1e-6)


@pytest.mark.parametrize("risk", [0.001, 0.01, 0.2])
def test_max_codes_is_the_last_bearable_count(risk: float) -> None:
    """One code more would exceed the risk."""
    model = ServiceTime.documented()
    most = model.max_codes(risk)
    assert model.timeout_risk(most) <= risk < model.timeout_risk(most + 1)


def test_draws_follow_the_predicted_distribution() -> None:
    """Drawn seconds exceed the gateway as often as the risk says."""
    model, rng = ServiceTime.documented(), np.random.default_rng(11)
    seconds = model.draw(np.full(40_000, 18_000), 1, rng)
    assert (seconds > 60).mean() == pytest.approx(model.timeout_risk(18_000), abs=4 * 0.5 / 200)


def test_without_noise_a_timeout_is_certain_or_impossible() -> None:
    """A service without disturbance times out exactly above the limit."""
    model = ServiceTime.fixed(base_s=0, per_code_s=1, per_item_s=0, noise=0)
    assert model.timeout_risk([59, 61], items=1).tolist() == [0, 1]
    assert model.max_codes(0.01) == 60


@pytest.mark.parametrize("call", [
    lambda m: m.timeout_risk(-1), lambda m: m.timeout_risk(float("nan")), lambda m: m.timeout_risk(1, timeout_s=0),
    lambda m: m.max_codes(0), lambda m: m.max_codes(1.5), lambda m: m.quantile(1, 5),
    lambda m: ServiceTime.fixed(noise=-1), lambda m: ServiceTime.fixed(base_s=0, per_code_s=0),
])  # fmt: skip
def test_nonsense_is_an_error(call: object) -> None:
    """Never a silent NaN in a risk."""
    with pytest.raises(PlanError):
        call(ServiceTime.documented())


def test_it_says_what_it_is() -> None:
    """The text names the source and the documented marks."""
    assert "documented" in repr(ServiceTime.documented())
    assert "20,000" in repr(ServiceTime.documented())
