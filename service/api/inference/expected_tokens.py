"""Estimates how many tokens a request will use, before the engine has counted them. Pure."""

import math

from cluster.contracts.classification import ClassificationRequest
from cluster.contracts.embedding import EmbeddingRequest
from cluster.contracts.generation import GenerationRequest
from service.api.inference.prompt_length import sizes

_CHARACTERS_PER_TOKEN = 4
_OPEN_ENDED_TOKENS = 16
"""Expected tokens of an answer whose request sets no limit, as for OpenAI's completions."""


def expected_tokens(request: GenerationRequest | ClassificationRequest | EmbeddingRequest) -> int:
    """Returns the size of the prompt, assuming four characters per token unless it was sent as tokens, plus
    the longest answers that the request allows."""
    tokens = sum(
        size if unit == "tokens" else math.ceil(size / _CHARACTERS_PER_TOKEN)
        for size, unit, _ in sizes(request)
    )
    if isinstance(request, GenerationRequest):
        sampling = request.sampling
        longest = _OPEN_ENDED_TOKENS if sampling.max_tokens is None else sampling.max_tokens
        tokens += sampling.n * min(longest, request.model.base.context_length)
    return tokens
