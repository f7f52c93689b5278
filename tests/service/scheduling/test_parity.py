import math

import pytest

from service.scheduling.parity import parity


def test_parity_is_the_largest_and_the_mean_difference() -> None:
    assert parity([[-1.0, -2.0], [-3.0]], [[-1.0, -2.5], [-2.75]]) == {"max_abs": 0.5, "mean_abs": 0.25}


@pytest.mark.parametrize(
    ("trained", "served"),
    [
        ([[-1.0]], [[math.nan]]),
        ([[math.nan]], [[-1.0]]),
        ([[-math.inf]], [[-math.inf]]),
        ([[-1.0]], [[]]),
        ([[-1.0]], []),
        ([[-1.0], [-1.0]], [[-1.0, -1.0]]),
        ([], []),
        ([[]], [[]]),
    ],
)
def test_log_probabilities_that_cannot_be_compared_differ_infinitely(trained, served) -> None:
    assert parity(trained, served) == {"max_abs": math.inf, "mean_abs": math.inf}
