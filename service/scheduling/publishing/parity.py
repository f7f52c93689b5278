"""Asks serving for the scores of a tuned model and of its base, and has the publish gate judge them."""

from cluster.contracts.bases import BaseSpec
from cluster.contracts.errors import TrainingFailed
from cluster.contracts.generation import ModelRef
from cluster.contracts.manifest import Probe, ProbeScores
from cluster.contracts.parity import Parity
from cluster.contracts.weights import WeightsRef
from service.scheduling.interfaces import ServingClient
from service.scheduling.publishing.gate import judge


def check_parity(adapter: WeightsRef, probe: Probe, serving: ServingClient, base: BaseSpec) -> Parity:
    """What the gate measured, over tokens of a decoder or classes of an encoder. Raises TrainingFailed
    (`serving_mismatch`), which names every limit that was exceeded."""
    tuned = ModelRef(base=base, adapter=adapter)
    if base.architecture == "encoder":
        served = ProbeScores(logprobs=serving.classify_scores(tuned, probe.token_ids))
    else:
        served = serving.score(tuned, probe.token_ids)
    without = ModelRef(base=base) if tuned.full is not None else tuned.owner
    served_base = None if probe.base is None else serving.score(without, probe.token_ids)
    verdict = judge(probe, served, served_base, dtype=base.dtype)
    if verdict.problems:
        raise TrainingFailed(
            "The tuned model was not published, because serving computes other log-probabilities than "
            f"training: {'; '.join(verdict.problems)}.",
            code="serving_mismatch",
        )
    return verdict.parity
