"""Plain English, greetings and tool calls.

The English text is the interpreter's own documentation (Python Software Foundation License). Nothing is
downloaded.
"""

import ast
import json
import random
import re
import sysconfig
from functools import cache
from pathlib import Path
from typing import Any

from cluster.bases.tiny.recipe.chat import Chat, exchange
from cluster.bases.tiny.recipe.heldout import RESERVED
from cluster.bases.tiny.recipe.records import random_schema
from cluster.bases.tiny.recipe.values import name_word
from cluster.bases.tiny.recipe.words import NOUNS, VERBS

OFFER = "Fine-tune me for one task and I will do it."
SMALL_TALK = {
    "Hello": "Hello! How can I help you?",
    "Hi": "Hello! How can I help you?",
    "Hi there!": "Hello! How can I help you?",
    "Good morning": "Good morning! How can I help you?",
    "Good evening": "Good evening! How can I help you?",
    "Thank you": "You are welcome.",
    "Thanks!": "You are welcome.",
    "How are you?": "I am well, thank you. How can I help you?",
    "Who are you?": f"I am a very small language model. {OFFER}",
    "What are you?": f"I am a very small language model. {OFFER}",
    "What can you do?": f"I can copy, sort and rewrite short texts. {OFFER}",
    "Goodbye": "Goodbye!",
    "Bye": "Goodbye!",
}


def continue_text(rng: random.Random) -> Chat:
    """Continue a paragraph."""
    words = rng.choice(paragraphs()).split(" ")
    start = rng.randrange(max(1, len(words) - 40))
    cut = start + rng.randint(5, 15)
    return exchange((f"Continue: {' '.join(words[start:cut])}", " ".join(words[cut : cut + 45])))


def small_talk(rng: random.Random) -> Chat:
    """Answer a greeting, or remember the user's name."""
    if rng.random() < 0.6:
        return exchange(rng.choice(list(SMALL_TALK.items())))
    name = name_word(rng)
    return exchange(
        (f"My name is {name}.", f"Nice to meet you, {name}!"), ("What is my name?", f"Your name is {name}.")
    )


def call_tool(rng: random.Random) -> Chat:
    """Call the only tool with arguments from the question. In half of the chats, answer with its result."""
    schema = random_schema(rng, 3)
    name = f"{rng.choice(VERBS)}_{rng.choice(NOUNS)}"
    properties = {key: {"type": "string"} for key in schema.kinds}
    function = {"name": name, "parameters": {"type": "object", "properties": properties}}
    fields = schema.draw(rng)
    request = f"Please {name.replace('_', ' ')} with " + ", ".join(
        f"{key} {value}" for key, value in fields.items()
    )
    call = {
        "type": "function",
        "function": {"name": name, "arguments": json.dumps(fields, ensure_ascii=False)},
    }
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": request},
        {"role": "assistant", "content": "", "tool_calls": [call]},
    ]
    if rng.random() < 0.5:
        result = name_word(rng)
        messages += [
            {"role": "tool", "content": result},
            {"role": "assistant", "content": f"The result is {result}."},
        ]
    return Chat(messages, 0, [{"type": "function", "function": function}])


@cache
def paragraphs() -> list[str]:
    """English paragraphs of the standard library's docstrings and reference topics, in a fixed order."""
    library = Path(sysconfig.get_paths()["stdlib"])
    found: dict[str, None] = {}
    for path in sorted(library.glob("*.py")) + sorted((library / "pydoc_data").glob("*.py")):
        for text in _texts(path):
            for block in re.split(r"\n\s*\n", text):
                paragraph = " ".join(block.split())
                if _is_english(paragraph):
                    found[paragraph] = None
    return list(found)


def _texts(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8", errors="ignore"))
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


def _is_english(paragraph: str) -> bool:
    letters = sum(character.isalpha() or character == " " for character in paragraph)
    words = re.findall(r"\w+", paragraph)
    return len(words) >= 25 and letters > 0.9 * len(paragraph) and RESERVED.isdisjoint(words)
