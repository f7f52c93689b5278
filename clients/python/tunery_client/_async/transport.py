"""What every resource needs of HTTP: requests that are repeated, pages, and streams."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

import httpx

from tunery_client._generated.client import AuthenticatedClient
from tunery_client._generated.types import UNSET
from tunery_client.answers import EventParser, answer
from tunery_client.concurrency import sleep_async
from tunery_client.errors import ApiError, ConnectionFailed, connection, error_of_response
from tunery_client.retrying import POLLED, REPEATABLE, pause_before_retry

_PAGE = 100


class AsyncRetryingClient(httpx.AsyncClient):
    """Raises the errors of `tunery_client.errors`, and repeats requests that another try may help."""

    def __init__(self, *, max_retries: int, **options: Any) -> None:
        super().__init__(**options)
        self._max_retries = max_retries

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        tries = 0
        while True:
            tries += 1
            try:
                return await self._send_once(request, options)
            except (ApiError, ConnectionFailed) as error:
                pause = pause_before_retry(request, error, tries, self._max_retries)
                if pause is None:
                    raise
            await sleep_async(pause)

    async def _send_once(self, request: httpx.Request, options: dict[str, Any]) -> httpx.Response:
        with connection():
            response = await super().send(request, **options)
            if response.is_success:
                return response
            try:
                await response.aread()
            finally:
                await response.aclose()
        raise error_of_response(response)


class AsyncResource:
    """A part of the client."""

    def __init__(self, client: AuthenticatedClient) -> None:
        self._client = client

    @property
    def _http(self) -> httpx.AsyncClient:
        return self._client.get_async_httpx_client()

    async def _post(
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
        response = await self._http.post(path, json=body, headers=headers, extensions=extensions)
        found: dict[str, Any] = response.json()
        return found

    async def _pages(self, list_page: Callable[..., Any], **query: Any) -> AsyncIterator[Any]:
        """Yields every item of a list. `list_page` is a generated function."""
        after: Any = UNSET
        while True:
            page = answer(await list_page(client=self._client, after=after, limit=_PAGE, **query))
            for item in page.data:
                yield item
            if not page.has_more or not page.data:
                return
            after = page.data[-1].id

    async def _streamed(
        self, method: str, path: str, **request: Any
    ) -> AsyncGenerator[tuple[str | None, dict[str, Any]], None]:
        """Yields server-sent events as (id, data), until the stream ends or sends [DONE]. Closing it
        disconnects.

        Raises an ApiError that arrives in the middle of the stream."""
        with connection():
            async with self._http.stream(method, path, **request) as response:
                parser = EventParser(response)
                async for line in response.aiter_lines():
                    if (event := parser.take(line)) is not None:
                        yield event
                    if parser.is_done:
                        return
