"""What the server's answers become. Pure."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import httpx

from tunery_client._generated.models.error_answer import ErrorAnswer
from tunery_client._generated.models.model_export import ModelExport
from tunery_client.errors import ExportFailed, error_of_event

Answer = TypeVar("Answer")


def answer(found: Answer | ErrorAnswer | None) -> Answer:
    """What a generated function returned. It never returns an error: the client's hook has raised it."""
    assert found is not None
    assert not isinstance(found, ErrorAnswer)
    return found


class EventParser:
    """Server-sent events, line by line."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self._id: str | None = None
        self.is_done = False
        """Whether `[DONE]` has come."""

    def take(self, line: str) -> tuple[str | None, dict[str, Any]] | None:
        """The id and the data of the event that this line completes, if it does. Raises the ApiError that a
        stream may contain."""
        name, _, value = line.partition(": ")
        if name == "id":
            self._id = value
        if name != "data":
            return None
        if value == "[DONE]":
            self.is_done = True
            return None
        data = json.loads(value)
        if "error" in data and "id" not in data:
            raise error_of_event(data["error"], self._response)
        return self._id, data


def refuse_stream(options: dict[str, Any], instead: str) -> None:
    """Raises TypeError if `create` is asked for a stream, which it would not know how to return."""
    if options.get("stream"):
        raise TypeError(f"create() returns whole answers; call {instead}(…) for a stream.")


def raise_if_failed(export: ModelExport) -> None:
    """Raises ExportFailed, with the server's reason."""
    if export.status == "failed":
        raise ExportFailed(export.error.message if export.error else "The export failed.")
