"""An HTTP proxy in front of a server that fails on demand."""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """Replaces the server's response."""

    status: int
    body: bytes = b""


@dataclass(frozen=True)
class CutAfter:
    """Forwards the server's response, but closes the connection after this many bytes of the body."""

    body_bytes: int


Fault = Answer | CutAfter | None


@dataclass
class FaultyProxy:
    url: str
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    """Method, path with query and headers of every request, in the order of arrival."""
    fault: Callable[[str, str], Fault] = lambda _method, _path: None
    """Called with method and path before a request is forwarded."""


@contextmanager
def faulty_proxy(target: str) -> Iterator[FaultyProxy]:
    upstream = urlsplit(target)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            proxy.requests.append((self.command, self.path, dict(self.headers)))
            fault = proxy.fault(self.command, self.path)
            if isinstance(fault, Answer):
                self.send_response(fault.status)
                self.send_header("Content-Length", str(len(fault.body)))
                self.end_headers()
                self.wfile.write(fault.body)
                return
            connection = http.client.HTTPConnection(upstream.hostname, upstream.port, timeout=300)
            connection.request(self.command, self.path, body, dict(self.headers))
            self._answer(connection.getresponse(), fault)
            connection.close()

        def _answer(self, response: http.client.HTTPResponse, fault: CutAfter | None) -> None:
            content = response.read()
            self.send_response_only(response.status)
            for name, value in response.getheaders():
                if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                    self.send_header(name, value)
            length = response.getheader("Content-Length") or str(len(content))
            self.send_header("Content-Length", length)
            self.end_headers()
            if fault is not None:
                content, self.close_connection = content[: fault.body_bytes], True
            self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _forward  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy = FaultyProxy(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
