"""Graders that compare embeddings, over HTTP."""

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from cluster.contracts.errors import ContextLengthExceeded
from service.api.app import create_app
from service.api.inference.usage_meter import UsageMeter
from service.api.state import AppState
from tests.api import Project, add_encoder, add_key, with_settings
from tests.fakes import FakeEngine

COSINE = {
    "type": "text_similarity",
    "name": "near",
    "input": "{{sample.output_text}}",
    "reference": "{{item.answer}}",
    "evaluation_metric": "cosine",
}
BODY = {"grader": COSINE, "item": {"answer": "the cat"}, "model_sample": "a cat"}
RUN = "/v1/fine_tuning/alpha/graders/run"


@pytest.fixture
def engine(state: AppState) -> FakeEngine:
    assert isinstance(state.engine, FakeEngine)
    return state.engine


@pytest.fixture
def grading(state: AppState, project: Project) -> Iterator[TestClient]:
    """A client of a server whose operator has named an embedding model."""
    state = with_settings(state, grader_embedding_model=add_encoder(state))
    app = create_app(state.settings, open_state=lambda _: state)
    with TestClient(app, headers={"authorization": f"Bearer {project.key}"}) as client:
        yield client


def test_cosine_is_graded_by_the_named_model(grading: TestClient, engine: FakeEngine) -> None:
    assert grading.post("/v1/fine_tuning/alpha/graders/validate", json={"grader": COSINE}).is_success
    answer = grading.post(RUN, json=BODY).json()
    # The fake gives every text the same vector.
    assert answer["reward"] == pytest.approx(1)
    [request] = engine.embedded
    assert request.model.base.alias == "encoder-1"
    assert [given.model_dump()["text"] for given in request.inputs] == ["a cat", "the cat"]


def test_it_counts_as_a_request_for_embeddings(grading: TestClient) -> None:
    grading.post(RUN, json=BODY)
    meter: UsageMeter = grading.app.state.inference.usage  # type: ignore[attr-defined]
    assert grading.portal is not None
    grading.portal.call(meter.flush)
    [used] = grading.get("/v1/usage").json()["data"]
    assert (used["model"], used["requests"], used["prompt_tokens"]) == ("encoder-1", 1, 6)


def test_a_key_that_may_only_read_cannot_spend_tokens(
    grading: TestClient, state: AppState, project: Project
) -> None:
    reader = add_key(state.database, project.tenant, frozenset({"read"}))
    headers = {"authorization": f"Bearer {reader}"}
    assert grading.post(RUN, json=BODY, headers=headers).status_code == 403
    exact = {"type": "string_check", "name": "e", "input": "a", "reference": "a", "operation": "eq"}
    assert grading.post(RUN, json=BODY | {"grader": exact}, headers=headers).json()["reward"] == 1


def test_a_text_that_the_model_cannot_take_is_an_error_of_the_grade(
    grading: TestClient, engine: FakeEngine
) -> None:
    engine.refusal = ContextLengthExceeded("Too long.")
    answer = grading.post(RUN, json=BODY).json()
    assert (answer["reward"], answer["metadata"]["errors"]["other_error"]) == (0, True)
    assert answer["tunery"]["error_details"] == "near: a text is too long for the embedding model."


@pytest.mark.parametrize("named", [None, "base-1", "gone"])
def test_without_an_encoder_cosine_is_refused_by_name(
    state: AppState, project: Project, named: str | None
) -> None:
    state = with_settings(state, grader_embedding_model=named)
    app = create_app(state.settings, open_state=lambda _: state)
    with TestClient(app, headers={"authorization": f"Bearer {project.key}"}) as client:
        error: dict[str, Any] = client.post(RUN, json=BODY).json()["error"]
    assert (error["code"], error["param"]) == ("unsupported_parameter", "grader.evaluation_metric")
