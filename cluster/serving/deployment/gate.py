"""Authorization, routing and error responses of the applications."""

import hmac
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Annotated, TypeVar

from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from cluster.contracts.errors import AuthenticationFailed, InvalidConfiguration, InvalidRequest, NotFound
from cluster.contracts.generation import LOAD_TIMEOUT_HEADER
from cluster.tracing import span
from cluster.wire.codec import encode_error, encode_headers, encode_status

Body = TypeVar("Body", bound=BaseModel)
Handler = Callable[[Request], Awaitable[Response]]
_LOAD_TIMEOUT: TypeAdapter[float | None] = TypeAdapter(Annotated[float, Field(gt=0, le=86_400)] | None)


class Gate:
    """Checks the cluster's token, calls the route's handler, and turns errors into responses."""

    def __init__(self, handlers: dict[tuple[str, str], Handler]) -> None:
        """`handlers` are keyed by method and last path segment. Raises InvalidConfiguration without a
        token."""
        token = os.environ.get("TUNERY_CLUSTER_TOKEN", "")
        if not token:
            raise InvalidConfiguration("TUNERY_CLUSTER_TOKEN is not set.", param="TUNERY_CLUSTER_TOKEN")
        self._expected = f"Bearer {token}".encode()
        self._handlers = handlers
        self.headers: dict[str, str] = {}
        """Headers that are added to every response."""

    def is_authorized(self, request: Request) -> bool:
        """Whether the request carries the token."""
        given = request.headers.get("authorization", "").encode()
        return hmac.compare_digest(given, self._expected)

    async def answer(self, request: Request) -> Response:
        response = await self._answer(request)
        response.headers.update(self.headers)
        return response

    async def _answer(self, request: Request) -> Response:
        try:
            if not self.is_authorized(request):
                raise AuthenticationFailed("The cluster's token is missing or wrong.")
            handler = self._handlers.get((request.method, request.url.path.rpartition("/")[2]))
            if handler is None:
                raise NotFound(f"No route {request.method} {request.url.path}.")
            with _traced(request):
                return await handler(request)
        except Exception as error:
            return _refusal(error)


async def parse_body(kind: type[Body], request: Request) -> Body:
    """Parses the request's body. Raises InvalidRequest."""
    content = await request.body()
    with _unreadable_is_invalid():
        return kind.model_validate_json(content)


def load_timeout(request: Request) -> float | None:
    """Returns how many seconds the caller waits for a model or a check; None if it does not say. Raises
    InvalidRequest."""
    with _unreadable_is_invalid():
        return _LOAD_TIMEOUT.validate_python(request.headers.get(LOAD_TIMEOUT_HEADER))


def json_answer(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(), media_type="application/json")


def _traced(request: Request) -> AbstractContextManager[object]:
    """A span in the caller's trace, if it sent one. For a stream, it ends when the stream begins."""
    parent = request.headers.get("traceparent")
    return nullcontext() if parent is None else span(f"{request.method} {request.url.path}", parent=parent)


def _refusal(error: Exception) -> Response:
    status = 401 if isinstance(error, AuthenticationFailed) else encode_status(error)
    return Response(
        encode_error(error).model_dump_json(), status, encode_headers(error), media_type="application/json"
    )


@contextmanager
def _unreadable_is_invalid() -> Iterator[None]:
    """Raises InvalidRequest for a ValidationError. Use it only to parse requests: elsewhere a ValidationError
    is a bug."""
    try:
        yield
    except ValidationError as error:
        raise InvalidRequest(f"The request cannot be read: {error}") from error
