"""Writes that are made together go out together."""

import asyncio

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from cluster.wire.corked import Corked, CorkedHttp

pytestmark = pytest.mark.anyio


class _Written(asyncio.Transport):
    """Remembers what it is asked to do."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 9)})
        self.calls: list[bytes | str] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.calls.append(bytes(data))

    def close(self) -> None:
        self.calls.append("close")

    def is_closing(self) -> bool:
        return "close" in self.calls


async def test_writes_of_one_turn_of_the_loop_are_one() -> None:
    transport = _Written()
    corked = Corked(transport, asyncio.get_running_loop())
    corked.write(b"a")
    corked.write(b"b")
    assert transport.calls == []
    await asyncio.sleep(0)
    corked.write(b"c")
    await asyncio.sleep(0)
    assert transport.calls == [b"ab", b"c"]
    assert corked.get_extra_info("peername") == ("127.0.0.1", 9)


async def test_what_waits_is_written_before_the_end_and_nothing_after_it() -> None:
    transport = _Written()
    corked = Corked(transport, asyncio.get_running_loop())
    corked.write(b"last")
    corked.close()
    corked.write(b"too late")
    await asyncio.sleep(0)
    assert transport.calls == [b"last", "close"]


async def test_much_does_not_wait_so_that_the_transport_can_say_that_its_reader_is_slow() -> None:
    transport = _Written()
    corked = Corked(transport, asyncio.get_running_loop())
    corked.write(b"x" * 70_000)
    assert transport.calls == [b"x" * 70_000]
    await asyncio.sleep(0)
    assert len(transport.calls) == 1


async def test_an_answer_whose_parts_are_ready_is_one_write() -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in (b"one ", b"two"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    config = uvicorn.Config(application, lifespan="off", log_config=None)
    config.load()
    transport = _Written()
    state = uvicorn.Server(config).server_state
    protocol = CorkedHttp(config, state, app_state={}, _loop=asyncio.get_running_loop())
    protocol.connection_made(transport)
    protocol.data_received(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n")
    await asyncio.gather(*state.tasks)
    await asyncio.sleep(0)
    (answer,) = transport.calls
    assert isinstance(answer, bytes)
    assert answer.endswith(b"\r\n\r\n4\r\none \r\n3\r\ntwo\r\n0\r\n\r\n")
    protocol.connection_lost(None)
