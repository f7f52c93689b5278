"""The formats that can be converted: how their keys identify them, and how their records are converted."""

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from service.cli.files.conversion.messages import (
    Message,
    NotConvertible,
    answer,
    as_messages,
    dialogue,
    read_list,
    role_name,
)

Row = dict[str, Any]
_ROW_KEYS = ("tools", "functions", "parallel_tool_calls")


class Format(NamedTuple):
    name: str
    keys: tuple[frozenset[str], ...]
    """A record is of this format if it has all keys of one of these sets."""
    convert: Callable[[Row], Row]
    """Raises NotConvertible."""


def recognize(record: Mapping[str, Any]) -> Format | None:
    """The first format whose keys the record has. Keys without a value do not count."""
    there = {key for key, value in record.items() if value is not None}
    return next((one for one in FORMATS.values() if any(keys <= there for keys in one.keys)), None)


def _keys(*alternatives: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(one.split()) for one in alternatives)


def _sharegpt(record: Row) -> Row:
    given = read_list(record.get("conversations") or record.get("conversation"))
    turns = as_messages(given)
    _check_roles(given, turns)
    if {"chosen", "rejected"} <= record.keys():
        return _preference(_system(record) + turns, answer(record["chosen"]), answer(record["rejected"]))
    return _chat(record, _system(record) + turns)


def _check_roles(given: Any, turns: list[Message]) -> None:
    """Checks that the roles are not exchanged: the model would then learn to ask. A conversation that lacks
    only its end begins with the user, and one that lacks only its beginning ends with the assistant."""
    spoken = [place for place, turn in enumerate(turns) if turn["role"] not in ("system", "developer")]
    if not spoken or (turns[spoken[0]]["role"], turns[spoken[-1]]["role"]) != ("assistant", "user"):
        return
    first, last = (json.dumps(role_name(given[spoken[place]])) for place in (0, -1))
    raise NotConvertible(
        f"begins with the role {first}, which answers, and ends with {last}, which asks: its roles are "
        "reversed, or its last answer is missing"
    )


def _alpaca(record: Row) -> Row:
    context = _text(record, "input", "context")
    asked = _text(record, "instruction")
    history: list[Message] = []
    for pair in record.get("history") or ():
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise NotConvertible("has a history that is not of pairs")
        history += [{"role": "user", "content": pair[0]}, {"role": "assistant", "content": pair[1]}]
    prompt = [*_system(record), *history, _user(f"{asked}\n\n{context}" if context else asked)]
    if {"chosen", "rejected"} <= record.keys():
        return _preference(prompt, answer(record["chosen"]), answer(record["rejected"]))
    return _chat(record, prompt + answer(_text(record, "output", "response")))


def _trl_preference(record: Row) -> Row:
    better, worse = _turns(record["chosen"]), _turns(record["rejected"])
    asked = next((record[key] for key in ("prompt", "question", "input") if record.get(key)), None)
    if asked is None:
        prompt = _shared(better, worse)
    else:
        prompt = (isinstance(asked, str) and dialogue(asked)) or as_messages(asked)
    return _preference(_system(record) + prompt, _after(prompt, better), _after(prompt, worse))


def _prompt_and_completion(record: Row) -> Row:
    # TRL's unpaired preferences have good and bad answers.
    if str(record.get("label")).strip().lower() in ("false", "0"):
        raise NotConvertible("has an answer with the label false, which is one to avoid, not to learn")
    asked, said = (
        next(record[key] for key in keys if record.get(key) is not None)
        for keys in (("prompt",), ("completion", "response"))
    )
    said = answer(said.removeprefix(" ") if isinstance(said, str) else said)
    return _chat(record, _system(record) + as_messages(asked) + said)


def _question_and_answer(record: Row) -> Row:
    lower = {key.strip().lower(): value for key, value in record.items()}
    for asked, said in _QUESTIONS:
        if lower.get(asked) is not None and lower.get(said) is not None:
            answers = lower[said]
            # The format of SQuAD.
            if isinstance(answers, dict) and isinstance(answers.get("text"), list):
                answers = answers["text"][0] if answers["text"] else ""
            context = lower.get("context")
            prompt = f"{context}\n\n{lower[asked]}" if isinstance(context, str) and context else lower[asked]
            return _chat(lower, [*_system(lower), *as_messages(prompt), *answer(answers)])
    raise NotConvertible("has no question with an answer")


def _gemini(record: Row) -> Row:
    turns = [{"role": one.get("role", "user"), "content": _parts(one)} for one in record["contents"]]
    instruction = record.get("systemInstruction") or record.get("system_instruction")
    system = [{"role": "system", "content": _parts(instruction)}] if instruction else []
    return _chat(record, system + as_messages(turns))


def _openai_chat(record: Row) -> Row:
    return _chat(record, _system(record) + as_messages(record["messages"]))


def _openai_preference(record: Row) -> Row:
    preferred, other = (
        next(record[key] for key in keys if record.get(key) is not None)
        for keys in (
            ("preferred_output", "preferred_completion"),
            ("non_preferred_output", "non_preferred_completion"),
        )
    )
    return _preference(
        as_messages(record["input"]["messages"]), answer(preferred), answer(other), record["input"]
    )


def _plain_text(record: Row) -> Row:
    turns = dialogue(record["text"])
    return _chat(record, turns) if turns else {"prompt": "", "completion": record["text"]}


def _classification(record: Row) -> Row:
    pair = {"text_pair": record["text_pair"]} if record.get("text_pair") else {}
    return {"text": record["text"], **pair, "label": str(record["label"])}


_QUESTIONS = (
    ("question", "answer"), ("question", "answers"), ("question", "response"), ("query", "response"),
    ("query", "answer"), ("instruction", "response"), ("input", "output"), ("user", "assistant"),
    ("human", "assistant"), ("source", "target"),
)  # fmt: skip

FORMATS = {
    one.name: one
    for one in (
        Format("sharegpt", _keys("conversations", "conversation"), _sharegpt),
        Format(
            "openai-preference",
            _keys(
                "input preferred_output non_preferred_output",
                "input preferred_completion non_preferred_completion",
            ),
            _openai_preference,
        ),
        Format("alpaca", _keys("instruction output", "instruction response", "instruction chosen"), _alpaca),
        Format("trl-preference", _keys("chosen rejected"), _trl_preference),
        Format("chat", _keys("messages"), _openai_chat),
        Format("prompt-completion", _keys("prompt completion", "prompt response"), _prompt_and_completion),
        Format("gemini", _keys("contents"), _gemini),
        Format("classification", _keys("text label"), _classification),
        Format("question-answer", _keys(*map(" ".join, _QUESTIONS)), _question_and_answer),
        Format("text", _keys("text"), _plain_text),
    )
}
"""Formats by name, in the order in which they are tried."""


def _chat(record: Row, messages: list[Message]) -> Row:
    row: Row = {"messages": messages}
    for key in _ROW_KEYS:
        if record.get(key):
            value = record[key]
            row[key] = json.loads(value) if isinstance(value, str) else value
    return row


def _preference(
    prompt: list[Message], better: list[Message], worse: list[Message], conversation: Row | None = None
) -> Row:
    if not prompt:
        raise NotConvertible("has no prompt that both answers share")
    if len(better) != 1 or len(worse) != 1:
        raise NotConvertible("has an answer of several messages")
    source = _chat(conversation or {}, prompt)
    return {"input": source, "preferred_output": better, "non_preferred_output": worse}


def _turns(given: Any) -> list[Message]:
    return (isinstance(given, str) and dialogue(given)) or answer(given)


def _shared(one: list[Message], other: list[Message]) -> list[Message]:
    """The messages with which both begin, except the last message of the shorter one."""
    length = 0
    while length < min(len(one), len(other)) - 1 and one[length] == other[length]:
        length += 1
    return one[:length]


def _after(prompt: list[Message], turns: list[Message]) -> list[Message]:
    """Removes the prompt, which some data sets repeat in both answers."""
    return turns[len(prompt) :] if turns[: len(prompt)] == prompt else turns


def _system(record: Row) -> list[Message]:
    text = next((record[key] for key in ("system", "system_prompt") if record.get(key)), None)
    return [{"role": "system", "content": text}] if isinstance(text, str) else []


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


def _text(record: Row, *keys: str) -> str:
    value = next((record[key] for key in keys if record.get(key) is not None), "")
    if not isinstance(value, str):
        raise NotConvertible(f"has a value of {keys[0]} that is not text")
    return value


def _parts(turn: Row) -> str:
    return "".join(part["text"] for part in turn["parts"] if isinstance(part.get("text"), str))
