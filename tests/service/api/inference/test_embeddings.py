"""`/v1/embeddings`, with a fake engine behind it."""

import asyncio
import base64
import struct
from typing import Any

import openai
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from cluster.contracts.classification import TextInput, TokensInput
from cluster.contracts.embedding import MAX_INPUTS, EmbeddingAnswer, EmbeddingRequest
from cluster.contracts.errors import ContextLengthExceeded, InvalidRequest, TuneryError, Unavailable
from cluster.contracts.generation import MODEL_HEADER, ErrorEvent, ModelRef
from service.api.inference.engine import ServeEngine
from service.api.state import AppState
from service.db.organization.scopes import Scope
from tests.api import ENCODER, LiveApi, Project, add_encoder, add_key, add_tuned_model, labels, listening
from tests.fakes import FakeEngine


@pytest.fixture
def engine(state: AppState) -> FakeEngine:
    assert isinstance(state.engine, FakeEngine)
    return state.engine


@pytest.fixture
def encoder(state: AppState) -> str:
    return add_encoder(state)


def refused(http: TestClient, body: dict[str, Any]) -> dict[str, Any]:
    answer = http.post("/v1/embeddings", json=body)
    assert answer.status_code == 400, answer.text
    error: dict[str, Any] = answer.json()["error"]
    return error


def test_the_sdk_reads_the_vectors(live: LiveApi) -> None:
    """The SDK asks for base64 by default, and decodes it."""
    model = add_encoder(live.state)
    given = {"model": model, "input": ["a", "b"]}
    answer = live.openai().embeddings.create(**given)
    assert answer.object == "list"
    assert answer.model == model
    assert [(one.object, one.index) for one in answer.data] == [("embedding", 0), ("embedding", 1)]
    assert answer.data[1].embedding == pytest.approx([0.6, -0.8, 0.0])
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (6, 6)
    plain = live.openai().embeddings.create(**given, encoding_format="float", dimensions=2, user="someone")
    assert plain.data[0].embedding == pytest.approx([0.6, -0.8])
    assert live.engine.embedded[1].dimensions == 2
    with pytest.raises(openai.BadRequestError) as caught:
        live.openai().embeddings.create(model="base-1", input="x")
    assert caught.value.code == "not_an_encoder"


def test_the_answer_is_openais(http: TestClient, encoder: str) -> None:
    answer = http.post("/v1/embeddings", json={"model": encoder, "input": "hello"}).json()
    assert answer["data"][0].pop("embedding") == pytest.approx([0.6, -0.8, 0.0])
    assert answer == {
        "object": "list",
        "data": [{"object": "embedding", "index": 0}],
        "model": encoder,
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
    }


def test_base64_is_float32_little_endian(http: TestClient, encoder: str) -> None:
    body = {"model": encoder, "input": "hello", "encoding_format": "base64"}
    (one,) = http.post("/v1/embeddings", json=body).json()["data"]
    assert base64.b64decode(one["embedding"]) == struct.pack("<3f", 0.6, -0.8, 0.0)


@pytest.mark.parametrize(
    ("given", "inputs"),
    [
        ("a", [TextInput(text="a")]),
        (["a", "b"], [TextInput(text="a"), TextInput(text="b")]),
        ([5, 6], [TokensInput(token_ids=[5, 6])]),
        ([[5, 6], [7]], [TokensInput(token_ids=[5, 6]), TokensInput(token_ids=[7])]),
    ],
)
def test_texts_and_token_ids_reach_the_engine_in_their_order(
    http: TestClient, encoder: str, engine: FakeEngine, project: Project, given: Any, inputs: list[Any]
) -> None:
    assert http.post("/v1/embeddings", json={"model": encoder, "input": given}).status_code == 200
    (received,) = engine.embedded
    assert received.inputs == inputs
    assert received.model == ModelRef(base=ENCODER)
    assert received.tenant == project.tenant.project_id


def test_requests_to_a_tuned_encoder_name_its_weights(
    state: AppState, http: TestClient, encoder: str, engine: FakeEngine
) -> None:
    upload = {"files": {"file": ("a.jsonl", labels())}, "data": {"purpose": "fine-tune"}}
    file_id = http.post("/v1/files", **upload).json()["id"]
    job = http.post("/v1/fine_tuning/jobs", json={"model": encoder, "training_file": file_id}).json()
    model, checkpoint = add_tuned_model(state.database, job["id"])
    for name in (model, checkpoint):
        assert http.post("/v1/embeddings", json={"model": name, "input": "x"}).json()["model"] == name
        assert engine.embedded[-1].model.adapter is not None


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", ""]}, "input[1]"),
        ({"input": [[]]}, "input"),
        ({"input": ["x"] * (MAX_INPUTS + 1)}, "input"),
        ({"input": [-1]}, "input"),
        ({"input": ["a", 5]}, "input"),
        ({"input": {"text": "a"}}, "input"),
        ({"input": None}, "input"),
        ({}, "input"),
        ({"input": "x", "dimensions": 0}, "dimensions"),
        ({"input": "x", "encoding_format": "int8"}, "encoding_format"),
        ({"input": "x", "truncate": True}, "truncate"),
    ],
)
def test_other_bodies_are_refused_by_parameter(
    http: TestClient, encoder: str, body: dict[str, Any], param: str
) -> None:
    error = refused(http, {"model": encoder, **body})
    assert error["type"] == "invalid_request_error"
    assert error["param"].startswith(param)


def test_as_many_inputs_as_allowed_are_taken(http: TestClient, encoder: str) -> None:
    body = {"model": encoder, "input": ["x"] * MAX_INPUTS}
    assert len(http.post("/v1/embeddings", json=body).json()["data"]) == MAX_INPUTS


def test_decoders_do_not_embed(http: TestClient) -> None:
    error = refused(http, {"model": "base-1", "input": "x"})
    assert (error["code"], error["param"]) == ("not_an_encoder", "model")


def test_an_engines_refusal_reaches_the_caller(http: TestClient, encoder: str, engine: FakeEngine) -> None:
    engine.refusal = ContextLengthExceeded("Input 1 has 600 tokens", param="input[1]")
    error = refused(http, {"model": encoder, "input": ["x", "y"]})
    assert (error["code"], error["param"]) == ("context_length_exceeded", "input[1]")


@pytest.mark.parametrize(("scope", "status"), [("infer", 200), ("read", 403)])
def test_the_inference_scope_is_required(
    state: AppState, http: TestClient, project: Project, encoder: str, scope: Scope, status: int
) -> None:
    key = add_key(state.database, project.tenant, frozenset({scope}))
    answer = http.post(
        "/v1/embeddings",
        json={"model": encoder, "input": "x"},
        headers={"authorization": f"Bearer {key}"},
    )
    assert answer.status_code == status


REQUEST = EmbeddingRequest(id="r", model=ModelRef(base=ENCODER), inputs=[TextInput(text="x")])
ANSWER = EmbeddingAnswer(embeddings=["AACAPw=="], prompt_tokens=3)


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (Response(ANSWER.model_dump_json()), ANSWER),
        (JSONResponse(ErrorEvent(error="InvalidRequest", message="no").model_dump(), 400), InvalidRequest),
        (Response(b"<html>"), Unavailable),
    ],
)
def test_the_engines_answer_or_its_error_is_read(
    response: Response, expected: EmbeddingAnswer | type[TuneryError]
) -> None:
    async def embed(url: str) -> EmbeddingAnswer:
        engine = ServeEngine(url, "token-1", idle_seconds=5)
        try:
            return await engine.embed(REQUEST)
        finally:
            await engine.close()

    async def route(incoming: Request) -> Response:
        assert incoming.headers["authorization"] == "Bearer token-1"
        assert incoming.headers[MODEL_HEADER] == REQUEST.model.name
        assert EmbeddingRequest.model_validate_json(await incoming.body()) == REQUEST
        return response

    with listening(Starlette(routes=[Route("/engine/embed", route, methods=["POST"])])) as url:
        if isinstance(expected, EmbeddingAnswer):
            assert asyncio.run(embed(url)) == expected
        else:
            with pytest.raises(expected):
                asyncio.run(embed(url))
