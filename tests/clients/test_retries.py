"""When `tunery_client` sends a request again, and that it never creates a job twice."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from tunery_client import (
    ApiError,
    Conflict,
    ConnectionFailed,
    InvalidRequest,
    MissingApiKey,
    Overloaded,
    ServerError,
    Tunery,
    TuneryError,
    WaitTimeout,
)
from tunery_client.environment import find_target
from tunery_client.metrics import as_dataframe, metrics_of
from tunery_client.types import FineTuningJobEvent

from tests.clients.blocking import COLOURS, Colour, Connect, connecting

JOB = {"model": "base-1", "training_file": "file-1"}
Answers = Callable[[httpx.Request], httpx.Response]


@pytest.fixture(params=COLOURS)
def connect(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """Clients that do not wait between tries."""
    monkeypatch.setattr("tunery_client.retrying._FIRST_PAUSE_SECONDS", 0.001)
    colour: Colour = request.param
    with connecting(colour) as connect:
        yield connect


class Server:
    """Fails as it is told, then answers."""

    def __init__(
        self, *failures: int | type[httpx.TransportError], code: str | None = None, **headers: str
    ) -> None:
        self.requests: list[httpx.Request] = []
        self._failures = [*failures]
        self._code = code
        self._headers = headers

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if not self._failures:
            return httpx.Response(200, json={"object": "list", "data": [], "has_more": False})
        failure = self._failures.pop(0)
        if not isinstance(failure, int):
            raise failure("broken", request=request)
        error = {"message": "no", "code": self._code, "param": None}
        return httpx.Response(failure, json={"error": error}, headers=self._headers)


def client(connect: Connect, server: Server, **options: Any) -> Tunery:
    return connect("http://server", "key", transport=httpx.MockTransport(server), **options)


def post(tunery: Tunery, path: str = "/v1/files") -> object:
    return tunery.request("POST", path, json={})


@pytest.mark.parametrize("failure", [408, 429, 500, 502, 503, httpx.ConnectError, httpx.ReadError])
def test_reading_is_tried_again(connect: Connect, failure: Any) -> None:
    server = Server(failure, failure)
    assert list(client(connect, server).models.list()) == []
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("failure", "tries"),
    [(429, 2), (503, 2), (httpx.ConnectError, 2), (500, 1), (502, 1), (httpx.ReadError, 1), (400, 1)],
)
def test_writing_is_tried_again_only_if_the_server_has_not_begun(
    connect: Connect, failure: Any, tries: int
) -> None:
    server = Server(failure)
    try:
        post(client(connect, server))
    except TuneryError:
        assert tries == 1
    assert len(server.requests) == tries


def test_the_server_may_ask_for_another_try(connect: Connect) -> None:
    """As it does while the first try, whose connection broke, is still at work."""
    server = Server(httpx.ReadError, 409, **{"x-should-retry": "true"})
    with pytest.raises(KeyError):  # the double's answer is no job
        client(connect, server).jobs.create(**JOB)
    assert len({request.headers["idempotency-key"] for request in server.requests}) == 1
    assert len(server.requests) == 3
    with pytest.raises(Conflict) as refused:
        post(client(connect, Server(409)))
    assert refused.value.is_retry_useful is None


@pytest.mark.parametrize("failure", [408, 429, 503, 507])
def test_the_server_may_refuse_another_try(connect: Connect, failure: int) -> None:
    server = Server(failure, **{"x-should-retry": "false"})
    with pytest.raises(ApiError) as refused:
        client(connect, server).models.list()
    assert (len(server.requests), refused.value.is_retry_useful) == (1, False)


@pytest.mark.parametrize("failure", [500, 503, httpx.ReadError, httpx.ReadTimeout])
def test_a_job_is_created_with_one_key_however_often_it_is_sent(connect: Connect, failure: Any) -> None:
    server = Server(failure, failure)
    with pytest.raises(KeyError):  # the double's answer is no job
        client(connect, server).jobs.create(**JOB)
    keys = {request.headers["idempotency-key"] for request in server.requests}
    assert (len(server.requests), len(keys)) == (3, 1)
    with pytest.raises(KeyError):
        client(connect, server).jobs.create(**JOB, idempotency_key="mine")
    assert server.requests[-1].headers["idempotency-key"] == "mine"
    assert b"mine" not in server.requests[-1].content


@pytest.mark.parametrize("method", ["estimate", "preview"])
@pytest.mark.parametrize("code", ["dataset_not_ready", "model_not_ready"])
def test_large_files_are_waited_for(connect: Connect, method: str, code: str) -> None:
    server = Server(*[503] * 5, code=code, **{"retry-after": "0"})
    with pytest.raises(ValueError, match="got 'list'"):  # the double's answer is neither
        getattr(client(connect, server).jobs, method)(**JOB)
    assert len(server.requests) == 6
    assert {request.content for request in server.requests} == {server.requests[0].content}
    server = Server(*[503] * 5, code=code, **{"retry-after": "0"})
    with pytest.raises(WaitTimeout, match="in time: no"):
        getattr(client(connect, server).jobs, method)(**JOB, timeout_seconds=0)
    assert len(server.requests) == 1


def test_other_failures_of_an_estimate_are_not_waited_for(connect: Connect) -> None:
    server = Server(*[503] * 5, code="service_unavailable", **{"retry-after": "0"})
    with pytest.raises(ServerError):
        client(connect, server).jobs.estimate(**JOB)
    assert len(server.requests) == 3


def test_it_gives_up_and_says_when_to_come_back(connect: Connect) -> None:
    server = Server(429, 429, 429, **{"retry-after": "0"})
    with pytest.raises(Overloaded) as refused:
        client(connect, server).models.list()
    assert (len(server.requests), refused.value.retry_after_seconds) == (3, 0)
    server = Server(429, **{"retry-after": "3600"})
    with pytest.raises(Overloaded):
        client(connect, server).models.list()
    assert len(server.requests) == 1


def test_retries_can_be_turned_off(connect: Connect) -> None:
    with pytest.raises(ServerError):
        client(connect, Server(503), max_retries=0).models.list()
    with pytest.raises(ConnectionFailed):
        client(connect, Server(httpx.ConnectError), max_retries=0).models.list()


def test_what_is_wrong_is_not_tried_again(connect: Connect) -> None:
    server = Server(400)
    with pytest.raises(InvalidRequest):
        client(connect, server).models.list()
    assert len(server.requests) == 1


def test_create_says_what_to_call_for_a_stream(connect: Connect) -> None:
    tunery = client(connect, Server())
    with pytest.raises(TypeError, match=r"chat\.stream"):
        tunery.chat.create(model="m", messages=[], stream=True)
    with pytest.raises(TypeError, match=r"completions\.stream"):
        tunery.completions.create(model="m", prompt="x", stream=True)


def test_headers_go_with_every_request(connect: Connect) -> None:
    server = Server()
    client(connect, server, headers={"OpenAI-Project": "proj_1"}).models.list()
    [request] = server.requests
    assert (request.headers["openai-project"], request.headers["authorization"]) == ("proj_1", "Bearer key")


OPENAI = {"OPENAI_BASE_URL": "http://mine/v1/", "OPENAI_API_KEY": "sk"}


@pytest.mark.parametrize(
    ("base_url", "environment", "found"),
    [
        (None, {"TUNERY_API_KEY": "tk"}, ("http://127.0.0.1:8000", "tk")),
        (None, {"TUNERY_API_KEY": "tk", "TUNERY_BASE_URL": "http://a/v1"}, ("http://a", "tk")),
        (None, OPENAI, ("http://mine", "sk")),
        ("http://b", OPENAI | {"TUNERY_API_KEY": "tk"}, ("http://b", "tk")),
    ],
)
def test_the_environment_says_where_and_with_which_key(
    base_url: str | None, environment: dict[str, str], found: tuple[str, str]
) -> None:
    assert find_target(base_url, None, environment) == found


@pytest.mark.parametrize(
    ("base_url", "environment"),
    [
        (None, {}),
        (None, {"OPENAI_API_KEY": "sk"}),
        ("http://b", OPENAI),
        (None, OPENAI | {"TUNERY_BASE_URL": "http://a"}),
    ],
)
def test_a_key_for_openai_is_sent_nowhere_else(base_url: str | None, environment: dict[str, str]) -> None:
    with pytest.raises(MissingApiKey, match="TUNERY_API_KEY"):
        find_target(base_url, None, environment)


def test_metrics_are_rows_by_step() -> None:
    def event(at: int, type: str, **data: object) -> FineTuningJobEvent:
        fields = {"id": str(at), "object": "fine_tuning.job.event", "level": "info", "message": ""}
        return FineTuningJobEvent.from_dict({**fields, "created_at": at, "type": type, "data": data})

    events = [
        event(4, "metrics", step=2, train_loss=0.4),
        event(1, "message"),
        event(3, "metrics", step=2, train_loss=0.5, valid_loss=0.6),
        event(2, "metrics", step=1, train_loss=0.9),
    ]
    rows = metrics_of(events)
    assert rows == [{"step": 1, "train_loss": 0.9}, {"step": 2, "train_loss": 0.4, "valid_loss": 0.6}]
    frame = as_dataframe(rows)
    assert frame.index.tolist() == [1, 2]
    assert frame["train_loss"].tolist() == [0.9, 0.4]
    assert as_dataframe([]).empty


def test_ids_stay_in_their_place_of_the_path(connect: Connect) -> None:
    server = Server()
    tunery = client(connect, server)
    for id in ("..", ".", ""):
        with pytest.raises(ValueError, match="cannot be the id"):
            tunery.files.delete(id)
        with pytest.raises(ValueError, match="cannot be the id"):
            tunery.jobs.republish(id)
    assert server.requests == []
    with pytest.raises(KeyError):  # the double's answer is no job
        tunery.jobs.republish("../../organization?x=")
    [request] = server.requests
    assert request.url.raw_path == b"/v1/fine_tuning/jobs/..%2F..%2Forganization%3Fx%3D/republish"


@pytest.mark.parametrize("body", ['{"error": "unauthorized"}', '{"error": {}}', "[]", "", "<h1>no</h1>"])
def test_answers_of_a_proxy_are_errors_too(connect: Connect, body: str) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(400, text=body))
    with pytest.raises(InvalidRequest, match="HTTP status 400"):
        connect("http://server", "key", transport=transport).models.list()


def test_proxies_of_the_environment_are_not_for_this_machine(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    for url, trusts in (("http://127.0.0.1:2", False), ("http://localhost:2", False), ("http://far:2", True)):
        generated = connect(url, "key")._client
        http = generated._client or generated._async_client
        assert http is not None
        assert http.trust_env is trusts
