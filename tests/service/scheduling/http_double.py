"""A small HTTP server that responds as a test defines, and records its requests."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cluster.contracts.generation import MODEL_HEADER, PROJECT_HEADER


@dataclass(frozen=True)
class ReceivedRequest:
    method: str
    path: str
    token: str | None
    body: Any
    model: str | None = None
    """Value of the header `MODEL_HEADER`."""
    project: str | None = None
    """Value of the header `PROJECT_HEADER`."""


@dataclass
class HttpDouble:
    url: str = ""
    answer: Callable[[ReceivedRequest], tuple[int, bytes]] = lambda received: (200, b"{}")
    """Status and body. Status 0 closes the connection without a response."""
    requests: list[ReceivedRequest] = field(default_factory=list)


@contextmanager
def http_double() -> Iterator[HttpDouble]:
    double = HttpDouble()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            received = ReceivedRequest(
                self.command,
                self.path,
                self.headers.get("Authorization"),
                body,
                self.headers.get(MODEL_HEADER),
                self.headers.get(PROJECT_HEADER),
            )
            double.requests.append(received)
            status, content = double.answer(received)
            if status == 0:
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    double.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield double
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
