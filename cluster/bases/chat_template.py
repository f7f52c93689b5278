"""How a conversation becomes token ids. One rendering for training and serving, so that they never differ."""

import json
from typing import Any, cast

from jinja2 import TemplateError

from cluster.contracts.errors import InvalidRequest

Message = dict[str, Any]
Tool = dict[str, Any]


def render_prompt(tokenizer: Any, messages: list[Message], tools: list[Tool] | None) -> list[int]:
    """Token ids of `messages` up to and with the header of the assistant's turn that is to be written.

    Messages and tools are in OpenAI's form. Raises InvalidRequest if the model has no chat template or its
    template refuses the conversation.
    """
    return render(tokenizer, messages, tools, add_generation_prompt=True)


def render(
    tokenizer: Any, messages: list[Message], tools: list[Tool] | None, *, add_generation_prompt: bool
) -> list[int]:
    """Token ids of `messages`; with `add_generation_prompt`, an assistant's header after them."""
    encoded = apply_template(
        tokenizer, messages, tools, add_generation_prompt=add_generation_prompt, return_dict=True
    )
    return cast("list[int]", encoded["input_ids"])


def render_text(
    tokenizer: Any, messages: list[Message], tools: list[Tool] | None, *, add_generation_prompt: bool
) -> str:
    """The text of which `encode_rendered` makes what `render` returns."""
    return cast(
        "str",
        apply_template(
            tokenizer, messages, tools, add_generation_prompt=add_generation_prompt, tokenize=False
        ),
    )


def encode_rendered(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    """Token ids of rendered conversations, which have all the special tokens that they need."""
    encoded = tokenizer(texts, add_special_tokens=False, padding=False, truncation=False, verbose=False)
    return cast("list[list[int]]", encoded["input_ids"])


def apply_template(tokenizer: Any, messages: list[Message], tools: list[Tool] | None, **options: Any) -> Any:
    """transformers' `apply_chat_template` with OpenAI's messages and this project's errors."""
    if not tokenizer.chat_template:
        raise InvalidRequest(
            "This model has no chat template; use prompts and completions instead of messages.",
            code="chat_not_supported",
            param="messages",
        )
    try:
        return tokenizer.apply_chat_template(
            [_plain(message) for message in messages], tools=tools, **options
        )
    except (TemplateError, TypeError, KeyError, ValueError) as error:
        raise InvalidRequest(
            f"The model's chat template refuses these messages: {error}", param="messages"
        ) from error


def encode_prompt(tokenizer: Any, text: str) -> list[int]:
    """Token ids of a plain prompt to be continued: with the tokenizer's own beginning-of-text token if it
    adds one, without an end of text. Never empty, because something must precede the first new token."""
    return encode_prompts(tokenizer, [text])[0]


def encode_prompts(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    """`encode_prompt` of each; one call of a tokenizer that encodes many texts at a time."""
    return [
        _to_be_continued(tokenizer, text, ids)
        for text, ids in zip(texts, tokenizer(texts, verbose=False)["input_ids"], strict=True)
    ]


def _to_be_continued(tokenizer: Any, text: str, ids: list[int]) -> list[int]:
    if len(ids) > 1 and ids[-1] == tokenizer.eos_token_id and not text.endswith(tokenizer.eos_token):
        ids = ids[:-1]
    if not ids:
        first = tokenizer.bos_token_id
        return [tokenizer.eos_token_id if first is None else first]
    return ids


def template_text(tokenizer: Any) -> str:
    """The chat template itself, "" if there is none: what a checkpoint's template digest is taken of."""
    template = tokenizer.chat_template
    return template if isinstance(template, str) else json.dumps(template or "", sort_keys=True)


def _plain(message: Message) -> Message:
    """OpenAI's message in the form that templates of every family read: one string of content, arguments of
    tool calls as an object, no `developer` role, and nothing that is only Tunery's."""
    plain = {name: value for name, value in message.items() if name != "weight" and value is not None}
    if plain["role"] == "developer":
        plain["role"] = "system"
    content = plain.get("content", "")
    plain["content"] = content if isinstance(content, str) else "".join(part["text"] for part in content)
    if calls := plain.get("tool_calls"):
        plain["tool_calls"] = [_plain_call(call) for call in calls]
    return plain


def _plain_call(call: dict[str, Any]) -> dict[str, Any]:
    function = call["function"]
    try:
        arguments = json.loads(function["arguments"])
    except (TypeError, ValueError):
        return call
    return {**call, "function": {**function, "arguments": arguments}} if isinstance(arguments, dict) else call
