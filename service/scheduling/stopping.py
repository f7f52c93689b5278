"""Checks that a tuned model ends its answers on its own."""

from cluster.contracts.errors import ContextLengthExceeded
from cluster.contracts.generation import ModelRef
from cluster.contracts.manifest import AnswerPrompt
from service.scheduling.interfaces import ServingClient

_MOST_TOKENS = 512
"""Longest answer to generate, so that publishing does not take minutes."""
_VIRTUAL_TOKENS = 256
"""Part of the context that is reserved for the prefix that serving puts before every prompt."""


def stop_warning(model: ModelRef, prompts: list[AnswerPrompt], serving: ServingClient) -> str | None:
    """Returns a warning for the job's owner, or None if the model ends its answer to any of `prompts`, or if
    none of them can be tried."""
    has_prefix = model.adapter is not None and model.adapter.form == "prefix"
    reserved_tokens = _VIRTUAL_TOKENS if has_prefix else 0
    num_prompts = 0
    for prompt in prompts:
        room = model.base.context_length - reserved_tokens - len(prompt.token_ids)
        max_tokens = min(2 * prompt.answer_tokens + 16, _MOST_TOKENS, room)
        if max_tokens < prompt.answer_tokens:
            continue
        try:
            reason = serving.finish_reason(model, prompt.token_ids, max_tokens)
        except ContextLengthExceeded:
            # Serving may have memory for less than the base's whole context.
            continue
        num_prompts += 1
        if reason == "stop":
            return None
    if not num_prompts:
        return None
    return (
        f"The tuned model did not end its answer by itself on any of {num_prompts} training prompts, within "
        "twice the length of the answers that it was trained on. Its answers may run on to max_tokens. More "
        "epochs or a higher learning_rate_multiplier usually help."
    )
