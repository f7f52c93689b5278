"""What training gained and what it cost: the tuned model beside the one it began as."""

from cluster.contracts.frozen import NonFiniteModel


class Comparison(NonFiniteModel):
    """Both models on the same examples. Losses are nats per learned token (per pair for preferences, per
    label for classification), accuracies shares of them."""

    n_examples: int
    base_loss: float
    tuned_loss: float
    base_accuracy: float
    tuned_accuracy: float


class EvaluationReport(NonFiniteModel):
    """The tuned model as it is served, beside the model that the job began with."""

    held_out: Comparison | None
    """On the validation file or the split; None if the job has neither."""
    trained_loss: float | None = None
    """The same tuned loss as training measured it. held_out.tuned_loss differs where the served model is not
    quite the trained one: a QLoRA adapter on the base in full precision, a merged model that was rounded."""
    general: Comparison | None
    """On the general set, of what the job did not train for; None for an encoder, or where the set does not
    fit the base."""
    general_kl: float | None
    """Mean KL(base || tuned) of the next token on the general set, in nats: how far the model moved there."""
    regression: float | None
    """general.tuned_loss - general.base_loss: what was forgotten, in nats; negative if the model improved."""
