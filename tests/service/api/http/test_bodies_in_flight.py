"""The bodies of requests in progress have no more bytes together than one process may hold."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.app import create_app
from service.api.http import errors
from service.api.http.bodies_in_flight import BodiesInFlight
from service.api.state import AppState
from service.db.organization.api_keys import Principal
from service.db.tenancy import Tenant
from tests.api import Project, jsonl, with_settings

LIMIT = 1000


class Server:
    """Answers each request once it may, to the project that the query names."""

    def __init__(self) -> None:
        self.num_read = 0
        self.may_answer = asyncio.Event()
        self._held: list[asyncio.Task[httpx.Response]] = []
        routes = [Route(path, self._answer, methods=["POST"]) for path in ("/json", "/file")]
        app = Starlette(routes=routes)
        errors.install(app)
        app.add_middleware(BodiesInFlight, max_bytes=LIMIT, streamed=["/file"])
        transport = httpx.ASGITransport(_as_project(app))
        self.http = httpx.AsyncClient(transport=transport, base_url="http://test")

    async def post(self, num_bytes: int, *, project: str = "a", path: str = "/json") -> httpx.Response:
        return await self.http.post(f"{path}?{project}", content=b"x" * num_bytes)

    async def hold(self, num_bytes: int, *, project: str) -> None:
        """Sends a request, and returns when it has been read."""
        before = self.num_read
        self._held.append(asyncio.create_task(self.post(num_bytes, project=project)))
        while self.num_read == before:
            await asyncio.sleep(0)

    async def answer_all(self) -> list[int]:
        """Answers the requests that are held, and returns their statuses."""
        self.may_answer.set()
        return [(await task).status_code for task in self._held]

    async def _answer(self, request: Request) -> Response:
        await request.body()
        self.num_read += 1
        await self.may_answer.wait()
        return Response()


def _as_project(app: ASGIApp) -> ASGIApp:
    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        tenant = Tenant("org", scope["query_string"].decode())
        scope["state"] = {"principal": Principal("key", tenant, frozenset())}
        await app(scope, receive, send)

    return run


def _code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


@pytest.mark.anyio
async def test_a_project_holds_at_most_half_until_its_requests_are_answered() -> None:
    server = Server()
    await server.hold(300, project="a")
    refused = await server.post(201)
    assert _code(refused) == (429, "too_many_bytes_in_flight")
    assert refused.json()["error"]["type"] == "rate_limit_error"
    assert "this project" in refused.json()["error"]["message"]
    assert "have 300 bytes; with 201 more they would exceed 500" in refused.json()["error"]["message"]
    assert int(refused.headers["retry-after"]) >= 1
    await server.hold(200, project="a")
    await server.hold(500, project="b")
    assert await server.answer_all() == [200, 200, 200]
    assert (await server.post(500)).status_code == 200


@pytest.mark.anyio
async def test_all_projects_together_hold_at_most_the_limit() -> None:
    server = Server()
    await server.hold(400, project="a")
    await server.hold(400, project="b")
    refused = await server.post(201, project="c")
    assert _code(refused) == (429, "too_many_bytes_in_flight")
    assert "all projects" in refused.json()["error"]["message"]
    await server.hold(200, project="c")
    assert await server.answer_all() == [200, 200, 200]


@pytest.mark.anyio
async def test_a_body_of_unknown_length_is_refused_as_it_arrives_and_holds_nothing_then() -> None:
    server = Server()

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(6):
            yield b"x" * 100

    refused = await server.http.post("/json?a", content=pieces())
    assert _code(refused) == (429, "too_many_bytes_in_flight")
    await server.hold(500, project="a")
    assert await server.answer_all() == [200]


@pytest.mark.anyio
async def test_what_goes_to_the_disk_does_not_count() -> None:
    server = Server()
    server.may_answer.set()
    assert (await server.post(10 * LIMIT, path="/file")).status_code == 200


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_api_refuses_json_that_does_not_fit_and_takes_files(state: AppState, project: Project) -> None:
    limited = with_settings(state, max_body_bytes_in_flight=2 * 4000)
    chat = {"model": "base-1", "messages": [{"role": "user", "content": "x" * 4000}]}

    def unannounced() -> Iterator[bytes]:
        yield from [b" " * 1000] * 5

    headers = {"authorization": f"Bearer {project.key}"}
    with TestClient(create_app(limited.settings, open_state=lambda _: limited), headers=headers) as http:
        kind = {"content-type": "application/json"}
        for answer in (
            http.post("/v1/chat/completions", json=chat),
            http.post("/v1/chat/completions", content=unannounced(), headers=kind),
            http.post("/v1/chat/completions", content=unannounced()),
        ):
            assert _code(answer) == (429, "too_many_bytes_in_flight")
            assert int(answer.headers["retry-after"]) >= 1
        form = {"files": {"file": ("a.jsonl", jsonl() * 100)}, "data": {"purpose": "fine-tune"}}
        assert http.post("/v1/files", **form).status_code == 200  # type: ignore[arg-type]
        assert http.get("/v1/files").status_code == 200
