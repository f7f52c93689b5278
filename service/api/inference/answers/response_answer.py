"""Turns the chunks of a chat completion into OpenAI's response, whole or as typed events. Pure."""

import itertools
import time
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from cluster.contracts.generation import GenerationEvent, PromptEvent, Sampling
from service.api.inference.answers.chat import ChatAnswer
from service.api.schemas.base import ApiError
from service.api.schemas.chat import ChatChunkChoice, ChatTokenLogprob, TextFormat, ToolCallDelta
from service.api.schemas.response_events import (
    ResponseArgumentsDeltaEvent,
    ResponseArgumentsDoneEvent,
    ResponseContentPartEvent,
    ResponseErrorEvent,
    ResponseEvent,
    ResponseLifecycleEvent,
    ResponseOutputItemEvent,
    ResponseTextDeltaEvent,
    ResponseTextDoneEvent,
)
from service.api.schemas.response_items import ItemStatus, OutputCall, OutputMessage, OutputText
from service.api.schemas.responses import (
    IncompleteDetails,
    ModelResponse,
    ResponseFailure,
    ResponsesBody,
    ResponseUsage,
    TextSettings,
)

Kind = TypeVar("Kind", bound=ResponseEvent)
Status = Literal["in_progress", "completed", "incomplete", "failed"]

_FAILURES = {"rate_limit_error": "rate_limit_exceeded", "invalid_request_error": "invalid_prompt"}
"""A failed response's code by the type of its error; `server_error` for any other type."""


class ResponseAnswer:
    """The answer to one request. Its output is a list of items, in the order in which the model began them:
    messages and calls."""

    def __init__(
        self, body: ResponsesBody, chat: ChatAnswer, sampling: Sampling, *, id_: str, model: str
    ) -> None:
        """`chat` answers the translated request, with this `sampling`. `id_` makes this answer's ids
        unique."""
        self._chat = chat
        self._id = id_
        self._numbers = itertools.count()
        self._items: list[_Item] = []
        self._status: Status = "in_progress"
        self._fixed: dict[str, Any] = {
            **_echoed(body, sampling),
            "id": f"resp_{id_}",
            "created_at": int(time.time()),
            "model": model,
        }

    def add(self, prompt: int, event: GenerationEvent) -> list[ResponseEvent]:
        """Processes an event, and returns the events that a stream sends for it. `prompt` is always 0."""
        events: list[ResponseEvent] = []
        if isinstance(event, PromptEvent):
            events += [self._lifecycle("response.created"), self._lifecycle("response.in_progress")]
        for chunk in self._chat.add(prompt, event):
            for choice in chunk.choices:
                events += self._translated(choice)
        return events

    def whole(self) -> ModelResponse:
        return ModelResponse(
            **self._fixed,
            status=self._status,
            output=[item.output() for item in self._items],
            incomplete_details=IncompleteDetails() if self._status == "incomplete" else None,
            usage=self._usage(),
        )

    def last_chunks(self) -> list[ResponseEvent]:
        is_cut = self._status == "incomplete"
        return [self._lifecycle("response.incomplete" if is_cut else "response.completed")]

    def failure(self, error: ApiError) -> list[ResponseEvent]:
        self._status = "failed"
        if self._items and self._items[-1].status == "in_progress":
            self._items[-1].status = "incomplete"
        told = self._event(ResponseErrorEvent, message=error.message, code=error.code, param=error.param)
        failure = ResponseFailure(code=_FAILURES.get(error.type, "server_error"), message=error.message)
        failed = self.whole().model_copy(update={"error": failure})
        return [told, self._event(ResponseLifecycleEvent, type="response.failed", response=failed)]

    def _usage(self) -> ResponseUsage | None:
        if self._status not in ("completed", "incomplete"):
            return None
        usage = self._chat.usage
        return ResponseUsage(
            input_tokens=usage.prompt_tokens,
            output_tokens=usage.completion_tokens,
            total_tokens=usage.total_tokens,
        )

    def _translated(self, choice: ChatChunkChoice) -> list[ResponseEvent]:
        delta, events = choice.delta, list[ResponseEvent]()
        tokens = choice.logprobs.content if choice.logprobs else []
        # Tokens of calls are not reported, unlike in a chat.
        is_held = bool(tokens) and not delta.tool_calls and self._message is not None
        if delta.content is not None or is_held:
            events += self._text(delta.content or "", tokens)
        for call in delta.tool_calls or ():
            events += self._called(call)
        if choice.finish_reason is not None:
            self._status = "incomplete" if choice.finish_reason == "length" else "completed"
            events += self._closed(self._status)
        return events

    @property
    def _message(self) -> "_Message | None":
        """The message that is being written."""
        last = self._items[-1] if self._items else None
        return last if isinstance(last, _Message) else None

    def _text(self, text: str, tokens: list[ChatTokenLogprob]) -> list[ResponseEvent]:
        events: list[ResponseEvent] = []
        if (message := self._message) is None:
            message = _Message(self._new_id("msg"))
            events += self._opened(message)
            part = OutputText(text="")
            events.append(
                self._event(
                    ResponseContentPartEvent, type="response.content_part.added", part=part, **self._place
                )
            )
        message.text += text
        message.logprobs += tokens
        if text or tokens:
            events.append(self._event(ResponseTextDeltaEvent, delta=text, logprobs=tokens, **self._place))
        return events

    def _called(self, delta: ToolCallDelta) -> list[ResponseEvent]:
        if delta.id is not None:
            assert delta.function.name is not None
            return self._opened(_Call(self._new_id("fc"), delta.id, delta.function.name))
        call = self._items[-1]
        assert isinstance(call, _Call)
        call.arguments += delta.function.arguments
        return [self._event(ResponseArgumentsDeltaEvent, delta=delta.function.arguments, **self._place)]

    def _opened(self, item: "_Item") -> list[ResponseEvent]:
        """Closes the previous item and opens this one."""
        events = self._closed("completed")
        self._items.append(item)
        return [*events, self._item_event("response.output_item.added")]

    def _closed(self, status: Literal["completed", "incomplete"]) -> list[ResponseEvent]:
        """Closes the last item, if there is one."""
        if not self._items:
            return []
        item, place, events = self._items[-1], self._place, list[ResponseEvent]()
        item.status = status
        if isinstance(item, _Message):
            (part,) = item.output().content
            events += [
                self._event(ResponseTextDoneEvent, text=item.text, logprobs=item.logprobs, **place),
                self._event(ResponseContentPartEvent, type="response.content_part.done", part=part, **place),
            ]
        else:
            events.append(
                self._event(ResponseArgumentsDoneEvent, name=item.name, arguments=item.arguments, **place)
            )
        return [*events, self._item_event("response.output_item.done")]

    @property
    def _place(self) -> dict[str, Any]:
        """The fields that locate the last item."""
        return {"item_id": self._items[-1].id, "output_index": len(self._items) - 1}

    def _item_event(
        self, type_: Literal["response.output_item.added", "response.output_item.done"]
    ) -> ResponseEvent:
        return self._event(
            ResponseOutputItemEvent,
            type=type_,
            output_index=len(self._items) - 1,
            item=self._items[-1].output(),
        )

    def _lifecycle(self, type_: str) -> ResponseEvent:
        return self._event(ResponseLifecycleEvent, type=type_, response=self.whole())

    def _event(self, kind: type[Kind], **fields: Any) -> Kind:
        return kind(sequence_number=next(self._numbers), **fields)

    def _new_id(self, prefix: str) -> str:
        return f"{prefix}_{self._id}{len(self._items)}"


@dataclass
class _Message:
    id: str
    text: str = ""
    logprobs: list[ChatTokenLogprob] = field(default_factory=list)
    status: ItemStatus = "in_progress"

    def output(self) -> OutputMessage:
        is_begun = self.status == "in_progress"
        parts = [] if is_begun else [OutputText(text=self.text, logprobs=list(self.logprobs))]
        return OutputMessage(id=self.id, status=self.status, content=parts)


@dataclass
class _Call:
    id: str
    call_id: str
    name: str
    arguments: str = ""
    status: ItemStatus = "in_progress"

    def output(self) -> OutputCall:
        return OutputCall(
            id=self.id,
            call_id=self.call_id,
            name=self.name,
            arguments=self.arguments,
            status=self.status,
        )


_Item = _Message | _Call


def _echoed(body: ResponsesBody, sampling: Sampling) -> dict[str, Any]:
    """The fields of a response that repeat the request, with what applies to it."""
    tools = [tool.model_copy(update={"strict": tool.strict is not False}) for tool in body.tools or ()]
    text = body.text or TextSettings()
    return {
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "max_tool_calls": body.max_tool_calls,
        "metadata": body.metadata or {},
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "prompt_cache_key": body.prompt_cache_key,
        "reasoning": {"effort": None, "summary": None, **(body.reasoning or {})},
        "safety_identifier": body.safety_identifier,
        "temperature": sampling.temperature,
        "text": text if text.format else text.model_copy(update={"format": TextFormat(type="text")}),
        "tool_choice": body.tool_choice or "auto",
        "tools": tools,
        "top_logprobs": body.top_logprobs or 0,
        "top_p": sampling.top_p,
        "user": body.user,
    }
