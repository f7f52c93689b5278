"""The server-sent events of a streamed response."""

from typing import Literal

from service.api.schemas.base import Answer
from service.api.schemas.chat import ChatTokenLogprob
from service.api.schemas.response_items import OutputItem, OutputText
from service.api.schemas.responses import ModelResponse


class ResponseEvent(Answer):
    type: str
    """Name of the server-sent event, too."""
    sequence_number: int
    """Counts the events of the stream from 0."""


class ResponseLifecycleEvent(ResponseEvent):
    """The response has begun (`created`, `in_progress`) or ended."""

    type: Literal[
        "response.created",
        "response.in_progress",
        "response.completed",
        "response.incomplete",
        "response.failed",
    ]
    response: ModelResponse


class ResponseOutputItemEvent(ResponseEvent):
    type: Literal["response.output_item.added", "response.output_item.done"]
    output_index: int
    item: OutputItem


class ResponseContentPartEvent(ResponseEvent):
    type: Literal["response.content_part.added", "response.content_part.done"]
    item_id: str
    output_index: int
    content_index: Literal[0] = 0
    part: OutputText


class ResponseTextDeltaEvent(ResponseEvent):
    """The next piece of a text."""

    type: Literal["response.output_text.delta"] = "response.output_text.delta"
    item_id: str
    output_index: int
    content_index: Literal[0] = 0
    delta: str
    logprobs: list[ChatTokenLogprob]


class ResponseTextDoneEvent(ResponseEvent):
    type: Literal["response.output_text.done"] = "response.output_text.done"
    item_id: str
    output_index: int
    content_index: Literal[0] = 0
    text: str
    logprobs: list[ChatTokenLogprob]


class ResponseArgumentsDeltaEvent(ResponseEvent):
    """The next piece of a call's arguments."""

    type: Literal["response.function_call_arguments.delta"] = "response.function_call_arguments.delta"
    item_id: str
    output_index: int
    delta: str


class ResponseArgumentsDoneEvent(ResponseEvent):
    type: Literal["response.function_call_arguments.done"] = "response.function_call_arguments.done"
    item_id: str
    output_index: int
    name: str
    arguments: str


class ResponseErrorEvent(ResponseEvent):
    """The response cannot be continued. `response.failed` follows."""

    type: Literal["error"] = "error"
    message: str
    code: str | None
    param: str | None


RESPONSE_EVENTS: tuple[type[ResponseEvent], ...] = (
    ResponseLifecycleEvent,
    ResponseOutputItemEvent,
    ResponseContentPartEvent,
    ResponseTextDeltaEvent,
    ResponseTextDoneEvent,
    ResponseArgumentsDeltaEvent,
    ResponseArgumentsDoneEvent,
    ResponseErrorEvent,
)
