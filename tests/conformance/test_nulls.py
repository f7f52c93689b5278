"""null means absent, for every parameter in the signatures of the openai SDK and in the objects that it sends
back."""

import re
from typing import Any, get_args, get_type_hints

import pytest
from openai.types import completion_create_params as completion
from openai.types import embedding_create_params as embedding
from openai.types.chat import completion_create_params as chat
from openai.types.fine_tuning import job_create_params as job
from starlette.testclient import TestClient

from cluster.contracts.peft_options import ALLOWED
from service.api.state import AppState
from tests.api import add_encoder, add_tuned_model, jsonl

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

ASK = [{"role": "user", "content": "hi"}]


@pytest.fixture
def file(http: TestClient) -> str:
    form: Any = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
    return str(http.post("/v1/files", **form).json()["id"])


def nullable(params: Any, required: set[str]) -> list[str]:
    """Returns all parameters of a signature that may be omitted or null."""
    hints = get_type_hints(params, include_extras=True)
    return [
        name
        for name, hint in hints.items()
        if name not in required or any(type(None) in get_args(one) for one in (hint, *get_args(hint)))
    ]


def check(http: TestClient, path: str, body: dict[str, Any], names: list[str]) -> None:
    assert len(names) >= 3
    plain = http.post(path, json=body)
    assert plain.status_code == 200, plain.text
    for name in names:
        answer = http.post(path, json=body | {name: None})
        assert answer.status_code == 200, (name, answer.text)
    together = http.post(path, json=body | dict.fromkeys(names))
    assert together.status_code == 200, together.text


def test_every_parameter_of_completions_may_be_null(http: TestClient) -> None:
    names = nullable(completion.CompletionCreateParamsNonStreaming, {"model"})
    assert {"prompt", "suffix", "best_of"} <= set(names)
    check(http, "/v1/completions", {"model": "base-1", "prompt": "x"}, names)


def test_every_parameter_of_chat_completions_may_be_null(http: TestClient) -> None:
    names = nullable(chat.CompletionCreateParamsNonStreaming, {"model", "messages"})
    assert {"functions", "function_call", "prediction", "audio", "web_search_options"} <= set(names)
    check(http, "/v1/chat/completions", {"model": "base-1", "messages": ASK}, names)


def test_every_parameter_of_embeddings_may_be_null(http: TestClient, state: AppState) -> None:
    names = nullable(embedding.EmbeddingCreateParams, {"model", "input"})
    check(http, "/v1/embeddings", {"model": add_encoder(state), "input": "x"}, names)


def test_every_parameter_of_a_job_may_be_null(http: TestClient, file: str) -> None:
    names = nullable(job.JobCreateParams, {"model", "training_file"})
    check(http, "/v1/fine_tuning/jobs", {"model": "base-1", "training_file": file}, [*names, "training"])


def test_nested_nulls_of_a_job_are_its_defaults(http: TestClient, file: str, subtests: Any) -> None:
    nulls: Any = {"n_epochs": None, "batch_size": None, "learning_rate_multiplier": None}
    all_training = http.post("/v1/fine_tuning/jobs", json={"model": "base-1", "training_file": file}).json()
    options = all_training["tunery"]["training"]
    for changes in (
        {"hyperparameters": nulls},
        {"method": {"type": "supervised", "supervised": {"hyperparameters": nulls}}},
        {"method": {"type": "supervised", "supervised": {"hyperparameters": None}, "dpo": None}},
        {"method": {"type": "supervised", "supervised": None, "reinforcement": None}},
        {"training": dict.fromkeys(options)},
    ):
        with subtests.test(changes=changes):
            answer = http.post(
                "/v1/fine_tuning/jobs", json={"model": "base-1", "training_file": file} | changes
            )
            assert answer.status_code == 200, answer.text
            assert set(answer.json()["hyperparameters"].values()) == {"auto"}
            assert answer.json()["tunery"]["training"] == options


@pytest.mark.parametrize("method", ALLOWED)
def test_a_null_field_of_a_peft_config_is_its_default(http: TestClient, file: str, method: str) -> None:
    config = dict.fromkeys(ALLOWED[method]) | {"peft_type": method}
    if "num_virtual_tokens" in ALLOWED[method]:
        config["num_virtual_tokens"] = 4  # type: ignore[assignment]
    training = {"type": "peft", "peft_config": config}
    answer = http.post(
        "/v1/fine_tuning/jobs", json={"model": "base-1", "training_file": file, "training": training}
    )
    assert answer.status_code == 200, answer.text
    kept = {name: value for name, value in config.items() if value is not None}
    assert answer.json()["tunery"]["training"]["peft_config"] == kept


def test_a_null_option_is_taken_over_from_a_continued_model(
    http: TestClient, state: AppState, file: str
) -> None:
    body: Any = {"model": "base-1", "training_file": file, "training": {"r": 4}}
    first = http.post("/v1/fine_tuning/jobs", json=body).json()["id"]
    model, _ = add_tuned_model(state.database, first)
    nulls = {"type": None, "r": None, "alpha": None, "target_modules": None}
    answer = http.post("/v1/fine_tuning/jobs", json=body | {"model": model, "training": nulls})
    assert answer.status_code == 200, answer.text
    assert answer.json()["tunery"]["training"]["r"] == 4


def test_what_must_be_there_may_not_be_null(http: TestClient, file: str) -> None:
    for path, body, name in (
        ("completions", {"prompt": "x", "model": None}, "model"),
        ("chat/completions", {"model": "base-1", "messages": None}, "messages"),
        ("embeddings", {"model": "base-1", "input": None}, "input"),
        ("classifications", {"model": "base-1", "input": None}, "input"),
        ("fine_tuning/jobs", {"model": "base-1", "training_file": None}, "training_file"),
        (
            "fine_tuning/jobs",
            {"model": "base-1", "training_file": file, "method": {"type": None}},
            "method.type",
        ),
    ):
        answer = http.post(f"/v1/{path}", json=body)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, name), answer.text


def test_openai_nodes_null_in_a_query_is_an_absent_parameter(
    http: TestClient, state: AppState, file: str
) -> None:
    """openai-node sends null as an empty value."""
    ids = {}
    for metadata in (None, {"team": "shop"}):
        body = {"model": "base-1", "training_file": file, "metadata": metadata}
        ids[bool(metadata)] = http.post("/v1/fine_tuning/jobs", json=body).json()["id"]
    without = http.get("/v1/fine_tuning/jobs?metadata=&after=&limit=").json()["data"]
    assert [one["id"] for one in without] == [ids[False]]
    known = {"{job_id}": ids[True], "{file_id}": file}
    queries = [
        (re.sub(r"\{\w+\}", lambda match: known.get(match[0], "1"), path), parameter["name"])
        for path, operations in http.get("/openapi.json").json()["paths"].items()
        for parameter in operations.get("get", {}).get("parameters", ())
        if parameter["in"] == "query" and parameter["name"] != "metadata"
    ]
    assert len(queries) >= 40
    answered = 0
    for path, name in queries:
        empty, absent = http.get(f"{path}?{name}="), http.get(path)
        assert (empty.status_code, empty.json()) == (absent.status_code, absent.json()), (path, name)
        answered += absent.status_code == 200
    assert answered >= 15


def test_an_empty_part_of_an_uploads_form_is_absent(http: TestClient) -> None:
    form: Any = {
        "files": {"file": ("a.jsonl", jsonl())},
        "data": {"purpose": "fine-tune", "expires_after[anchor]": "", "expires_after[seconds]": ""},
    }
    answer = http.post("/v1/files", **form)
    assert (answer.status_code, answer.json()["expires_at"]) == (200, None)


def test_what_would_change_the_answer_is_refused_by_name(http: TestClient) -> None:
    for name, value in (
        ("audio", {"voice": "alloy", "format": "wav"}),
        ("web_search_options", {}),
        ("moderation", {"model": "omni-moderation-latest"}),
    ):
        answer = http.post("/v1/chat/completions", json={"model": "base-1", "messages": ASK, name: value})
        error = answer.json()["error"]
        assert (answer.status_code, error["param"], error["code"]) == (400, name, "unsupported_parameter")
    for name in ("prediction", "prompt_cache_options"):
        answer = http.post("/v1/chat/completions", json={"model": "base-1", "messages": ASK, name: {}})
        assert answer.status_code == 200, answer.text
