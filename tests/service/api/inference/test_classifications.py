"""`/v1/classifications`, with a fake engine behind it."""

import asyncio
import math
import re
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from cluster.contracts.classification import (
    MAX_INPUTS,
    ClassificationAnswer,
    ClassificationRequest,
    ClassificationResult,
    TextInput,
    WordsInput,
)
from cluster.contracts.errors import ContextLengthExceeded, InvalidRequest, TuneryError, Unavailable
from cluster.contracts.generation import ErrorEvent, ModelRef
from cluster.contracts.weights import WeightsRef
from service.api.inference.engine import ServeEngine
from service.api.state import AppState
from service.db.organization.scopes import Scope
from tests.api import ENCODER, Project, add_encoder, add_key, add_tuned_model, jsonl, labels, listening
from tests.fakes import FakeEngine


@pytest.fixture
def engine(state: AppState) -> FakeEngine:
    assert isinstance(state.engine, FakeEngine)
    return state.engine


@pytest.fixture
def classifier(state: AppState, http: TestClient) -> str:
    """Returns the name of a model tuned from an encoder."""
    return tuned(state, http, add_encoder(state), labels())


def tuned(state: AppState, http: TestClient, base: str, content: bytes) -> str:
    upload = {"files": {"file": ("a.jsonl", content)}, "data": {"purpose": "fine-tune"}}
    file_id = http.post("/v1/files", **upload).json()["id"]
    job = http.post("/v1/fine_tuning/jobs", json={"model": base, "training_file": file_id})
    return add_tuned_model(state.database, job.raise_for_status().json()["id"])[0]


def refused(http: TestClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = http.post(path, json=body)
    assert answer.status_code == 400, answer.text
    error: dict[str, Any] = answer.json()["error"]
    return error


def test_a_text_gets_its_most_likely_class_and_all_probabilities(
    http: TestClient, classifier: str, engine: FakeEngine
) -> None:
    answer = http.post("/v1/classifications", json={"model": classifier, "input": "hello"}).json()
    assert re.fullmatch(r"clsf-[0-9a-f]{32}", answer.pop("id"))
    assert answer.pop("created") > 1_700_000_000
    (given,) = answer["data"]
    assert given.pop("score") == pytest.approx(0.75)
    assert given.pop("scores") == pytest.approx({"polite": 0.25, "rude": 0.75})
    assert answer == {
        "object": "classification",
        "model": classifier,
        "data": [{"index": 0, "label": "rude"}],
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
    }
    (received,) = engine.classified
    assert received.inputs == [TextInput(text="hello")]
    assert received.model.base == ENCODER
    assert received.model.adapter is not None


def test_texts_and_pairs_are_answered_in_their_order(
    http: TestClient, classifier: str, engine: FakeEngine
) -> None:
    pairs = [{"text": "a", "text_pair": "b"}, {"text": "c", "text_pair": "d"}]
    for given in (["a", "b"], pairs):
        answer = http.post("/v1/classifications", json={"model": classifier, "input": given}).json()
        assert [item["index"] for item in answer["data"]] == [0, 1]
        assert answer["usage"] == {"prompt_tokens": 6, "total_tokens": 6}
    assert engine.classified[0].inputs == [TextInput(text="a"), TextInput(text="b")]
    assert engine.classified[1].inputs[0] == TextInput(text="a", text_pair="b")


def test_every_word_gets_its_class(http: TestClient, classifier: str, engine: FakeEngine) -> None:
    words = [["Ada", "sang"], ["yes"]]
    answer = http.post("/v1/classifications", json={"model": classifier, "input": words}).json()
    assert engine.classified[0].inputs == [WordsInput(words=given) for given in words]
    assert [[token["word"] for token in item["tokens"]] for item in answer["data"]] == words
    assert answer["data"][1] == {
        "index": 1,
        "tokens": [{"word": "yes", "label": "rude", "score": pytest.approx(0.75)}],
    }


def test_a_probability_is_never_above_one(http: TestClient, classifier: str, engine: FakeEngine) -> None:
    engine.class_scores = {"only": math.exp(1e-7), "never": 1e-30}
    answer = http.post("/v1/classifications", json={"model": classifier, "input": "x"}).json()
    assert answer["data"][0]["score"] == 1.0


@pytest.mark.parametrize(
    "given",
    [
        [],
        [""] * (MAX_INPUTS + 1),
        [[]],
        [["a", ""]],
        ["a", ["b"]],
        [[["a"]]],
        5,
        None,
        [1],
        [{"text": "a"}],
        {},
    ],
)
def test_other_inputs_are_refused(http: TestClient, classifier: str, given: Any) -> None:
    error = refused(http, "/v1/classifications", {"model": classifier, "input": given})
    assert error["type"] == "invalid_request_error"
    assert error["param"].startswith("input")


def test_as_many_inputs_as_allowed_are_taken(http: TestClient, classifier: str) -> None:
    body = {"model": classifier, "input": ["x"] * MAX_INPUTS}
    assert len(http.post("/v1/classifications", json=body).json()["data"]) == MAX_INPUTS


def test_decoders_do_not_classify(state: AppState, http: TestClient) -> None:
    for model in ("base-1", tuned(state, http, "base-1", jsonl())):
        error = refused(http, "/v1/classifications", {"model": model, "input": "x"})
        assert (error["code"], error["param"]) == ("not_a_classifier", "model")
        assert "/v1/completions" in error["message"]


def test_an_encoder_has_no_classes_before_it_is_tuned(state: AppState, http: TestClient) -> None:
    error = refused(http, "/v1/classifications", {"model": add_encoder(state), "input": "x"})
    assert (error["code"], error["param"]) == ("not_a_classifier", "model")


def test_encoders_do_not_generate(http: TestClient, classifier: str) -> None:
    message = {"role": "user", "content": "x"}
    for path, body in (("completions", {"prompt": "x"}), ("chat/completions", {"messages": [message]})):
        for model in (ENCODER.alias, classifier):
            error = refused(http, f"/v1/{path}", {"model": model, **body})
            assert (error["code"], error["param"]) == ("not_a_generator", "model")
            assert "/v1/classifications" in error["message"]


def test_a_model_that_does_not_exist_is_not_found(http: TestClient) -> None:
    answer = http.post("/v1/classifications", json={"model": "ft:none", "input": "x"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


def test_an_engines_refusal_reaches_the_caller(http: TestClient, classifier: str, engine: FakeEngine) -> None:
    engine.refusal = ContextLengthExceeded("too long", param="input[0]")
    error = refused(http, "/v1/classifications", {"model": classifier, "input": "x"})
    assert (error["code"], error["param"]) == ("context_length_exceeded", "input[0]")


@pytest.mark.parametrize(("scope", "status"), [("infer", 200), ("read", 403)])
def test_the_inference_scope_is_required(
    state: AppState, http: TestClient, project: Project, classifier: str, scope: Scope, status: int
) -> None:
    key = add_key(state.database, project.tenant, frozenset({scope}))
    answer = http.post(
        "/v1/classifications",
        json={"model": classifier, "input": "x"},
        headers={"authorization": f"Bearer {key}"},
    )
    assert answer.status_code == status


REQUEST = ClassificationRequest(
    id="r",
    model=ModelRef(base=ENCODER, adapter=WeightsRef(digest="1", manifest_key="m", form="full")),
    inputs=[TextInput(text="x")],
)
ANSWER = ClassificationAnswer(
    classes=["a", "b"], results=[ClassificationResult(logprobs=[[-0.1, -2.3]], prompt_tokens=3)]
)


def read_answer(response: Response) -> ClassificationAnswer:
    """Returns what the engine's client makes of this response."""

    async def classify() -> ClassificationAnswer:
        engine = ServeEngine(url, "token-1", idle_seconds=5)
        try:
            return await engine.classify(REQUEST)
        finally:
            await engine.close()

    async def route(incoming: Request) -> Response:
        assert incoming.headers["authorization"] == "Bearer token-1"
        assert ClassificationRequest.model_validate_json(await incoming.body()) == REQUEST
        return response

    with listening(Starlette(routes=[Route("/engine/classify", route, methods=["POST"])])) as url:
        return asyncio.run(classify())


def test_the_engines_answer_is_read() -> None:
    assert read_answer(Response(ANSWER.model_dump_json())) == ANSWER


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (JSONResponse(ErrorEvent(error="InvalidRequest", message="no").model_dump(), 400), InvalidRequest),
        (PlainTextResponse("Internal Server Error", 500), Unavailable),
        (Response(b"<html>"), Unavailable),
    ],
)
def test_transport_failures_are_domain_errors(response: Response, kind: type[TuneryError]) -> None:
    with pytest.raises(kind):
        read_answer(response)
