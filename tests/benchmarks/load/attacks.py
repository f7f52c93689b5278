"""Attacks on the API by a client with or without a key. All are bounded in bytes, number and time."""

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from tests.benchmarks.load.api_process import Api

_CHUNK_BYTES = 2**18
_SECONDS = 120.0
"""The longest that any request here takes."""
_SYNC = "/internal/attempts/ftjob-1/1/sync"


@dataclass(frozen=True)
class Size:
    bodies: int
    body_mib: int
    json_bodies: int
    json_mib: int
    heads_mib: int
    header_mib: int
    half_open: int
    idle: int
    hold_seconds: float
    """How long half-open and idle connections are held if the API does not close them before."""


def attacks(size: Size) -> dict[str, Callable[[Api], dict[str, object]]]:
    """The attacks by name. Each returns its outcome as JSON."""
    zeros = size.json_mib * 2**20 // 2

    def wrong_json(name: str) -> list[bytes]:
        return [b'{"%b":[' % name.encode(), b"0," * zeros, b"0]}"]

    return {
        "bodies_without_token": lambda api: _post(
            api.internal_port, _SYNC, {}, size.bodies, [b"x" * (size.body_mib * 2**20)]
        ),
        "json_without_token": lambda api: _post(
            api.internal_port, _SYNC, {}, size.json_bodies, wrong_json("events")
        ),
        "json_with_key": lambda api: _post(
            api.port, "/v1/fine_tuning/jobs", api.headers, size.json_bodies, wrong_json("integrations")
        ),
        "many_headers": lambda api: _heads(api, size.heads_mib, b"a: " + b"b" * 1000 + b"\r\n"),
        "one_header": lambda api: _heads(api, size.header_mib, b"b" * 2**16, beginning=b"a: "),
        "connections": lambda api: _connections(api, size),
    }


def _post(port: int, path: str, headers: dict[str, str], count: int, body: list[bytes]) -> dict[str, object]:
    """Sends `count` requests at once; counts the answers by status or connection error."""
    length = sum(map(len, body))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST {path} HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\n{lines}"
    request = f"{head}content-length: {length}\r\n\r\n".encode()
    answers: list[str] = []
    threads = [
        threading.Thread(target=lambda: answers.append(_exchange(port, request, _pieces(body))))
        for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"answers": {answer: answers.count(answer) for answer in sorted(set(answers))}}


def _heads(api: Api, mib: int, piece: bytes, *, beginning: bytes = b"") -> dict[str, object]:
    """Sends one request with `mib` of headers, whose end follows if the API accepts them all."""
    pieces = (piece for _ in range(mib * 2**20 // len(piece)))

    def all_pieces() -> Iterator[bytes]:
        yield from pieces
        yield b"\r\n\r\n"

    head = b"GET /healthz HTTP/1.1\r\nhost: here\r\n"
    return {"answer": _exchange(api.port, head + beginning, all_pieces())}


def _connections(api: Api, size: Size) -> dict[str, object]:
    """Opens connections with half a head each, and others with one answered request each."""
    half_open = [_connect(api.port, b"GET / HTTP/1.1\r\nhost:") for _ in range(size.half_open)]
    idle = [_connect(api.port, b"GET /healthz HTTP/1.1\r\nhost: here\r\n\r\n") for _ in range(size.idle)]
    ended = {}
    began = time.monotonic()
    for name, connections in {"half_open": half_open, "idle": idle}.items():
        for connection in connections:
            connection.settimeout(max(0.01, began + size.hold_seconds - time.monotonic()))
            with suppress(TimeoutError, ConnectionError):
                while connection.recv(2**16):
                    pass
                ended[name] = ended.get(name, 0) + 1
            connection.close()
        ended[f"{name}_seconds"] = round(time.monotonic() - began)
    return {"ended": ended}


def _connect(port: int, data: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=_SECONDS)
    connection.sendall(data)
    return connection


def _exchange(port: int, beginning: bytes, rest: Iterator[bytes]) -> str:
    """Sends until everything is sent or the API answers.

    Returns the status, the name of the connection's error, or `closed`.
    """
    deadline = time.monotonic() + _SECONDS
    with socket.create_connection(("127.0.0.1", port), timeout=_SECONDS) as connection:
        try:
            connection.sendall(beginning)
            for piece in rest:
                if select.select([connection], [], [], 0)[0] or time.monotonic() > deadline:
                    break
                connection.sendall(piece)
        except ConnectionError:
            pass  # an answer sent before the connection was closed can still be read
        try:
            answer = connection.recv(2**16)
        except OSError as error:
            return type(error).__name__
    return answer.split()[1].decode() if answer else "closed"


def _pieces(body: list[bytes]) -> Iterator[bytes]:
    for part in body:
        for start in range(0, len(part), _CHUNK_BYTES):
            yield part[start : start + _CHUNK_BYTES]
