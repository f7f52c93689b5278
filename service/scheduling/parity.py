"""The parity check: a model becomes public only if serving computes the log-probabilities that training
measured."""

import math
from collections.abc import Sequence

from cluster.contracts.bases import BaseSpec
from cluster.contracts.errors import TrainingFailed
from cluster.contracts.generation import ModelRef
from cluster.contracts.manifest import Probe
from cluster.contracts.weights import WeightsRef
from service.scheduling.interfaces import ServingClient

TOLERANCE = {"float32": 1e-3, "bfloat16": 0.15}
"""Largest allowed difference between a log-probability in training and in serving, in nats, by the data type
of the frozen weights."""


def check_parity(
    adapter: WeightsRef, probe: Probe, serving: ServingClient, base: BaseSpec
) -> dict[str, float]:
    """The differences, over tokens of a decoder or classes of an encoder; TrainingFailed if they are too
    large."""
    model = ModelRef(base=base, adapter=adapter)
    score = serving.classify_scores if base.architecture == "encoder" else serving.score
    differences = parity(probe.logprobs, score(model, probe.token_ids))
    if differences["max_abs"] > TOLERANCE[base.dtype]:
        raise TrainingFailed(
            "The tuned model was not published: serving computes different log-probabilities than training "
            f"(largest difference {differences['max_abs']:.3g}, allowed {TOLERANCE[base.dtype]:.3g}).",
            code="serving_mismatch",
        )
    return differences


def parity(trained: Sequence[Sequence[float]], served: Sequence[Sequence[float]]) -> dict[str, float]:
    """Largest and mean absolute difference. Infinite if anything is missing or not a number."""
    if [len(row) for row in trained] != [len(row) for row in served]:
        return {"max_abs": math.inf, "mean_abs": math.inf}
    pairs = [pair for rows in zip(trained, served, strict=True) for pair in zip(*rows, strict=True)]
    differences = [abs(ours - theirs) for ours, theirs in pairs]
    if not differences or not all(map(math.isfinite, differences)):
        return {"max_abs": math.inf, "mean_abs": math.inf}
    return {"max_abs": max(differences), "mean_abs": sum(differences) / len(differences)}
