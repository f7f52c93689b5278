"""The client: one object per server and API key."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import httpx

from tunery_client._async.aliases import AsyncAliases
from tunery_client._async.datasets import AsyncDatasets
from tunery_client._async.files import AsyncFiles
from tunery_client._async.inference import AsyncChat, AsyncClassifications, AsyncCompletions, AsyncEmbeddings
from tunery_client._async.jobs import AsyncJobs
from tunery_client._async.models import AsyncModels
from tunery_client._async.transport import AsyncRetryingClient
from tunery_client._generated.client import AuthenticatedClient
from tunery_client.environment import find_target, is_local


class AsyncTunery:
    """A Tunery server and a key for it. Close it, or use it in a `with` statement. May be shared by threads
    or tasks."""

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        timeout_seconds: float = 600.0,
        max_retries: int = 2,
        headers: dict[str, str] | None = None,
        **httpx_options: Any,
    ) -> None:
        """`base_url` may end with `/v1`. It and `api_key` default to TUNERY_BASE_URL and TUNERY_API_KEY, then
        to OPENAI_BASE_URL and OPENAI_API_KEY. Raises MissingApiKey without a key.

        `timeout_seconds`: how long the server may stay silent. `max_retries`: how often a request is sent
        again that failed on the way, or that the server had no room for. A job is never created twice.
        `headers` go with every request, such as `OpenAI-Project`. `httpx_options` are those of httpx's
        client, such as `proxy` and `verify`. The environment's proxies are not used for this machine."""
        root, key = find_target(base_url, api_key)
        self._client = AuthenticatedClient(base_url=root, token=key)
        self._client.set_async_httpx_client(
            AsyncRetryingClient(
                base_url=root,
                headers={**(headers or {}), "Authorization": f"Bearer {key}"},
                timeout=httpx.Timeout(timeout_seconds, connect=10.0),
                max_retries=max_retries,
                **{"trust_env": not is_local(root), **httpx_options},
            )
        )
        self.files = AsyncFiles(self._client)
        self.datasets = AsyncDatasets(self._client)
        self.jobs = AsyncJobs(self._client)
        self.models = AsyncModels(self._client)
        self.aliases = AsyncAliases(self._client)
        self.completions = AsyncCompletions(self._client)
        self.chat = AsyncChat(self._client)
        self.classifications = AsyncClassifications(self._client)
        self.embeddings = AsyncEmbeddings(self._client)

    async def request(self, method: str, path: str, **httpx_options: Any) -> Any:
        """Calls a route that has no method here, such as `request("POST", "/v1/webhook_endpoints", json=…)`,
        and returns its JSON. Takes the options of httpx's `request`."""
        response = await self._client.get_async_httpx_client().request(method, path, **httpx_options)
        return response.json() if response.content else None

    async def aclose(self) -> None:
        await self._client.get_async_httpx_client().aclose()

    async def __aenter__(self) -> AsyncTunery:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()
