"""Turns one row into token ids and a mask of the learned tokens.

A learned span is an answer's text and its end-of-turn token: exactly what the model must write when it is
served.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from cluster.bases.text.chat_template import ChatTemplate
from cluster.bases.text.control_tokens import Message, Tool
from cluster.bases.text.plain_prompt import encode_prompts
from cluster.contracts.errors import InvalidDataset, InvalidRequest
from cluster.contracts.rows import AssistantMessage, ChatRow, Conversation, PreferenceRow
from cluster.training.data.answers import Conversation as Encoded
from cluster.training.data.answers import encode_conversation


class Rendered(NamedTuple):
    token_ids: list[int]
    mask: list[bool]
    """Whether each token is learned. The first one never is, because nothing precedes it."""


def render_row(template: ChatTemplate, row: ChatRow) -> list[Rendered]:
    """Returns one sequence, or one for each learned answer if the chat template renders answers differently
    once others follow.

    Raises InvalidDataset if the chat template refuses the messages, drops a part of them, or renders them so
    that training would not match serving."""
    return _render_conversation(template, row, [])


def render_pair(template: ChatTemplate, row: PreferenceRow) -> tuple[Rendered, Rendered]:
    """Renders the input with the preferred answer, and the input with the other one. Only these answers and
    their end-of-turn tokens are learned. Raises InvalidDataset as `render_row` does, and if the answers are
    the same."""
    (preferred,), (other,) = (
        _render_conversation(template, row.input, answer)
        for answer in (row.preferred_output, row.non_preferred_output)
    )
    if preferred.token_ids == other.token_ids:
        raise InvalidDataset(
            "preferred_output and non_preferred_output are the same to the model; nothing can be preferred",
            code="identical_answers",
            param="non_preferred_output",
        )
    return preferred, other


def render_completions(tokenizer: Any, rows: Sequence[tuple[str, str]]) -> list[Rendered]:
    """Renders each (prompt, completion) as prompt, completion and end of text. The completion and the end are
    learned.

    The prompt's tokens are the ones that serving gets for the prompt alone. If encoding prompt and completion
    together begins with the same tokens, the rest of that encoding is the completion: some tokens depend on
    the text before them. Control tokens in the texts are encoded as control tokens, because whoever writes a
    whole prompt also writes its markers.
    """
    befores = encode_prompts(tokenizer, [prompt for prompt, _ in rows])
    togethers = encode_prompts(tokenizer, [prompt + completion for prompt, completion in rows])
    rendered = []
    for (_, completion), before, together in zip(rows, befores, togethers, strict=True):
        if together[: len(before)] == before:
            after = together[len(before) :]
        else:
            after = tokenizer.encode(completion, add_special_tokens=False)
        after = [*after, tokenizer.eos_token_id]
        rendered.append(Rendered(before + after, [False] * len(before) + [True] * len(after)))
    return rendered


def render_chat(template: ChatTemplate, messages: list[Message], tools: list[Tool] | None) -> list[Rendered]:
    """Renders a conversation as `render_row` does. Every assistant message whose `weight` is not 0 is
    learned."""
    return [_masked(sequence) for sequence in encode_conversation(template, messages, tools)]


def _masked(conversation: Encoded) -> Rendered:
    mask = [False] * len(conversation.token_ids)
    for start, end in conversation.learned:
        mask[start:end] = [True] * (end - start)
    mask[0] = False
    return Rendered(conversation.token_ids, mask)


def _render_conversation(
    template: ChatTemplate, conversation: Conversation, answer: Sequence[AssistantMessage]
) -> list[Rendered]:
    """Renders a conversation. If an `answer` follows it, only the answer is learned."""
    messages = [message.model_dump(exclude_none=True) for message in conversation.messages]
    for message, dumped in zip(conversation.messages, messages, strict=True):
        if isinstance(message, AssistantMessage) and (answer or not message.is_learned):
            dumped["weight"] = 0
    if answer:
        messages += [{**message.model_dump(exclude_none=True), "weight": 1} for message in answer]
    tools = [tool.model_dump(exclude_none=True) for tool in conversation.tools or ()]
    try:
        return render_chat(template, messages, tools or None)
    except InvalidDataset:
        raise
    except InvalidRequest as error:
        raise InvalidDataset(error.message, code="invalid_messages", param=error.param) from error
