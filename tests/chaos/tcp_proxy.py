"""A TCP proxy in front of a server on a Unix socket, which can make the server seem down."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class TcpProxy:
    def __init__(self, target: Path) -> None:
        self._target = str(target)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._is_down = False

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Cuts all connections, and cuts every new one at once."""
        self._is_down = True
        self._cut()
        try:
            yield
        finally:
            self._is_down = False

    def serve(self) -> None:
        """Runs until `close`."""
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._connect(client)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._cut()

    def _connect(self, client: socket.socket) -> None:
        if self._is_down:
            client.close()
            return
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(self._target)
        except OSError:
            client.close()
            return
        with self._lock:
            self._open |= {client, server}
        for source, target in ((client, server), (server, client)):
            threading.Thread(target=self._pump, args=(source, target), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while chunk := source.recv(65536):
                target.sendall(chunk)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            with self._lock:
                self._open.discard(one)

    def _cut(self) -> None:
        with self._lock:
            cut, self._open = self._open, set()
        for one in cut:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@contextmanager
def tcp_proxy(target: Path) -> Iterator[TcpProxy]:
    proxy = TcpProxy(target)
    thread = threading.Thread(target=proxy.serve)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join()
