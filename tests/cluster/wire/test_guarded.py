"""What one connection may cost, on real sockets: limits here are fractions of seconds, and what is awaited is
the end of a connection, never a clock."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from cluster.wire.guarded import ConnectionLimits, GuardedHttp

NEVER = 1000.0
LIMITS = ConnectionLimits(
    head_bytes=10_000,
    head_seconds=NEVER,
    idle_seconds=NEVER,
    body_seconds=NEVER,
    unread_seconds=NEVER,
    stalled_seconds=NEVER,
    check_seconds=0.05,
)
SOON = 0.2
REQUEST = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n"
UPLOAD = b"POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 1000000\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n"


@dataclass
class App:
    """Reads the whole body and answers `ok`, once it may."""

    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    reads: bool = True
    answer: bytes = b"ok"
    paths: list[str] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.paths.append(scope["path"])
        await self.may_answer.wait()
        while self.reads and (message := await receive()).get("more_body", False):
            pass
        if self.reads and message["type"] == "http.disconnect":
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": self.answer})


@dataclass
class Served:
    port: int
    app: App
    server: uvicorn.Server

    async def connect(self) -> "Connection":
        return Connection(*await asyncio.open_connection("127.0.0.1", self.port))


@dataclass
class Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def keep_sending(self, data: bytes) -> None:
        """Until the server hangs up: ConnectionError."""
        while True:
            await self.send(data)
            await asyncio.sleep(0.01)

    async def answer(self) -> tuple[int, bytes]:
        """Status and chunked or measured body of the next answer."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        status = int(head.split()[1])
        if b"chunked" in head:
            return status, await self.reader.readuntil(b"0\r\n\r\n")
        (length,) = (line for line in head.lower().splitlines() if line.startswith(b"content-length"))
        return status, await self.reader.readexactly(int(length.split(b":")[1]))

    async def refusal(self) -> tuple[int, str]:
        """Status and code of an error that is the last thing on this connection."""
        status, body = await self.answer()
        assert await self.reader.read() == b""
        return status, json.loads(body)["error"]["code"]


@asynccontextmanager
async def served(limits: ConnectionLimits) -> AsyncIterator[Served]:
    app = App()
    app.may_answer.set()
    config = uvicorn.Config(
        app,
        port=0,
        http=GuardedHttp.limited_to(limits),
        lifespan="off",
        log_config=None,
        timeout_keep_alive=int(NEVER),
        timeout_graceful_shutdown=1,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        yield Served(server.servers[0].sockets[0].getsockname()[1], app, server)
    finally:
        server.force_exit = True
        await server.shutdown()


def run(talk: Callable[[Served], Awaitable[None]], **changes: float) -> None:
    async def main() -> None:
        async with asyncio.timeout(30), served(replace(LIMITS, **changes)) as server:  # type: ignore[arg-type]
            await talk(server)

    asyncio.run(main())


def test_a_head_of_the_limit_is_taken_and_a_larger_one_is_431() -> None:
    async def talk(server: Served) -> None:
        inside = await server.connect()
        await inside.send(b"GET / HTTP/1.1\r\nx: " + b"a" * 9_990 + b"\r\n\r\n")
        assert (await inside.answer())[0] == 200
        outside = await server.connect()
        await outside.send(b"GET / HTTP/1.1\r\nx: " + b"a" * 10_000 + b"\r\n\r\n")
        assert await outside.refusal() == (431, "headers_too_large")
        assert len(server.app.paths) == 1

    run(talk)


@pytest.mark.parametrize(
    "beginning",
    [
        b"GET /" + b"a" * 100,
        b"GET / HTTP/1.1\r\nx: ",
        b"GET / HTTP/1.1\r\n",
        CHUNKED + b"1\r\nx\r\n0\r\nx: ",
        CHUNKED + b"1;x=",
        b"",
    ],
    ids=["url", "one header", "many headers", "trailer", "chunk extension", "empty lines"],
)
def test_what_never_becomes_a_body_is_cut_at_the_limit_wherever_it_is(beginning: bytes) -> None:
    async def talk(server: Served) -> None:
        connection = await server.connect()
        filling = {b"": b"\r\n" * 5_000, b"GET / HTTP/1.1\r\n": b"a: b\r\n" * 2_000}
        refusal = asyncio.create_task(connection.refusal())
        await connection.send(beginning)
        with pytest.raises(ConnectionError):
            await connection.keep_sending(filling.get(beginning, b"a" * 10_000))
        assert await refusal == (431, "headers_too_large")

    run(talk, unread_seconds=SOON)


def test_a_large_body_right_behind_a_small_head_is_none_of_the_head() -> None:
    async def talk(server: Served) -> None:
        connection = await server.connect()
        for _ in range(3):
            await connection.send(UPLOAD + b"x" * 1_000_000)
            assert (await connection.answer())[0] == 200
        await connection.send(CHUNKED + b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n")
        assert (await connection.answer())[0] == 200

    run(talk)


def test_a_head_that_does_not_come_to_its_end_is_408_and_an_idle_connection_just_ends() -> None:
    async def talk(server: Served) -> None:
        silent, slow, second = [await server.connect() for _ in range(3)]
        await slow.send(b"GET / HTTP/1.1\r\nx:")
        await second.send(REQUEST)
        assert (await second.answer())[0] == 200
        await second.send(b"GET")
        assert await silent.reader.read() == b""
        assert await slow.refusal() == (408, "request_timeout")
        assert await second.refusal() == (408, "request_timeout")

    run(talk, head_seconds=SOON)


def test_a_head_that_trickles_does_not_keep_its_connection() -> None:
    async def talk(server: Served) -> None:
        connection = await server.connect()
        await connection.send(b"GET / HTTP/1.1\r\nx:")
        with pytest.raises(ConnectionError):
            await connection.keep_sending(b"a")

    run(talk, head_seconds=SOON, unread_seconds=SOON)


def test_an_idle_connection_ends_and_empty_lines_do_not_keep_it() -> None:
    async def talk(server: Served) -> None:
        connection = await server.connect()
        await connection.send(REQUEST)
        assert (await connection.answer())[0] == 200
        with pytest.raises(ConnectionError):
            await connection.keep_sending(b"\r\n")

    run(talk, idle_seconds=SOON)


def test_a_body_that_comes_too_slowly_is_408_and_its_reader_is_told_that_the_client_is_gone() -> None:
    async def talk(server: Served) -> None:
        connection = await server.connect()
        await connection.send(UPLOAD + b"x" * 100)
        assert await connection.refusal() == (408, "request_timeout")
        assert not server.server.server_state.tasks

    run(talk, body_seconds=SOON)


def test_a_body_that_comes_fast_enough_takes_as_long_as_it_needs() -> None:
    async def talk(server: Served) -> None:
        connection = await server.connect()
        await connection.send(b"POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 100000\r\n\r\n")
        for _ in range(100):
            await connection.send(b"x" * 1000)
            await asyncio.sleep(0.01)
        assert (await connection.answer())[0] == 200

    run(talk, body_seconds=SOON, body_bytes_per_second=100)


@pytest.mark.parametrize("expects", [b"", b"expect: 100-continue\r\n"], ids=["sends", "waits"])
def test_a_client_that_waits_for_us_is_not_slow(expects: bytes) -> None:
    async def talk(server: Served) -> None:
        server.app.may_answer.clear()
        connection = await server.connect()
        await connection.send(
            b"POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 1000000\r\n" + expects + b"\r\n"
        )
        sent = 0 if expects else 500_000
        await connection.send(b"x" * sent)
        await asyncio.sleep(5 * SOON)  # in which a limit would have passed
        server.app.may_answer.set()
        if expects:
            assert await connection.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await connection.send(b"x" * (1_000_000 - sent))
        assert (await connection.answer())[0] == 200

    run(talk, body_seconds=SOON, head_seconds=SOON)


def test_an_answer_that_takes_long_is_no_idle_connection() -> None:
    async def talk(server: Served) -> None:
        server.app.may_answer.clear()
        connection = await server.connect()
        await connection.send(REQUEST)
        await asyncio.sleep(5 * SOON)
        server.app.may_answer.set()
        assert (await connection.answer())[0] == 200

    run(talk, idle_seconds=SOON, head_seconds=SOON, body_seconds=SOON, stalled_seconds=SOON)


def test_the_rest_of_a_body_that_nobody_wants_is_dropped_for_a_while_only() -> None:
    async def talk(server: Served) -> None:
        server.app.reads = False
        connection = await server.connect()
        await connection.send(CHUNKED)
        assert (await connection.answer())[0] == 200
        with pytest.raises(ConnectionError):
            await connection.keep_sending(b"10000\r\n" + b"x" * 65_536 + b"\r\n")

    run(talk, unread_seconds=SOON)


def test_a_client_that_does_not_read_its_answer_is_left() -> None:
    async def talk(server: Served) -> None:
        server.app.answer = b"x" * 50_000_000
        connection = await server.connect()
        await connection.send(REQUEST)
        while not server.server.server_state.connections:
            await asyncio.sleep(0.01)
        while server.server.server_state.connections:
            await asyncio.sleep(0.01)

    run(talk, stalled_seconds=SOON)


def test_requests_that_are_pipelined_are_answered_in_turn_up_to_the_limit() -> None:
    async def talk(server: Served) -> None:
        server.app.may_answer.clear()
        few, many = await server.connect(), await server.connect()
        await few.send(REQUEST * 5)
        await many.send(REQUEST * 6)
        assert await many.reader.read() == b""
        server.app.may_answer.set()
        for _ in range(5):
            assert (await few.answer())[0] == 200

    run(talk, pipelined=4)


def test_a_refused_request_behind_one_that_is_being_answered_does_not_speak_in_between() -> None:
    async def talk(server: Served) -> None:
        server.app.may_answer.clear()
        connection = await server.connect()
        await connection.send(REQUEST)
        while not server.app.paths:
            await asyncio.sleep(0.01)
        await connection.send(b"GET / HTTP/1.1\r\nx: " + b"a" * 20_000)
        assert await connection.reader.read() == b""

    run(talk)


def test_with_too_many_connections_the_longest_idle_makes_room_and_none_that_is_served() -> None:
    async def talk(server: Served) -> None:
        server.app.may_answer.clear()
        served = await server.connect()
        await served.send(REQUEST)
        half_open, idle = await server.connect(), await server.connect()
        await half_open.send(b"GET")
        while len(server.server.server_state.connections) < 3:
            await asyncio.sleep(0.01)
        new = await server.connect()
        await new.send(REQUEST)
        newer = await server.connect()
        await newer.send(REQUEST)
        assert await half_open.reader.read() == b""
        assert await idle.reader.read() == b""
        while len(server.app.paths) < 3:
            await asyncio.sleep(0.01)
        refused = await server.connect()
        assert await refused.refusal() == (503, "too_many_connections")
        server.app.may_answer.set()
        for connection in (served, new, newer):
            assert (await connection.answer())[0] == 200

    run(talk, connections=3)


def test_what_is_no_http_is_refused_in_json() -> None:
    async def talk(server: Served) -> None:
        connection = await server.connect()
        await connection.send(b"\x16\x03\x01 hello\r\n\r\n")
        assert await connection.refusal() == (400, "invalid_http")

    run(talk)
