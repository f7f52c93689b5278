"""Normalizes conversations, for training files and chat requests alike.

OpenAI's API had functions before it had tools. Clients send back, or write into files, what some server
answered them. All later code sees only tools, tool calls and text."""

from collections.abc import Iterable, Mapping
from typing import Any

_OLD_KEYS = ("function_call", "refusal", "reasoning")


def normalize_conversation(conversation: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the conversation with `functions` rewritten as `tools`, and with its `messages` as
    `normalize_messages` returns them. Any other key is kept.

    Values of the wrong type are kept too: the caller refuses them, as it does `functions` beside `tools`."""
    normalized = dict(conversation)
    if isinstance(functions := normalized.get("functions"), list):
        del normalized["functions"]
        normalized["tools"] = [{"type": "function", "function": function} for function in functions]
    if isinstance(messages := normalized.get("messages"), list):
        normalized["messages"] = normalize_messages(messages)
    return normalized


def normalize_messages(messages: list[Any]) -> list[Any]:
    """Returns the messages, rewritten so that

    - `function_call` becomes an entry of `tool_calls`, and a message with the role `function` becomes a tool
      message that answers the latest call, which has no id in the older format;
    - a refusal becomes the assistant's text;
    - an empty list of `tool_calls` is left out;
    - `reasoning` becomes `reasoning_content`.

    Values of the wrong type are kept, for the caller to refuse."""
    rewritten = []
    latest_id = ""
    for index, message in enumerate(messages):
        if isinstance(message, dict):
            if message.get("function_call") is not None:
                latest_id = f"call_{index}"
            message = _one_spelling(message, latest_id)
        rewritten.append(message)
    return rewritten


def find_stray_tool_message(messages: Iterable[Any]) -> int | None:
    """Returns the index of the first tool message that answers no earlier call, or None. The messages are
    objects."""
    called: set[str] = set()
    for index, message in enumerate(messages):
        if message.role == "assistant":
            called.update(call.id for call in message.tool_calls or ())
        elif message.role == "tool" and message.tool_call_id not in called:
            return index
    return None


def _one_spelling(message: dict[str, Any], latest_id: str) -> dict[str, Any]:
    match message.get("role"):
        case "function":
            rest = {key: value for key, value in message.items() if key != "name"}
            return rest | {"role": "tool", "tool_call_id": latest_id}
        case "assistant":
            return _assistant(message, latest_id)
        case _:
            return message


def _assistant(message: dict[str, Any], latest_id: str) -> dict[str, Any]:
    if isinstance(content := message.get("content"), list):
        message = {**message, "content": [_text_part(part) for part in content]}
    if message.get("tool_calls") == []:
        message = {key: value for key, value in message.items() if key != "tool_calls"}
    if not any(key in message for key in _OLD_KEYS):
        return message
    rest = {key: value for key, value in message.items() if key not in _OLD_KEYS}
    call, refusal, reasoning = map(message.get, _OLD_KEYS)
    if call is not None:
        rest["tool_calls"] = [{"id": latest_id, "type": "function", "function": call}]
    if refusal is not None and not rest.get("content"):
        rest["content"] = refusal
    if reasoning is not None:
        rest.setdefault("reasoning_content", reasoning)
    return rest


def _text_part(part: Any) -> Any:
    if isinstance(part, dict) and part.keys() == {"type", "refusal"} and part["type"] == "refusal":
        return {"type": "text", "text": part["refusal"]}
    return part
