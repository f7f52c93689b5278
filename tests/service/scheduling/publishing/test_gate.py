"""The publish gate passes what rounding explains, and nothing else."""

import math
import random

import pytest
import torch

from cluster.contracts.manifest import Probe, ProbeScores
from cluster.contracts.parity import Differences
from service.scheduling.publishing.gate import Verdict, compare, judge
from tests.service.scheduling.bf16_tables import Tables
from tests.tiers import sampled

FAULTS = {
    "the scale of plain LoRA on an rsLoRA adapter": {"scale": 0.25},
    "merged twice": {"scale": 2.0},
    "not applied": {"scale": 0.0},
    "without the last layer's key": {"without": 41},
}


@pytest.fixture(scope="module", params=[torch.bfloat16, torch.float32], ids=["bfloat16", "float32"])
def tables(request) -> Tables:
    made = Tables(request.param)
    made.adapt(0.04)
    return made


def verdict(tables: Tables, **fault) -> Verdict:
    return judge(tables.trained, tables.served(**fault), tables.served_base, dtype=tables.dtype)


def test_rounding_in_another_order_passes(tables: Tables) -> None:
    found = verdict(tables)
    assert found.problems == ()
    assert found.parity.effect == pytest.approx(1.0, abs=0.05)
    if tables.dtype == "bfloat16":
        assert found.parity.max_abs > 0.15, "a fixed limit on the largest difference would refuse it"
        assert found.limits.mean == 2 * found.parity.noise.mean_abs
    else:
        assert (found.limits.p99, found.parity.max_abs < 1e-3) == (1e-3, True)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_wrong_weights_fail_and_the_numbers_are_named(tables: Tables, fault) -> None:
    found = verdict(tables, **fault)
    mean, noise = found.parity.mean_abs, found.parity.noise.mean_abs
    assert found.problems[0] == (
        f"mean difference {mean:.3g} nats, allowed {found.limits.mean:.3g} "
        f"(the base alone differs by {noise:.3g})"
    )


# Few tokens


def _first(scores: ProbeScores, count: int) -> ProbeScores:
    """Of each row."""
    return ProbeScores(
        logprobs=[row[:count] for row in scores.logprobs], top_ids=[row[:count] for row in scores.top_ids]
    )


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_wrong_weights_fail_on_36_and_116_tokens_too(tables: Tables, fault) -> None:
    trained, served, served_base = tables.trained, tables.served(**fault), tables.served_base
    assert trained.base is not None
    for of_each_row in (9, 29):
        tuned, base, found, found_base = (
            _first(scores, of_each_row) for scores in (trained, trained.base, served, served_base)
        )
        probe = Probe(token_ids=[[]], logprobs=tuned.logprobs, top_ids=tuned.top_ids, base=base)
        assert judge(probe, found, found_base, dtype=tables.dtype).problems


def _equal_noise(rng: random.Random, tokens: int, *, noise: float) -> tuple[Probe, ProbeScores, ProbeScores]:
    """Scores of which each is right but for `noise`, and of two likely tokens the one that seems likelier."""

    def scored(values: list[float], leads: list[float]) -> ProbeScores:
        tops = [int(lead + rng.gauss(0, 2**0.5 * noise) > 0) for lead in leads]
        return ProbeScores(logprobs=[[value + rng.gauss(0, noise) for value in values]], top_ids=[tops])

    base = [rng.uniform(-5, -1) for _ in range(tokens)]
    tuned = [value + rng.gauss(0, 0.5) for value in base]
    leads, base_leads = ([rng.expovariate(1.0) for _ in base] for _ in range(2))
    trained, served = (scored(tuned, leads) for _ in range(2))
    trained_base, served_base = (scored(base, base_leads) for _ in range(2))
    probe = Probe(token_ids=[[]], logprobs=trained.logprobs, top_ids=trained.top_ids, base=trained_base)
    return probe, served, served_base


@pytest.mark.parametrize("tokens", sampled([36, 116, 508], [116]))
def test_equal_noise_is_refused_in_fewer_than_1_of_200_cases(tokens: int) -> None:
    rng = random.Random(tokens)
    cases = [_equal_noise(rng, tokens, noise=noise) for noise in (0.01, 0.02, 0.03) for _ in range(250)]
    refused = [found for case in cases if (found := judge(*case, dtype="bfloat16").problems)]
    assert len(refused) < len(cases) / 200, refused


def test_many_large_differences_among_few_tokens_are_named_with_their_number() -> None:
    zeros = ProbeScores(logprobs=[[0.0] * 100])
    served = ProbeScores(logprobs=[[0.06] * 8 + [0.0] * 92])
    probe = Probe(token_ids=[[]], logprobs=zeros.logprobs, base=zeros)
    assert judge(probe, served, zeros, dtype="bfloat16").problems == (
        "8 of 100 tokens differ by more than 0.05 nats, allowed 6 (the base alone differs by 0)",
    )


def test_another_base_fails_however_much_noise_it_seems_to_be(tables: Tables) -> None:
    """The served weights are those of another revision, with and without the adapter."""
    other = tables.served(scale=-1.0)
    assert judge(tables.trained, other, other, dtype=tables.dtype).problems


# Tables of Gaussian numbers


def _table(
    rng: random.Random, *, noise: float, effect: float, shown: float
) -> tuple[Probe, ProbeScores, ProbeScores]:
    """400 tokens, of which training changed each by `effect`, and serving shows `shown` times the change."""

    def around(values: list[float], deviation: float) -> list[float]:
        return [value + rng.gauss(0, deviation) for value in values]

    base = [rng.uniform(-5, -1) for _ in range(400)]
    change = [rng.gauss(0, effect) for _ in base]
    tuned = [value + each for value, each in zip(base, change, strict=True)]
    wrong = [value + shown * each for value, each in zip(base, change, strict=True)]
    scored = [ProbeScores(logprobs=[around(values, noise)]) for values in (tuned, base, wrong, base)]
    probe = Probe(token_ids=[[]], logprobs=scored[0].logprobs, base=scored[1])
    return probe, scored[2], scored[3]


@pytest.mark.parametrize("shown", [0.0, 0.25, 2.0])
def test_a_wrong_share_of_the_change_fails_though_each_token_differs_little(shown: float) -> None:
    found = judge(*_table(random.Random(3), noise=0.03, effect=0.08, shown=shown), dtype="bfloat16")
    (problem,) = [problem for problem in found.problems if "times the change" in problem]
    assert problem.startswith(f"serving shows {found.parity.effect:.2f} times the change that training made")


def test_of_300_honest_servings_none_fails() -> None:
    for seed in range(300):
        effect = 0.01 * (seed % 50)
        found = judge(*_table(random.Random(seed), noise=0.03, effect=effect, shown=1.0), dtype="bfloat16")
        assert found.problems == (), seed
        assert effect > 0.02 or found.parity.effect is None, "such a change drowns in the noise"


# What cannot be compared


def test_the_differences_are_the_largest_the_mean_and_the_99th_percentile() -> None:
    trained = ProbeScores(logprobs=[[-1.0] * 150, [-1.0] * 50], top_ids=[[7] * 150, [8] * 50])
    served = ProbeScores(logprobs=[[-1.0] * 148 + [-1.5] * 2, [-1.25] * 50], top_ids=[[7] * 150, [9] * 50])
    assert compare(trained, served) == Differences(
        max_abs=0.5, mean_abs=(2 * 0.5 + 50 * 0.25) / 200, p99_abs=0.25, same_top=0.75
    )


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
    probe = Probe(token_ids=[], logprobs=trained)
    found = judge(probe, ProbeScores(logprobs=served), None, dtype="bfloat16")
    assert (found.parity.max_abs, found.parity.mean_abs, len(found.problems)) == (math.inf, math.inf, 2)


def test_without_a_base_to_compare_with_the_limits_are_fixed() -> None:
    def problems(dtype: str, difference: float) -> int:
        probe = Probe(token_ids=[[1, 2]], logprobs=[[-1.0]])
        return len(judge(probe, ProbeScores(logprobs=[[-1.0 - difference]]), None, dtype=dtype).problems)

    assert [problems("float32", difference) for difference in (1e-4, 2e-3)] == [0, 2]
    assert [problems("bfloat16", difference) for difference in (0.04, 0.4)] == [0, 2]


@pytest.mark.parametrize("base", [[[math.nan] * 400], [[]], []])
def test_a_base_that_serving_cannot_score_fails(base) -> None:
    probe, served, _ = _table(random.Random(1), noise=0.01, effect=0.1, shown=1.0)
    found = judge(probe, served, ProbeScores(logprobs=base), dtype="bfloat16")
    assert found.problems == ("serving's log-probabilities of the base itself are missing or not numbers",)
