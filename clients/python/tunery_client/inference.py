"""`tunery.completions`, `tunery.chat`, `tunery.classifications` and `tunery.embeddings`. Options have the
names of the HTTP API's parameters."""

from collections.abc import Iterator, Sequence
from typing import Any

from tunery_client._generated.client import AuthenticatedClient
from tunery_client._generated.models.chat_completion import ChatCompletion
from tunery_client._generated.models.chat_completion_chunk import ChatCompletionChunk
from tunery_client._generated.models.classification import Classification
from tunery_client._generated.models.completion import Completion
from tunery_client._generated.models.embedding_list import EmbeddingList
from tunery_client.transport import post, streamed

_COMPLETIONS = "/v1/completions"
_CHAT = "/v1/chat/completions"
_CLASSIFICATIONS = "/v1/classifications"
_EMBEDDINGS = "/v1/embeddings"

Prompt = str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]]
ClassifierInput = str | Sequence[str] | Sequence[Sequence[str]] | Sequence[dict[str, str]]
"""A text, texts, lists of words, or pairs of texts as `{"text": …, "text_pair": …}`."""


class Completions:
    def __init__(self, client: AuthenticatedClient) -> None:
        self._client = client

    def create(self, *, model: str, prompt: Prompt, **options: Any) -> Completion:
        body = {"model": model, "prompt": prompt, **options}
        return Completion.from_dict(post(self._client, _COMPLETIONS, body))

    def stream(self, *, model: str, prompt: Prompt, **options: Any) -> Iterator[Completion]:
        body = {"model": model, "prompt": prompt, **options, "stream": True}
        for _, data in streamed(self._client, "POST", _COMPLETIONS, json=body):
            yield Completion.from_dict(data)


class Chat:
    def __init__(self, client: AuthenticatedClient) -> None:
        self._client = client

    def create(self, *, model: str, messages: Sequence[dict[str, Any]], **options: Any) -> ChatCompletion:
        body = {"model": model, "messages": messages, **options}
        return ChatCompletion.from_dict(post(self._client, _CHAT, body))

    def stream(
        self, *, model: str, messages: Sequence[dict[str, Any]], **options: Any
    ) -> Iterator[ChatCompletionChunk]:
        body = {"model": model, "messages": messages, **options, "stream": True}
        for _, data in streamed(self._client, "POST", _CHAT, json=body):
            yield ChatCompletionChunk.from_dict(data)


class Classifications:
    """For models tuned from encoders."""

    def __init__(self, client: AuthenticatedClient) -> None:
        self._client = client

    def create(self, *, model: str, input: ClassifierInput) -> Classification:
        body = {"model": model, "input": input}
        return Classification.from_dict(post(self._client, _CLASSIFICATIONS, body))


class Embeddings:
    """For encoders and models tuned from them."""

    def __init__(self, client: AuthenticatedClient) -> None:
        self._client = client

    def create(self, *, model: str, input: Prompt, **options: Any) -> EmbeddingList:
        body = {"model": model, "input": input, **options}
        return EmbeddingList.from_dict(post(self._client, _EMBEDDINGS, body))
