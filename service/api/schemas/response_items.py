"""What goes into and comes out of `POST /v1/responses`: messages, calls of functions, and their results."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag
from typing_extensions import TypeAliasType

from cluster.contracts.strict_model import Ignored
from service.api.schemas.base import Answer, Body, JsonObject
from service.api.schemas.chat import ChatTokenLogprob, RefusalPart


class InputText(Body):
    type: Literal["input_text"]
    text: str


class PastText(Body):
    """A text from an earlier response."""

    type: Literal["output_text"]
    text: str
    annotations: Ignored = None
    logprobs: Ignored = None
    parsed: Ignored = None


InputPart = Annotated[InputText | PastText | RefusalPart, Field(discriminator="type")]


class InputMessage(Body):
    """A message. Messages from responses can be sent back unchanged."""

    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: str | Annotated[list[InputPart], Field(fail_fast=True)]
    id: Ignored = None
    status: Ignored = None
    phase: Ignored = None


class PastCall(Body):
    """A call from an earlier response."""

    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str
    """JSON, as the model wrote it."""
    id: Ignored = None
    status: Ignored = None
    parsed_arguments: Ignored = None


class CallOutput(Body):
    """What a function returned."""

    type: Literal["function_call_output"]
    call_id: str
    """Id of the call that this is the output of. The call must come before it."""
    output: str | Annotated[list[InputText], Field(fail_fast=True)]
    id: Ignored = None
    name: Ignored = None
    status: Ignored = None


class PastReasoning(Body):
    """Accepted, and not shown to the model."""

    type: Literal["reasoning"]
    id: Ignored = None
    summary: Ignored = None
    content: Ignored = None
    encrypted_content: Ignored = None
    status: Ignored = None


def _type_of(item: Any) -> Any:
    """A message need not name its type."""
    found = item.get("type") if isinstance(item, dict) else getattr(item, "type", None)
    return "message" if found is None else found


InputItem = Annotated[
    Annotated[InputMessage, Tag("message")]
    | Annotated[PastCall, Tag("function_call")]
    | Annotated[CallOutput, Tag("function_call_output")]
    | Annotated[PastReasoning, Tag("reasoning")],
    Discriminator(
        _type_of,
        custom_error_type="unknown_item",
        custom_error_message=(
            "An item's type should be 'message', 'function_call', 'function_call_output' or 'reasoning'; "
            "this server stores no items that could be referred to, and runs no tools of its own"
        ),
    ),
]

ItemStatus = TypeAliasType("ItemStatus", Literal["in_progress", "completed", "incomplete"])


class OutputText(Answer):
    type: Literal["output_text"] = "output_text"
    text: str
    annotations: list[JsonObject] = []
    """Always empty."""
    logprobs: list[ChatTokenLogprob] = []
    """Empty unless `include` asks for them."""


class OutputMessage(Answer):
    type: Literal["message"] = "message"
    id: str
    status: ItemStatus
    role: Literal["assistant"] = "assistant"
    content: list[OutputText]


class OutputCall(Answer):
    type: Literal["function_call"] = "function_call"
    id: str
    call_id: str
    """Send it back in the `function_call_output`."""
    name: str
    arguments: str
    """JSON, as the model wrote it; incomplete if the item is."""
    status: ItemStatus


OutputItem = Annotated[OutputMessage | OutputCall, Field(discriminator="type")]
