"""What every resource needs from the generated client: calling, unwrapping, paging and streaming."""

import json
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import httpx

from tunery_client._generated.client import AuthenticatedClient
from tunery_client._generated.models.error_answer import ErrorAnswer
from tunery_client.errors import ConnectionFailed, error_of_event

Answer = TypeVar("Answer")


class HasId(Protocol):
    id: str


Item = TypeVar("Item", bound=HasId)


@contextmanager
def connection() -> Iterator[None]:
    """Turns every failure below HTTP into ConnectionFailed."""
    try:
        yield
    except httpx.TransportError as error:
        raise ConnectionFailed(f"{type(error).__name__}: {error}") from error


def answer(call: Callable[[], Answer | ErrorAnswer | None]) -> Answer:
    """Calls a generated function. It never returns an error, because the client's hook raises it."""
    with connection():
        found = call()
    assert found is not None
    assert not isinstance(found, ErrorAnswer)
    return found


def pages(fetch: Callable[[str | None], tuple[list[Item], bool]]) -> Iterator[Item]:
    """Yields every item of a list. `fetch` returns the page after an id, and whether there are more."""
    after: str | None = None
    while True:
        items, has_more = fetch(after)
        yield from items
        if not has_more or not items:
            return
        after = items[-1].id


def post(client: AuthenticatedClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Posts a body unchanged, so that the server sees and refuses parameters it does not know.

    The generated body models would drop them."""
    with connection():
        found: dict[str, Any] = client.get_httpx_client().post(path, json=body).json()
    return found


def streamed(
    client: AuthenticatedClient, method: str, path: str, **request: Any
) -> Generator[tuple[str | None, dict[str, Any]]]:
    """Yields server-sent events as (id, data), until the stream ends or sends [DONE]. Closing it disconnects.

    Raises an ApiError that arrives in the middle of the stream."""
    with connection(), client.get_httpx_client().stream(method, path, **request) as response:
        event_id: str | None = None
        for line in response.iter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                event_id = value
            elif name == "data":
                if value == "[DONE]":
                    return
                data = json.loads(value)
                if "error" in data and "id" not in data:
                    raise error_of_event(data["error"], response)
                yield event_id, data
