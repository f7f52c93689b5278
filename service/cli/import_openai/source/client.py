"""Calls the API to migrate from. Its responses are not trusted: sizes and numbers of pages are limited.

Rate limits, server errors and broken connections are retried. If one response says when to retry, every
thread waits until then."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import httpx2

from service.cli.failures import CommandFailed, Unavailable
from service.cli.http.client import HttpClient
from service.cli.http.retrying import retried
from service.cli.import_openai.source.account import Account

MAX_FILE_BYTES = 8 * 1024**3
"""OpenAI's Uploads accept no larger file."""
_MAX_PAGES = 10_000
_PAGE = 100
_TRIES = 8
_MAX_WAIT_SECONDS = 300.0
_RETRIED = frozenset({408, 409, 429, 500, 502, 503, 504, 520, 522, 524, 529})
_Result = TypeVar("_Result")


class Source:
    """Safe to use from many threads. Methods raise CommandFailed: Refused if the API refuses the request."""

    def __init__(
        self,
        account: Account,
        *,
        transport: httpx2.BaseTransport | None = None,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self.account = account
        self._is_stopped = threading.Event()
        self._sleep = sleep or self._wait
        self._lock = threading.Lock()
        self._not_before = 0.0
        self._http = HttpClient(
            account.base_url,
            headers=dict(account.headers) | {"accept-encoding": "identity"},
            query=account.query,
            may_repeat=lambda method, status, code: status in _RETRIED and code != "insufficient_quota",
            names_host=True,
            is_patient=True,
            timeout=httpx2.Timeout(120, connect=20),
            transport=transport,
        )

    def get(self, path: str, **query: object) -> dict[str, Any]:
        given = {name: value for name, value in query.items() if value is not None}
        return self._object("GET", path, params=given)

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._object("POST", path, json=body)

    def list(self, path: str, **query: object) -> Iterator[dict[str, Any]]:
        """All items of a list, across pages."""
        after, cursors = None, set[str]()
        while True:
            page = self.get(path, **query, limit=_PAGE, after=after)
            data = page.get("data")
            items = [item for item in data if isinstance(item, dict)] if isinstance(data, list) else []
            yield from items
            if not page.get("has_more") or not items:
                return
            after = items[-1].get("id")
            if not isinstance(after, str) or after in cursors or len(cursors) == _MAX_PAGES:
                raise CommandFailed(f"The list {path} has no end: a page begins where an earlier one did.")
            cursors.add(after)

    def download(self, path: str, target: Path, *, limit: int = MAX_FILE_BYTES) -> None:
        """Writes the response to a file, which is complete if this returns."""

        def write() -> None:
            with self._http.open("GET", path) as response, target.open("wb") as file:
                size = 0
                for chunk in response.iter_bytes():
                    size += len(chunk)
                    if size > limit:
                        raise CommandFailed(f"{path} is larger than {limit:,} bytes.")
                    file.write(chunk)

        self._retried(write)

    def stop(self) -> None:
        """Ends the waits of other threads: their calls raise CommandFailed."""
        self._is_stopped.set()
        self._http.break_off()

    def close(self) -> None:
        self._http.close()

    def _object(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        found = self._retried(lambda: self._http.json(method, path, **options))
        if not isinstance(found, dict):
            raise CommandFailed(f"{self.account.host} gave no JSON object for {path}.")
        return found

    def _retried(self, call: Callable[[], _Result]) -> _Result:
        def once() -> _Result:
            self._hold()
            try:
                return call()
            except Unavailable as error:
                self._postpone(error.retry_after_seconds or 0.0)
                raise

        return retried(once, within_seconds=_MAX_WAIT_SECONDS, max_tries=_TRIES, sleep=self._sleep)

    def _wait(self, seconds: float) -> None:
        if self._is_stopped.wait(seconds):
            raise CommandFailed(f"No more requests are sent to {self.account.host}.")

    def _hold(self) -> None:
        with self._lock:
            delay = self._not_before - time.monotonic()
        if delay > 0:
            self._sleep(delay)

    def _postpone(self, seconds: float) -> None:
        if seconds > _MAX_WAIT_SECONDS:
            raise CommandFailed(
                f"{self.account.host} asks to wait {seconds:.0f} seconds. Run the command again then: it "
                "continues."
            )
        with self._lock:
            self._not_before = max(self._not_before, time.monotonic() + seconds)
