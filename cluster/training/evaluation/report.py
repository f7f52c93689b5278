"""The evaluation report of a finished run, which compares its model with the one that it began as."""

from cluster.contracts.evaluation import Comparison, EvaluationReport
from cluster.training.data.datasets import Datasets
from cluster.training.evaluation.evaluation import Score
from cluster.training.evaluation.scores import Scores


def evaluation_report(
    before: Scores, after: Scores, data: Datasets, *, trained_loss: float | None
) -> EvaluationReport:
    """`trained_loss` is the tuned model's loss on the held-out examples as training measured it."""
    general = _compared(before.general, after.general, 0 if data.general is None else len(data.general))
    return EvaluationReport(
        held_out=_compared(
            before.held_out, after.held_out, 0 if data.held_out is None else len(data.held_out)
        ),
        trained_loss=trained_loss,
        general=general,
        general_kl=after.general_kl,
        regression=None if general is None else general.tuned_loss - general.base_loss,
    )


def beginning(data: Datasets) -> str:
    """Makes a message to the job's owner at the beginning of the evaluation."""
    sets = [(data.held_out, "held-out"), (data.general, "general")]
    counts = [f"{len(found)} {name}" for found, name in sets if found is not None]
    return f"Evaluating the tuned model on {' and '.join(counts) or 'no'} examples"


def end(found: EvaluationReport) -> str:
    compared = [("held-out", found.held_out), ("general", found.general)]
    losses = [
        f"{name} loss {each.base_loss:.4f} before and {each.tuned_loss:.4f} after training"
        for name, each in compared
        if each is not None
    ]
    return f"Evaluation finished: {', '.join(losses) or 'there was nothing to measure'}"


def _compared(before: Score | None, after: Score | None, n_examples: int) -> Comparison | None:
    if before is None or after is None:
        return None
    return Comparison(
        n_examples=n_examples,
        base_loss=before.loss,
        tuned_loss=after.loss,
        base_accuracy=before.accuracy,
        tuned_accuracy=after.accuracy,
    )
