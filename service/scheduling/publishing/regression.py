"""The owner's limit on how much a model may forget."""

from cluster.contracts.errors import TrainingFailed
from cluster.contracts.evaluation import EvaluationReport


def check_regression(report: EvaluationReport | None, max_regression: float | None) -> None:
    """Raises TrainingFailed if the loss on the general set rose by more than `max_regression`, or if it could
    not be measured. None allows everything."""
    if max_regression is None:
        return
    regression = None if report is None else report.regression
    if regression is None:
        raise TrainingFailed(
            f"training.max_regression is {max_regression:g}, but what the model forgot could not be "
            "measured; the job's events say why. Give a general set of your own as "
            "training.general_file, or leave max_regression out.",
            code="regression_not_measured",
        )
    # Not `>`: NaN must fail too.
    if not regression <= max_regression:
        raise TrainingFailed(
            f"The loss on the general set rose by {regression:.3g} nats a token, and training.max_regression "
            f"allows {max_regression:g}. Use a lower learning_rate_multiplier or fewer n_epochs, mix "
            "general examples into the training file, or allow more. The whole evaluation is in the job's "
            "tunery.evaluation, and its checkpoints stay usable.",
            code="max_regression_exceeded",
        )
