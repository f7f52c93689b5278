"""Reads JSON bodies with a single strict parser, and limits the size to which they can expand.

The standard library's parser accepts NaN, lone surrogates and NUL characters, which fail later, in the
database or when the response is written. Parsing also multiplies size: two bytes become an object of a
hundred bytes, and an invalid value becomes a pydantic error of a kilobyte. 24 MiB of `[0,0,…]` took
gigabytes."""

import re
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import anyio.to_thread
import orjson
from fastapi import Request, Response, params
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute

from cluster.contracts.errors import InvalidRequest
from service.api.state import AppState

MAX_VALUES = 30_000
"""Values in a body, not counting token ids."""
MAX_TOKENS = 500_000
"""Token ids in a body."""
MAX_DEPTH = 100
"""Nesting depth of arrays and objects; deeper than a JSON Schema may be."""
_NAMED_LEVELS = 3
"""Number of levels of the path that an error about depth names."""
_TOKENS_IN = ("prompt", "input")
"""Members of a body that may be lists of token ids. Their validation stops at the first invalid item."""
_QUICK_BYTES = 65_536
"""Larger bodies are parsed in a thread, one at a time."""

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
"""Matches at every quote, even if a string never ends, so that no byte is examined twice."""
_INTEGERS = re.compile(rb"\[[\s\d,-]*\]")


class StrictJsonRoute(APIRoute):
    """A route whose JSON body is read by `loads`. Pass it as `APIRouter(route_class=…)`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            strict = _StrictRequest(request.scope, request.receive)
            # Parsed here because FastAPI's own error for an unreadable body keeps the body in memory, in a
            # reference cycle.
            await strict.parse()
            return await handler(strict)

        return handle


def refuse_lax_routes(routes: Sequence[BaseRoute]) -> None:
    """Raises TypeError if a route reads a JSON body and is not a StrictJsonRoute."""
    for context in iter_route_contexts(routes):
        route = context.original_route
        if isinstance(route, APIRoute) and not isinstance(route, StrictJsonRoute):
            body = route.body_field
            if body is not None and not isinstance(body.field_info, params.Form):
                raise TypeError(f"{context.path} takes JSON: create its router with StrictJsonRoute.")


def loads(body: bytes) -> Any:
    """Parses a JSON body. Raises InvalidRequest if it is not valid JSON, too deep, too large or contains
    NUL."""
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
        """Reads and parses the body if it is JSON. Raises InvalidRequest."""
        if "json" not in self.headers.get("content-type", ""):
            return
        try:
            body = await self._collected()
        except ClientDisconnect:
            raise HTTPException(400, "The client disconnected.") from None
        if len(body) > _QUICK_BYTES:
            state: AppState = self.app.state.app_state
            self._json = await anyio.to_thread.run_sync(loads, body, limiter=state.parsing)
        elif body:
            self._json = loads(body)
        self._body = body

    async def _collected(self) -> bytes:
        """Collects the body in one buffer: keeping thousands of chunks, as Starlette does, fragments
        memory."""
        body = bytearray()
        async for piece in self.stream():
            body += piece
        return bytes(body)


def _most_values(text: bytes) -> int:
    """Returns an upper bound on the number of values in JSON with these separators."""
    return text.count(b",") + text.count(b"[") + text.count(b"{") + 1


def _check_outline(body: bytes) -> None:
    """Rejects bodies with too many values before parsing, by counting separators outside of strings.
    Separators between integers count as token ids."""
    outline = _STRING.sub(b"", body)
    if _most_values(outline) > MAX_VALUES + MAX_TOKENS:
        raise _too_many_values()
    if _most_values(_INTEGERS.sub(b"", outline)) > MAX_VALUES:
        raise _too_many_values()


def _too_many_values() -> InvalidRequest:
    return InvalidRequest(
        f"The body has too many values: at most {MAX_VALUES} and {MAX_TOKENS} token ids are accepted."
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
    """Counts all values except token ids where they are allowed."""
    if not isinstance(body, dict):
        return _num_within(body)
    others = (item for name, item in body.items() if name not in _TOKENS_IN or not _is_tokens(item))
    return sum(_num_within(item) for item in others)


def _num_within(value: Any) -> int:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(_num_within(item) for item in items)


def _is_tokens(value: Any) -> bool:
    """Whether the value is a list of integers, or a list of such lists."""
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
