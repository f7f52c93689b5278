"""`POST /v1/responses`: request and response."""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError
from typing_extensions import TypeAliasType

from cluster.contracts.json_schema import JsonSchema
from service.api.http.validation import cross_field_error
from service.api.schemas.base import Answer, Body, JsonObject, Metadata
from service.api.schemas.chat import (
    ChatTemplateOptions,
    FunctionDefinition,
    JsonObjectFormat,
    JsonSchemaDefinition,
    TextFormat,
)
from service.api.schemas.response_items import CallOutput, InputItem, OutputItem, PastCall, PastReasoning
from service.api.schemas.sampling import SamplingExtensions

_NOTHING_STORED = "This server stores no responses; send the whole conversation as 'input'"

_REFUSED = {
    "store": "This server stores no responses; set it to false or leave it out",
    "background": "An answer lasts as long as its request; leave it out",
    "previous_response_id": _NOTHING_STORED,
    "conversation": _NOTHING_STORED,
    "prompt": "This server stores no prompts; send 'instructions' and 'input'",
    "truncation": "Input is never dropped; set it to 'disabled' or leave it out",
}
"""Parameters that are accepted only if they ask for nothing, and what to do."""

LOGPROBS = "message.output_text.logprobs"
Includable = TypeAliasType(
    "Includable", Literal["message.output_text.logprobs", "reasoning.encrypted_content"]
)


class FunctionTool(FunctionDefinition):
    type: Literal["function"]
    strict: bool | None = None
    """Calls always follow `parameters`. True if absent, unlike in chat completions."""

    @model_validator(mode="before")
    @classmethod
    def _refuse_other_types(cls, data: Any) -> Any:
        found = data.get("type") if isinstance(data, dict) else None
        if isinstance(found, str) and found != "function":
            raise PydanticCustomError(
                "unsupported",
                "This server runs no tools of its own, such as '{type}'; only 'function' is supported",
                {"type": found[:64]},
            )
        return data


class FunctionChoice(Body):
    """The model must call this function."""

    type: Literal["function"]
    name: str


class FunctionChoices(Body):
    """Restricts the model to some of the functions. `mode` means the same as `auto` or `required` for all of
    them."""

    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: Annotated[list[FunctionChoice], Field(min_length=1, max_length=128)]


ResponseToolChoice = (
    Literal["none", "auto", "required"]
    | Annotated[FunctionChoice | FunctionChoices, Field(discriminator="type")]
)


class FlatJsonSchemaFormat(JsonSchemaDefinition):
    model_config = ConfigDict(serialize_by_alias=True)

    type: Literal["json_schema"]
    schema_: JsonSchema = Field(alias="schema")


class TextSettings(Body):
    format: (
        Annotated[TextFormat | JsonObjectFormat | FlatJsonSchemaFormat, Field(discriminator="type")] | None
    ) = None
    """The format of the answer. With a JSON format, the answer is always valid JSON, or the beginning of it
    if it is cut off."""
    verbosity: str | None = None
    """Accepted, but has no effect."""


class ResponseStreamOptions(Body):
    include_obfuscation: bool = False
    """Accepted, but has no effect: no padding is ever added."""


class ResponsesBody(SamplingExtensions):
    """Every field but `input` may be null, which means its default."""

    model: str
    input: str | Annotated[list[InputItem], Field(min_length=1, fail_fast=True)]
    """A user's message, or the whole conversation. Nothing is stored, so to continue a conversation, send the
    earlier responses back."""
    instructions: str | None = None
    """The first message, from the developer."""
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    """Maximum number of tokens in the answer. If absent, as many as the context has room for."""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    tools: Annotated[list[FunctionTool], Field(max_length=128)] | None = None
    tool_choice: ResponseToolChoice | None = None
    """`auto` if absent. `none` hides the tools. `required` or a named function restricts the model to calls
    whose arguments follow the functions' `parameters`."""
    parallel_tool_calls: bool | None = None
    """If false, an answer has at most one call."""
    text: TextSettings | None = None
    include: Annotated[list[Includable], Field(fail_fast=True)] | None = None
    """`message.output_text.logprobs` returns log-probabilities of the answer's text; there is no reasoning to
    include."""
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    """How many of the most likely tokens to return with each log-probability."""
    chat_template_kwargs: ChatTemplateOptions | None = None
    """As in chat completions."""
    stream: bool | None = None
    stream_options: ResponseStreamOptions | None = None
    store: bool | None = None
    """False if absent. True is refused: this server stores no responses."""
    truncation: str | None = None
    """Only `disabled`: input that is too long is refused, never dropped."""
    background: bool | None = None
    """True is refused."""
    metadata: Metadata | None = None
    """Returned with the response."""
    reasoning: JsonObject | None = None
    """Here and below: accepted, but has no effect."""
    max_tool_calls: int | None = None
    user: str | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: JsonObject | None = None
    previous_response_id: SkipJsonSchema[None] = None
    conversation: SkipJsonSchema[None] = None
    prompt: SkipJsonSchema[None] = None

    @field_validator(*_REFUSED, mode="before")
    @classmethod
    def _refuse_by_name(cls, value: Any, info: ValidationInfo) -> Any:
        if value is None or value is False or (info.field_name == "truncation" and value == "disabled"):
            return value
        if info.field_name in ("store", "background") and value is not True:
            return value  # Not a boolean, which is another error.
        raise PydanticCustomError("unsupported", "{reason}", {"reason": _REFUSED[info.field_name or ""]})

    @model_validator(mode="after")
    def _outputs_follow_their_calls(self) -> Self:
        called: set[str] = set()
        for index, item in enumerate(self.items):
            if isinstance(item, PastCall):
                called.add(item.call_id)
            elif isinstance(item, CallOutput) and item.call_id not in called:
                raise cross_field_error(
                    f"input[{index}].call_id",
                    f"input[{index}] answers the call '{item.call_id:.64}', but no 'function_call' before it "
                    "has this 'call_id'.",
                )
        return self

    @model_validator(mode="after")
    def _has_a_message(self) -> Self:
        if self.items and all(isinstance(item, PastReasoning) for item in self.items):
            raise cross_field_error("input", "'input' must hold more than reasoning.")
        return self

    @property
    def items(self) -> list[InputItem]:
        """The input's items; none if it is a text."""
        return [] if isinstance(self.input, str) else self.input

    @property
    def wants_logprobs(self) -> bool:
        return LOGPROBS in (self.include or ())


class InputTokensDetails(Answer):
    cached_tokens: int = 0
    """Here and below, always 0: not reported."""
    cache_write_tokens: int = 0


class OutputTokensDetails(Answer):
    reasoning_tokens: int = 0


class ResponseUsage(Answer):
    input_tokens: int
    input_tokens_details: InputTokensDetails = InputTokensDetails()
    output_tokens: int
    output_tokens_details: OutputTokensDetails = OutputTokensDetails()
    total_tokens: int


class ResponseFailure(Answer):
    code: str
    """`server_error`, `rate_limit_exceeded` or `invalid_prompt`."""
    message: str


class IncompleteDetails(Answer):
    reason: Literal["max_output_tokens"] = "max_output_tokens"


class ModelResponse(Answer):
    """A response, either complete or in its state when the event is sent."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    status: Literal["in_progress", "completed", "incomplete", "failed"]
    error: ResponseFailure | None = None
    incomplete_details: IncompleteDetails | None = None
    """Why the status is `incomplete`."""
    model: str
    output: list[OutputItem]
    usage: ResponseUsage | None
    """Null before the end, and if the response failed."""
    instructions: str | None
    """Here and below: the value from the request, or the default."""
    max_output_tokens: int | None
    max_tool_calls: int | None
    metadata: Metadata
    parallel_tool_calls: bool
    prompt_cache_key: str | None
    reasoning: JsonObject
    safety_identifier: str | None
    temperature: float
    text: TextSettings
    tool_choice: ResponseToolChoice
    tools: list[FunctionTool]
    top_logprobs: int
    top_p: float
    user: str | None
    background: Literal[False] = False
    previous_response_id: None = None
    service_tier: Literal["default"] = "default"
    store: Literal[False] = False
    truncation: Literal["disabled"] = "disabled"
