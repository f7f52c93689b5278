"""Every refusal of a value says what was sent and what is allowed, in OpenAI's words."""

from typing import Any

import pytest
from starlette.testclient import TestClient

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

ASK = {"model": "base-1", "messages": [{"role": "user", "content": "hi"}]}
JOB = {"model": "base-1", "training_file": "file-1"}
LOOKS = "".join(f"(?=.*a{n})" for n in range(40))

CHATS: list[tuple[dict[str, Any], str, str, str]] = [
    (
        {"n": 200},
        "n",
        "integer_above_max_value",
        "Invalid 'n': integer above maximum value. Expected a value <= 128, but got 200 instead.",
    ),
    (
        {"presence_penalty": -2.5},
        "presence_penalty",
        "decimal_below_min_value",
        "Invalid 'presence_penalty': decimal below minimum value. Expected a value >= -2, but got -2.5 "
        "instead.",
    ),
    (
        {"max_completion_tokens": 1.5},
        "max_completion_tokens",
        "invalid_type",
        "Invalid type for 'max_completion_tokens': expected an integer, but got a decimal number instead.",
    ),
    (
        {"messages": []},
        "messages",
        "empty_array",
        "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array "
        "instead.",
    ),
    (
        {"messages": [{"role": "user", "content": 5}]},
        "messages[0].content",
        "invalid_type",
        "Invalid type for 'messages[0].content': expected a string or an array, but got an integer instead.",
    ),
    (
        {"messages": [{"role": "robot", "content": "x"}]},
        "messages[0].role",
        "invalid_value",
        "Invalid value for 'messages[0].role': 'robot'. Supported values are: 'developer', 'system', 'user', "
        "'assistant', 'tool', and 'function'.",
    ),
    (
        {"messages": [{"content": "x"}]},
        "messages[0].role",
        "missing_required_parameter",
        "Missing required parameter: 'messages[0].role'.",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        "messages[0].content[0].type",
        "invalid_value",
        "Invalid value for 'messages[0].content[0].type': 'image_url'. Supported values are: 'text'.",
    ),
    (
        {"stop": ["a"] * 5},
        "stop",
        "array_above_max_length",
        "Invalid 'stop': array too long. Expected an array with maximum length 4, but got an array with "
        "length 5 instead.",
    ),
    (
        {"stop": ""},
        "stop",
        "empty_string",
        "Invalid 'stop': empty string. Expected a string with minimum length 1, but got an empty string "
        "instead.",
    ),
    *(
        (
            {"stop": stop},
            param,
            "string_above_max_length",
            f"Invalid '{param}': string too long. Expected a string with maximum length 1024, but got a "
            "string with length 1025 instead.",
        )
        for stop, param in (("a" * 1025, "stop"), (["a" * 1024, "a" * 1025], "stop[1]"))
    ),
    (
        {"tool_choice": "any"},
        "tool_choice",
        "invalid_type",
        "Invalid type for 'tool_choice': expected 'none', 'auto', 'required', or an object, but got 'any' "
        "instead.",
    ),
    (
        {"response_format": {"type": None}},
        "response_format.type",
        "invalid_type",
        "Invalid type for 'response_format.type': expected 'text', 'json_object', or 'json_schema', but got "
        "null instead.",
    ),
    (
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": {"pattern": f"^{LOOKS}"}},
            }
        },
        "response_format.json_schema.schema",
        "invalid_value",
        "Invalid value for 'response_format.json_schema.schema': it has 40 look-aheads at the start of "
        "patterns that can apply to one text; 8 are allowed.",
    ),
    (
        {"metadata": {"k" * 65: "v"}},
        "metadata",
        "string_above_max_length",
        "Invalid 'metadata': property name too long. Expected a name with maximum length 64, but got a name "
        "with length 65 instead.",
    ),
    (
        {"metadata": {f"k{i}": "v" for i in range(17)}},
        "metadata",
        "object_above_max_properties",
        "Invalid 'metadata': too many properties. Expected an object with at most 16 properties, but got an "
        "object with 17 properties instead.",
    ),
    (
        {"tools": [{"type": "function", "function": {"name": "a b"}}]},
        "tools[0].function.name",
        "invalid_value",
        "Invalid 'tools[0].function.name': string does not match pattern. Expected a string that matches the "
        "pattern '^[A-Za-z0-9_-]{1,64}$', but got 'a b' instead.",
    ),
]

JOBS: list[tuple[dict[str, Any], str, str, str]] = [
    (
        {"hyperparameters": {"n_epochs": 51}},
        "hyperparameters.n_epochs",
        "integer_above_max_value",
        "Invalid 'hyperparameters.n_epochs': integer above maximum value. Expected a value <= 50, but got 51 "
        "instead.",
    ),
    (
        {"hyperparameters": {"n_epochs": "many"}},
        "hyperparameters.n_epochs",
        "invalid_type",
        "Invalid type for 'hyperparameters.n_epochs': expected 'auto' or an integer, but got 'many' instead.",
    ),
    (
        {"method": {"type": "x" * 100}},
        "method.type",
        "invalid_value",
        f"Invalid value for 'method.type': '{'x' * 64}…'. Supported values are: 'supervised', 'dpo', and "
        "'reinforcement'.",
    ),
]

QUERIES = [
    (
        "limit=0",
        "integer_below_min_value",
        "Invalid 'limit': integer below minimum value. Expected a value >= 1, but got 0 instead.",
    ),
    (
        "limit=many",
        "invalid_value",
        "Invalid value for 'limit': expected a whole number, but got 'many' instead.",
    ),
    (
        "order=up",
        "invalid_value",
        "Invalid value for 'order': 'up'. Supported values are: 'asc' and 'desc'.",
    ),
]


def test_a_chat_is_refused_in_openais_words(http: TestClient, subtests: pytest.Subtests) -> None:
    for changes, *expected in CHATS:
        with subtests.test(changes=changes):
            error = http.post("/v1/chat/completions", json=ASK | changes).json()["error"]
            assert [error["param"], error["code"], error["message"]] == expected


def test_a_job_is_refused_in_openais_words(http: TestClient, subtests: pytest.Subtests) -> None:
    for changes, *expected in JOBS:
        with subtests.test(changes=changes):
            error = http.post("/v1/fine_tuning/jobs", json=JOB | changes).json()["error"]
            assert [error["param"], error["code"], error["message"]] == expected


def test_a_query_is_refused_in_openais_words(http: TestClient, subtests: pytest.Subtests) -> None:
    for query, *expected in QUERIES:
        with subtests.test(query=query):
            error = http.get(f"/v1/files?{query}").json()["error"]
            assert [error["code"], error["message"]] == expected


def test_a_text_in_place_of_a_file_is_refused_as_one(http: TestClient) -> None:
    error = http.post("/v1/files", data={"purpose": "fine-tune", "file": "abc"}).json()["error"]
    assert error["param"] == "file"
    assert error["message"] == (
        "Invalid type for 'file': expected a file, but got a text field of the form instead."
    )
