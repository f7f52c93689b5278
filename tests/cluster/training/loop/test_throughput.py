"""Speed, remaining time, and utilisation of the device."""

from collections.abc import Callable

import numpy as np
import pytest
from transformers import AutoModelForCausalLM

from cluster.contracts.bases import BaseSpec
from cluster.contracts.jobs import JobSpec
from cluster.storage.local import LocalStore
from cluster.training.data.batches import Batcher
from cluster.training.data.dataset import Dataset
from cluster.training.loop.throughput import FlopCounter, Throughput
from tests.cluster.training.recording import record


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_time_left_counts_scoring_as_a_third_of_training() -> None:
    clock = Clock()
    throughput = Throughput(1000 + 3 * 300 / 3, clock=clock)
    clock.now = 10.0
    throughput.add_trained(100, flops=0)
    assert throughput.tokens_per_second == 10
    assert throughput.eta_seconds == pytest.approx(120)
    clock.now = 20.0
    throughput.add_scored(300)
    assert throughput.eta_seconds == pytest.approx(110)
    assert throughput.tokens_per_second == 5


@pytest.mark.parametrize("seed", range(4))
def test_after_a_tenth_of_a_run_the_estimate_is_within_30_percent(seed: int) -> None:
    """Steps of skewed lengths take time in proportion to their tokens, within 25 %. There is a validation
    after each of three epochs."""
    random = np.random.default_rng(seed)
    tokens = np.minimum(random.lognormal(6, 1, 300), 8000).round()
    clock = Clock()
    throughput = Throughput(float(tokens.sum()) + 3 * 20_000 / 3, clock=clock)
    estimates = []
    for number, step in enumerate(tokens, start=1):
        clock.now += step * 1e-3 * random.uniform(0.75, 1.25)
        throughput.add_trained(int(step), flops=0)
        if number % 100 == 0:
            clock.now += 20_000 / 3 * 1e-3
            throughput.add_scored(20_000)
        estimates.append(clock.now + throughput.eta_seconds)
    assert all(estimate == pytest.approx(clock.now, rel=0.3) for estimate in estimates[30:])


def test_the_estimate_includes_the_report_after_the_last_step(
    make_spec: Callable[..., JobSpec], store: LocalStore
) -> None:
    assert all(step.eta_seconds > 0 for step in record(make_spec(), store).steps)


def test_utilisation_is_useful_arithmetic_over_the_peak() -> None:
    clock = Clock()
    throughput = Throughput(1000, clock=clock)
    clock.now = 2.0
    throughput.add_trained(10, flops=4e12)
    assert throughput.mfu(1e13) == pytest.approx(0.2)
    assert throughput.mfu(None) is None


def test_flops_are_those_of_the_matrices_attention_and_learned_positions(base: BaseSpec) -> None:
    """Hidden size 32, 2 layers, 4 heads of 8, 2 key heads, MLP 64, vocabulary 352. One example of 10 tokens,
    of which 3 are learned."""
    model = AutoModelForCausalLM.from_pretrained(base.source.path)
    data = Dataset(
        format="chat",
        token_ids=np.arange(10, dtype=np.int32),
        mask=np.array([False] * 7 + [True] * 3),
        offsets=np.array([0, 10]),
        lines=np.array([1], dtype=np.int32),
        truncated_lines=[],
        dropped_lines=[],
    )
    batcher = Batcher(data, microbatch_tokens=100)
    matrices = 2 * (32 * 32 + 2 * 32 * 16 + 32 * 32 + 3 * 32 * 64)
    forward = 2 * matrices * 10 + 2 * 352 * 32 * 3
    attention = 2 * 4 * 32 * 10 * 10 / 2
    example = np.array([0])
    assert FlopCounter(model, is_full=True)(batcher, example) == 3 * forward + 3 * attention
    assert FlopCounter(model, is_full=False)(batcher, example) == 2 * forward + 3 * attention
