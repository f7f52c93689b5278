"""What training gained and what it cost: the tuned model compared with the model it started from."""

from collections.abc import Iterator

from cluster.contracts.frozen import NonFiniteModel


class Comparison(NonFiniteModel):
    """Both models on the same examples. Losses are in nats per learned token (per pair for preferences, per
    label for classification); accuracies are shares of those."""

    n_examples: int
    base_loss: float
    tuned_loss: float
    base_accuracy: float
    tuned_accuracy: float


class EvaluationReport(NonFiniteModel):
    """The tuned model, as it is served, compared with the model that the job started from."""

    held_out: Comparison | None
    """On the validation file or the split. None if the job has neither."""
    trained_loss: float | None = None
    """The tuned model's loss as measured in training. It differs from `held_out.tuned_loss` if the served
    model is not exactly the trained one: a QLoRA adapter on the base in full precision, or a merged model
    that was rounded."""
    general: Comparison | None
    """On the general set, which covers what the job did not train for. None for an encoder, or if the set
    does not fit the base."""
    general_kl: float | None
    """Mean KL(base || tuned) of the next token on the general set, in nats: how far the model has moved
    there."""
    regression: float | None
    """general.tuned_loss - general.base_loss, in nats: what the model has forgotten. Negative if it
    improved."""


def evaluation_numbers(report: EvaluationReport) -> dict[str, float]:
    """Returns all measurements, as `evaluation/held_out/tuned_loss` → number."""
    return dict(_numbers(report, "evaluation"))


def _numbers(part: EvaluationReport | Comparison, place: str) -> Iterator[tuple[str, float]]:
    for name, value in part:
        if isinstance(value, Comparison):
            yield from _numbers(value, f"{place}/{name}")
        elif value is not None:
            yield f"{place}/{name}", value
