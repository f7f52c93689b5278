"""The client: one object per server and API key."""

from types import TracebackType
from typing import Self

import httpx

from tunery_client._generated.client import AuthenticatedClient
from tunery_client.errors import raise_for_error
from tunery_client.files import Files
from tunery_client.inference import Chat, Classifications, Completions, Embeddings
from tunery_client.jobs import Jobs
from tunery_client.models import Models


class Tunery:
    """A Tunery server. Thread-safe. Close it, or use it in a `with` statement."""

    def __init__(self, base_url: str, api_key: str, *, timeout_seconds: float = 600.0) -> None:
        """`base_url` may end with `/v1`. `timeout_seconds`: how long the server may stay silent."""
        self._client = AuthenticatedClient(
            base_url=base_url.rstrip("/").removesuffix("/v1"),
            token=api_key,
            timeout=httpx.Timeout(timeout_seconds, connect=10.0),
            httpx_args={"event_hooks": {"response": [raise_for_error]}},
        )
        self.files = Files(self._client)
        self.jobs = Jobs(self._client)
        self.models = Models(self._client)
        self.completions = Completions(self._client)
        self.chat = Chat(self._client)
        self.classifications = Classifications(self._client)
        self.embeddings = Embeddings(self._client)

    def close(self) -> None:
        self._client.get_httpx_client().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
