"""`tunery.completions`, `tunery.chat`, `tunery.classifications` and `tunery.embeddings`. Options have the
names of the HTTP API's parameters."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from tunery_client._generated.models.chat_completion import ChatCompletion
from tunery_client._generated.models.chat_completion_chunk import ChatCompletionChunk
from tunery_client._generated.models.classification import Classification
from tunery_client._generated.models.completion import Completion
from tunery_client._generated.models.embedding_list import EmbeddingList
from tunery_client._sync.transport import Resource
from tunery_client.answers import refuse_stream

_COMPLETIONS = "/v1/completions"
_CHAT = "/v1/chat/completions"
_CLASSIFICATIONS = "/v1/classifications"
_EMBEDDINGS = "/v1/embeddings"

Prompt = str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]]
ClassifierInput = str | Sequence[str] | Sequence[Sequence[str]] | Sequence[dict[str, str]]
"""A text, texts, lists of words, or pairs of texts as `{"text": …, "text_pair": …}`."""


class Completions(Resource):
    def create(self, *, model: str, prompt: Prompt, **options: Any) -> Completion:
        refuse_stream(options, "completions.stream")
        body = {"model": model, "prompt": prompt, **options}
        return Completion.from_dict(self._post(_COMPLETIONS, body, is_repeatable=True))

    def stream(self, *, model: str, prompt: Prompt, **options: Any) -> Generator[Completion, None]:
        body = {"model": model, "prompt": prompt, **options, "stream": True}
        for _, data in self._streamed("POST", _COMPLETIONS, json=body):
            yield Completion.from_dict(data)


class Chat(Resource):
    def create(self, *, model: str, messages: Sequence[dict[str, Any]], **options: Any) -> ChatCompletion:
        refuse_stream(options, "chat.stream")
        body = {"model": model, "messages": messages, **options}
        return ChatCompletion.from_dict(self._post(_CHAT, body, is_repeatable=True))

    def stream(
        self, *, model: str, messages: Sequence[dict[str, Any]], **options: Any
    ) -> Generator[ChatCompletionChunk, None]:
        body = {"model": model, "messages": messages, **options, "stream": True}
        for _, data in self._streamed("POST", _CHAT, json=body):
            yield ChatCompletionChunk.from_dict(data)


class Classifications(Resource):
    """Classifications by models tuned from encoders."""

    def create(self, *, model: str, input: ClassifierInput) -> Classification:
        body = {"model": model, "input": input}
        return Classification.from_dict(self._post(_CLASSIFICATIONS, body, is_repeatable=True))


class Embeddings(Resource):
    """Embeddings by encoders and models tuned from them."""

    def create(self, *, model: str, input: Prompt, **options: Any) -> EmbeddingList:
        body = {"model": model, "input": input, **options}
        return EmbeddingList.from_dict(self._post(_EMBEDDINGS, body, is_repeatable=True))
