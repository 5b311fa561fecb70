"""Up to where something holds, by doubling and halving: as trying every number finds it."""

import numpy as np
import pytest

from scmkit.core.search import largest_that, turning_point


@pytest.mark.parametrize("most", [1, 2, 7, 8, 9, 1_000])
def test_the_largest_number_is_the_one_that_trying_all_finds(most: int) -> None:
    """Wherever it ends, at nothing, at the bound or beyond it, the answer is the last number that holds."""
    for end in range(most + 3):
        assert largest_that(lambda n, end=end: n <= end, most) == min(end, most)


def test_a_turning_point_is_found_for_each_element() -> None:
    """Numbers and arrays alike are narrowed down from both sides."""
    ends = np.array([0.1, 2.5, 3.999])
    assert turning_point(lambda at: at < ends, np.zeros(3), np.full(3, 4.0), 40) == pytest.approx(ends)
    assert float(turning_point(lambda at: at < 0.3, 0.0, 1.0, 40)) == pytest.approx(0.3)
