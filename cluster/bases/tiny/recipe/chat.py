"""A training conversation: messages, available tools, and the answers that count in the loss."""

from dataclasses import dataclass, field
from typing import Any

Message = dict[str, Any]


@dataclass(frozen=True)
class Chat:
    """Messages in OpenAI's format. Answers before index `learned_from` do not count in the loss."""

    messages: list[Message]
    learned_from: int = 0
    tools: list[dict[str, Any]] = field(default_factory=list)


def exchange(*turns: tuple[str, str], system: str = "", learned_from_turn: int = 0) -> Chat:
    """Makes a chat from (question, answer) pairs, with an optional system message."""
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    offset = len(messages)
    for question, answer in turns:
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return Chat(messages, offset + 2 * learned_from_turn)
