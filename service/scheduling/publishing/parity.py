"""Checks serving's results for a tuned model and its base, for the publish gate."""

from cluster.contracts.errors import TrainingFailed
from cluster.contracts.manifest import Probe, ProbeScores
from cluster.contracts.parity import Parity
from service.scheduling.publishing.gate import judge


def check_parity(probe: Probe, served: ProbeScores, served_base: ProbeScores | None, *, dtype: str) -> Parity:
    """Returns the gate's measurements, over tokens of a decoder or classes of an encoder; the arguments are
    the same as for `judge`. Raises TrainingFailed (`serving_mismatch`), which names every exceeded limit."""
    verdict = judge(probe, served, served_base, dtype=dtype)
    if verdict.problems:
        raise TrainingFailed(
            "The tuned model was not published, because serving computes other log-probabilities than "
            f"training: {'; '.join(verdict.problems)}.",
            code="serving_mismatch",
        )
    return verdict.parity
