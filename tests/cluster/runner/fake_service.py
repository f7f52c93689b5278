"""The service's side of the sync, in a thread. It keeps what runners send and answers as configured."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cluster.contracts.jobs import (
    MAX_SYNC_BYTES,
    Command,
    NumberedEvent,
    RunnerState,
    Running,
    SyncRequest,
    SyncResponse,
)


@dataclass
class FakeService:
    url: str = ""
    status: int = 200
    """The status of every response. Requests are kept only with 200."""
    command: Command = "continue"
    loses_answers: int = 0
    """How many of the next requests are kept and answered with 502, as by a proxy that lost the response."""
    requests: list[SyncRequest] = field(default_factory=list)
    """Every request that arrived, kept or not."""
    events: list[NumberedEvent] = field(default_factory=list)
    """In the order of arrival, without repeated numbers, as in the database."""
    state: RunnerState = field(default_factory=Running)
    tokens: set[str] = field(default_factory=set)
    largest_body: int = 0
    paths: set[str] = field(default_factory=set)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def answer(self, request: SyncRequest) -> tuple[int, bytes]:
        with self.changed:
            self.requests.append(request)
            status = self.status
            if status == 200:
                known = {event.seq for event in self.events}
                self.events += [event for event in request.events if event.seq not in known]
                self.state = request.state
                if self.loses_answers:
                    self.loses_answers -= 1
                    status = 502
            self.changed.notify_all()
            return status, SyncResponse(command=self.command).model_dump_json().encode()


@contextmanager
def fake_service() -> Iterator[FakeService]:
    service = FakeService()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            service.largest_body = max(service.largest_body, len(body))
            service.tokens.add(self.headers["Authorization"])
            service.paths.add(self.path)
            status, answer = 413, b""
            if len(body) <= MAX_SYNC_BYTES:
                status, answer = service.answer(SyncRequest.model_validate_json(body))
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
