"""Types are strict, like OpenAI's: a value of the wrong type is refused, and the message names the
parameter."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from service.api.state import AppState
from tests.api import add_encoder, jsonl

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

ASK = [{"role": "user", "content": "hi"}]
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}

COMPLETIONS: list[tuple[dict[str, Any], str]] = [
    ({"max_tokens": "5"}, "max_tokens"),
    ({"max_tokens": 5.0}, "max_tokens"),
    ({"max_tokens": True}, "max_tokens"),
    ({"stream": "false"}, "stream"),
    ({"stream": 0}, "stream"),
    ({"echo": 1}, "echo"),
    ({"logprobs": True}, "logprobs"),
    ({"n": "1"}, "n"),
    ({"best_of": True}, "best_of"),
    ({"temperature": "0.5"}, "temperature"),
    ({"temperature": True}, "temperature"),
    ({"top_p": False}, "top_p"),
    ({"seed": "1"}, "seed"),
    ({"seed": 1.0}, "seed"),
    ({"user": 5}, "user"),
    ({"prompt": True}, "prompt"),
    ({"prompt": [True]}, "prompt[0]"),
    ({"prompt": [1.0]}, "prompt[0]"),
    ({"prompt": [[True]]}, "prompt[0][0]"),
    ({"prompt": [1, "a"]}, "prompt[0]"),
    ({"stop": [1]}, "stop[0]"),
    ({"top_k": 5.0}, "top_k"),
    ({"min_p": "0.1"}, "min_p"),
    ({"repetition_penalty": True}, "repetition_penalty"),
    ({"min_tokens": "1"}, "min_tokens"),
    ({"stop_token_ids": [True]}, "stop_token_ids[0]"),
    ({"stop_token_ids": 5}, "stop_token_ids"),
    ({"ignore_eos": 1}, "ignore_eos"),
    ({"logit_bias": {"5": "1"}}, "logit_bias.5"),
    ({"logit_bias": {"five": 1}}, "logit_bias.five"),
    ({"logit_bias": {"5.0": 1}}, "logit_bias.5.0"),
    ({"logit_bias": {"5": True}}, "logit_bias.5"),
    ({"stream": True, "stream_options": {"include_usage": "yes"}}, "stream_options.include_usage"),
]

RESPONSES: list[tuple[dict[str, Any], str]] = [
    ({"input": 5}, "input"),
    ({"input": [5]}, "input[0]"),
    ({"input": [{"role": "user", "content": 5}]}, "input[0].content"),
    ({"input": [{"role": "robot", "content": "x"}]}, "input[0].role"),
    ({"input": [{"type": 5, "role": "user", "content": "x"}]}, "input[0]"),
    (
        {"input": [{"type": "function_call", "call_id": 1, "name": "f", "arguments": "{}"}]},
        "input[0].call_id",
    ),
    ({"instructions": ["x"]}, "instructions"),
    ({"max_output_tokens": "5"}, "max_output_tokens"),
    ({"store": 1}, "store"),
    ({"background": "no"}, "background"),
    ({"truncation": 5}, "truncation"),
    ({"stream": 1}, "stream"),
    ({"include": "message.output_text.logprobs"}, "include"),
    ({"metadata": {"k": 1}}, "metadata.k"),
    ({"reasoning": "low"}, "reasoning"),
    ({"tools": [{"type": "function", "name": "a b"}]}, "tools[0].name"),
    ({"tools": [5]}, "tools[0]"),
    ({"text": {"format": "text"}}, "text.format"),
    ({"top_k": "5"}, "top_k"),
]

CHAT: list[tuple[dict[str, Any], str]] = [
    ({"max_completion_tokens": "5"}, "max_completion_tokens"),
    ({"max_tokens": 1, "max_completion_tokens": 1}, "max_tokens"),
    ({"chat_template_kwargs": {"a": 1}}, "chat_template_kwargs.a"),
    ({"chat_template_kwargs": "a"}, "chat_template_kwargs"),
    ({"continue_final_message": "true"}, "continue_final_message"),
    ({"add_generation_prompt": 0}, "add_generation_prompt"),
    ({"logprobs": 1}, "logprobs"),
    ({"logprobs": "true"}, "logprobs"),
    ({"logprobs": True, "top_logprobs": True}, "top_logprobs"),
    ({"parallel_tool_calls": "false"}, "parallel_tool_calls"),
    ({"store": 1}, "store"),
    ({"metadata": {"k": 1}}, "metadata.k"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": True}]}, "messages[0].content"),
    ({"messages": [*ASK, {"role": "tool", "tool_call_id": "c", "content": "x"}]}, "messages[1].role"),
    (
        {
            "messages": [
                *ASK,
                {"role": "assistant", "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "d", "content": "x"},
            ]
        },
        "messages[2].role",
    ),
    (
        {
            "messages": [
                {"role": "tool", "tool_call_id": "c", "content": "x"},
                {"role": "assistant", "tool_calls": [CALL]},
            ]
        },
        "messages[0].role",
    ),
    (
        {"tools": [{"type": "function", "function": {"name": "f", "strict": "yes"}}]},
        "tools[0].function.strict",
    ),
]

EMBEDDINGS: list[tuple[dict[str, Any], str]] = [
    ({"input": [True]}, "input[0]"),
    ({"input": [1.0]}, "input[0]"),
    ({"input": [["1"]]}, "input[0][0]"),
    ({"dimensions": "2"}, "dimensions"),
    ({"dimensions": True}, "dimensions"),
    ({"user": 5}, "user"),
]

CLASSIFICATIONS: list[tuple[dict[str, Any], str]] = [
    ({"input": 5}, "input"),
    ({"input": [True]}, "input[0]"),
    ({"input": [{"text": 1, "text_pair": "b"}]}, "input[0].text"),
]

JOBS: list[tuple[dict[str, Any], str]] = [
    ({"seed": "7"}, "seed"),
    ({"seed": True}, "seed"),
    ({"suffix": 5}, "suffix"),
    ({"hyperparameters": {"n_epochs": "3"}}, "hyperparameters.n_epochs"),
    ({"hyperparameters": {"n_epochs": True}}, "hyperparameters.n_epochs"),
    ({"hyperparameters": {"n_epochs": 3.0}}, "hyperparameters.n_epochs"),
    ({"hyperparameters": {"batch_size": "8"}}, "hyperparameters.batch_size"),
    (
        {"hyperparameters": {"learning_rate_multiplier": "0.5"}},
        "hyperparameters.learning_rate_multiplier",
    ),
    ({"hyperparameters": {"learning_rate_multiplier": True}}, "hyperparameters.learning_rate_multiplier"),
    ({"training": {"r": "8"}}, "training.r"),
    ({"training": {"r": True}}, "training.r"),
    ({"training": {"alpha": "8"}}, "training.alpha"),
    ({"training": {"packing": "no"}}, "training.packing"),
    ({"training": {"compile": 1}}, "training.compile"),
    ({"training": {"target_modules": [1]}}, "training.target_modules[0]"),
    ({"training": {"early_stopping": {"patience": "2"}}}, "training.early_stopping.patience"),
    ({"training": {"max_regression": "0.5"}}, "training.max_regression"),
    ({"training": {"validation_split": True}}, "training.validation_split"),
]

QUERIES = [
    ("/v1/files", "limit=5.0", "limit"),
    ("/v1/files", "limit=1_0", "limit"),
    ("/v1/files", "limit=%205", "limit"),
    ("/v1/files", "limit=true", "limit"),
    ("/v1/fine_tuning/jobs", "limit=+5", "limit"),
    ("/v1/fine_tuning/jobs/{job}/checkpoints", "limit=5e0", "limit"),
    ("/v1/fine_tuning/jobs/{job}/events", "limit=5.0", "limit"),
    ("/v1/fine_tuning/jobs/{job}/events", "stream=yes", "stream"),
    ("/v1/fine_tuning/jobs/{job}/events", "stream=1", "stream"),
    ("/v1/usage", "start=0", "start"),
    ("/v1/usage", "end=2026-01-01T00:00:00", "end"),
]


@pytest.fixture
def file(http: TestClient) -> str:
    form: Any = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
    return str(http.post("/v1/files", **form).json()["id"])


def check(http: TestClient, path: str, body: dict[str, Any], wrong: list[tuple[dict[str, Any], str]]) -> None:
    good = http.post(path, json=body)
    assert good.status_code == 200, good.text
    for changes, param in wrong:
        answer = http.post(path, json=body | changes)
        assert answer.status_code == 400, (changes, answer.text)
        assert answer.json()["error"]["param"] == param, (changes, answer.text)
        assert param.partition(".role")[0] in answer.json()["error"]["message"]


def test_completions_take_no_value_of_another_type(http: TestClient) -> None:
    check(http, "/v1/completions", {"model": "base-1", "prompt": "x"}, COMPLETIONS)


def test_chat_completions_take_no_value_of_another_type(http: TestClient) -> None:
    check(http, "/v1/chat/completions", {"model": "base-1", "messages": ASK}, CHAT)


def test_responses_take_no_value_of_another_type(http: TestClient) -> None:
    check(http, "/v1/responses", {"model": "base-1", "input": "x"}, RESPONSES)


def test_embeddings_take_no_value_of_another_type(http: TestClient, state: AppState) -> None:
    check(http, "/v1/embeddings", {"model": add_encoder(state), "input": "x"}, EMBEDDINGS)


def test_classifications_take_no_value_of_another_type(http: TestClient, state: AppState) -> None:
    body = {"model": add_encoder(state), "input": "x"}
    for changes, param in CLASSIFICATIONS:
        answer = http.post("/v1/classifications", json=body | changes)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param), answer.text


def test_jobs_take_no_value_of_another_type(http: TestClient, file: str) -> None:
    check(http, "/v1/fine_tuning/jobs", {"model": "base-1", "training_file": file}, JOBS)


def test_queries_take_no_value_of_another_type(http: TestClient, file: str) -> None:
    job = http.post("/v1/fine_tuning/jobs", json={"model": "base-1", "training_file": file}).json()["id"]
    for path, query, param in QUERIES:
        answer = http.get(f"{path.format(job=job)}?{query}")
        assert answer.status_code == 400, (query, answer.text)
        assert answer.json()["error"]["param"] == param


def test_an_uploads_form_takes_no_value_of_another_type(http: TestClient) -> None:
    for seconds in ("3600.0", "3_600", " 3600", "1e4", "true"):
        form: Any = {
            "files": {"file": ("a.jsonl", jsonl())},
            "data": {
                "purpose": "fine-tune",
                "expires_after[anchor]": "created_at",
                "expires_after[seconds]": seconds,
            },
        }
        answer = http.post("/v1/files", **form)
        assert answer.status_code == 400, (seconds, answer.text)
        assert answer.json()["error"]["param"] == "expires_after[seconds]"


def test_two_names_of_one_limit_are_refused_as_openai_does(http: TestClient) -> None:
    body = {"model": "base-1", "messages": ASK, "max_tokens": 5, "max_completion_tokens": 5}
    error = http.post("/v1/chat/completions", json=body).json()["error"]
    assert (error["param"], error["code"]) == ("max_tokens", "invalid_parameter_combination")
    body["max_tokens"] = None
    assert http.post("/v1/chat/completions", json=body).status_code == 200
