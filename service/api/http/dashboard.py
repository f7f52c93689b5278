"""Serves the dashboard's files, which need no key. They are not routes: any other path goes on to
authentication, as if there were no dashboard."""

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.dashboard.static_files import StaticFile, static_files


class Dashboard:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_read = scope["type"] == "http" and scope["method"] == "GET"
        file = static_files().get(scope["path"]) if is_read else None
        app = self._app if file is None else _response(file, Headers(scope=scope))
        await app(scope, receive, send)


def _response(file: StaticFile, request: Headers) -> Response:
    headers = {**file.headers, "etag": file.etag}
    if file.etag in request.get("if-none-match", "").replace("W/", "").split(", "):
        return Response(status_code=304, headers=headers)
    if _takes_gzip(request.get("accept-encoding", "")):
        return Response(file.zipped, headers={**headers, "content-encoding": "gzip"})
    return Response(file.content, headers=headers)


def _takes_gzip(accepted: str) -> bool:
    for offer in accepted.lower().split(","):
        name, _, quality = offer.partition(";")
        if name.strip() == "gzip":
            return quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
