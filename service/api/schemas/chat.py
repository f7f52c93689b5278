"""`POST /v1/chat/completions`: request and answer."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from cluster.contracts.json_schema import JsonSchema
from service.api.schemas.base import Answer, Body, JsonObject, Metadata, Piece
from service.api.schemas.sampling import FinishReason, SamplingBody, Usage
from service.api.validation import cross_field_error


class TextPart(Body):
    type: Literal["text"]
    text: str


TextContent = str | list[TextPart]


class FunctionCall(Body):
    name: str
    arguments: str
    """JSON, as the model wrote it."""


class ToolCall(Body):
    id: str
    type: Literal["function"]
    function: FunctionCall


class SystemMessage(Body):
    role: Literal["system"]
    content: TextContent
    name: str | None = None


class DeveloperMessage(Body):
    role: Literal["developer"]
    content: TextContent
    name: str | None = None


class UserMessage(Body):
    role: Literal["user"]
    content: TextContent
    name: str | None = None


class AssistantMessage(Body):
    role: Literal["assistant"]
    content: TextContent | None = None
    name: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: FunctionCall | None = None
    audio: None = None
    annotations: list[Any] | None = None


class ToolMessage(Body):
    role: Literal["tool"]
    content: TextContent
    tool_call_id: str


class FunctionMessage(Body):
    role: Literal["function"]
    content: str | None
    name: str


ChatMessage = Annotated[
    DeveloperMessage | SystemMessage | UserMessage | AssistantMessage | ToolMessage | FunctionMessage,
    Field(discriminator="role"),
]


class FunctionDefinition(Body):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    description: str | None = None
    parameters: JsonObject | None = None
    """JSON Schema."""
    strict: bool | None = None


class Tool(Body):
    type: Literal["function"]
    function: FunctionDefinition


class TextFormat(Body):
    type: Literal["text"]


class JsonObjectFormat(Body):
    type: Literal["json_object"]
    """Any JSON object. The messages must ask for JSON."""


class JsonSchemaDefinition(Body):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    description: str | None = None
    schema_: JsonSchema | None = Field(default=None, alias="schema")
    """Any object if absent."""
    strict: bool | None = None
    """Without effect: the answer always follows the schema."""


class JsonSchemaFormat(Body):
    type: Literal["json_schema"]
    json_schema: JsonSchemaDefinition


ResponseFormat = Annotated[TextFormat | JsonObjectFormat | JsonSchemaFormat, Field(discriminator="type")]


class ChatCompletionBody(SamplingBody):
    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=0)] | None = None
    """Absent: what the context leaves."""
    max_tokens: Annotated[int, Field(ge=0)] | None = Field(default=None, deprecated=True)
    """The older name of `max_completion_tokens`."""
    response_format: ResponseFormat | None = None
    """With a JSON format the answer can be nothing else; one that is cut off, by `max_completion_tokens`
    say, is the beginning of it."""
    tools: list[Tool] | None = None
    """Shown to the model by its chat template."""
    tool_choice: Literal["none", "auto", "required"] | JsonObject | None = None
    """`auto`, or `none`, which hides the tools; a forced call is refused."""
    parallel_tool_calls: bool | None = None
    modalities: list[Literal["text"]] | None = None
    metadata: Metadata | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None
    store: bool | None = None
    service_tier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    safety_identifier: str | None = None

    @model_validator(mode="after")
    def _top_logprobs_need_logprobs(self) -> Self:
        if self.top_logprobs is not None and not self.logprobs:
            raise cross_field_error("top_logprobs", "'top_logprobs' is only allowed when 'logprobs' is true.")
        return self


class ChatTokenTop(Answer):
    token: str
    logprob: float
    bytes: list[int]


class ChatTokenLogprob(Answer):
    token: str
    logprob: float
    bytes: list[int]
    top_logprobs: list[ChatTokenTop]


class ChatLogprobs(Answer):
    content: list[ChatTokenLogprob]
    refusal: None = None


class ChatAnswerMessage(Answer):
    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class ChatChoice(Answer):
    index: int
    message: ChatAnswerMessage
    logprobs: ChatLogprobs | None
    finish_reason: FinishReason


class ChatCompletion(Answer):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: Usage


class ChatDelta(Piece):
    role: Literal["assistant"] | None = None
    content: str | None = None


class ChatChunkChoice(Piece):
    index: int
    delta: ChatDelta
    logprobs: ChatLogprobs | None = None
    finish_reason: FinishReason | None = None


class ChatCompletionChunk(Piece):
    """The `data:` of one event of a streamed answer."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChunkChoice]
    usage: Usage | None = None
