"""No input makes the server fail."""

import copy
import math
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts
from pydantic import TypeAdapter, ValidationError
from starlette.testclient import TestClient

from service.api.app import create_app
from service.api.http.strict_json import StrictJsonRoute
from service.api.schemas.chat import ChatCompletionBody
from service.api.state import AppState
from tests.api import ENCODER, add_encoder, add_tuned_model, jsonl, preferences
from tests.databases import on_both_databases
from tests.tiers import sampled

pytestmark = pytest.mark.slow

WEIRD: list[Any] = [
    None,
    "",
    "x" * 5_000,
    "\x7f\u202e\U0001f600\ufffe'; DROP TABLE jobs; --",
    True,
    -1,
    2**63,
    1e308,
    [],
    [None],
    {"": {"": []}},
    ["x"] * 200,
]

JOB: dict[str, Any] = {
    "model": "base-1",
    "training_file": "{file}",
    "validation_file": "{file}",
    "suffix": "s",
    "seed": 1,
    "method": {
        "type": "supervised",
        "supervised": {"hyperparameters": {"n_epochs": 1, "batch_size": 4, "learning_rate_multiplier": 1.0}},
    },
    "metadata": {"k": "v"},
    "integrations": [],
    "training": {
        "type": "lora",
        "r": 8,
        "target_modules": ["q_proj"],
        "early_stopping": {"patience": 2, "min_delta": 0.5},
        "general_file": "{file}",
        "max_regression": 0.5,
    },
}
DPO: dict[str, Any] = {
    "model": "base-1",
    "training_file": "{file}",
    "method": {"type": "dpo", "dpo": {"hyperparameters": {"n_epochs": 1, "beta": 0.5}}},
    "training": {"validation_split": 0.25, "early_stopping": {"patience": 1}, "use_rslora": True},
}
CONTINUED: dict[str, Any] = {
    "model": "base-1",
    "training_file": "{file}",
    "training": {"from_checkpoint": "{model}", "restore_optimizer": True},
}
PEFT_CONFIGS: list[dict[str, Any]] = [
    {
        "peft_type": "PREFIX_TUNING",
        "num_virtual_tokens": 4,
        "prefix_projection": True,
        "encoder_hidden_size": 64,
    },
    {
        "peft_type": "LOHA",
        "r": 4,
        "alpha": 8,
        "target_modules": ["q_proj"],
        "rank_pattern": {"q_proj": 2},
        "layers_to_transform": [0, 1],
    },
]
COMPLETION: dict[str, Any] = {
    "model": "base-1",
    "prompt": ["a"],
    "max_tokens": 3,
    "temperature": 0.5,
    "top_p": 0.5,
    "n": 1,
    "logprobs": 1,
    "echo": True,
    "stop": ["x"],
    "logit_bias": {"1": 2},
    "top_k": 5,
    "min_p": 0.1,
    "repetition_penalty": 1.1,
    "min_tokens": 1,
    "stop_token_ids": [5],
    "ignore_eos": False,
    "seed": 1,
    "stream": True,
    "stream_options": {"include_usage": True},
}
RESPONSE: dict[str, Any] = {
    "model": "base-1",
    "instructions": "x",
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "a"}]},
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": "b"},
        {"type": "reasoning", "summary": []},
    ],
    "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
    "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
    "text": {"format": {"type": "json_schema", "name": "a", "schema": {"type": "object"}}},
    "include": ["message.output_text.logprobs"],
    "top_logprobs": 1,
    "max_output_tokens": 3,
    "reasoning": {"effort": "low"},
    "metadata": {"k": "v"},
    "store": False,
    "truncation": "disabled",
}
CHAT: dict[str, Any] = {
    "model": "base-1",
    "chat_template_kwargs": {"enable_thinking": False},
    "add_generation_prompt": True,
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "a"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "1", "content": "b"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    "tool_choice": "auto",
    "logprobs": True,
    "top_logprobs": 1,
    "max_completion_tokens": 3,
    "response_format": {"type": "text"},
}


TEXTS: dict[str, Any] = {"model": ENCODER.alias, "input": ["a", "b"]}
QUESTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "completion": ("/v1/completions", COMPLETION),
    "chat": ("/v1/chat/completions", CHAT),
    "response": ("/v1/responses", RESPONSE),
    "streamed response": ("/v1/responses", RESPONSE | {"stream": True}),
    "embeddings": ("/v1/embeddings", TEXTS | {"dimensions": 2, "encoding_format": "float", "user": "u"}),
    "embeddings of tokens": (
        "/v1/embeddings",
        TEXTS | {"input": [[1, 2], [3]], "encoding_format": "base64"},
    ),
}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def with_value(body: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(body)
    here: Any = changed
    for key in path[:-1]:
        here = here[key]
    here[path[-1]] = value
    return changed


def upload(http: TestClient, content: bytes) -> str:
    form = {"files": {"file": ("a.jsonl", content)}, "data": {"purpose": "fine-tune"}}
    return str(http.post("/v1/files", **form).json()["id"])  # type: ignore[arg-type]


@pytest.fixture
def file_id(http: TestClient) -> str:
    return upload(http, jsonl())


def check_body(http: TestClient, path: str, body: dict[str, Any]) -> None:
    assert http.post(path, json=body).status_code == 200
    for place in places(body):
        for value in WEIRD:
            answer = http.post(path, json=with_value(body, place, value))
            assert answer.status_code < 500, (path, place, str(value)[:99])
            if answer.status_code >= 400:
                assert answer.json()["error"]["type"] == "invalid_request_error"


@on_both_databases
def test_a_weird_value_anywhere_in_a_job_is_refused_or_stored_but_never_500(
    http: TestClient, file_id: str
) -> None:
    files = {"training_file": file_id, "validation_file": file_id}
    training = JOB["training"] | {"general_file": file_id}
    check_body(http, "/v1/fine_tuning/jobs", JOB | files | {"training": training})


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_weird_value_anywhere_in_a_preference_job_is_refused_or_stored_but_never_500(
    http: TestClient,
) -> None:
    check_body(http, "/v1/fine_tuning/jobs", DPO | {"training_file": upload(http, preferences())})


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_weird_value_anywhere_in_a_continued_job_is_refused_or_stored_but_never_500(
    http: TestClient, state: AppState, file_id: str
) -> None:
    job = http.post("/v1/fine_tuning/jobs", json={"model": "base-1", "training_file": file_id}).json()["id"]
    model, _ = add_tuned_model(state.database, job)
    training = CONTINUED["training"] | {"from_checkpoint": model}
    check_body(http, "/v1/fine_tuning/jobs", CONTINUED | {"training_file": file_id, "training": training})


@pytest.mark.parametrize("config", PEFT_CONFIGS, ids=lambda config: config["peft_type"])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_weird_value_anywhere_in_a_peft_config_is_refused_or_stored_but_never_500(
    http: TestClient, file_id: str, config: dict[str, Any]
) -> None:
    training = {"type": "peft", "peft_config": config}
    check_body(
        http, "/v1/fine_tuning/jobs", {"model": "base-1", "training_file": file_id, "training": training}
    )


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"peft_type": ["PREFIX_TUNING"]}, "peft_type"),
        ({"peft_type": {}}, "peft_type"),
        ({"num_virtual_tokens": "4"}, "num_virtual_tokens"),
        ({"num_virtual_tokens": 4.0}, "num_virtual_tokens"),
        ({"num_virtual_tokens": True}, "num_virtual_tokens"),
        ({"num_virtual_tokens": None}, "num_virtual_tokens"),
        ({"num_virtual_tokens": 2**63}, "num_virtual_tokens"),
        ({"prefix_projection": "no"}, "prefix_projection"),
        ({"encoder_hidden_size": 10**9}, "encoder_hidden_size"),
        ({"encoder_hidden_size": "64"}, "encoder_hidden_size"),
        ({"encoder_hidden_size": [64]}, "encoder_hidden_size"),
    ],
    ids=str,
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_prefix_of_the_wrong_type_or_size_is_refused_by_field(
    http: TestClient, file_id: str, change: dict[str, Any], field: str
) -> None:
    training = {"type": "peft", "peft_config": PEFT_CONFIGS[0] | change}
    body = {"model": "base-1", "training_file": file_id, "training": training}
    answer = http.post("/v1/fine_tuning/jobs", json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == f"training.peft_config.{field}"


@pytest.mark.parametrize(
    "question", sampled(QUESTIONS, QUESTIONS.keys() - {"streamed response", "embeddings of tokens"})
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_weird_value_anywhere_in_a_question_is_refused_or_answered_but_never_500(
    http: TestClient, state: AppState, question: str
) -> None:
    add_encoder(state)
    check_body(http, *QUESTIONS[question])


@on_both_databases
def test_a_weird_id_or_cursor_is_absent_or_invalid_but_never_500(http: TestClient) -> None:
    words = ("%2e%2e", "..%2f..", "%f0%9f%98%80", "%ff%fe", "a" * 5000, "'%20or%201=1", "%0a%0d", "-", "%25")
    for word in words:
        for path in (
            f"/v1/files/{word}",
            f"/v1/files/{word}/content",
            f"/v1/fine_tuning/jobs/{word}",
            f"/v1/fine_tuning/jobs/{word}/events",
            f"/v1/fine_tuning/jobs/{word}/events?stream=true",
            f"/v1/fine_tuning/jobs/{word}/checkpoints",
            f"/v1/models/{word}",
            f"/v1/files?after={word}",
            f"/v1/fine_tuning/jobs?after={word}",
            f"/v1/fine_tuning/jobs?metadata[{word}]={word}",
            f"/v1/fine_tuning/jobs?metadata={word}",
        ):
            assert http.get(path).status_code in (200, 400, 404), path


def _lists(schema: Any, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The lists of pydantic's own schema."""
    if isinstance(schema, Mapping):
        if schema.get("type") == "list":
            yield place, dict(schema)
        for name, part in schema.items():
            if name not in ("metadata", "serialization"):
                yield from _lists(part, f"{place}.{name}")
    elif isinstance(schema, list | tuple):
        for part in schema:
            yield from _lists(part, place)


def test_every_list_in_a_request_is_short_or_fails_at_its_first_fault(state: AppState) -> None:
    """A thousand faults would be a thousand errors, each of which takes time to put into words."""
    app, found, lax = create_app(state.settings, open_state=lambda _: state), 0, list[str]()
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if isinstance(route, StrictJsonRoute) and route.body_field is not None:
            body = TypeAdapter(route.body_field.field_info.annotation)
            for place, one in _lists(body.core_schema, context.path or ""):
                found += 1
                if not one.get("fail_fast") and one.get("max_length", math.inf) > 2048:
                    lax.append(place)
    assert found > 20
    assert not lax


def test_many_faults_in_a_body_are_one_error() -> None:
    faults: list[dict[str, Any]] = [
        {"model": "x", "messages": [0] * 30_000},
        {"model": "x", "messages": [{"role": "user", "content": [0] * 30_000}]},
        {"model": "x", "messages": [], **{f"unknown-{number}": 1 for number in range(30_000)}},
    ]
    for body in faults:
        with pytest.raises(ValidationError) as refused:
            ChatCompletionBody.model_validate(body)
        assert refused.value.error_count() < 10


def test_an_object_with_too_many_keys_is_refused_with_their_number(http: TestClient) -> None:
    body = {"model": "base-1", "messages": [{"role": "user", "content": "hi"}]}
    answer = http.post("/v1/chat/completions", json=body | {f"unknown-{number}": 1 for number in range(500)})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("An object in the body has 502 keys")


@pytest.mark.parametrize("many", ["files", "fields"])
def test_a_form_has_one_file_and_few_other_fields(http: TestClient, many: str) -> None:
    """All of them are held in memory."""
    parts: list[tuple[str, Any]] = [("file", ("a.jsonl", jsonl())), ("purpose", (None, "fine-tune"))]
    more = ("x", b"y" * 2**20) if many == "files" else (None, "y")
    answer = http.post("/v1/files", files=parts + [(f"more-{number}", more) for number in range(20)])
    assert answer.status_code == 400
    assert f"Too many {many}" in answer.json()["error"]["message"]


def test_a_weird_form_is_refused_but_never_500(http: TestClient) -> None:
    start = b'--b\r\nContent-Disposition: form-data; name="file"; filename='
    forms = (
        b"",
        b"--b",
        b"--b--\r\n",
        b"--b\r\n\r\nx\r\n--b--\r\n",
        start + b'"a\r\nb.jsonl"\r\n\r\nx\r\n--b--\r\n',
        start + b'"\x00.jsonl"\r\n\r\nx\r\n--b--\r\n',
        start + b'"\xff\xfe.jsonl"\r\n\r\nx\r\n--b--\r\n',
        b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--b--\r\n',
        b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n\xff\xff\r\n--b--\r\n',
        b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n' + b"x" * 2**21 + b"\r\n--b--\r\n",
    )
    for content in forms:
        for kind in (
            "multipart/form-data; boundary=b",
            "multipart/form-data",
            "application/json",
            "text/plain",
        ):
            answer = http.post("/v1/files", content=content, headers={"content-type": kind})
            assert answer.status_code == 400, (content[:99], kind, answer.text)
            assert answer.json()["error"]["message"]
