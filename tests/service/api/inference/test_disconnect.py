"""When a client disconnects, generation for it stops at once."""

import json
import socket
import threading
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.api import LiveApi

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def send(live: LiveApi, path: str, body: dict[str, Any], method: str = "POST") -> socket.socket:
    address = urlsplit(live.url)
    connection = socket.create_connection((address.hostname, address.port), timeout=300)
    content = json.dumps(body).encode()
    head = (
        f"{method} /v1/{path} HTTP/1.1\r\nhost: tunery\r\nauthorization: Bearer {live.project.key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    connection.sendall(head.encode() + content)
    return connection


def request_arrived(live: LiveApi) -> threading.Event:
    arrived = threading.Event()

    class Watched(list[Any]):
        def append(self, item: Any) -> None:
            super().append(item)
            arrived.set()

    live.engine.requests = Watched()
    return arrived


CHAT: dict[str, Any] = {"model": "base-1", "messages": [{"role": "user", "content": "x"}]}


@pytest.mark.parametrize(
    ("path", "body"), [("chat/completions", CHAT), ("responses", {"model": "base-1", "input": "x"})]
)
def test_disconnecting_from_a_silent_stream_cancels_its_generation(
    live: LiveApi, path: str, body: dict[str, Any]
) -> None:
    live.engine.stalls = True
    connection = send(live, path, body | {"stream": True})
    received = b""
    while b"w\\u00f6rld" not in received and "wörld".encode() not in received:
        received += connection.recv(65536)
    assert not live.engine.was_cancelled.is_set()
    connection.close()
    assert live.engine.was_cancelled.wait(300)


@pytest.mark.parametrize("path", ["files/{}/report", "fine_tuning/jobs/preview", "fine_tuning/jobs/estimate"])
def test_disconnecting_frees_the_place_of_a_file_that_is_read(live: LiveApi, path: str) -> None:
    live.engine.stalls = True
    file_id = live.upload()
    body = {"model": "base-1", "training_file": file_id}
    connection = send(live, path.format(file_id), body, "GET" if "{" in path else "POST")
    assert live.engine.has_stalled.wait(300)
    assert not live.engine.was_cancelled.is_set()
    connection.close()
    assert live.engine.was_cancelled.wait(300)


def test_disconnecting_before_a_whole_answer_cancels_its_generation(live: LiveApi) -> None:
    live.engine.stalls = True
    arrived = request_arrived(live)
    connection = send(live, "chat/completions", CHAT)
    assert arrived.wait(300)
    assert not live.engine.was_cancelled.is_set()
    connection.close()
    assert live.engine.was_cancelled.wait(300)


def test_disconnecting_cancels_every_prompt_of_a_request(live: LiveApi) -> None:
    live.engine.stalls = True
    connection = send(live, "completions", {"model": "base-1", "prompt": ["a", "b", "c"], "stream": True})
    received = b""
    while received.count(b"data: ") < 9:
        received += connection.recv(65536)
    connection.close()
    assert live.engine.was_cancelled.wait(300)
    live.engine.stalls = False
    assert live.openai().completions.create(model="base-1", prompt="x").choices[0].text == "Hello wörld"


def test_the_sdk_closing_its_stream_cancels_the_generation(live: LiveApi) -> None:
    live.engine.stalls = True
    stream = live.openai().completions.create(model="base-1", prompt="x", stream=True)
    next(iter(stream))
    stream.close()
    assert live.engine.was_cancelled.wait(300)
