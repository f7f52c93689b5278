"""The evaluation of a job or model as the API shows it."""

import math
from typing import Any

from cluster.contracts.evaluation import EvaluationReport
from service.api.schemas.evaluation import Evaluation


def public_evaluation(report: EvaluationReport | None) -> Evaluation | None:
    return None if report is None else Evaluation.model_validate(_finite(report.model_dump()))


def _finite(value: Any) -> Any:
    """Replaces infinity and NaN by None: JSON has neither."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
