"""`POST /v1/chat/completions`: request and response."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from typing_extensions import TypeAliasType

from cluster.contracts.conversation import find_stray_tool_message
from cluster.contracts.generation import ChatEnding
from cluster.contracts.json_schema import JsonSchema
from cluster.contracts.strict_model import Ignored
from service.api.http.validation import cross_field_error
from service.api.schemas.base import Answer, Body, JsonObject, Metadata, Piece, Unsupported
from service.api.schemas.sampling import SamplingBody, Usage


class TextPart(Body):
    type: Literal["text"]
    text: str


class RefusalPart(Body):
    type: Literal["refusal"]
    refusal: str


AnswerPart = Annotated[TextPart | RefusalPart, Field(discriminator="type")]
TextContent = str | Annotated[list[TextPart], Field(fail_fast=True)]


class FunctionCall(Body):
    name: str
    arguments: str
    """JSON, as the model wrote it."""
    parsed_arguments: Ignored = None


class ToolCall(Body):
    id: str
    type: Literal["function"]
    function: FunctionCall
    index: Ignored = None
    """OpenAI's SDKs keep it on calls that were streamed."""


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
    """A message of the assistant. Messages from responses can be sent back unchanged."""

    role: Literal["assistant"]
    content: str | Annotated[list[AnswerPart], Field(fail_fast=True)] | None = None
    name: str | None = None
    refusal: str | None = None
    """What the assistant said in place of `content`."""
    reasoning_content: str | None = None
    """Shown to the model if its chat template supports it."""
    reasoning: str | None = None
    """Another server's name for `reasoning_content`."""
    tool_calls: Annotated[list[ToolCall], Field(fail_fast=True)] | None = None
    function_call: FunctionCall | None = None
    annotations: Ignored = None
    parsed: Ignored = None
    audio: Unsupported = None


class ToolMessage(Body):
    role: Literal["tool"]
    content: TextContent
    tool_call_id: str
    name: str | None = None


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
    parameters: JsonSchema | None = None
    """JSON Schema of the arguments, which are an object. If absent, there are no arguments."""
    strict: bool | None = None
    """Calls always follow `parameters`. Calls of tools that are not strict do so only if a call is
    required."""


class Tool(Body):
    type: Literal["function"]
    function: FunctionDefinition


class NamedFunction(Body):
    name: str


class NamedTool(Body):
    """The model must call this tool."""

    type: Literal["function"]
    function: NamedFunction


class AllowedToolsDefinition(Body):
    mode: Literal["auto", "required"]
    tools: Annotated[list[NamedTool], Field(min_length=1, max_length=128)]


class AllowedTools(Body):
    """Restricts the model to some of the tools. `mode` means the same as `auto` or `required` for all of
    them."""

    type: Literal["allowed_tools"]
    allowed_tools: AllowedToolsDefinition


ToolChoice = (
    Literal["none", "auto", "required"] | Annotated[NamedTool | AllowedTools, Field(discriminator="type")]
)


class TextFormat(Body):
    type: Literal["text"]


class JsonObjectFormat(Body):
    type: Literal["json_object"]
    """Any JSON object. The messages must contain the word "JSON"."""


class JsonSchemaDefinition(Body):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    description: str | None = None
    schema_: JsonSchema | None = Field(default=None, alias="schema")
    """If absent, any object."""
    strict: bool | None = None
    """Has no effect: the answer always follows the schema."""


class JsonSchemaFormat(Body):
    type: Literal["json_schema"]
    json_schema: JsonSchemaDefinition


ResponseFormat = Annotated[TextFormat | JsonObjectFormat | JsonSchemaFormat, Field(discriminator="type")]


ChatTemplateOptions = TypeAliasType(
    "ChatTemplateOptions",
    Annotated[
        dict[
            Annotated[str, Field(max_length=64)],
            bool | Annotated[str, Field(max_length=16, pattern="^[a-z]+$")],
        ],
        Field(max_length=16),
    ],
)
"""Template options by name."""


class ChatCompletionBody(SamplingBody):
    messages: Annotated[list[ChatMessage], Field(min_length=1, fail_fast=True)]
    logprobs: bool | None = None
    """Return log-probabilities of all tokens, including those of calls, as the model computes them;
    `response_format` does not change them."""
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=0)] | None = None
    """Maximum number of tokens in the answer. If absent, as many as the context has room for."""
    max_tokens: Annotated[int, Field(ge=0)] | None = Field(default=None, deprecated=True)
    """The older name of `max_completion_tokens`. Give only one of the two."""
    response_format: ResponseFormat | None = None
    """The format of the answer. With a JSON format, the answer is always valid JSON, or the beginning of it
    if it is cut off, e.g. by `max_completion_tokens`."""
    tools: Annotated[list[Tool], Field(max_length=128)] | None = None
    """The chat template shows them to the model, and its calls are parsed in the template's format."""
    tool_choice: ToolChoice | None = None
    """`auto` if absent. `none` hides the tools. `required` or a named tool restricts the model to calls whose
    arguments follow the tools' `parameters`. After the call of a named tool, `finish_reason` is `stop`."""
    parallel_tool_calls: bool | None = None
    """If false, an answer has at most one call."""
    functions: Annotated[list[FunctionDefinition], Field(max_length=128)] | None = Field(
        default=None, deprecated=True
    )
    """Use `tools` instead. With `functions`, the answer has at most one call, as `function_call`."""
    function_call: Literal["none", "auto"] | NamedFunction | None = Field(default=None, deprecated=True)
    """Use `tool_choice` instead."""
    chat_template_kwargs: ChatTemplateOptions | None = None
    """Switches of the model's chat template, such as `enable_thinking`. The template must read them. A value
    is true or false; `reasoning_effort` may also be a word such as `low`."""
    add_generation_prompt: bool | None = None
    """If false, the prompt ends with the last message, without the header of an answer."""
    continue_final_message: bool | None = None
    """Continue the last message, which must be the assistant's and have text, instead of starting a new
    answer. Only the new text is returned."""
    modalities: Annotated[list[Literal["text"]], Field(fail_fast=True)] | None = None
    metadata: Metadata | None = None
    """Refused unless empty: it describes stored chat completions."""
    reasoning_effort: str | None = None
    """Accepted, but has no effect. Use `chat_template_kwargs` for models whose chat template reads it."""
    verbosity: str | None = None
    """Accepted, but has no effect."""
    store: bool | None = None
    """True is refused: this server stores no chat completions."""
    service_tier: str | None = None
    """Accepted, but has no effect."""
    prompt_cache_key: str | None = None
    """Accepted, but has no effect."""
    prompt_cache_retention: str | None = None
    """Accepted, but has no effect."""
    safety_identifier: str | None = None
    """Accepted, but has no effect."""
    prompt_cache_options: JsonObject | None = None
    """Accepted, but has no effect."""
    prediction: JsonObject | None = None
    """Accepted, but has no effect: it would only make the answer faster."""
    audio: Unsupported = None
    moderation: Unsupported = None
    web_search_options: Unsupported = None

    @model_validator(mode="after")
    def _one_spelling_of_each(self) -> Self:
        for older, newer in (
            ("max_tokens", "max_completion_tokens"),
            ("functions", "tools"),
            ("function_call", "tool_choice"),
        ):
            if getattr(self, older) is not None and getattr(self, newer) is not None:
                raise cross_field_error(
                    older,
                    f"Setting '{older}' and '{newer}' at the same time is not supported; give '{newer}'.",
                    code="invalid_parameter_combination",
                )
        return self

    @model_validator(mode="after")
    def _nothing_is_stored(self) -> Self:
        for name in ("store", "metadata"):
            if getattr(self, name):
                raise cross_field_error(
                    name,
                    f"Unsupported parameter: '{name}'. This server stores no chat completions; leave it out.",
                    code="unsupported_parameter",
                )
        return self

    @model_validator(mode="after")
    def _tool_messages_answer_calls(self) -> Self:
        if (index := find_stray_tool_message(self.messages)) is not None:
            raise cross_field_error(
                f"messages[{index}].role",
                f"messages[{index}] has the role 'tool', so it must answer a call in the 'tool_calls' of a "
                "message before it, and no call there has its 'tool_call_id'.",
            )
        return self

    @model_validator(mode="after")
    def _only_an_answer_is_continued(self) -> Self:
        if not self.continue_final_message:
            return self
        if self.add_generation_prompt:
            raise cross_field_error(
                "continue_final_message",
                "'continue_final_message' and 'add_generation_prompt' cannot both be true.",
                code="invalid_parameter_combination",
            )
        last = self.messages[-1]
        if (
            not isinstance(last, AssistantMessage)
            or not last.content
            or last.tool_calls
            or last.function_call
        ):
            raise cross_field_error(
                "continue_final_message",
                "'continue_final_message' is only allowed when the last message is the assistant's and has "
                "text and no calls.",
            )
        return self

    @model_validator(mode="after")
    def _top_logprobs_need_logprobs(self) -> Self:
        if self.top_logprobs is not None and not self.logprobs:
            raise cross_field_error("top_logprobs", "'top_logprobs' is only allowed when 'logprobs' is true.")
        return self

    @model_validator(mode="after")
    def _tools_are_told_apart_and_chosen_among(self) -> Self:
        names = [tool.name for tool in self.functions or [tool.function for tool in self.tools or []]]
        tools = "tools" if self.functions is None else "functions"
        choice = "tool_choice" if self.function_call is None else "function_call"
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise cross_field_error(tools, f"'{tools}' has two functions named '{twice}'.")
        if not names and self.choice not in (None, "none", "auto"):
            needed = "tools" if choice == "tool_choice" else "functions"
            raise cross_field_error(choice, f"'{choice}' is only allowed when '{needed}' are given.")
        if unknown := next((name for name in self.chosen_tools or [] if name not in names), None):
            raise cross_field_error(choice, f"'{choice}' names '{unknown}', which is not in '{tools}'.")
        return self

    @property
    def ending(self) -> ChatEnding:
        if self.continue_final_message:
            return "final_message"
        return "nothing" if self.add_generation_prompt is False else "new_answer"

    @property
    def choice(self) -> ToolChoice | None:
        """`tool_choice`, or the equivalent of `function_call`."""
        if isinstance(self.function_call, NamedFunction):
            return NamedTool(type="function", function=self.function_call)
        return self.tool_choice if self.function_call is None else self.function_call

    @property
    def chosen_tools(self) -> list[str] | None:
        """The tools that `choice` names; None if it names none."""
        match self.choice:
            case NamedTool(function=function):
                return [function.name]
            case AllowedTools(allowed_tools=allowed):
                return [tool.function.name for tool in allowed.tools]
            case _:
                return None


ChatFinishReason = TypeAliasType("ChatFinishReason", Literal["stop", "length", "tool_calls", "function_call"])


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


class AnsweredCall(Answer):
    id: str
    type: Literal["function"] = "function"
    function: FunctionCall


class ChatAnswerMessage(Answer):
    role: Literal["assistant"] = "assistant"
    content: str | None
    """Null if there are tools but no text: only calls, or the beginning of a call that was cut off."""
    refusal: None = None
    reasoning_content: str | None = Field(default=None, exclude_if=lambda text: text is None)
    """What the model wrote before its answer, as its chat template marks it. Absent if there is none."""
    tool_calls: list[AnsweredCall] | None = Field(default=None, exclude_if=lambda calls: calls is None)
    """Absent if there are none."""
    function_call: FunctionCall | None = Field(default=None, exclude_if=lambda call: call is None)
    """The call, if the request had `functions`. Absent if there is none."""


class ChatChoice(Answer):
    index: int
    message: ChatAnswerMessage
    logprobs: ChatLogprobs | None
    finish_reason: ChatFinishReason


class ChatCompletion(Answer):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: Usage


class FunctionCallDelta(Piece):
    name: str | None = None
    """Name of the function, only in the call's first piece."""
    arguments: str
    """The next piece of the arguments."""


class ToolCallDelta(Piece):
    index: int
    """Number of the call within the choice, counted from 0."""
    id: str | None = None
    type: Literal["function"] | None = None
    function: FunctionCallDelta


class ChatDelta(Piece):
    role: Literal["assistant"] | None = None
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCallDelta] | None = None
    function_call: FunctionCallDelta | None = None


class ChatChunkChoice(Piece):
    index: int
    delta: ChatDelta
    logprobs: ChatLogprobs | None = None
    finish_reason: ChatFinishReason | None = None


class ChatCompletionChunk(Piece):
    """The `data:` of one event of a streamed answer."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChunkChoice]
    usage: Usage | None = None
