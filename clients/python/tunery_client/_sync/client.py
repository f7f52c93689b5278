"""The client: one object per server and API key."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import httpx
from tunery_client._generated.client import AuthenticatedClient
from tunery_client._sync.aliases import Aliases
from tunery_client._sync.datasets import Datasets
from tunery_client._sync.files import Files
from tunery_client._sync.inference import Chat, Classifications, Completions, Embeddings
from tunery_client._sync.jobs import Jobs
from tunery_client._sync.models import Models
from tunery_client._sync.transport import RetryingClient
from tunery_client.environment import find_target, is_local


class Tunery:
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
        self._client.set_httpx_client(
            RetryingClient(
                base_url=root,
                headers={**(headers or {}), "Authorization": f"Bearer {key}"},
                timeout=httpx.Timeout(timeout_seconds, connect=10.0),
                max_retries=max_retries,
                **{"trust_env": not is_local(root), **httpx_options},
            )
        )
        self.files = Files(self._client)
        self.datasets = Datasets(self._client)
        self.jobs = Jobs(self._client)
        self.models = Models(self._client)
        self.aliases = Aliases(self._client)
        self.completions = Completions(self._client)
        self.chat = Chat(self._client)
        self.classifications = Classifications(self._client)
        self.embeddings = Embeddings(self._client)

    def request(self, method: str, path: str, **httpx_options: Any) -> Any:
        """Calls a route that has no method here, such as `request("POST", "/v1/webhook_endpoints", json=…)`,
        and returns its JSON. Takes the options of httpx's `request`."""
        response = self._client.get_httpx_client().request(method, path, **httpx_options)
        return response.json() if response.content else None

    def close(self) -> None:
        self._client.get_httpx_client().close()

    def __enter__(self) -> Tunery:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
