"""The scheduler's client of the Serve applications, against a double."""

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from cluster.contracts.classification import (
    ClassificationAnswer,
    ClassificationRequest,
    ClassificationResult,
    TokensInput,
)
from cluster.contracts.datasets import DatasetCheckRequest
from cluster.contracts.errors import CorruptArtefact, Overloaded, TuneryError, Unavailable
from cluster.contracts.generation import (
    ErrorEvent,
    FinishEvent,
    GenerationRequest,
    ModelRef,
    PromptEvent,
    TokenLogprob,
    TokenPrompt,
)
from cluster.contracts.manifest import ProbeScores
from service.scheduling.serving import HttpServingClient
from tests.service.scheduling.http_double import HttpDouble, http_double
from tests.service.scheduling.world import BASE, GOOD

MODEL = ModelRef(base=BASE)
REQUEST = DatasetCheckRequest(base=BASE, key="files/x", sha256="0" * 64)


@pytest.fixture
def server() -> Iterator[HttpDouble]:
    with http_double() as double:
        yield double


@pytest.fixture
def serving(server: HttpDouble) -> Iterator[HttpServingClient]:
    with closing(HttpServingClient(server.url, "secret", timeout_seconds=5)) as serving:
        yield serving


def calls(serving: HttpServingClient) -> list[Callable[[], object]]:
    return [
        lambda: serving.score(MODEL, [[1, 2]]),
        lambda: serving.finish_reason(MODEL, [1, 2], 3),
        lambda: serving.classify_scores(MODEL, [[1, 2]]),
        lambda: serving.check_dataset(REQUEST, project_id="proj-1"),
    ]


def lines(*events) -> bytes:
    return "".join(event.model_dump_json() + "\n" for event in events).encode()


def scored(*logprobs: float | None) -> PromptEvent:
    top = [TokenLogprob(token="y", bytes=[121], token_id=2, logprob=-0.1)]
    tokens = [
        TokenLogprob(token="x", bytes=[120], token_id=1, logprob=value, top=[] if value is None else top)
        for value in logprobs
    ]
    return PromptEvent(prompt_tokens=len(tokens), tokens=tokens)


def test_a_file_is_checked_by_the_datasets_application(
    server: HttpDouble, serving: HttpServingClient
) -> None:
    server.answer = lambda received: (200, GOOD.model_dump_json().encode())
    assert serving.check_dataset(REQUEST, project_id="proj-1") == GOOD
    received = server.requests[0]
    assert (received.method, received.path, received.token) == ("POST", "/datasets/check", "Bearer secret")
    assert (DatasetCheckRequest.model_validate(received.body), received.project) == (REQUEST, "proj-1")


def test_a_score_is_that_of_the_echoed_prompt_without_its_first_token(
    server: HttpDouble, serving: HttpServingClient
) -> None:
    end = FinishEvent(index=0, reason="length", completion_tokens=0)
    server.answer = lambda received: (200, lines(scored(None, -1.5, -0.25), end))
    scores = serving.score(MODEL, [[5, 6, 7], [5, 6, 7]])
    assert scores == ProbeScores(logprobs=[[-1.5, -0.25]] * 2, top_ids=[[2, 2]] * 2)
    received = GenerationRequest.model_validate(server.requests[0].body)
    assert received.prompt == TokenPrompt(token_ids=[5, 6, 7])
    assert (received.sampling.max_tokens, received.sampling.echo, received.sampling.logprobs) == (0, True, 1)
    assert received.id != GenerationRequest.model_validate(server.requests[1].body).id
    assert (server.requests[0].path, server.requests[0].model) == ("/engine/generate", MODEL.name)


def test_the_finish_reason_is_that_of_the_most_likely_completion(
    server: HttpDouble, serving: HttpServingClient
) -> None:
    end = FinishEvent(index=0, reason="stop", completion_tokens=3)
    server.answer = lambda received: (200, lines(PromptEvent(prompt_tokens=2), end))
    assert serving.finish_reason(MODEL, [5, 6], 9) == "stop"
    received = GenerationRequest.model_validate(server.requests[0].body)
    assert received.prompt == TokenPrompt(token_ids=[5, 6])
    assert (received.sampling.max_tokens, received.sampling.temperature, received.sampling.n) == (9, 0, 1)


def test_a_completion_without_an_end_is_unavailable(server: HttpDouble, serving: HttpServingClient) -> None:
    server.answer = lambda received: (200, lines(PromptEvent(prompt_tokens=2)))
    with pytest.raises(Unavailable, match="cut off"):
        serving.finish_reason(MODEL, [5, 6], 9)


def test_class_scores_are_flat(server: HttpDouble, serving: HttpServingClient) -> None:
    results = [[[-1.0, -0.5]], [[-1.5, -0.25], [-2.0, -0.125]]]
    answer = ClassificationAnswer(
        classes=["no", "yes"],
        results=[ClassificationResult(logprobs=logprobs, prompt_tokens=2) for logprobs in results],
    )
    server.answer = lambda received: (200, answer.model_dump_json().encode())
    scores = serving.classify_scores(MODEL, [[5, 6], [7, 8]])
    assert scores == [[-1.0, -0.5], [-1.5, -0.25, -2.0, -0.125]]
    received = server.requests[0]
    assert (received.method, received.path, received.token) == ("POST", "/engine/classify", "Bearer secret")
    request = ClassificationRequest.model_validate(received.body)
    assert request.inputs == [TokensInput(token_ids=[5, 6]), TokensInput(token_ids=[7, 8])]
    assert request.model == MODEL


def test_an_error_in_the_stream_is_raised_unchanged(server: HttpDouble, serving: HttpServingClient) -> None:
    event = ErrorEvent(error="CorruptArtefact", message="The digest differs.", code="digest")
    server.answer = lambda received: (200, lines(event))
    with pytest.raises(CorruptArtefact, match="The digest differs") as raised:
        serving.score(MODEL, [[1, 2]])
    assert raised.value.code == "digest"


@pytest.mark.parametrize(
    ("name", "kind"),
    [("Overloaded", Overloaded), ("Unavailable", Unavailable), ("CorruptArtefact", CorruptArtefact)],
)
def test_a_refusal_is_raised_unchanged(
    server: HttpDouble, serving: HttpServingClient, name: str, kind: type[TuneryError]
) -> None:
    server.answer = lambda received: (503, ErrorEvent(error=name, message="why").model_dump_json().encode())
    for call in calls(serving):
        with pytest.raises(kind, match="why"):
            call()


@pytest.mark.parametrize(
    "answer",
    [
        (0, b""),
        (404, b"Path not found"),
        (500, b"oops"),
        (200, b"not json"),
        (200, b""),
        (200, b'{"type":"odd"}'),
    ],
)
def test_an_invalid_response_is_unavailable(
    server: HttpDouble, serving: HttpServingClient, answer: tuple[int, bytes]
) -> None:
    server.answer = lambda received: answer
    for call in calls(serving):
        with pytest.raises(Unavailable):
            call()


def test_a_stream_that_ends_before_the_scores_is_unavailable(
    server: HttpDouble, serving: HttpServingClient
) -> None:
    end = FinishEvent(index=0, reason="length", completion_tokens=0)
    server.answer = lambda received: (200, lines(end))
    with pytest.raises(Unavailable):
        serving.score(MODEL, [[1, 2]])
