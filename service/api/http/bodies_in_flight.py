"""Bounds the memory for request bodies in one process, in total and per project."""

from collections import Counter
from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cluster.contracts.errors import Overloaded
from service.api.http.errors import response_of
from service.api.http.middleware import drop_body
from service.db.organization.api_keys import Principal

_RETRY_SECONDS = 2.0


class BodiesInFlight:
    """Refuses a body that does not fit beside those of the requests in progress, by its declared length or as
    it arrives. One project may use at most half.

    A body counts until its request is answered, up to the end of a stream, because it is held that long."""

    def __init__(self, app: ASGIApp, *, max_bytes: int, streamed: Collection[str]) -> None:
        """Bodies of the paths in `streamed` are written to disk as they arrive, and do not count."""
        self._app = app
        self._max_bytes = max_bytes
        self._streamed = [compile_path(path)[0] for path in streamed]
        self._held: Counter[str] = Counter()
        """Bytes by project, for projects with any."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or any(path.match(scope["path"]) for path in self._streamed):
            await self._app(scope, receive, send)
            return
        principal: Principal | None = scope.get("state", {}).get("principal")
        project = principal.tenant.project_id if principal else ""
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and (refusal := self._refusal(project, int(announced))):
            await drop_body(receive)
            await response_of(refusal)(scope, receive, send)
            return
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request" and (num_bytes := len(message.get("body", b""))):
                if refusal := self._refusal(project, num_bytes):
                    # HTTPException is the only exception that FastAPI's body reader lets through.
                    raise HTTPException(429) from refusal
                received += num_bytes
                self._held[project] += num_bytes
            return message

        try:
            await self._app(scope, receive_counted, send)
        finally:
            self._held[project] -= received
            if not self._held[project]:
                del self._held[project]

    def _refusal(self, project: str, num_bytes: int) -> Overloaded | None:
        """The error if this many more bytes do not fit."""
        whose, held, limit = "this project", self._held[project], self._max_bytes // 2
        if held + num_bytes <= limit:
            whose, held, limit = "all projects", self._held.total(), self._max_bytes
        if held + num_bytes <= limit:
            return None
        return Overloaded(
            f"The bodies of requests of {whose} that this server is answering have {held} bytes; with "
            f"{num_bytes} more they would exceed {limit}. Wait for answers, or send smaller requests.",
            retry_after_seconds=_RETRY_SECONDS,
            code="too_many_bytes_in_flight",
        )
