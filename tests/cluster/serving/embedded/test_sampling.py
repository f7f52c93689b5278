from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cluster.contracts.generation import Sampling
from cluster.serving.embedded.sampling import Draw, pick_tokens, uniform


def _draw(position: int = 0, seed: int = 0, counts: Counter[int] | None = None, **sampling: Any) -> Draw:
    return Draw(Sampling(**sampling), seed, 0, position, counts or Counter())


def test_zero_temperature_takes_the_most_likely_token() -> None:
    logits = torch.tensor([[0.0, 2.0, 1.0], [5.0, 2.0, 1.0]])
    assert pick_tokens(logits, [_draw(temperature=0)] * 2).tolist() == [1, 0]


def test_temperatures_too_small_to_divide_by_are_greedy() -> None:
    logits = torch.tensor([[0.0, 2.0, 1.999]])
    assert pick_tokens(logits, [_draw(temperature=1e-30)]).tolist() == [1]


def test_a_row_samples_the_same_in_any_batch() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 50, generator=generator)
    draws = [_draw(position=i, seed=i, temperature=0.5 + 0.2 * i, top_p=1 - 0.1 * i) for i in range(6)]
    together = pick_tokens(logits, draws).tolist()
    assert [pick_tokens(logits[i : i + 1], [draws[i]]).item() for i in range(6)] == together


def test_samples_follow_the_probabilities() -> None:
    probabilities = torch.tensor([0.5, 0.3, 0.15, 0.05])
    n = 4000
    drawn = pick_tokens(probabilities.log().expand(n, -1), [_draw(position=i) for i in range(n)])
    assert (drawn.bincount(minlength=4) / n).tolist() == pytest.approx(probabilities.tolist(), abs=0.03)


@pytest.mark.parametrize(
    ("top_p", "kept"), [(0.0, {0}), (0.5, {0}), (0.51, {0, 1}), (0.8, {0, 1}), (0.96, {0, 1, 2, 3})]
)
def test_top_p_keeps_the_smallest_set_that_holds_it(top_p: float, kept: set[int]) -> None:
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log().expand(500, -1)
    draws = [_draw(position=i, top_p=top_p) for i in range(500)]
    assert set(pick_tokens(logits, draws).tolist()) == kept


def test_biases_and_penalties_leave_other_rows_and_the_logits_alone() -> None:
    logits = torch.tensor([[3.0, 2.0, 1.0]] * 3)
    draws = [
        _draw(temperature=0),
        _draw(temperature=0, logit_bias={2: 2.5}),
        _draw(temperature=0, counts=Counter({0: 2, 1: 1}), presence_penalty=0.5, frequency_penalty=1.0),
    ]
    # The last row: 3 - 0.5 - 2, 2 - 0.5 - 1, 1.
    assert pick_tokens(logits, draws).tolist() == [0, 2, 2]
    assert logits.tolist() == [[3.0, 2.0, 1.0]] * 3


def test_a_row_of_nan_disturbs_no_other() -> None:
    logits = torch.tensor([[0.0, 9.0], [float("nan")] * 2, [9.0, 0.0]])
    drawn = pick_tokens(logits, [_draw(top_p=0.5)] * 3).tolist()
    assert (drawn[0], drawn[2]) == (1, 0)
    assert 0 <= drawn[1] < 2


def test_tokens_without_probability_are_never_sampled() -> None:
    logits = torch.full((300, 5), float("-inf"))
    logits[:, 2] = 0
    assert set(pick_tokens(logits, [_draw(position=i) for i in range(300)]).tolist()) == {2}


@given(seed=st.integers(), choice=st.integers(0, 127), position=st.integers(0, 10_000))
def test_uniforms_are_below_one_and_repeatable(seed: int, choice: int, position: int) -> None:
    value = uniform(seed, choice, position)
    assert 0 <= value < 1
    assert value == uniform(seed, choice, position)


def test_streams_of_different_choices_are_unrelated() -> None:
    values = {uniform(seed, choice, i) for seed in (1, 11) for choice in (1, 11) for i in (1, 11)}
    assert len(values) == 8
