from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    MinNewTokensLengthLogitsProcessor,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from cluster.contracts.generation import Sampling
from cluster.serving.embedded.adjusting import adjusted
from cluster.serving.embedded.draw import Draw, SeenTokens
from cluster.serving.embedded.sampling import pick_tokens, uniform


def _draw(
    position: int = 0,
    seed: int = 0,
    counts: Counter[int] | None = None,
    seen: SeenTokens | None = None,
    forbidden: frozenset[int] = frozenset(),
    **sampling: Any,
) -> Draw:
    return Draw(Sampling(**sampling), seed, 0, position, counts or Counter(), seen, forbidden)


def _seen(*tokens: int) -> SeenTokens:
    return SeenTokens(torch.tensor(tokens), max_tokens=8)


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


@pytest.mark.parametrize(
    ("sampling", "warpers"),
    [
        ({"top_k": 7}, [TopKLogitsWarper(7)]),
        ({"top_k": 1000}, []),
        ({"min_p": 0.08}, [MinPLogitsWarper(0.08)]),
        ({"min_p": 1.0}, [MinPLogitsWarper(1.0)]),
        ({"min_p": 0.02, "top_k": 9}, [MinPLogitsWarper(0.02), TopKLogitsWarper(9)]),
        ({"top_k": 9, "top_p": 0.6}, [TopKLogitsWarper(9), TopPLogitsWarper(0.6)]),
        (
            {"min_p": 0.05, "top_k": 12, "top_p": 0.7},
            [MinPLogitsWarper(0.05), TopKLogitsWarper(12), TopPLogitsWarper(0.7)],
        ),
    ],
)
def test_what_may_be_drawn_is_what_transformers_warpers_leave(
    sampling: dict[str, Any], warpers: list[LogitsProcessor]
) -> None:
    """In one batch with rows that have none of these settings, which stay as they are."""
    logits = torch.randn(3, 40, generator=torch.Generator().manual_seed(2)) * 2
    plain = pick_tokens(logits.repeat(400, 1), [_draw(position=i, temperature=0.8) for i in range(1200)])
    draws = [_draw(position=i, temperature=0.8, **({} if i % 3 == 1 else sampling)) for i in range(1200)]
    drawn = pick_tokens(logits.repeat(400, 1), draws)
    assert torch.equal(drawn[1::3], plain[1::3])
    chain = LogitsProcessorList([TemperatureLogitsWarper(0.8), *warpers])
    expected = chain(torch.zeros(3, 1, dtype=torch.long), logits.clone())
    for row in (0, 2):
        kept = set(expected[row].isfinite().nonzero()[:, 0].tolist())
        assert set(drawn[row::3].tolist()) <= kept
        share = drawn[row::3].bincount(minlength=40) / 400
        assert share.tolist() == pytest.approx(expected[row].softmax(-1).tolist(), abs=0.09)


def test_tokens_as_likely_as_the_last_of_top_k_are_kept_too() -> None:
    logits = torch.tensor([[2.0, 1.0, 1.0, 0.0]]).expand(300, -1)
    assert set(pick_tokens(logits, [_draw(position=i, top_k=2) for i in range(300)]).tolist()) == {0, 1, 2}


def test_top_k_chooses_among_what_a_grammar_allows() -> None:
    logits = torch.tensor([[3.0, 2.0, 1.0, 0.0]]).expand(200, -1)
    allowed = torch.tensor([False, False, True, True])
    draws = [_draw(position=i, top_k=1) for i in range(200)]
    assert set(pick_tokens(logits, draws, dict.fromkeys(range(200), allowed)).tolist()) == {2}


def test_penalties_and_forbidden_tokens_are_those_of_transformers_processors() -> None:
    logits = torch.randn(4, 30, generator=torch.Generator().manual_seed(5)) * 3
    prompts = [[1, 2, 2, 7], [9], [4, 5, 6], [11, 12]]
    penalties = [1.3, 0.7, 1.0, 2.5]
    draws = [
        _draw(
            repetition_penalty=penalty,
            logit_bias={7: 2.0},
            seen=None if penalty == 1 else _seen(*prompt),
            forbidden=frozenset({0, 29}) if row < 2 else frozenset(),
        )
        for row, (prompt, penalty) in enumerate(zip(prompts, penalties, strict=True))
    ]
    found = adjusted(logits, draws)
    for row, (prompt, penalty) in enumerate(zip(prompts, penalties, strict=True)):
        given = torch.tensor([prompt])
        expected = logits[row : row + 1].clone()
        expected[0, 7] += 2.0
        processors = LogitsProcessorList([RepetitionPenaltyLogitsProcessor(penalty)])
        if row < 2:
            processors.append(MinNewTokensLengthLogitsProcessor(len(prompt), 4, [0, 29]))
        assert torch.equal(found[row], processors(given, expected)[0])


def test_repetition_is_penalized_before_frequency_and_counts_the_answers_tokens() -> None:
    logits = torch.tensor([[4.0, -2.0, 1.0]])
    seen = _seen(0)
    seen.add(1)
    seen.add(1)
    draw = _draw(
        seen=seen, counts=Counter({1: 2}), repetition_penalty=2.0, presence_penalty=1.0, frequency_penalty=0.5
    )
    assert adjusted(logits, [draw]).tolist() == [[2.0, -6.0, 1.0]]
    assert logits.tolist() == [[4.0, -2.0, 1.0]]


def test_a_forbidden_token_is_not_drawn_however_likely_it_is() -> None:
    logits = torch.tensor([[9.0, 1.0, 0.0]] * 2)
    forbidden = frozenset({0, 1000})
    draws = [_draw(temperature=0, forbidden=forbidden), _draw(forbidden=forbidden, logit_bias={0: 100.0})]
    assert pick_tokens(logits, draws).tolist()[0] == 1
    assert 0 not in pick_tokens(logits.repeat(50, 1), draws * 50).tolist()


def test_a_row_of_nan_disturbs_no_other() -> None:
    logits = torch.tensor([[0.0, 9.0], [float("nan")] * 2, [9.0, 0.0]])
    drawn = pick_tokens(logits, [_draw(top_p=0.5, top_k=1, min_p=0.1)] * 3).tolist()
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
