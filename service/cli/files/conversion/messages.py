"""Messages of other formats as OpenAI's."""

import json
import re
from typing import Any

from service.cli.files.roles import ROLES

Message = dict[str, Any]

_KEPT = ("role", "content", "name", "weight", "tool_calls", "tool_call_id", "reasoning_content", "refusal")


class NotConvertible(ValueError):
    """The end of a sentence that begins with the record."""


def as_messages(given: Any) -> list[Message]:
    """Takes a list of messages with `role` and `content`, or `from` and `value`, or a text, which is the
    user's. Raises NotConvertible."""
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    if not isinstance(given, list) or not given:
        raise NotConvertible("has no messages")
    messages: list[Message] = []
    for one in given:
        if not isinstance(one, dict):
            raise NotConvertible("has a message that is not an object")
        messages.append(_message(one, len(messages)))
    return messages


def answer(given: Any) -> list[Message]:
    """The messages that a text, a message or a list of them says as the assistant."""
    if isinstance(given, str):
        return [{"role": "assistant", "content": given}]
    return as_messages(given if isinstance(given, list) else [given])


def dialogue(text: str) -> list[Message] | None:
    """Reads "Human: …" and "Assistant: …", with blank lines between them, as in Anthropic's HH-RLHF. Returns
    None if the text is no such dialogue."""
    parts = re.split(r"(?:^|\n\n)(Human|Assistant): ?", text)
    if len(parts) < 3 or parts[0].strip():
        return None
    turns = [
        {"role": ROLES[name.lower()], "content": said.strip()}
        for name, said in zip(parts[1::2], parts[2::2], strict=True)
    ]
    # A prompt ends with "Assistant:".
    return turns if turns[-1]["content"] or turns[-1]["role"] == "user" else turns[:-1]


def role_name(message: dict[str, Any]) -> Any:
    """As the format has it."""
    return message.get("role", message.get("from", message.get("speaker")))


def _message(given: dict[str, Any], index: int) -> Message:
    name = role_name(given)
    role = ROLES.get(str(name).strip().lower())
    if role is None:
        raise NotConvertible(f"has a message with the role {json.dumps(name)}")
    said = next((given[key] for key in ("content", "value", "text") if given.get(key) is not None), None)
    if role == "function_call":
        return _call(said, index)
    message = {key: given[key] for key in _KEPT if given.get(key) is not None}
    message["role"] = role
    if said is not None:
        message["content"] = said
    elif "tool_calls" not in message and "refusal" not in message:
        message["content"] = ""
    if role == "tool" and "tool_call_id" not in message:
        # It answers the call before it, which has no id in formats without one.
        message["tool_call_id"] = f"call_{index - 1}"
    return message


def _call(said: Any, index: int) -> Message:
    """A call written as JSON: {"name": …, "arguments": …}."""
    try:
        call = json.loads(said) if isinstance(said, str) else said
        name, arguments = call["name"], call.get("arguments", call.get("parameters", {}))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotConvertible("has a function call that is not JSON with a name") from error
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    function = {"name": name, "arguments": text}
    return {
        "role": "assistant",
        "tool_calls": [{"id": f"call_{index}", "type": "function", "function": function}],
    }
