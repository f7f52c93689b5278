"""A port on which a replica itself listens, which avoids the hop through Serve's proxy.

Serve does not see these requests: it neither balances replicas by them nor scales on them.
"""

import asyncio
import math
import socket

import uvicorn
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from cluster.serving.deployment.gate import Gate
from cluster.wire.guarded import GuardedHttp


class Listener:
    """Serves the gate's routes on a free port of `host`, in the running event loop, until it is closed."""

    def __init__(self, gate: Gate, host: str) -> None:
        self._gate = gate
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, 0), family=family, backlog=512)
        port = self._socket.getsockname()[1]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        config = uvicorn.Config(
            self._answer,
            interface="asgi3",
            http=GuardedHttp,
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            proxy_headers=False,
            timeout_keep_alive=math.ceil(GuardedHttp.limits.idle_seconds),
        )
        self._server = uvicorn.Server(config)
        self._serving = asyncio.get_running_loop().create_task(self._server.serve([self._socket]))

    async def close(self) -> None:
        """Accepts no more requests, and returns when the running ones have ended."""
        self._server.should_exit = True
        await self._serving

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request. A disconnect cancels the request's work, as it does behind Serve's proxy."""
        request = Request(scope, receive)
        if not self._gate.is_authorized(request):
            await (await self._gate.answer(request))(scope, receive, send)
            return
        content = await request.body()
        leaving = asyncio.ensure_future(_disconnect(receive))
        working = asyncio.ensure_future(self._work(scope, _Replay(content, leaving), send))
        try:
            await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (working, leaving):
                task.cancel()
            ended, _ = await asyncio.gather(working, leaving, return_exceptions=True)
        if isinstance(ended, Exception):
            raise ended

    async def _work(self, scope: Scope, receive: Receive, send: Send) -> None:
        # With this version, responses do not listen for a disconnect, which `_answer` does.
        scope["asgi"] = {**scope["asgi"], "spec_version": "2.4"}
        response = await self._gate.answer(Request(scope, receive))
        await response(scope, receive, send)


class _Replay:
    """Replays the body that was already read, then waits for the disconnect."""

    def __init__(self, content: bytes, leaving: "asyncio.Future[None]") -> None:
        self._content: bytes | None = content
        self._leaving = leaving

    async def __call__(self) -> Message:
        if self._content is None:
            await asyncio.shield(self._leaving)
            return {"type": "http.disconnect"}
        content, self._content = self._content, None
        return {"type": "http.request", "body": content, "more_body": False}


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
