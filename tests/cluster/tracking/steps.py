"""Steps of a job that a tracker is told."""

from typing import Any

from cluster.contracts.jobs import StepMetrics

JOB = "ftjob-0123456789abcdefghijklmn"


def step(number: int, **changes: Any) -> StepMetrics:
    return StepMetrics(
        **{
            **{"step": number, "total_steps": 4, "train_loss": 1 / number, "train_mean_token_accuracy": 0.5},
            **{"learning_rate": 1e-3, "grad_norm": 1.0, "tokens_per_second": 100.0, "eta_seconds": 1.0},
            **changes,
        }
    )
