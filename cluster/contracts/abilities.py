"""What a model can do: decoders generate text; encoders embed, and classify once they are tuned. The service
and the engines share these checks, and so give the same errors."""

from cluster.contracts.errors import InvalidRequest
from cluster.contracts.generation import ModelRef


def check_generates(model: ModelRef) -> None:
    """Raises InvalidRequest (`not_a_generator`) for an encoder."""
    if model.base.architecture == "encoder":
        raise InvalidRequest(
            f"This model is based on '{model.base.alias}', an encoder, which writes no text; use it at "
            "/v1/embeddings or, once it is tuned, at /v1/classifications.",
            code="not_a_generator",
            param="model",
        )


def check_embeds(model: ModelRef) -> None:
    """Raises InvalidRequest (`not_an_encoder`) for a decoder."""
    if model.base.architecture != "encoder":
        raise InvalidRequest(
            f"This model is based on '{model.base.alias}', a decoder, which makes no vectors; "
            "use an encoder.",
            code="not_an_encoder",
            param="model",
        )


def check_classifies(model: ModelRef) -> None:
    """Raises InvalidRequest (`not_a_classifier`) for a decoder, or for an encoder that has not been tuned."""
    if model.base.architecture != "encoder":
        raise InvalidRequest(
            f"This model is based on '{model.base.alias}', a decoder, which has no classes; use it at "
            "/v1/completions or /v1/chat/completions.",
            code="not_a_classifier",
            param="model",
        )
    if model.adapter is None:
        raise InvalidRequest(
            f"'{model.base.alias}' has no classes before it is tuned; use a model that was tuned from it.",
            code="not_a_classifier",
            param="model",
        )
