"""What is before every route of the applications: the token, and errors made into answers."""

import hmac
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, TypeVar

from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from cluster.contracts.errors import AuthenticationFailed, InvalidConfiguration, InvalidRequest, NotFound
from cluster.contracts.generation import LOAD_TIMEOUT_HEADER
from cluster.wire.codec import encode_error, encode_headers, encode_status

Body = TypeVar("Body", bound=BaseModel)
Handler = Callable[[Request], Awaitable[Response]]
_LOAD_TIMEOUT: TypeAdapter[float | None] = TypeAdapter(Annotated[float, Field(gt=0, le=86_400)] | None)


class Gate:
    """Lets in who knows the cluster's token, finds the handler, and makes errors into answers."""

    def __init__(self, handlers: dict[tuple[str, str], Handler]) -> None:
        """`handlers` by method and last part of the path. Raises InvalidConfiguration."""
        token = os.environ.get("TUNERY_CLUSTER_TOKEN", "")
        if not token:
            raise InvalidConfiguration("TUNERY_CLUSTER_TOKEN is not set.", param="TUNERY_CLUSTER_TOKEN")
        self._expected = f"Bearer {token}".encode()
        self._handlers = handlers
        self.headers: dict[str, str] = {}
        """Of every answer."""

    def is_authorized(self, request: Request) -> bool:
        """Whether it carries the token."""
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
            return await handler(request)
        except Exception as error:
            return _refusal(error)


async def parse_body(kind: type[Body], request: Request) -> Body:
    """The request's body. Raises InvalidRequest."""
    content = await request.body()
    with _unreadable_is_invalid():
        return kind.model_validate_json(content)


def load_timeout(request: Request) -> float | None:
    """How many seconds its sender waits, if he says so. Raises InvalidRequest."""
    with _unreadable_is_invalid():
        return _LOAD_TIMEOUT.validate_python(request.headers.get(LOAD_TIMEOUT_HEADER))


def json_answer(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(), media_type="application/json")


def _refusal(error: Exception) -> Response:
    status = 401 if isinstance(error, AuthenticationFailed) else encode_status(error)
    return Response(
        encode_error(error).model_dump_json(), status, encode_headers(error), media_type="application/json"
    )


@contextmanager
def _unreadable_is_invalid() -> Iterator[None]:
    """Only around the reading of a request: the same error anywhere else is a fault of ours."""
    try:
        yield
    except ValidationError as error:
        raise InvalidRequest(f"The request cannot be read: {error}") from error
