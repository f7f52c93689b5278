"""Traces requests."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cluster.tracing import span
from service.metrics.api import UNROUTED


class Tracing:
    """A span for each request whose key is known. The span continues the trace that the client names, which
    strangers must not do: they could add to anyone's trace, and fill the collector.

    Must be inside Authentication. Probes and syncs are not traced, because there are too many."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/v1/"):
            await self._app(scope, receive, send)
            return
        shared, status = scope["state"], 0

        async def send_and_see(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        parent = Headers(scope=scope).get("traceparent")
        with span(scope["method"], parent=parent, request=shared["request_id"]) as describe:
            await self._app(scope, receive, send_and_see)
            describe(f"{scope['method']} {shared.get('route', UNROUTED)}", status=status)
