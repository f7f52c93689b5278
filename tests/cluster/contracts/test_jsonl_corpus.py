"""Files as people and broken programs write them, each with its verdict: the broken rules, by line."""

import bz2
import gzip
import io
import json
import lzma
import zipfile

import pytest

from cluster.contracts.jsonl import MAX_LINE_BYTES, check_jsonl

USER = {"role": "user", "content": "What is 2 + 2?"}
ASSISTANT = {"role": "assistant", "content": "4"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2, "b": 2}'}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "4"}
TOOL = {
    "type": "function",
    "function": {"name": "add", "description": "Adds.", "parameters": {"type": "object"}},
}
OLD_CALLING = {"role": "assistant", "content": None, "function_call": {"name": "add", "arguments": "{}"}}
OLD_RESULT = {"role": "function", "name": "add", "content": "4"}


def line(value: object) -> bytes:
    return json.dumps(value).encode()


def chat(*messages: object, **more: object) -> bytes:
    return line({"messages": list(messages), **more})


def nested(depth: int) -> bytes:
    """Returns a valid row in which the parameters of a tool, on the fifth level, go down to `depth`."""
    row = chat(USER, ASSISTANT, tools=[TOOL])
    return row.replace(b'{"type": "object"}', b'{"a":' * (depth - 4) + b"1" + b"}" * (depth - 4))


def called_with(arguments: str) -> bytes:
    """Returns a row with one call of a tool."""
    call = {**CALL, "function": {"name": "add", "arguments": arguments}}
    return chat(USER, {**CALLING, "tool_calls": [call]})


def padded(size: int) -> bytes:
    """Returns a valid row of exactly `size` bytes."""
    row = line({"prompt": "", "completion": "x"})
    return row[:-1] + b" " * (size - len(row)) + b"}"


GOOD = chat(USER, ASSISTANT)
COMPLETION = line({"prompt": "2 + 2 =", "completion": " 4"})
PREFERENCE = {
    "input": {"messages": [USER]},
    "preferred_output": [ASSISTANT],
    "non_preferred_output": [ASSISTANT],
}


def packed(name: str) -> bytes:
    """Returns a zip archive with one file of that name."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, b"\n".join([GOOD] * 50))
    return archive.getvalue()


def parquet() -> bytes:
    import pyarrow
    import pyarrow.parquet

    sink = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"prompt": ["a"], "completion": ["b"]}), sink)
    return sink.getvalue()


def turns(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"from": role, "value": text} for role, text in pairs]


# What SDKs dump of an answer, as rows hold it.
DUMPED = {
    **ASSISTANT,
    "annotations": [],
    "refusal": None,
    "audio": None,
    "function_call": None,
    "tool_calls": None,
}
PARSED = {
    **CALLING,
    "parsed": None,
    "tool_calls": [{**CALL, "function": {**CALL["function"], "parsed_arguments": {"a": 2}}}],  # type: ignore[dict-item]
}
PAIR = {"prompt": "2 + 2 =", "chosen": " 4", "rejected": " 5"}
TEXT = {"text": "refund me", "label": "billing"}
WORDS = {"tokens": ["Ada", "sang"], "labels": ["PER", "O"]}
FINE: list[tuple[int, str]] = []

FILES: dict[str, tuple[bytes, list[tuple[int, str]]]] = {
    # The file as text
    "plain": (GOOD + b"\n" + GOOD + b"\n", FINE),
    "no newline at the end": (GOOD + b"\n" + GOOD, FINE),
    "CRLF": (GOOD + b"\r\n" + GOOD + b"\r\n", FINE),
    "byte order mark": (b"\xef\xbb\xbf" + GOOD, FINE),
    "two byte order marks": (b"\xef\xbb\xbf\xef\xbb\xbf" + GOOD, [(1, "invalid_json")]),
    "byte order mark on line 2": (GOOD + b"\n\xef\xbb\xbf" + GOOD, [(2, "invalid_json")]),
    "blank lines at the end": (GOOD + b"\n\n  \r\n\t\n", FINE),
    "blank line in the middle": (GOOD + b"\n\n" + GOOD, [(2, "blank_line")]),
    "blank run in the middle is one problem": (GOOD + b"\n\n\n\n" + GOOD, [(2, "blank_line")]),
    "blank line at the beginning": (b"\n" + GOOD, [(1, "blank_line")]),
    "spaces around a row": (b"  " + GOOD + b" \t", FINE),
    "old Mac line ends": (GOOD + b"\r" + GOOD, [(1, "invalid_json")]),
    "nothing": (b"", [(0, "invalid_n_examples")]),
    "only a byte order mark": (b"\xef\xbb\xbf", [(0, "invalid_n_examples")]),
    "only blank lines": (b"\n\n\n", [(0, "invalid_n_examples")]),
    "UTF-16 little endian": ((GOOD.decode() + "\n").encode("utf-16"), [(1, "invalid_encoding")]),
    "UTF-16 big endian": (b"\xfe\xff" + GOOD.decode().encode("utf-16-be"), [(1, "invalid_encoding")]),
    "Latin-1": ('{"prompt": "é", "completion": "x"}'.encode("latin-1"), [(1, "invalid_encoding")]),
    "cut inside a character": ('{"prompt": "é'.encode()[:-1], [(1, "invalid_encoding")]),
    "encoded surrogate": (b'{"prompt": "\xed\xa0\x80", "completion": "x"}', [(1, "invalid_encoding")]),
    "emoji and Chinese": (line({"prompt": "你好", "completion": "🎉"}), FINE),
    "raw emoji and Chinese": ('{"prompt": "你好", "completion": "🎉"}'.encode(), FINE),
    "line separators in text": ('{"prompt": "a\u2028b\u0085c", "completion": "x"}'.encode(), FINE),
    "line of 1 MiB": (padded(MAX_LINE_BYTES) + b"\r\n" + COMPLETION, FINE),
    "line of 1 MiB after a byte order mark": (
        b"\xef\xbb\xbf" + padded(MAX_LINE_BYTES) + b"\r\n" + COMPLETION,
        FINE,
    ),
    "line of 1 MiB and a byte": (padded(MAX_LINE_BYTES + 1) + b"\n" + COMPLETION, [(1, "line_too_long")]),
    "line of 5 MiB, then a bad one": (
        padded(5 << 20) + b"\n{\n",
        [(1, "line_too_long"), (2, "invalid_json")],
    ),
    "line of 2 MiB of spaces": (b" " * (2 << 20) + COMPLETION, [(1, "line_too_long")]),
    "line of 5 MiB without an end": (COMPLETION + b"\n" + b"x" * (5 << 20), [(2, "line_too_long")]),
    # The line as JSON
    "truncated": (GOOD[:-2], [(1, "invalid_json")]),
    "two objects": (GOOD + GOOD, [(1, "invalid_json")]),
    "trailing comma": (b'{"prompt": "a", "completion": "b",}', [(1, "invalid_json")]),
    "single quotes": (b"{'prompt': 'a', 'completion': 'b'}", [(1, "invalid_json")]),
    "comment": (COMPLETION + b" // four", [(1, "invalid_json")]),
    "NaN": (b'{"prompt": NaN, "completion": "b"}', [(1, "invalid_json")]),
    "Infinity": (b'{"prompt": -Infinity, "completion": "b"}', [(1, "invalid_json")]),
    "1e999": (b'{"prompt": 1e999, "completion": "b"}', [(1, "invalid_json")]),
    "number of 5000 digits": (b'{"prompt": ' + b"1" * 5000 + b', "completion": "b"}', [(1, "invalid_json")]),
    "number of 200 digits": (b'{"prompt": ' + b"1" * 200 + b', "completion": "b"}', [(1, "invalid_value")]),
    "lone leading surrogate": (rb'{"prompt": "\ud800", "completion": "b"}', [(1, "invalid_json")]),
    "lone trailing surrogate": (rb'{"prompt": "\udc00", "completion": "b"}', [(1, "invalid_json")]),
    "surrogate pair": (rb'{"prompt": "\ud83c\udf89", "completion": "b"}', FINE),
    "raw NUL": (b'{"prompt": "\0", "completion": "b"}', [(1, "invalid_json")]),
    "escaped NUL": (rb'{"prompt": "\u0000", "completion": "b"}', [(1, "nul_character")]),
    "escaped NUL in a key": (rb'{"a\u0000": 1, "prompt": "a", "completion": "b"}', [(1, "nul_character")]),
    "backslash and u0000": (rb'{"prompt": "\\u0000", "completion": "b"}', FINE),
    "raw tab in a string": (b'{"prompt": "\t", "completion": "b"}', [(1, "invalid_json")]),
    "duplicate key": (b'{"prompt": "a", "prompt": "b", "completion": "c"}', [(1, "duplicate_key")]),
    "duplicate key, once escaped": (
        rb'{"prompt": "a", "\u0070rompt": "b", "completion": "c"}',
        [(1, "duplicate_key")],
    ),
    "duplicate key deep inside": (
        GOOD[:-1] + b', "tools": [{"a": {"b": 1, "b": 2}}]}',
        [(1, "duplicate_key")],
    ),
    "depth 64": (nested(64), FINE),
    "depth 65": (nested(65), [(1, "too_deep")]),
    "depth 2000": (b'{"messages":' * 2000 + b"1" + b"}" * 2000, [(1, "too_deep")]),
    "many brackets, little depth": (line({"prompt": "[{" * 500, "completion": "b"}), FINE),
    "array": (b"[" + GOOD + b"]", [(1, "not_an_object")]),
    "string": (b'"text"', [(1, "not_an_object")]),
    "null": (b"null", [(1, "not_an_object")]),
    # The row
    "unknown format": (line({"content": "hello"}), [(1, "unknown_format")]),
    "empty object": (b"{}", [(1, "unknown_format")]),
    "second line of another format": (GOOD + b"\n" + COMPLETION, [(2, "mixed_formats")]),
    "first good line decides the format": (
        b"{\n" + COMPLETION + b"\n" + GOOD,
        [(1, "invalid_json"), (3, "mixed_formats")],
    ),
    "messages not a list": (line({"messages": "hi"}), [(1, "invalid_value")]),
    "no messages": (chat(), [(1, "invalid_value")]),
    "message not an object": (chat("hi", ASSISTANT), [(1, "invalid_value")]),
    "unknown role": (chat({"role": "bot", "content": "x"}, ASSISTANT), [(1, "unknown_role")]),
    "role not a string": (chat({"role": ["user"], "content": "x"}, ASSISTANT), [(1, "unknown_role")]),
    "no role": (chat({"content": "x"}, ASSISTANT), [(1, "missing_role")]),
    "no content": (chat({"role": "user"}, ASSISTANT), [(1, "missing_content")]),
    "content null": (chat({"role": "user", "content": None}, ASSISTANT), [(1, "invalid_value")]),
    "content a number": (chat({"role": "user", "content": 4}, ASSISTANT), [(1, "invalid_value")]),
    "system and developer": (
        chat({"role": "system", "content": "x"}, {"role": "developer", "content": "y"}, USER, ASSISTANT),
        FINE,
    ),
    "text parts": (chat({"role": "user", "content": [{"type": "text", "text": "a"}]}, ASSISTANT), FINE),
    "no text parts": (chat({"role": "user", "content": []}, ASSISTANT), [(1, "empty_content")]),
    "image part": (
        chat({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}, ASSISTANT),
        [(1, "unsupported_content")],
    ),
    "text part from a table": (
        chat({"role": "user", "content": [{"type": "text", "text": "a", "image": None}]}, ASSISTANT),
        FINE,
    ),
    "image part from a table": (
        chat({"role": "user", "content": [{"type": "image", "text": None, "image": "x"}]}, ASSISTANT),
        [(1, "unsupported_content")],
    ),
    "text part without text": (
        chat({"role": "user", "content": [{"type": "text", "text": 1}]}, ASSISTANT),
        [(1, "unsupported_content")],
    ),
    "unknown key of a message": (chat({**USER, "timestamp": 1}, ASSISTANT), [(1, "unknown_key")]),
    "unknown key of a row": (chat(USER, ASSISTANT, tool=[]), [(1, "unknown_key")]),
    "name": (chat({**USER, "name": "ann"}, ASSISTANT), FINE),
    "no assistant": (chat(USER), [(1, "nothing_to_learn")]),
    "only an empty assistant": (chat(USER, {"role": "assistant", "content": ""}), [(1, "nothing_to_learn")]),
    "all weights 0": (chat(USER, {**ASSISTANT, "weight": 0}), [(1, "nothing_to_learn")]),
    "weights 0 and 1": (chat(USER, {**ASSISTANT, "weight": 0}, USER, {**ASSISTANT, "weight": 1}), FINE),
    "weight 0.5": (chat(USER, {**ASSISTANT, "weight": 0.5}), [(1, "invalid_value")]),
    "weight 2": (chat(USER, {**ASSISTANT, "weight": 2}), [(1, "invalid_value")]),
    "weight true": (chat(USER, {**ASSISTANT, "weight": True}), [(1, "invalid_value")]),
    "weight 1.0": (chat(USER, {**ASSISTANT, "weight": 1.0}), [(1, "invalid_value")]),
    "weight null": (chat(USER, {**ASSISTANT, "weight": None}), FINE),
    "every key null that may be absent": (
        chat(
            {**USER, "name": None},
            {**ASSISTANT, "name": None, "tool_calls": None, "weight": None, "newer_key": None},
            tools=None,
            functions=None,
            parallel_tool_calls=None,
        ),
        FINE,
    ),
    "dumped by an SDK": (chat(USER, DUMPED), FINE),
    "dumped by an SDK that parsed it": (chat(USER, PARSED, RESULT, DUMPED), FINE),
    "tool message with a name": (chat(USER, CALLING, {**RESULT, "name": "add"}, ASSISTANT), FINE),
    "reasoning_content": (chat(USER, {**ASSISTANT, "reasoning_content": "2 and 2"}), FINE),
    "reasoning": (chat(USER, {**ASSISTANT, "reasoning": "2 and 2"}), FINE),
    "reasoning a number": (chat(USER, {**ASSISTANT, "reasoning": 4}), [(1, "invalid_value")]),
    "refusal as the answer": (chat(USER, {"role": "assistant", "refusal": "No."}), FINE),
    "refusal part": (
        chat(USER, {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}),
        FINE,
    ),
    "refusal part of a user": (
        chat({"role": "user", "content": [{"type": "refusal", "refusal": "No."}]}, ASSISTANT),
        [(1, "unsupported_content")],
    ),
    "answer in sound": (
        chat(USER, {"role": "assistant", "content": None, "audio": {"id": "x"}}),
        [(1, "unknown_key")],
    ),
    "weight of a user": (chat({**USER, "weight": 1}, ASSISTANT), [(1, "unknown_key")]),
    "assistant without anything": (chat(USER, {"role": "assistant"}, ASSISTANT), [(1, "empty_assistant")]),
    "refusal null": (chat(USER, {**ASSISTANT, "refusal": None}), FINE),
    "tool call and result": (
        chat(USER, CALLING, RESULT, ASSISTANT, tools=[TOOL], parallel_tool_calls=False),
        FINE,
    ),
    "tool call as the last word": (chat(USER, CALLING, tools=[TOOL]), FINE),
    "result of no call": (chat(USER, RESULT, ASSISTANT), [(1, "unknown_tool_call")]),
    "result before its call": (chat(USER, RESULT, CALLING), [(1, "unknown_tool_call")]),
    "result without an id": (
        chat(USER, CALLING, {"role": "tool", "content": "4"}),
        [(1, "missing_tool_call_id")],
    ),
    "no tool calls in the list": (chat(USER, {**ASSISTANT, "tool_calls": []}), FINE),
    "no tool calls in the list, and no text": (
        chat(USER, {**CALLING, "tool_calls": []}),
        [(1, "empty_assistant")],
    ),
    "arguments not JSON": (
        chat(USER, {**CALLING, "tool_calls": [{**CALL, "function": {"name": "add", "arguments": "2, 2"}}]}),
        [(1, "invalid_arguments")],
    ),
    "arguments of depth 64": (called_with('{"a":' * 64 + "1" + "}" * 64), FINE),
    "arguments of depth 65": (called_with('{"a":' * 65 + "1" + "}" * 65), [(1, "invalid_arguments")]),
    "arguments not a string": (
        chat(USER, {**CALLING, "tool_calls": [{**CALL, "function": {"name": "add", "arguments": {}}}]}),
        [(1, "invalid_value")],
    ),
    "function name with a space": (
        chat(USER, ASSISTANT, tools=[{"type": "function", "function": {"name": "a b"}}]),
        [(1, "invalid_value")],
    ),
    "unknown tool type": (
        chat(USER, ASSISTANT, tools=[{**TOOL, "type": "retrieval"}]),
        [(1, "invalid_value")],
    ),
    "functions, the older spelling": (
        chat(USER, OLD_CALLING, OLD_RESULT, ASSISTANT, functions=[TOOL["function"]]),
        FINE,
    ),
    "tools and functions": (chat(USER, ASSISTANT, tools=[TOOL], functions=[]), [(1, "tools_and_functions")]),
    "function result of no call": (chat(USER, OLD_RESULT, ASSISTANT), [(1, "unknown_tool_call")]),
    "completion": (COMPLETION, FINE),
    "completion without prompt": (line({"completion": "x"}), [(1, "missing_prompt")]),
    "prompt without completion": (line({"prompt": "x"}), [(1, "missing_completion")]),
    "empty prompt": (line({"prompt": "", "completion": "x"}), FINE),
    "empty completion": (line({"prompt": "x", "completion": ""}), [(1, "invalid_value")]),
    "preference": (line(PREFERENCE), FINE),
    "preference, older spelling": (
        line(
            {
                "input": PREFERENCE["input"],
                "preferred_completion": [ASSISTANT],
                "non_preferred_completion": [ASSISTANT],
            }
        ),
        FINE,
    ),
    "preference without input": (
        line({key: PREFERENCE[key] for key in ("preferred_output", "non_preferred_output")}),
        [(1, "missing_input")],
    ),
    "preference without the worse answer": (
        line({**PREFERENCE, "non_preferred_output": []}),
        [(1, "invalid_value")],
    ),
    "preference with two answers": (
        line({**PREFERENCE, "preferred_output": [ASSISTANT, ASSISTANT]}),
        [(1, "invalid_value")],
    ),
    "preference with a user's answer": (
        line({**PREFERENCE, "preferred_output": [USER]}),
        [(1, "invalid_value")],
    ),
    "classification": (line(TEXT), FINE),
    "classification of two texts": (line({**TEXT, "text_pair": "no"}), FINE),
    "classification without a text": (line({"label": "billing"}), [(1, "missing_text")]),
    "classification without a label": (line({"text": "refund me"}), [(1, "missing_label")]),
    "classification of an empty text": (line({**TEXT, "text": ""}), [(1, "invalid_value")]),
    "empty text_pair": (line({**TEXT, "text_pair": ""}), [(1, "invalid_value")]),
    "label a number": (line({**TEXT, "label": 1}), [(1, "invalid_value")]),
    "label null": (line({**TEXT, "label": None}), [(1, "invalid_value")]),
    "label empty": (line({**TEXT, "label": ""}), [(1, "invalid_value")]),
    "label of 201 characters": (line({**TEXT, "label": "x" * 201}), [(1, "invalid_value")]),
    "unknown key of a classification": (line({**TEXT, "id": 4}), [(1, "unknown_key")]),
    "token classification": (line(WORDS), FINE),
    "token classification without labels": (line({"tokens": ["Ada"]}), [(1, "missing_labels")]),
    "token classification without tokens": (line({"labels": ["PER"]}), [(1, "missing_tokens")]),
    "no tokens": (line({"tokens": [], "labels": []}), [(1, "invalid_value")]),
    "empty token": (line({"tokens": ["Ada", ""], "labels": ["PER", "O"]}), [(1, "invalid_value")]),
    "tokens not a list": (line({**WORDS, "tokens": "Ada sang"}), [(1, "invalid_value")]),
    "token ids in place of labels": (line({**WORDS, "labels": [1, 0]}), [(1, "invalid_value")]),
    "fewer labels than tokens": (line({**WORDS, "labels": ["PER"]}), [(1, "unequal_lengths")]),
    "more labels than tokens": (line({**WORDS, "labels": ["PER", "O", "O"]}), [(1, "unequal_lengths")]),
    "texts and words in one file": (line(TEXT) + b"\n" + line(WORDS), [(2, "mixed_formats")]),
    "preference of older calls": (
        line(
            {
                **PREFERENCE,
                "preferred_output": [OLD_CALLING],
                "non_preferred_output": [{**ASSISTANT, "refusal": None}],
            }
        ),
        FINE,
    ),
    # Other formats: the whole file is one problem
    "UTF-16 without a mark": ((GOOD.decode() + "\n").encode("utf-16-le") * 2, [(1, "invalid_encoding")]),
    "UTF-16 without a mark, big endian": (GOOD.decode().encode("utf-16-be"), [(1, "invalid_encoding")]),
    "UTF-32": ((GOOD.decode() + "\n").encode("utf-32") * 2, [(1, "invalid_encoding")]),
    "UTF-32 without a mark": (GOOD.decode().encode("utf-32-le"), [(1, "invalid_encoding")]),
    "UTF-32 big endian without a mark": (GOOD.decode().encode("utf-32-be"), [(1, "invalid_encoding")]),
    "Latin-1 throughout": (
        '{"prompt": "é", "completion": "x"}\n'.encode("latin-1") * 3,
        [(1, "invalid_encoding")],
    ),
    "old Mac line ends throughout": ((GOOD + b"\r") * 9000, [(1, "invalid_json")]),
    "gzip": (gzip.compress(GOOD), [(1, "unknown_format")]),
    "bzip2": (bz2.compress(GOOD), [(1, "unknown_format")]),
    "xz": (lzma.compress(GOOD), [(1, "unknown_format")]),
    "zip": (packed("train.jsonl"), [(1, "unknown_format")]),
    "Excel": (packed("[Content_Types].xml"), [(1, "unknown_format")]),
    "Parquet": (parquet(), [(1, "unknown_format")]),
    "SQLite": (b"SQLite format 3\0" + b"\n\0" * 9, [(1, "unknown_format")]),
    "CSV": (b"prompt,completion\r\n2 + 2 =, 4\r\n", [(1, "unknown_format")]),
    "CSV with quotes": (b'"prompt","completion"\n"a, b","c\nd"\n', [(1, "unknown_format")]),
    "CSV after a byte order mark": (b"\xef\xbb\xbfprompt;completion\na;b\n", [(1, "unknown_format")]),
    "TSV": (b"prompt\tcompletion\n2 + 2 =\t4\n", [(1, "unknown_format")]),
    "array on one line": (b"[" + GOOD + b", " + GOOD + b"]", [(1, "not_an_object")]),
    "array of lines": (b"[\n" + GOOD + b",\n" + GOOD + b"\n]\n", [(1, "invalid_json")]),
    "array that begins on its line": (b"[" + GOOD + b",\n" + GOOD + b"]\n", [(1, "invalid_json")]),
    "pretty-printed array": (json.dumps([json.loads(GOOD)] * 2, indent=2).encode(), [(1, "invalid_json")]),
    "pretty-printed object": (json.dumps(json.loads(GOOD), indent=4).encode(), [(1, "invalid_json")]),
    "HTML": (b"<!doctype html>\n", [(1, "invalid_json")]),
    "Alpaca": (
        line({"instruction": "Add.", "input": "", "output": "4"}) + b"\n" + GOOD,
        [(1, "unknown_format")],
    ),
    "Alpaca without input": (line({"instruction": "Add 2 and 2.", "output": "4"}), [(1, "unknown_format")]),
    "Dolly": (line({"instruction": "a", "context": "", "response": "b"}), [(1, "unknown_format")]),
    "ShareGPT": (
        line({"conversations": turns(("human", "hi"), ("gpt", "ho"))}) + b"\n" + GOOD,
        [(1, "unknown_format")],
    ),
    "Gemini": (line({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}), [(1, "unknown_format")]),
    "TRL preference": (line(PAIR) + b"\n" + line(PAIR), [(1, "unknown_format")]),
    "TRL preference without prompt": (line({"chosen": [USER], "rejected": [USER]}), [(1, "unknown_format")]),
    "TRL unpaired preference": (
        line({"prompt": "a", "completion": "b", "label": True}),
        [(1, "unknown_format")],
    ),
    "prompt and response": (line({"prompt": "a", "response": "b"}), [(1, "unknown_format")]),
    "question and answer": (line({"question": "a", "answer": "b"}), [(1, "unknown_format")]),
    "input and output": (line({"input": "a", "output": "b"}), [(1, "unknown_format")]),
    "a foreign row among others": (
        GOOD + b"\n" + line(PAIR) + b"\n" + GOOD + b"\n" + line(PAIR),
        [(2, "unknown_format"), (4, "unknown_format")],
    ),
    "comment on its own line": (
        b"# rows\n" + GOOD + b"\n// more\n",
        [(1, "invalid_json"), (3, "invalid_json")],
    ),
    "comma after every row": (
        GOOD + b",\n" + GOOD + b",\n" + GOOD,
        [(1, "invalid_json"), (2, "invalid_json")],
    ),
    "every bad line is reported": (
        b"\n".join([GOOD, b"{", GOOD, b"[]", chat(USER)]),
        [(2, "invalid_json"), (4, "not_an_object"), (5, "nothing_to_learn")],
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_every_file_has_its_verdict(name: str) -> None:
    content, verdict = FILES[name]
    report = check_jsonl(io.BytesIO(content))
    assert [(problem.line, problem.code) for problem in report.problems] == verdict
    assert report.n_problems == len(verdict)
    for problem in report.problems:
        assert problem.line == 0 or problem.message.startswith(f"Line {problem.line}: ")
        assert len(problem.message) < 400


def test_corpus_is_as_large_as_promised() -> None:
    assert len(FILES) >= 60


SAID = {
    "UTF-16 without a mark": "The file is UTF-16 text; save it as UTF-8.",
    "UTF-16 little endian": "The file is UTF-16 text; save it as UTF-8.",
    "UTF-32": "The file is UTF-32 text; save it as UTF-8.",
    "Latin-1": "is 'é' in Latin-1 or Windows-1252; save the file as UTF-8.",
    "cut inside a character": "The line is not UTF-8: byte 0xc3 at byte 13; save the file as UTF-8.",
    "old Mac line ends": "The file is text whose lines end with CR alone; save it with LF or",
    "gzip": "The file is compressed with gzip; unpack it",
    "zip": "The file is a zip archive; unpack it",
    "Excel": "The file is an Excel workbook; write its rows as JSON",
    "Parquet": "The file is a Parquet table; write its rows as JSON Lines",
    "CSV": "The file is a CSV table; write its rows as JSON Lines",
    "TSV": "The file is a TSV table",
    "array on one line": "The file is one JSON array; write each of its objects on a line of its own.",
    "array of lines": "The file is one JSON array; write each row as one object on a line of its own.",
    "pretty-printed array": "The file is one JSON array;",
    "pretty-printed object": "The file is one JSON document over several lines; write each row as one object",
    "Alpaca": 'an Alpaca row (instruction, input, output); write it as {"messages":',
    "ShareGPT": 'a ShareGPT row (conversations); write it as {"messages":',
    "TRL preference": 'a TRL preference row (prompt, chosen, rejected); write it as {"input":',
    "prompt and response": "call response completion",
    "classification of plain text": 'to learn plain text, write {"prompt": ""',
    "comment": "has a comment after the object; JSON has none",
    "comment on its own line": "is a comment; JSON has none",
    "comma after every row": "ends with a comma; write one JSON object a line",
    "trailing comma": "has a comma before a closing bracket, which JSON does not allow",
    "single quotes": "write it with json.dumps",
    "two objects": "holds several objects; write each on a line of its own",
    "HTML": "as HTML and XML do",
}


@pytest.mark.parametrize("name", SAID)
def test_common_other_formats_are_named_in_one_sentence_with_what_to_do(name: str) -> None:
    content = FILES[name][0] if name in FILES else line({"text": "refund me"})
    problem = check_jsonl(io.BytesIO(content)).problems[0]
    assert SAID[name] in problem.message
    assert problem.message.count(". ") == 0
