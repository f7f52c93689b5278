"""A client's connections, so that another thread than those that wait for responses can break them."""

import socket
import threading
import weakref
from contextlib import suppress
from typing import Any


class Connections:
    """Learns of their sockets through `note`, which is passed as a request's extension `trace`.

    https://www.python-httpx.org/advanced/extensions/#trace"""

    def __init__(self) -> None:
        self._sockets = weakref.WeakSet[socket.socket]()
        self._lock = threading.Lock()

    def note(self, event: str, details: dict[str, Any]) -> None:
        # TLS has its own socket.
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            with self._lock:
                self._sockets.add(details["return_value"].get_extra_info("socket"))

    def break_off(self) -> None:
        """Makes the requests on these connections fail at once. The client opens new ones for later
        requests."""
        with self._lock:
            opened = list(self._sockets)
        for each in opened:
            with suppress(OSError):
                # Closing a socket would not wake the thread that waits for it, and TLS's own shutdown would
                # destroy its state.
                socket.socket.shutdown(each, socket.SHUT_RDWR)
