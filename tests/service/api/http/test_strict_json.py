"""JSON bodies are limited before they are parsed."""

from typing import Annotated, Any

import orjson
import pytest
from fastapi import APIRouter, Body, FastAPI, UploadFile
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.testclient import TestClient

from cluster.contracts.errors import InvalidRequest
from service.api.http.strict_json import MAX_DEPTH, MAX_TOKENS, MAX_VALUES, loads, refuse_lax_routes
from service.api.schemas.classifications import ClassificationBody
from service.api.schemas.completions import CompletionBody
from service.api.schemas.embeddings import EmbeddingBody
from tests.databases import on_both_databases

ROUTES = {
    "/v1/fine_tuning/jobs": {"model": "base-1", "training_file": "file-1"},
    "/v1/completions": {"model": "base-1", "prompt": "x"},
    "/v1/chat/completions": {"model": "base-1", "messages": [{"role": "user", "content": "x"}]},
    "/v1/responses": {"model": "base-1", "input": "x"},
    "/v1/embeddings": {"model": "base-1", "input": "x"},
    "/v1/classifications": {"model": "base-1", "input": "x"},
    "/v1/models/import": {"base": "base-1", "files": ["file-1", "file-2"]},
}
FLOOD = 600_000


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"0," * FLOOD + b"0]",
        b'{"prompt":[' + b"0," * FLOOD + b"0]}",
        b'{"prompt":["x",' + b"0," * 100_000 + b"0]}",
        b'{"events":[' + b"0," * 100_000 + b"0]}",
        b'{"a":[[0],' + b"[]," * 100_000 + b"[]]}",
        b"[" + b"{}," * 100_000 + b"{}]",
        b"{" + b",".join(b'"%d":0' % number for number in range(100_000)) + b"}",
        b'[{"a":"' + b'\\",' * 100 + b'"},' + b'",",' * 100_000 + b"0]",
    ],
    ids=["numbers", "tokens", "no tokens", "elsewhere", "lists", "objects", "names", "text"],
)
def test_more_values_than_any_request_needs_are_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match=f"at most {MAX_VALUES}") as caught:
        loads(body)
    assert caught.value.code == "too_many_values"


@pytest.mark.parametrize(
    "value",
    [
        {"prompt": [7] * MAX_TOKENS},
        {"input": [[7] * 1000] * 400},
        {"messages": [{"role": "user", "content": "a, [b], {c} and \\" * 100_000}]},
        {"messages": [{"role": "user", "content": "hi"}] * 9_000},
    ],
    ids=["one prompt", "many inputs", "long text", "long conversation"],
)
def test_what_real_requests_hold_is_taken(value: Any) -> None:
    assert loads(orjson.dumps(value)) == value


def test_depth_is_limited_and_text_that_looks_deep_is_not_deep() -> None:
    assert loads(nested(MAX_DEPTH + 1))
    for levels in (MAX_DEPTH + 2, 900, 100_000):
        with pytest.raises(InvalidRequest):
            loads(nested(levels))
    with pytest.raises(InvalidRequest) as caught:
        loads(b'{"a":[{"b":' + nested(900) + b"}]}")
    assert caught.value.param == "a[0].b"
    assert loads(orjson.dumps({"a": "[" * 1000})) == {"a": "[" * 1000}


@pytest.mark.parametrize("body", [b"", b"{", b"NaN", b'"\\ud800"', b"[1,]", b"\xff"])
def test_what_is_no_json_is_told_so(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="not valid JSON") as caught:
        loads(body)
    assert caught.value.code == "invalid_json"


@on_both_databases
def test_text_with_a_nul_is_told_so_by_the_api_too(http: TestClient) -> None:
    answer = http.post("/v1/completions", json={"model": "base-1", "prompt": "a\0b"})
    assert "NUL" in answer.json()["error"]["message"]


class _Body(BaseModel):
    text: str


@pytest.mark.parametrize("kind", ["model", "embedded", "list"])
def test_no_application_has_a_route_that_takes_json_and_does_not_read_it_so(kind: str) -> None:
    app, router = FastAPI(), APIRouter(prefix="/lax")

    def lax_model(body: _Body) -> None: ...

    def lax_embedded(text: Annotated[str, Body(embed=True)]) -> None: ...

    def lax_list(items: list[str]) -> None: ...

    router.patch("")({"model": lax_model, "embedded": lax_embedded, "list": lax_list}[kind])
    app.include_router(router, prefix="/v1")
    with pytest.raises(TypeError, match="/v1/lax takes JSON"):
        refuse_lax_routes(app.routes)


def test_routes_that_take_no_json_need_not_read_it_so() -> None:
    app = FastAPI()

    @app.post("/form")
    def form(data: UploadFile) -> None: ...

    @app.get("/nothing")
    def nothing() -> None: ...

    refuse_lax_routes(app.routes)


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_route_makes_anything_of_a_flood_of_values(http: TestClient, path: str) -> None:
    for name in (*ROUTES[path], "unknown"):
        answer = http.post(path, json=ROUTES[path] | {name: [0] * FLOOD})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "too_many_values")


@pytest.mark.parametrize("wrong", [-1, 1.5, [], None, {}], ids=str)
@pytest.mark.parametrize(
    ("schema", "member"),
    [(CompletionBody, "prompt"), (EmbeddingBody, "input"), (ClassificationBody, "input")],
)
def test_as_many_tokens_as_are_taken_cost_few_findings(schema: type, member: str, wrong: Any) -> None:
    for tokens in ([wrong] * 1000, [[wrong] * 1000], [[wrong]] * 1000):
        with pytest.raises(ValidationError) as caught:
            TypeAdapter(schema).validate_python({"model": "m", member: tokens})
        assert caught.value.error_count() < 20
