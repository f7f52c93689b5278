"""Prompts for models: rows of a training or validation file without their last answer, or plain prompts."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.cli.failures import CommandFailed
from service.cli.import_openai.archive.archive import read_lines
from service.cli.import_openai.plan.proposing import original_base

_OPTIONS = ("tools", "parallel_tool_calls", "functions")
_WITHOUT_CHAT = ("davinci-002", "babbage-002")
"""OpenAI's models that were tuned on prompts and completions."""


@dataclass(frozen=True)
class Prompt:
    messages: Sequence[Mapping[str, Any]]
    text: str | None = None
    """The prompt of a row without messages. `messages` then contains it as the user's message."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """The row's tools."""
    reference: str | None = None
    """The row's answer, if it has one."""


def read_prompts(path: Path) -> Iterator[Prompt]:
    """Accepts chat rows, preference pairs, `{"prompt": …, "completion": …}`, or only `messages` or `prompt`.
    Raises CommandFailed for a row without a prompt."""
    for number, row in enumerate(read_lines(path), 1):
        prompt = _prompt(row)
        if prompt is None:
            raise CommandFailed(f"Row {number} of {path} has neither messages to answer nor a prompt.")
        yield prompt


def has_chat(model: str) -> bool:
    return original_base(model) not in _WITHOUT_CHAT


def text_of(message: object) -> str:
    """The content of a message: its text, or its calls as JSON if it has no text."""
    if not isinstance(message, dict):
        return ""
    content = message.get("content")
    if isinstance(content, str) and content:
        return content
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        return "".join(part for part in parts if isinstance(part, str))
    calls = message.get("tool_calls")
    named = (
        [call.get("function") for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    )
    named = named or ([message["function_call"]] if isinstance(message.get("function_call"), dict) else [])
    return json.dumps(named, sort_keys=True, ensure_ascii=False) if named else ""


def _prompt(row: Mapping[str, Any]) -> Prompt | None:
    given = row.get("input") if isinstance(row.get("input"), dict) else row
    assert isinstance(given, Mapping), "a row is a mapping"
    messages = given.get("messages")
    if not isinstance(messages, list):
        text = given.get("prompt")
        if not isinstance(text, str):
            return None
        completion = given.get("completion")
        reference = completion if isinstance(completion, str) else None
        return Prompt([{"role": "user", "content": text}], text, reference=reference)
    preferred = row.get("preferred_output", row.get("preferred_completion"))
    reference = text_of(preferred[-1]) if isinstance(preferred, list) and preferred else None
    asked = [{k: v for k, v in each.items() if k != "weight"} for each in messages if isinstance(each, dict)]
    while asked and asked[-1].get("role") == "assistant":
        reference = text_of(asked.pop())
    if not asked:
        return None
    options = {name: given[name] for name in _OPTIONS if given.get(name) is not None}
    return Prompt(asked, options=options, reference=reference)
