"""Translates the body of a response into that of a chat completion, and the errors of the chat back. Pure."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from cluster.contracts.errors import InvalidRequest
from service.api.schemas.chat import ChatCompletionBody
from service.api.schemas.response_items import CallOutput, InputItem, InputMessage, PastCall
from service.api.schemas.responses import (
    FlatJsonSchemaFormat,
    FunctionChoice,
    FunctionChoices,
    FunctionTool,
    ResponsesBody,
)
from service.api.schemas.sampling import SamplingExtensions

_SAME = {
    "model",
    "temperature",
    "top_p",
    "parallel_tool_calls",
    "chat_template_kwargs",
    "stream",
    *SamplingExtensions.model_fields,
}
"""Parameters that mean the same in a chat completion."""

_RENAMED = {
    "messages": "input",
    "response_format": "text.format",
    "max_completion_tokens": "max_output_tokens",
}
"""Names in the chat, and the corresponding names in the response."""

_MESSAGE = re.compile(r"(?<![\w.$'])messages\[(\d{1,9})\]")
"""A message of the chat. Inside quotes, or as part of a path, the text comes from the caller and stays."""


@dataclass(frozen=True)
class ResponseRequest:
    chat: ChatCompletionBody
    places: tuple[str, ...]
    """Where each message of the chat comes from, e.g. `input[2]`."""

    @contextmanager
    def renaming_errors(self) -> Iterator[None]:
        """Raises the block's errors about the chat with the parameter names that the caller knows."""
        try:
            yield
        except InvalidRequest as error:
            message = self._renamed(error.message, quote="'")
            param = error.param and self._renamed(error.param)
            raise type(error)(message, code=error.code, param=param) from error

    def _renamed(self, text: str, *, quote: str = "") -> str:
        text = _MESSAGE.sub(self._place, text)
        for theirs, ours in _RENAMED.items():
            text = re.sub(rf"{quote or '^'}{theirs}\b(?!\[)", quote + ours, text)
        return text

    def _place(self, match: re.Match[str]) -> str:
        # Error texts repeat what callers wrote, which may name messages that do not exist.
        index = int(match[1])
        return self.places[index] if index < len(self.places) else match[0]


def response_request(body: ResponsesBody) -> ResponseRequest:
    """Raises InvalidRequest for tools that do not belong together."""
    messages, places = _messages(body)
    chat = {
        **{name: value for name in _SAME if (value := getattr(body, name)) is not None},
        "messages": messages,
        "max_completion_tokens": body.max_output_tokens,
        "logprobs": body.wants_logprobs,
        "top_logprobs": body.top_logprobs if body.wants_logprobs else None,
        "response_format": _response_format(body),
        "tools": [_tool(tool) for tool in body.tools] if body.tools else None,
        "tool_choice": _tool_choice(body),
    }
    try:
        return ResponseRequest(ChatCompletionBody.model_validate(chat), tuple(places))
    except ValidationError as error:
        # Each value has been validated on its own, so only rules between several values can fail here.
        found = error.errors()[0]
        context = found.get("ctx", {})
        raise InvalidRequest(found["msg"], code=context.get("code"), param=context.get("param")) from error


def _messages(body: ResponsesBody) -> tuple[list[dict[str, Any]], list[str]]:
    """Returns the chat's messages, and the place of each. Calls belong to the answer right before them."""
    messages: list[dict[str, Any]] = []
    places: list[str] = []
    if body.instructions:
        messages.append({"role": "developer", "content": body.instructions})
        places.append("instructions")
    if isinstance(body.input, str):
        return [*messages, {"role": "user", "content": body.input}], [*places, "input"]
    for index, item in enumerate(body.input):
        if isinstance(item, PastCall) and messages and messages[-1]["role"] == "assistant":
            messages[-1].setdefault("tool_calls", []).append(_call(item))
        elif (message := _message(item)) is not None:
            messages.append(message)
            places.append(f"input[{index}]")
    return messages, places


def _message(item: InputItem) -> dict[str, Any] | None:
    match item:
        case InputMessage(role=role, content=content):
            return {"role": role, "content": content if isinstance(content, str) else _text(content)}
        case PastCall():
            return {"role": "assistant", "tool_calls": [_call(item)]}
        case CallOutput(call_id=id_, output=output):
            text = output if isinstance(output, str) else _text(output)
            return {"role": "tool", "tool_call_id": id_, "content": text}
        case _:
            return None


def _text(parts: Sequence[Any]) -> str:
    return "".join(part.text if hasattr(part, "text") else part.refusal for part in parts)


def _call(item: PastCall) -> dict[str, Any]:
    function = {"name": item.name, "arguments": item.arguments}
    return {"id": item.call_id, "type": "function", "function": function}


def _tool(tool: FunctionTool) -> dict[str, Any]:
    function = tool.model_dump(exclude={"type"}, exclude_none=True)
    return {"type": "function", "function": {"strict": True, **function}}


def _tool_choice(body: ResponsesBody) -> Any:
    match body.tool_choice:
        case FunctionChoice():
            return _named(body.tool_choice)
        case FunctionChoices(mode=mode, tools=tools):
            allowed = {"mode": mode, "tools": [_named(tool) for tool in tools]}
            return {"type": "allowed_tools", "allowed_tools": allowed}
        case choice:
            return choice


def _named(choice: FunctionChoice) -> dict[str, Any]:
    return {"type": "function", "function": {"name": choice.name}}


def _response_format(body: ResponsesBody) -> dict[str, Any] | None:
    match body.text.format if body.text else None:
        case None:
            return None
        case FlatJsonSchemaFormat() as found:
            definition = found.model_dump(exclude={"type"}, exclude_none=True)
            return {"type": "json_schema", "json_schema": definition}
        case found:
            return {"type": found.type}
