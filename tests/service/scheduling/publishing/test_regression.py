import math

import pytest

from cluster.contracts.errors import TrainingFailed
from cluster.contracts.evaluation import Comparison, EvaluationReport
from service.scheduling.publishing.regression import check_regression


def report(regression: float) -> EvaluationReport:
    general = Comparison(
        n_examples=8, base_loss=1.0, tuned_loss=1.0 + regression, base_accuracy=0.5, tuned_accuracy=0.5
    )
    return EvaluationReport(held_out=None, general=general, general_kl=0.1, regression=regression)


NOT_MEASURED = EvaluationReport(held_out=None, general=None, general_kl=None, regression=None)


@pytest.mark.parametrize("regression", [-0.5, 0.0, 0.25])
def test_a_model_may_forget_as_much_as_its_owner_allows(regression: float) -> None:
    check_regression(report(regression), 0.25)


@pytest.mark.parametrize("regression", [0.251, math.inf, math.nan])
def test_a_model_that_forgot_more_is_refused_with_both_numbers(regression: float) -> None:
    with pytest.raises(TrainingFailed, match=rf"rose by {regression:.3g} nats .* allows 0.25") as raised:
        check_regression(report(regression), 0.25)
    assert raised.value.code == "max_regression_exceeded"


@pytest.mark.parametrize("unknown", [None, NOT_MEASURED])
def test_a_regression_that_could_not_be_measured_is_refused(unknown: EvaluationReport | None) -> None:
    with pytest.raises(TrainingFailed, match="could not be measured") as raised:
        check_regression(unknown, 0.25)
    assert raised.value.code == "regression_not_measured"


@pytest.mark.parametrize("anything", [None, NOT_MEASURED, report(9.0)])
def test_without_a_limit_everything_is_allowed(anything: EvaluationReport | None) -> None:
    check_regression(anything, None)
