"""A body that trickles in does not hold its connection for long."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from service.api.app import create_app
from service.api.http import errors
from service.api.http.body_time import BodyTime
from service.api.http.middleware import BodyLimit
from service.api.state import AppState
from tests.api import Project, listening

SOON = 0.05


async def later() -> None:
    """Returns when a limit of SOON is over."""
    end = asyncio.get_running_loop().time() + 2 * SOON
    while asyncio.get_running_loop().time() < end:
        await asyncio.sleep(0)


async def trickling() -> AsyncIterator[bytes]:
    for _ in range(1000):
        yield b" "
        await later()


async def in_three_pieces() -> AsyncIterator[bytes]:
    for _ in range(3):
        await asyncio.sleep(0)
        yield b" "


async def never() -> AsyncIterator[bytes]:
    yield b" "
    await asyncio.Event().wait()


async def large_and_late() -> AsyncIterator[bytes]:
    for _ in range(3):
        yield b" " * 500
        await later()


def client(*, seconds: float, bytes_per_second: float, is_reading_late: bool = False) -> httpx.AsyncClient:
    async def answer(request: Request) -> Response:
        if is_reading_late:
            await later()
        return Response(str(len(await request.body())))

    app = Starlette(routes=[Route(path, answer, methods=["POST"]) for path in ("/json", "/file")])
    errors.install(app)
    app.add_middleware(BodyLimit, limits={}, default=2000)
    app.add_middleware(BodyTime, paced=["/file"], seconds=seconds, bytes_per_second=bytes_per_second)

    async def with_key(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {"principal": None}
        await app(scope, receive, send)

    return httpx.AsyncClient(transport=httpx.ASGITransport(with_key), base_url="http://test")


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


@pytest.mark.anyio
@pytest.mark.parametrize("body", [trickling, never])
async def test_a_body_that_takes_too_long_is_408(body: Callable[[], AsyncIterator[bytes]]) -> None:
    http = client(seconds=SOON, bytes_per_second=1e9)
    refused = await http.post("/json", content=body())
    assert code(refused) == (408, "request_timeout")
    assert "it may take 0.05 s" in refused.json()["error"]["message"]


@pytest.mark.anyio
async def test_what_arrives_gives_a_body_more_time_and_time_in_which_it_is_not_read_is_not_counted() -> None:
    http = client(seconds=SOON, bytes_per_second=1.0)
    assert (await http.post("/json", content=large_and_late())).text == "1500"
    http = client(seconds=SOON, bytes_per_second=1e9, is_reading_late=True)
    assert (await http.post("/json", content=in_three_pieces())).text == "3"


@pytest.mark.anyio
async def test_files_have_a_pace_of_their_own() -> None:
    http = client(seconds=SOON, bytes_per_second=1e9)
    assert (await http.post("/file", content=large_and_late())).text == "1500"


@pytest.mark.anyio
async def test_a_body_that_is_too_large_is_refused_also_if_it_does_not_come() -> None:
    http = client(seconds=SOON, bytes_per_second=1e9)
    refused = await http.post("/json", content=never(), headers={"content-length": "3000"})
    assert refused.status_code == 413


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_api_refuses_json_that_takes_too_long(state: AppState, project: Project) -> None:
    app = create_app(state.settings, open_state=lambda _: state)
    (body_time,) = (one for one in app.user_middleware if one.cls is BodyTime)
    body_time.kwargs["seconds"] = SOON
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: here\r\nauthorization: Bearer {project.key}\r\n"
        "content-type: application/json\r\ncontent-length: 30000000\r\n\r\n"
    )
    with listening(app) as url:
        address = urlsplit(url)
        with socket.create_connection((address.hostname, address.port or 0), timeout=10) as connection:
            connection.sendall(head.encode() + b"{")
            answer = connection.recv(65_536)
            assert answer.startswith(b"HTTP/1.1 408")
            assert b"request_timeout" in answer
