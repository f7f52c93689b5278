"""A server on real connections that leaves some requests without an answer, as a model that loads does."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

Answer = Callable[[str, str], tuple[int, Any] | None]
"""Gives a status and an object for a method and a path, or None for a request to leave waiting."""


@dataclass
class HalfDeaf:
    url: str
    answered: list[tuple[str, str]] = field(default_factory=list)
    waiting: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    """Has one for each request that is left waiting."""
    project: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(key="key"))

    def wait_for(self, count: int) -> None:
        for _ in range(count):
            assert self.waiting.acquire(timeout=300)


@contextmanager
def half_deaf(answer: Answer) -> Iterator[HalfDeaf]:
    is_over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def do_DELETE(self) -> None:
            self._answer()

        def _answer(self) -> None:
            found = answer(self.command, self.path)
            if found is None:
                server.waiting.release()
                is_over.wait()
                self.close_connection = True
                return
            self.rfile.read(int(self.headers.get("content-length", 0)))
            content = json.dumps(found[1]).encode()
            self.send_response(found[0])
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            server.answered.append((self.command, self.path))

        def log_message(self, format: str, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        server = HalfDeaf(f"http://127.0.0.1:{listener.server_port}")
        thread = threading.Thread(target=listener.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            is_over.set()
            listener.shutdown()
            thread.join()
