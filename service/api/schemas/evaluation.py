"""Evaluation of a tuned model: the public objects."""

from service.api.schemas.base import Answer


class EvaluationComparison(Answer):
    """Compares the model that the job started from with the tuned model, on the same examples. Losses are in
    nats per learned token (per pair for preferences, per label for classification), and accuracies are
    fractions of them. null stands for NaN and infinity."""

    n_examples: int
    base_loss: float | None
    tuned_loss: float | None
    base_accuracy: float | None
    tuned_accuracy: float | None


class Evaluation(Answer):
    held_out: EvaluationComparison | None
    """Comparison on the validation file or the split. Null if the job has neither."""
    trained_loss: float | None
    """The tuned model's loss on the held-out examples, as measured in training. `held_out.tuned_loss` is
    measured on the model as it is served. The two differ after QLoRA, which trains on the base in 4 bits, if
    the model is served on the base in full precision."""
    general: EvaluationComparison | None
    """Comparison on a general set, which covers what the job did not train for. Null if there is none for the
    base."""
    general_kl: float | None
    """How far the model has drifted on the general set: the mean KL(base || tuned) of the next token, in
    nats."""
    regression: float | None
    """How much the model has forgotten: the increase of the loss on the general set, in nats. Negative if the
    loss decreased."""
