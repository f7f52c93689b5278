"""Several applications in one process, told apart by the port that a request came in at."""

from collections.abc import Mapping

from starlette.types import ASGIApp, Receive, Scope, Send


class ByPort:
    """`main` is the one that is started and ended; it has every port but those of `others`."""

    def __init__(self, main: ASGIApp, others: Mapping[int, ASGIApp]) -> None:
        self._main = main
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # The connection's own address: nothing that a client sends can change it.
        port = scope["server"][1] if scope["type"] == "http" else 0
        await self._others.get(port, self._main)(scope, receive, send)
