"""Makes the general set of `cluster.bases.general`: a few chats of every pre-training family.

The chats are drawn separately from those of pre-training.

    python -m cluster.bases.tiny.recipe.general
"""

import json
import random
from itertools import cycle, islice
from typing import Any

from cluster.bases.general import GENERAL_SET
from cluster.bases.tiny.recipe import language
from cluster.bases.tiny.recipe.chat import Chat
from cluster.bases.tiny.recipe.tasks import MIX, Family

N_ROWS = 64
LONGEST = 400
"""Maximum number of characters in the text of a row."""
FAMILIES: tuple[Family, ...] = tuple(family for family in MIX if family is not language.continue_text)
"""All families except the one that uses the interpreter's documentation, which differs between versions."""


def general_rows() -> list[dict[str, Any]]:
    """`N_ROWS` chat rows, which cycle through the families. Always the same."""
    rng = random.Random("general")
    return [_row(_short_chat(family, rng)) for family in islice(cycle(FAMILIES), N_ROWS)]


def _short_chat(family: Family, rng: random.Random) -> Chat:
    while True:
        chat = family(rng)
        if sum(len(message["content"]) for message in chat.messages) + len(json.dumps(chat.tools)) <= LONGEST:
            return chat


def _row(chat: Chat) -> dict[str, Any]:
    messages = [_message(chat, index) for index in range(len(chat.messages))]
    return {"messages": messages, "tools": chat.tools} if chat.tools else {"messages": messages}


def _message(chat: Chat, index: int) -> dict[str, Any]:
    """A message as in a training file: tool calls have ids, and answers that do not count have weight 0."""
    message = dict(chat.messages[index])
    if "tool_calls" in message:
        (call,) = message["tool_calls"]
        message["tool_calls"] = [{"id": f"call_{index}", **call}]
    if message["role"] == "tool":
        message["tool_call_id"] = f"call_{index - 1}"
    if message["role"] == "assistant" and index < chat.learned_from:
        message["weight"] = 0
    return message


def write_general_set() -> None:
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in general_rows()]
    GENERAL_SET.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    write_general_set()
