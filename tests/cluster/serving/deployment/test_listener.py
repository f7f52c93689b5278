"""A replica's own port, without Ray."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from cluster.serving.deployment.gate import Gate, Handler
from cluster.serving.deployment.listener import Listener

TOKEN = "a-token-for-the-cluster"


def listen(
    handler: Handler,
    talk: Callable[[Listener, httpx2.AsyncClient], Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TUNERY_CLUSTER_TOKEN", TOKEN)

    async def run() -> None:
        listener = Listener(Gate({("POST", "generate"): handler}), "127.0.0.1")
        headers = {"authorization": f"Bearer {TOKEN}"}
        async with httpx2.AsyncClient(base_url=listener.url, headers=headers, trust_env=False) as http:
            await talk(listener, http)
        await listener.close()

    asyncio.run(asyncio.wait_for(run(), 30))


class Slow:
    """Sends a first line but never the second, or nothing at all."""

    def __init__(self, *, begins: bool) -> None:
        self._begins = begins
        self.is_asked = asyncio.Event()
        self.is_cancelled = asyncio.Event()

    async def __call__(self, request: Request) -> Response:
        assert await request.body() == b"a question"
        self.is_asked.set()
        if not self._begins:
            await self._wait()
        return StreamingResponse(self._lines())

    async def _lines(self) -> AsyncGenerator[str, None]:
        yield "first"
        await self._wait()

    async def _wait(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.is_cancelled.set()


def test_only_requests_with_the_token_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    async def handler(request: Request) -> Response:
        return Response(b"answer to " + await request.body())

    async def talk(listener: Listener, http: httpx2.AsyncClient) -> None:
        answer = await http.post("/engine/generate", content=b"a question")
        assert (answer.status_code, answer.content) == (200, b"answer to a question")
        stranger = await http.post("/engine/generate", headers={"authorization": "Bearer other"})
        assert stranger.status_code == 401
        assert (await http.get("/engine/generate")).status_code == 404

    listen(handler, talk, monkeypatch)


@pytest.mark.parametrize("begins", [True, False], ids=["in_mid_stream", "before_the_answer_begins"])
def test_a_disconnect_cancels_the_request(monkeypatch: pytest.MonkeyPatch, begins: bool) -> None:
    async def talk(listener: Listener, http: httpx2.AsyncClient) -> None:
        asking = asyncio.ensure_future(_first_piece(http) if begins else _asked(http))
        await slow.is_asked.wait()
        if not begins:
            asking.cancel()
        await asyncio.wait([asking])
        await slow.is_cancelled.wait()

    slow = Slow(begins=begins)
    listen(slow, talk, monkeypatch)


def test_closing_lets_responses_end_and_accepts_no_more_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    may_end = asyncio.Event()

    async def lines() -> AsyncGenerator[str, None]:
        yield "first "
        await may_end.wait()
        yield "last"

    async def handler(request: Request) -> Response:
        return StreamingResponse(lines())

    async def talk(listener: Listener, http: httpx2.AsyncClient) -> None:
        async with http.stream("POST", "/engine/generate") as answer:
            pieces = answer.aiter_text()
            assert await anext(pieces) == "first "
            closing = asyncio.ensure_future(listener.close())
            while True:
                try:
                    async with httpx2.AsyncClient(trust_env=False) as other:
                        await other.get(listener.url)
                except httpx2.ConnectError:
                    break
                except httpx2.RemoteProtocolError:
                    # The connection was accepted just before.
                    continue
            assert not closing.done()
            may_end.set()
            assert await anext(pieces) == "last"
        await closing

    listen(handler, talk, monkeypatch)


async def _asked(http: httpx2.AsyncClient) -> None:
    await http.post("/engine/generate", content=b"a question")


async def _first_piece(http: httpx2.AsyncClient) -> None:
    async with http.stream("POST", "/engine/generate", content=b"a question") as answer:
        assert await anext(answer.aiter_text()) == "first"
