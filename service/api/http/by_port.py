"""Serves several applications from one process, chosen by the port a request arrived on."""

from collections.abc import Mapping

from starlette.types import ASGIApp, Receive, Scope, Send


class ByPort:
    """Dispatches by local port. `main` handles startup, shutdown and every port that is not in `others`."""

    def __init__(self, main: ASGIApp, others: Mapping[int, ASGIApp]) -> None:
        self._main = main
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # The connection's local address, which a client cannot influence.
        port = scope["server"][1] if scope["type"] == "http" else 0
        await self._others.get(port, self._main)(scope, receive, send)
