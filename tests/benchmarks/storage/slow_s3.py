"""A server that speaks as much of S3 as uploads need, slowly and without keeping bytes."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_PIECE = 1 << 20


@contextmanager
def slow_s3(*, seconds_per_part: float) -> Iterator[str]:
    """Yields the server's URL. Each part takes `seconds_per_part` besides the time of its bytes."""
    sizes: dict[str, int] = {}
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Small answers would wait for the client's delayed acknowledgement.
        disable_nagle_algorithm = True

        def do_PUT(self) -> None:
            size = left = int(self.headers["Content-Length"])
            if self.headers.get("Expect") == "100-continue":
                self.send_response_only(100)
                self.end_headers()
            buffer = memoryview(bytearray(_PIECE))
            while left:
                left -= self.rfile.readinto(buffer[: min(left, _PIECE)])
            time.sleep(seconds_per_part)
            with lock:
                name = self.path.partition("?")[0]
                sizes[name] = sizes.get(name, 0) + size
            self._answer(200, {"ETag": '"0"'})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            kind = "InitiateMultipartUploadResult" if self.path.endswith("uploads") else "CompleteResult"
            self._answer(200, {}, f"<{kind}><UploadId>1</UploadId><ETag>0</ETag></{kind}>".encode())

        def do_HEAD(self) -> None:
            size = sizes[self.path]
            modified = {"Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
            self._answer(200, modified, length=size)

        def _answer(
            self, status: int, headers: dict[str, str], body: bytes = b"", length: int | None = None
        ) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body) if length is None else length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
