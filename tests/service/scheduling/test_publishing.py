import math

import pytest

from service.scheduling.publishing import parity, result_csv


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
def test_what_cannot_be_compared_is_infinitely_different(trained, served) -> None:
    assert parity(trained, served) == {"max_abs": math.inf, "mean_abs": math.inf}


def test_the_result_file_leaves_blank_what_was_not_measured() -> None:
    steps = [
        {"step": 1, "train_loss": 0.5, "train_mean_token_accuracy": 0.25, "grad_norm": 1.0},
        {"step": 2, "train_loss": None, "valid_loss": 0.75, "valid_mean_token_accuracy": 1.0},
    ]
    assert result_csv(steps) == (
        b"step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy\n1,0.5,0.25,,\n2,,,0.75,1.0\n"
    )
