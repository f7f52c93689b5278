"""JSON bodies are read by one strict parser, which also bounds what a body can become.

The standard library's parser accepts NaN, lone surrogates and NUL characters, which then fail later, in the
database or when the answer is written. And a value of two bytes becomes an object of a hundred; one that is
wrong becomes a finding of pydantic's, of a kilobyte: 24 MiB of `[0,0,…]` took gigabytes.
"""

import re
from collections.abc import Callable, Coroutine
from typing import Any

import anyio.to_thread
import orjson
from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from cluster.contracts.errors import InvalidRequest
from service.api.state import AppState

MAX_VALUES = 30_000
"""In a body, token ids apart."""
MAX_TOKENS = 500_000
"""Token ids in a body."""
MAX_DEPTH = 100
"""Of arrays and objects in one another; more than a JSON Schema may have."""
_NAMED_LEVELS = 3
"""Of the path to what is too deep."""
_TOKENS_IN = ("prompt", "input")
"""The members of a body that may be lists of token ids; their types end at the first item that is wrong."""
_QUICK_BYTES = 65_536
"""Larger bodies are parsed in a thread, one after the other."""

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_INTEGERS = re.compile(rb"\[[\s\d,-]*\]")


class StrictJsonRoute(APIRoute):
    """For `APIRouter(route_class=…)`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            strict = _StrictRequest(request.scope, request.receive)
            # Here, because FastAPI's own error for a body that cannot be read keeps the body in memory, in a
            # circle of references.
            await strict.parse()
            return await handler(strict)

        return handle


def loads(body: bytes) -> Any:
    """Raises InvalidRequest."""
    is_large = _most_values(body) > MAX_VALUES
    if is_large:
        _check_outline(body)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}.", code="invalid_json") from error
    if isinstance(value, dict | list):
        _check_depth(value)
    if is_large and _num_values(value) > MAX_VALUES:
        raise _too_many_values()
    if b"\\u0000" in body and _has_nul(value):
        raise InvalidRequest("Text in the body contains a NUL character.")
    return value


class _StrictRequest(Request):
    async def parse(self) -> None:
        """Raises InvalidRequest."""
        if "json" not in self.headers.get("content-type", ""):
            return
        try:
            body = await self._collected()
        except ClientDisconnect:
            raise HTTPException(400, "The request was broken off.") from None
        if len(body) > _QUICK_BYTES:
            state: AppState = self.app.state.app_state
            self._json = await anyio.to_thread.run_sync(loads, body, limiter=state.parsing)
        elif body:
            self._json = loads(body)
        self._body = body

    async def _collected(self) -> bytes:
        """In one place: pieces by the thousand, as Starlette keeps them, leave memory in fragments."""
        body = bytearray()
        async for piece in self.stream():
            body += piece
        return bytes(body)


def _most_values(text: bytes) -> int:
    """As many values as there can be in JSON with these separators."""
    return text.count(b",") + text.count(b"[") + text.count(b"{") + 1


def _check_outline(body: bytes) -> None:
    """Counts before anything is made of it: separators outside of strings, those between integers apart."""
    outline = _STRING.sub(b"", body)
    if _most_values(outline) > MAX_VALUES + MAX_TOKENS:
        raise _too_many_values()
    if _most_values(_INTEGERS.sub(b"", outline)) > MAX_VALUES:
        raise _too_many_values()


def _too_many_values() -> InvalidRequest:
    return InvalidRequest(
        f"The body holds too many values: at most {MAX_VALUES}, and {MAX_TOKENS} token ids, are accepted."
        " Send it in several requests.",
        code="too_many_values",
    )


def _check_depth(value: Any, path: tuple[str | int, ...] = ()) -> None:
    if len(path) > MAX_DEPTH:
        where = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path[:_NAMED_LEVELS])
        raise InvalidRequest(
            f"The body is nested too deeply: at most {MAX_DEPTH} levels are accepted.",
            param=where.removeprefix("."),
        )
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        if isinstance(item, dict | list):
            _check_depth(item, (*path, key))


def _num_values(body: Any) -> int:
    """All but token ids where they may be."""
    if not isinstance(body, dict):
        return _num_within(body)
    others = (item for name, item in body.items() if name not in _TOKENS_IN or not _is_tokens(item))
    return sum(_num_within(item) for item in others)


def _num_within(value: Any) -> int:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(_num_within(item) for item in items)


def _is_tokens(value: Any) -> bool:
    """A list of integers, or of such lists."""
    if not isinstance(value, list):
        return False
    lists = value if value and isinstance(value[0], list) else [value]
    return all(isinstance(tokens, list) and all(type(token) is int for token in tokens) for tokens in lists)


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any("\0" in key or _has_nul(item) for key, item in value.items())
    if isinstance(value, list):
        return any(_has_nul(item) for item in value)
    return False
