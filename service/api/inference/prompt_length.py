"""Rejects input that is far too long for its model before it queues or reaches the cluster. Pure."""

from collections.abc import Iterator

from cluster.bases.text.text_size import check_characters
from cluster.contracts.classification import ClassificationRequest, TextInput, TokensInput, WordsInput
from cluster.contracts.context_length import too_many_tokens
from cluster.contracts.embedding import EmbeddingRequest
from cluster.contracts.generation import ChatPrompt, GenerationRequest, TextPrompt, TokenPrompt


def check_prompt_length(
    request: GenerationRequest | ClassificationRequest | EmbeddingRequest, served: int | None = None
) -> None:
    """Raises ContextLengthExceeded if there are more token ids than the context holds, or more characters
    than could fit into it. Shorter input is counted by the engine, which has the tokenizer. `served` is the
    part of the context that serving has memory for; None is all of it."""
    full = request.model.base.context_length
    limit = full if served is None else min(served, full)
    completion = request.sampling.max_tokens or 0 if isinstance(request, GenerationRequest) else 0
    for size, unit, param in sizes(request):
        if unit == "tokens" and size > limit:
            raise too_many_tokens(limit, prompt=size, completion=completion, param=param, full_length=full)
        if unit == "characters":
            check_characters(size, context_length=limit, param=param, full_length=full)


def sizes(
    request: GenerationRequest | ClassificationRequest | EmbeddingRequest,
) -> Iterator[tuple[int, str, str]]:
    """Yields the size of each prompt or input, its unit, and the name of its parameter."""
    if isinstance(request, GenerationRequest):
        match request.prompt:
            case TokenPrompt(token_ids=token_ids):
                yield len(token_ids), "tokens", "prompt"
            case TextPrompt(text=text):
                yield len(text), "characters", "prompt"
            case ChatPrompt(messages=messages):
                supplied = [value for each in messages for key, value in each.items() if key != "role"]
                yield _length([*supplied, *(request.prompt.tools or ())]), "characters", "messages"
        return
    for index, item in enumerate(request.inputs):
        param = f"input[{index}]" if len(request.inputs) > 1 else "input"
        match item:
            case TokensInput(token_ids=token_ids):
                yield len(token_ids), "tokens", param
            case TextInput(text=text, text_pair=pair):
                yield len(text) + len(pair or ""), "characters", param
            case WordsInput(words=words):
                yield sum(map(len, words)), "characters", param


def _length(conversation: object) -> int:
    """All characters that could be rendered: also those of calls, reasoning and tools."""
    length, pending = 0, [conversation]
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            length += len(value)
        elif isinstance(value, list):
            pending += value
        elif isinstance(value, dict):
            pending += value.values()
    return length
