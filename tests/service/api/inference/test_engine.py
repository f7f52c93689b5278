"""The client of the serving engines, against a server that behaves like Ray Serve's proxy."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from cluster.contracts.bases import BasesAnswer, BaseSpec, BasesRequest
from cluster.contracts.datasets import DatasetCheck, DatasetCheckRequest
from cluster.contracts.errors import (
    ContextLengthExceeded,
    NotFound,
    Overloaded,
    TuneryError,
    Unavailable,
)
from cluster.contracts.generation import (
    LOAD_TIMEOUT_HEADER,
    MODEL_HEADER,
    PROJECT_HEADER,
    REPLICA_HEADER,
    ErrorEvent,
    FinishEvent,
    GenerationEvent,
    GenerationRequest,
    ModelRef,
    PromptEvent,
    Sampling,
    TextEvent,
    TextPrompt,
)
from service.api.inference.engine import ServeEngine, _lines
from service.ports import free_ports
from tests.api import BASE, listening

REQUEST = GenerationRequest(id="r1", model=ModelRef(base=BASE), prompt=TextPrompt(text="x"))
EVENTS: list[GenerationEvent] = [
    PromptEvent(prompt_tokens=1),
    TextEvent(index=0, text="line\nbreaks \u2028 \x85 \u2029 and ünïcödé 🙂", completion_tokens=1),
    FinishEvent(index=0, reason="stop", completion_tokens=1),
]


def ndjson(events: list[Any]) -> bytes:
    return b"".join(event.model_dump_json().encode() + b"\n" for event in events)


def ask(answer: Callable[[Request], Any], request: GenerationRequest = REQUEST) -> list[GenerationEvent]:
    async def generate() -> list[GenerationEvent]:
        engine = ServeEngine(url, "token-1", idle_seconds=5)
        try:
            return [event async for event in engine.generate(request)]
        finally:
            await engine.close()

    async def route(incoming: Request) -> Response:
        return await answer(incoming)

    with listening(Starlette(routes=[Route("/engine/generate", route, methods=["POST"])])) as url:
        return asyncio.run(generate())


def in_pieces(content: bytes, size: int) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(content), size):
            yield content[start : start + size]

    return StreamingResponse(pieces(), media_type="application/x-ndjson")


def test_events_arrive_whole_however_the_bytes_are_cut() -> None:
    async def answer(incoming: Request) -> Response:
        assert incoming.headers["authorization"] == "Bearer token-1"
        assert incoming.headers[MODEL_HEADER] == REQUEST.model.name
        assert GenerationRequest.model_validate_json(await incoming.body()) == REQUEST
        return in_pieces(ndjson(EVENTS), 3)

    assert ask(answer) == EVENTS


async def _cut(content: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


def test_a_long_line_takes_time_in_proportion_to_its_length() -> None:
    content = b"x" * 2**23
    response: Any = SimpleNamespace(
        content=SimpleNamespace(iter_any=lambda: _cut(content + b"\n\n" + b"rest", 1024))
    )

    async def lines() -> list[bytes]:
        return [line async for line in _lines(response)]

    begun = time.process_time()
    assert asyncio.run(lines()) == [content, b"rest"]
    # To copy the line at each of its 8,192 pieces takes ten times as long.
    assert time.process_time() - begun < 1


@pytest.mark.parametrize(
    ("response", "kind", "words"),
    [
        (
            JSONResponse(
                ErrorEvent(
                    error="ContextLengthExceeded",
                    message="too long",
                    code="context_length_exceeded",
                    param="prompt",
                ).model_dump(),
                status_code=400,
            ),
            ContextLengthExceeded,
            "too long",
        ),
        (JSONResponse(ErrorEvent(error="NotFound", message="gone").model_dump(), 404), NotFound, "gone"),
        (
            JSONResponse(ErrorEvent(error="Overloaded", message="busy", code="full").model_dump(), 503),
            Overloaded,
            "busy",
        ),
        (
            PlainTextResponse("Request dropped due to backpressure (num_queued=9)", 503),
            Overloaded,
            "too many",
        ),
        (PlainTextResponse("Path '/engine' not found", 404), Unavailable, "status 404"),
        (PlainTextResponse("Internal Server Error", 500), Unavailable, "status 500"),
        (Response(status_code=307, headers={"location": "/engine/ready"}), Unavailable, "status 307"),
        (Response(ndjson(EVENTS[:2])), Unavailable, "broke off"),
        (Response(b"<html>"), Unavailable, "unreadable"),
        (Response(ndjson([EVENTS[0], ErrorEvent(error="Unavailable", message="lost")])), Unavailable, "lost"),
    ],
)
def test_failures_are_domain_errors(response: Response, kind: type[TuneryError], words: str) -> None:
    async def answer(incoming: Request) -> Response:
        return response

    with pytest.raises(kind, match=words) as raised:
        ask(answer)
    assert type(raised.value) is kind


def test_the_engine_decides_when_to_retry() -> None:
    async def answer(incoming: Request) -> Response:
        event = ErrorEvent(error="Overloaded", message="busy")
        return JSONResponse(event.model_dump(), 503, {"retry-after": "7"})

    with pytest.raises(Overloaded) as raised:
        ask(answer)
    assert raised.value.retry_after_seconds == 7


def test_an_absent_engine_is_unavailable() -> None:
    async def generate() -> None:
        engine = ServeEngine("http://127.0.0.1:1", "")
        try:
            await anext(engine.generate(REQUEST))
        finally:
            await engine.close()

    with pytest.raises(Unavailable):
        asyncio.run(generate())


def test_a_server_that_falls_silent_is_unavailable() -> None:
    async def answer(incoming: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            yield ndjson(EVENTS[:1])
            while not await incoming.is_disconnected():
                await asyncio.sleep(0.01)

        return StreamingResponse(pieces())

    async def generate(url: str) -> None:
        engine = ServeEngine(url, "", idle_seconds=0.2)
        try:
            async for _ in engine.generate(REQUEST):
                pass
        finally:
            await engine.close()

    async def route(incoming: Request) -> Response:
        return await answer(incoming)

    with (
        listening(Starlette(routes=[Route("/engine/generate", route, methods=["POST"])])) as url,
        pytest.raises(Unavailable),
    ):
        asyncio.run(generate(url))


def test_a_request_carries_its_load_timeout_and_is_bounded_by_its_begin_timeout() -> None:
    async def generate(url: str) -> None:
        engine = ServeEngine(url, "", load_seconds=7, begin_seconds=0.2)
        try:
            await anext(engine.generate(REQUEST))
        finally:
            await engine.close()

    async def route(incoming: Request) -> Response:
        assert incoming.headers[LOAD_TIMEOUT_HEADER] == "7"
        while not await incoming.is_disconnected():
            await asyncio.sleep(0.01)
        return Response()

    with (
        listening(Starlette(routes=[Route("/engine/generate", route, methods=["POST"])])) as url,
        pytest.raises(Unavailable, match=r"within 0.2 s: it is starting a replica") as raised,
    ):
        asyncio.run(generate(url))
    assert (raised.value.code, raised.value.retry_after_seconds) == ("model_not_ready", 30)


def test_an_estimate_names_its_project_to_the_cluster() -> None:
    check = DatasetCheck(format="chat", n_examples=1, n_tokens=1, n_supervised_tokens=1, longest=1)

    async def ask_for_check(url: str) -> DatasetCheck:
        engine = ServeEngine(url, "")
        try:
            request = DatasetCheckRequest(base=BASE, key="files/a", sha256="0" * 64)
            return await engine.check_dataset(request, project_id="proj-1")
        finally:
            await engine.close()

    async def route(incoming: Request) -> Response:
        assert incoming.headers[PROJECT_HEADER] == "proj-1"
        return Response(check.model_dump_json())

    with listening(Starlette(routes=[Route("/datasets/estimate", route, methods=["POST"])])) as url:
        assert asyncio.run(ask_for_check(url)) == check


def test_an_answer_is_whole_only_when_every_choice_has_finished() -> None:
    async def answer(incoming: Request) -> Response:
        return Response(ndjson(EVENTS))

    with pytest.raises(Unavailable, match="broke off"):
        ask(answer, REQUEST.model_copy(update={"sampling": Sampling(n=2)}))


def test_closing_the_generator_disconnects_from_the_engine() -> None:
    left = threading.Event()

    async def route(incoming: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            try:
                yield ndjson(EVENTS[:1])
                await asyncio.Event().wait()
            finally:
                left.set()

        return StreamingResponse(pieces())

    async def generate(url: str) -> None:
        engine = ServeEngine(url, "")
        async with aclosing(engine.generate(REQUEST)) as events:
            assert await anext(events) == EVENTS[0]
        assert await asyncio.to_thread(left.wait, 5)
        await engine.close()

    with listening(Starlette(routes=[Route("/engine/generate", route, methods=["POST"])])) as url:
        asyncio.run(generate(url))


def test_requests_one_after_another_share_a_connection() -> None:
    clients = set()

    async def route(incoming: Request) -> Response:
        clients.add(incoming.client)
        return in_pieces(ndjson(EVENTS), 50)

    async def generate(url: str) -> None:
        engine = ServeEngine(url, "")
        try:
            for _ in range(3):
                assert [event async for event in engine.generate(REQUEST)] == EVENTS
        finally:
            await engine.close()

    with listening(Starlette(routes=[Route("/engine/generate", route, methods=["POST"])])) as url:
        asyncio.run(generate(url))
    assert len(clients) == 1


@pytest.mark.parametrize("status", [200, 503])
def test_health_is_what_the_engine_reports(status: int) -> None:
    async def route(incoming: Request) -> Response:
        return Response(status_code=status)

    async def check(url: str) -> None:
        engine = ServeEngine(url, "")
        try:
            await engine.check_health()
        finally:
            await engine.close()

    with listening(Starlette(routes=[Route("/datasets/ready", route)])) as url:
        if status == 200:
            asyncio.run(check(url))
        else:
            with pytest.raises(Unavailable):
                asyncio.run(check(url))


def receivers(replica_port: int | None = None) -> list[str]:
    """Returns who received three consecutive requests, the proxy or the replica. The replica listens at the
    address that the proxy announces, unless `replica_port` is announced."""
    received: list[str] = []

    async def proxy(incoming: Request) -> Response:
        received.append("proxy")
        return Response(ndjson(EVENTS), headers={REPLICA_HEADER: replica_url})

    async def replica(incoming: Request) -> Response:
        assert incoming.headers["authorization"] == "Bearer token-1"
        received.append("replica")
        return Response(ndjson(EVENTS))

    async def generate(url: str) -> None:
        engine = ServeEngine(url, "token-1", idle_seconds=5)
        try:
            for _ in range(3):
                assert [event async for event in engine.generate(REQUEST)] == EVENTS
        finally:
            await engine.close()

    route = "/engine/generate"
    with (
        listening(Starlette(routes=[Route(route, proxy, methods=["POST"])])) as url,
        listening(Starlette(routes=[Route(route, replica, methods=["POST"])])) as replica_url,
    ):
        if replica_port is not None:
            replica_url = f"http://127.0.0.1:{replica_port}"
        asyncio.run(generate(url))
    return received


def test_a_lone_replica_is_called_at_the_address_it_announces() -> None:
    assert receivers() == ["proxy", "replica", "replica"]


def test_an_unreachable_replica_is_never_called_directly_again() -> None:
    (nobody,) = free_ports(1)
    assert receivers(nobody) == ["proxy", "proxy", "proxy"]


def test_the_datasets_application_reports_missing_bases() -> None:
    async def answer(incoming: Request) -> Response:
        assert incoming.headers["authorization"] == "Bearer token-1"
        received = BasesRequest.model_validate_json(await incoming.body())
        if len(received.bases) != 1:
            return Response("starting", 503)
        return JSONResponse(BasesAnswer(unavailable={received.bases[0].alias: "why"}).model_dump())

    async def ask(*bases: BaseSpec) -> BasesAnswer:
        engine = ServeEngine(url, "token-1")
        try:
            return await engine.bases(list(bases))
        finally:
            await engine.close()

    with listening(Starlette(routes=[Route("/datasets/bases", answer, methods=["POST"])])) as url:
        assert asyncio.run(ask(BASE)).unavailable == {BASE.alias: "why"}
        with pytest.raises(Unavailable):
            asyncio.run(ask())
    with pytest.raises(Unavailable):
        asyncio.run(ask(BASE))
