"""Create requests that the database failed to record."""

import threading
from collections import OrderedDict

from service.db.idempotency import CreateRequest

_MAX_REQUESTS = 4096


class UnrecordedRequests:
    """First requests that the database could not record, as key → when they began. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._began: OrderedDict[str, float] = OrderedDict()

    def add(self, request: CreateRequest) -> None:
        key = request.key
        with self._lock:
            self._began[key] = request.began
            self._began.move_to_end(key)
            if len(self._began) > _MAX_REQUESTS:
                self._began.popitem(last=False)

    def began(self, request: CreateRequest) -> float | None:
        with self._lock:
            return self._began.get(request.key)
