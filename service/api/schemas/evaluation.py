"""What training gained and what it cost: the public objects."""

from service.api.schemas.base import Answer


class EvaluationComparison(Answer):
    """The model that the job began with and the tuned one on the same examples. Losses are nats per learned
    token (per pair for preferences, per label for classification), accuracies shares of them; null is not a
    number."""

    n_examples: int
    base_loss: float | None
    tuned_loss: float | None
    base_accuracy: float | None
    tuned_accuracy: float | None


class Evaluation(Answer):
    held_out: EvaluationComparison | None
    """On the validation file or the split; null if the job has neither."""
    trained_loss: float | None
    """The tuned model's loss on the held-out examples as training measured it; `held_out.tuned_loss` is that
    of the model as it is served. They differ after QLoRA, which trains on the base in 4 bits, if it is served
    on the base in full precision."""
    general: EvaluationComparison | None
    """On a general set, of what the job did not train for; null where there is none for the base."""
    general_kl: float | None
    """How far the model moved on the general set: mean KL(base || tuned) of the next token, in nats."""
    regression: float | None
    """What was forgotten: the rise of the loss on the general set, in nats; negative if it fell."""
