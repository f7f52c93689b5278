"""Converts messages of other formats to OpenAI's."""

import ast
import json
import re
from typing import Any

from service.cli.files.calls import add_ids, stringify_arguments
from service.cli.files.roles import ROLES

Message = dict[str, Any]

_KEPT = ("role", "name", "weight", "tool_call_id", "reasoning_content", "reasoning", "refusal")
_LOOKS_LIKE_MESSAGES = re.compile(
    r"""\[\s*\{(?=.*(['"])(?:role|from)\1\s*:)(?=.*(['"])(?:content|value)\2\s*:)""", re.DOTALL
)


class NotConvertible(ValueError):
    """The message is the end of a sentence that begins with the record."""


def as_messages(given: Any) -> list[Message]:
    """Takes a list of messages with `role` and `content`, or `from` and `value`, or a text, which is the
    user's. A text may be such a list, as a cell of a table holds it. Raises NotConvertible."""
    given = read_list(given)
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    if not isinstance(given, list) or not given:
        raise NotConvertible("has no messages")
    messages: list[Message] = []
    for one in given:
        if not isinstance(one, dict):
            raise NotConvertible("has a message that is not an object")
        messages.append(_message(one))
    add_ids(messages)
    return messages


def answer(given: Any) -> list[Message]:
    """The messages that a text, a message or a list of them says as the assistant."""
    given = read_list(given)
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


def read_list(given: Any) -> Any:
    """Returns the list if `given` is a list of messages as a cell of a table holds it: JSON, or as Python
    prints it. Anything else is returned as it is. Raises NotConvertible if a list cannot be read, such as one
    that numpy printed."""
    if not isinstance(given, str) or not _LOOKS_LIKE_MESSAGES.match(text := given.strip()):
        return given
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(text)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            continue
        return found if all(isinstance(one, dict) and _role(one) for one in found) else given
    raise NotConvertible("has a list of messages written as a text that is neither JSON nor Python")


def role_name(message: dict[str, Any]) -> Any:
    """The role's name in the source format."""
    return message.get("role", message.get("from", message.get("speaker")))


def _role(message: dict[str, Any]) -> str | None:
    return ROLES.get(str(role_name(message)).strip().lower())


def _message(given: dict[str, Any]) -> Message:
    role = _role(given)
    if role is None:
        raise NotConvertible(f"has a message with the role {json.dumps(role_name(given))}")
    said = next((given[key] for key in ("content", "value", "text") if given.get(key) is not None), None)
    if role == "function_call":
        return {"role": "assistant", "tool_calls": [_call(said)]}
    message = {key: given[key] for key in _KEPT if given.get(key) is not None}
    message["role"] = role
    if calls := _calls(given):
        message["tool_calls"] = calls
    if said is not None:
        message["content"] = said
    elif not calls and "refusal" not in message:
        message["content"] = ""
    return message


def _calls(given: dict[str, Any]) -> list[dict[str, Any]]:
    calls, old = given.get("tool_calls"), given.get("function_call")
    if calls:
        return [_call(call) for call in (json.loads(calls) if isinstance(calls, str) else calls)]
    return [_call(old)] if old else []


def _call(given: Any) -> dict[str, Any]:
    """A call, also written as JSON, with or without OpenAI's frame: {"name": …, "arguments": …}."""
    try:
        call = json.loads(given) if isinstance(given, str) else given
        function = call.get("function") or call
        function = {
            "name": function["name"],
            "arguments": function.get("arguments", function.get("parameters")) or {},
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotConvertible("has a function call that is not JSON with a name") from error
    stringify_arguments(function)
    return {"id": call.get("id"), "type": "function", "function": function}
