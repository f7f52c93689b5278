"""One key cannot take all connections of a process."""

import asyncio
import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from service.api.app import create_app
from service.api.http.requests_in_flight import RequestsInFlight
from service.api.state import AppState
from service.db.database import Database
from service.db.organization.api_keys import Principal
from service.db.tenancy import Tenant
from tests.api import Project, add_project, listening, with_settings

CONNECTIONS = 8


class Server:
    """Answers each request once it may, to the organization and the project that the query names."""

    def __init__(self, *, connections: int) -> None:
        self.num_begun = 0
        self.may_answer = asyncio.Event()
        self._app = RequestsInFlight(self._answer, connections=connections)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(self._run), base_url="http://test")
        self._held: list[asyncio.Task[httpx.Response]] = []

    async def hold(self, *tenants: str) -> None:
        """Sends requests, and returns when they are being answered."""
        enough = self.num_begun + len(tenants)
        self._held += [asyncio.create_task(self.http.get(f"/?{tenant}")) for tenant in tenants]
        while self.num_begun < enough:
            await asyncio.sleep(0)

    async def answer_all(self) -> None:
        self.may_answer.set()
        assert {(await task).status_code for task in self._held} == {200}

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        if tenant := scope["query_string"].decode():
            scope["state"] = {"principal": Principal("key", Tenant(*tenant.split("/")), frozenset())}
        await self._app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.num_begun += 1
        await self.may_answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})


def check_refusal(answer: httpx.Response, message: str) -> None:
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (429, "too_many_requests_in_flight")
    assert error["type"] == "rate_limit_error"
    assert message in error["message"]
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.anyio
async def test_a_project_has_half_and_an_organization_three_quarters_until_they_are_answered() -> None:
    server = Server(connections=8)
    await server.hold(*["one/a"] * 4)
    check_refusal(await server.http.get("/?one/a"), "4 requests of your project")
    await server.hold("one/b", "one/b")
    check_refusal(await server.http.get("/?one/b"), "6 requests of your organization")
    await server.hold("two/c")
    await server.answer_all()
    assert (await server.http.get("/?one/a")).status_code == 200


@pytest.mark.anyio
async def test_what_needs_no_key_is_not_counted() -> None:
    server = Server(connections=2)
    await server.hold("one/a", "", "", "")
    await server.answer_all()


@dataclass
class SlowBody:
    """A request whose body does not come to its end."""

    connection: socket.socket

    def fileno(self) -> int:
        return self.connection.fileno()

    def answer(self) -> bytes:
        return self.connection.recv(65_536)


@contextmanager
def slow_bodies(
    url: str, project: Project, count: int, *, num_bytes: int = 2**20
) -> Iterator[list[SlowBody]]:
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: here\r\nauthorization: Bearer {project.key}\r\n"
        f"content-type: application/json\r\ncontent-length: {num_bytes}\r\n\r\n"
    )
    address = urlsplit(url)
    with ExitStack() as stack:
        bodies = []
        for _ in range(count):
            connection = socket.create_connection((address.hostname, address.port or 0), timeout=30)
            stack.callback(connection.close)
            connection.sendall(head.encode() + b"{" + b" " * 1000)
            bodies.append(SlowBody(connection))
        yield bodies


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_as_many_slow_bodies_of_one_key_as_there_are_connections_leave_room_for_other_projects(
    state: AppState, project: Project, database: Database
) -> None:
    limited = with_settings(state, max_connections=CONNECTIONS)
    other = add_project(database)
    app = create_app(limited.settings, open_state=lambda _: limited)

    def status(url: str, project: Project) -> int:
        headers = {"authorization": f"Bearer {project.key}", "connection": "close"}
        return httpx.get(f"{url}/v1/models", headers=headers, trust_env=False).status_code

    with listening(app, connections=CONNECTIONS) as url:
        with slow_bodies(url, project, CONNECTIONS) as waiting:
            for _ in range(CONNECTIONS // 2):
                answered = select.select(waiting, [], [], 60)[0][0]
                answer = answered.answer()
                assert answer.startswith(b"HTTP/1.1 429"), answer
                assert b"too_many_requests_in_flight" in answer
                waiting.remove(answered)
            assert status(url, other) == 200
            assert status(url, project) == 429
            assert httpx.get(f"{url}/healthz", trust_env=False).status_code == 200
        deadline = time.monotonic() + 60
        while status(url, project) != 200:  # until the server has seen that the connections are gone
            assert time.monotonic() < deadline


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_body_that_nobody_may_send_is_not_waited_for_without_a_key(state: AppState) -> None:
    with listening(create_app(state.settings, open_state=lambda _: state)) as url:
        address = urlsplit(url)
        with socket.create_connection((address.hostname, address.port or 0), timeout=10) as connection:
            connection.sendall(
                f"POST /healthz HTTP/1.1\r\nhost: here\r\ncontent-length: {2**26}\r\n\r\n".encode()
            )
            assert connection.recv(65_536).startswith(b"HTTP/1.1 413")
