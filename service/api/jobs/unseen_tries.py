"""Calls that a database which did not answer could not note."""

import threading
from collections import OrderedDict

from service.db.idempotency import Try

_MAX_UNSEEN = 4096


class UnseenTries:
    """First tries that the database could not note, by key, with when they began. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._began: OrderedDict[str, float] = OrderedDict()

    def add(self, sent: Try) -> None:
        key = sent.key
        with self._lock:
            self._began[key] = sent.began
            self._began.move_to_end(key)
            if len(self._began) > _MAX_UNSEEN:
                self._began.popitem(last=False)

    def began(self, sent: Try) -> float | None:
        with self._lock:
            return self._began.get(sent.key)
