"""Calls of tools and their results in files that leave out what is clear: ids, types, arguments as a text."""

import json
from collections.abc import Sequence
from itertools import groupby
from typing import Any

Message = dict[str, Any]
Call = dict[str, Any]


def stringify_arguments(function: dict[str, Any]) -> bool:
    """Writes arguments that are an object as JSON. Returns whether they were one."""
    if not isinstance(function.get("arguments"), dict):
        return False
    function["arguments"] = json.dumps(function["arguments"], ensure_ascii=False)
    return True


def add_ids(messages: Sequence[Any]) -> bool:
    """Gives ids to calls that have none, and to their results, which follow them: in the calls' order if all
    of them have a result, otherwise by the names of their functions. What could belong to several calls is
    left as it is. Returns whether anything was changed."""
    is_changed = False
    calls: list[Call] = []
    for is_result, group in groupby(enumerate(messages), lambda place: _is_result(place[1])):
        if not is_result:
            calls = []
            for place, message in group:
                found = _calls(message)
                # Calls of several messages in a row are answered together.
                calls = [*calls, *found] if found else []
                is_changed |= _number(found, place)
        else:
            is_changed |= _link([message for _, message in group], calls)
            calls = []
    return is_changed


def _is_result(message: Any) -> bool:
    return isinstance(message, dict) and message.get("role") == "tool"


def _calls(message: Any) -> list[Call]:
    calls = message.get("tool_calls") if isinstance(message, dict) else None
    return [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []


def _number(calls: Sequence[Call], place: int) -> bool:
    is_changed = False
    for number, call in enumerate(calls):
        if call.get("id") is None:
            call["id"] = f"call_{place}_{number}" if len(calls) > 1 else f"call_{place}"
            is_changed = True
    return is_changed


def _link(results: Sequence[Message], calls: Sequence[Call]) -> bool:
    answered = [result.get("tool_call_id") for result in results]
    open_calls = [call for call in calls if call["id"] not in answered]
    open_results = [result for result in results if result.get("tool_call_id") is None]
    pairs = _in_order(open_results, open_calls) or _by_name(open_results, open_calls)
    for result, call in pairs:
        result["tool_call_id"] = call["id"]
    return bool(pairs)


def _in_order(results: Sequence[Message], calls: Sequence[Call]) -> list[tuple[Message, Call]]:
    if len(results) != len(calls):
        return []
    pairs = list(zip(results, calls, strict=True))
    return pairs if all(result.get("name") in (None, _name(call)) for result, call in pairs) else []


def _by_name(results: Sequence[Message], calls: Sequence[Call]) -> list[tuple[Message, Call]]:
    names, given = [_name(call) for call in calls], [result.get("name") for result in results]
    is_clear = all(name is not None and names.count(name) == given.count(name) == 1 for name in given)
    return [(result, calls[names.index(result["name"])]) for result in results] if is_clear else []


def _name(call: Call) -> Any:
    function = call.get("function")
    return function.get("name") if isinstance(function, dict) else None
