"""What every resource needs of HTTP: requests that are repeated, pages, and streams."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Any

import httpx
from tunery_client._generated.client import AuthenticatedClient
from tunery_client._generated.types import UNSET
from tunery_client.answers import EventParser, answer
from tunery_client.concurrency import sleep
from tunery_client.errors import (
    ApiError,
    ConnectionFailed,
    connection,
    error_of_response,
)
from tunery_client.retrying import POLLED, REPEATABLE, pause_before_retry

_PAGE = 100


class RetryingClient(httpx.Client):
    """Raises the errors of `tunery_client.errors`, and repeats requests that another try may help."""

    def __init__(self, *, max_retries: int, **options: Any) -> None:
        super().__init__(**options)
        self._max_retries = max_retries

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        tries = 0
        while True:
            tries += 1
            try:
                return self._send_once(request, options)
            except (ApiError, ConnectionFailed) as error:
                pause = pause_before_retry(request, error, tries, self._max_retries)
                if pause is None:
                    raise
            sleep(pause)

    def _send_once(self, request: httpx.Request, options: dict[str, Any]) -> httpx.Response:
        with connection():
            response = super().send(request, **options)
            if response.is_success:
                return response
            try:
                response.read()
            finally:
                response.close()
        raise error_of_response(response)


class Resource:
    """A part of the client."""

    def __init__(self, client: AuthenticatedClient) -> None:
        self._client = client

    @property
    def _http(self) -> httpx.Client:
        return self._client.get_httpx_client()

    def _post(
        self,
        path: str,
        body: dict[str, Any],
        *,
        is_repeatable: bool = False,
        is_polled: bool = False,
        headers: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """Posts a body unchanged, so that the server sees and refuses parameters it does not know: the
        generated body models would drop them."""
        extensions = {REPEATABLE: is_repeatable, POLLED: is_polled}
        response = self._http.post(path, json=body, headers=headers, extensions=extensions)
        found: dict[str, Any] = response.json()
        return found

    def _pages(self, list_page: Callable[..., Any], **query: Any) -> Iterator[Any]:
        """Yields every item of a list. `list_page` is a generated function."""
        after: Any = UNSET
        while True:
            page = answer(list_page(client=self._client, after=after, limit=_PAGE, **query))
            for item in page.data:
                yield item
            if not page.has_more or not page.data:
                return
            after = page.data[-1].id

    def _streamed(
        self, method: str, path: str, **request: Any
    ) -> Generator[tuple[str | None, dict[str, Any]], None]:
        """Yields server-sent events as (id, data), until the stream ends or sends [DONE]. Closing it
        disconnects.

        Raises an ApiError that arrives in the middle of the stream."""
        with connection():
            with self._http.stream(method, path, **request) as response:
                parser = EventParser(response)
                for line in response.iter_lines():
                    if (event := parser.take(line)) is not None:
                        yield event
                    if parser.is_done:
                        return
