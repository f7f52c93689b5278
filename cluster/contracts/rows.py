"""The rows of a training file: what a parsed line may hold, as OpenAI documents it.

Older forms are accepted and rewritten, so that all later code sees only one: those that `conversation`
handles, `preferred_completion`, which becomes `preferred_output`, and a list of text parts, which becomes one
text."""

from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import AliasChoices, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from cluster.contracts.conversation import (
    find_stray_tool_message,
    normalize_conversation,
    normalize_messages,
)
from cluster.contracts.datasets import DatasetFormat
from cluster.contracts.nesting import MAX_DEPTH, is_too_deep
from cluster.contracts.strict_model import Ignored, StrictModel

OWN_RULES = frozenset(
    {
        "empty_content",
        "unsupported_content",
        "invalid_arguments",
        "empty_assistant",
        "unknown_tool_call",
        "nothing_to_learn",
        "tools_and_functions",
        "unequal_lengths",
    }
)
"""Codes of the rules that this module checks itself. Their messages complete a sentence that starts with the
place."""

MAX_LABEL_CHARACTERS = 200


def _joined_text(content: object) -> object:
    """Joins a list of text parts. Anything else is left to the field's type."""
    if isinstance(content, str) or not isinstance(content, list):
        return content
    if not content:
        raise PydanticCustomError("empty_content", "is an empty list; give text, or at least one text part")
    return "".join(map(_part_text, content))


def _part_text(part: object) -> str:
    # Tables such as Parquet give every part the keys of all parts. Null means absent, as everywhere in rows.
    given = {key: value for key, value in part.items() if value is not None} if isinstance(part, dict) else {}
    if given.get("type") != "text":
        raise PydanticCustomError(
            "unsupported_content",
            "has a part of type {kind}; only parts of type 'text' can be trained on",
            {"kind": repr(given.get("type") if isinstance(part, dict) else part)[:80]},
        )
    if others := given.keys() - {"type", "text"}:
        raise PydanticCustomError(
            "unsupported_content",
            "has a text part with the key {key}; a text part has only type and text",
            {"key": repr(min(others))[:80]},
        )
    text = given.get("text")
    if not isinstance(text, str):
        raise PydanticCustomError("unsupported_content", "has a text part whose text is not a string")
    return text


def _json_object(arguments: object) -> object:
    if isinstance(arguments, str):
        try:
            parsed = orjson.loads(arguments)
        except orjson.JSONDecodeError:
            parsed = None
        if not isinstance(parsed, dict):
            raise PydanticCustomError("invalid_arguments", "is not a JSON object written as a string")
        if is_too_deep(arguments, parsed):
            raise PydanticCustomError(
                "invalid_arguments", f"nests deeper than {MAX_DEPTH} levels, the most allowed"
            )
    return arguments


def _integer(weight: object) -> object:
    if isinstance(weight, bool | float):  # both compare equal to integers
        raise PydanticCustomError("literal_error", "Input should be 0 or 1")
    return weight


Text = Annotated[str, BeforeValidator(_joined_text)]
FunctionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class FunctionCall(StrictModel):
    name: FunctionName
    arguments: Annotated[str, BeforeValidator(_json_object)]
    """A JSON object, as a string."""
    parsed_arguments: Ignored = None


class ToolCall(StrictModel):
    id: str = Field(min_length=1)
    type: Literal["function"]
    function: FunctionCall


class FunctionDefinition(StrictModel):
    name: FunctionName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    """JSON Schema of the arguments."""
    strict: bool | None = None


class Tool(StrictModel):
    type: Literal["function"]
    function: FunctionDefinition


class InstructionMessage(StrictModel):
    role: Literal["system", "developer"]
    content: Text
    name: str | None = None


class UserMessage(StrictModel):
    role: Literal["user"]
    content: Text
    name: str | None = None


class AssistantMessage(StrictModel):
    role: Literal["assistant"]
    content: Text | None = None
    """None only together with tool calls."""
    name: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = Field(default=None, min_length=1)
    annotations: Ignored = None
    parsed: Ignored = None
    weight: Annotated[Literal[0, 1], BeforeValidator(_integer)] = 1
    """0: the message is only context, and adds nothing to the loss."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.content is None and self.tool_calls is None:
            raise PydanticCustomError("empty_assistant", "has neither content nor tool_calls")
        return self

    @property
    def is_learned(self) -> bool:
        """Whether the model learns to write it. An empty message is only context, whatever its weight."""
        return self.weight != 0 and bool(self.content or self.tool_calls)


class ToolMessage(StrictModel):
    role: Literal["tool"]
    content: Text
    tool_call_id: str
    name: str | None = None


Message = Annotated[
    InstructionMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")
]


class Conversation(StrictModel):
    """Messages in order, and the tools that the assistant may call."""

    messages: list[Message] = Field(min_length=1)
    tools: list[Tool] | None = None
    parallel_tool_calls: bool | None = None

    @model_validator(mode="before")
    @classmethod
    def _rewrite(cls, row: Any) -> Any:
        if not isinstance(row, dict):
            return row
        if isinstance(row.get("functions"), list) and row.get("tools") is not None:
            raise PydanticCustomError("tools_and_functions", "has both tools and functions; give tools")
        return normalize_conversation(row)

    @model_validator(mode="after")
    def _tool_messages_answer_calls(self) -> Self:
        if (index := find_stray_tool_message(self.messages)) is not None:
            message = self.messages[index]
            assert isinstance(message, ToolMessage)
            raise PydanticCustomError(
                "unknown_tool_call",
                "has a tool message, messages[{index}], that answers no tool call: tool_call_id {id}",
                {"index": index, "id": repr(message.tool_call_id)[:80]},
            )
        return self


class ChatRow(Conversation):
    """Supervised: loss on every assistant message, except those with weight 0."""

    @model_validator(mode="after")
    def _has_something_to_learn(self) -> Self:
        for message in self.messages:
            if isinstance(message, AssistantMessage) and message.is_learned:
                return self
        raise PydanticCustomError(
            "nothing_to_learn", "has no assistant message with content and a weight other than 0"
        )


class CompletionRow(StrictModel):
    """Supervised: loss on the completion."""

    prompt: str
    completion: str = Field(min_length=1)


class PreferenceRow(StrictModel):
    """A conversation with two answers, the first of which is the better one."""

    input: Conversation
    preferred_output: list[AssistantMessage] = Field(
        min_length=1,
        max_length=1,
        validation_alias=AliasChoices("preferred_output", "preferred_completion"),
    )
    non_preferred_output: list[AssistantMessage] = Field(
        min_length=1,
        max_length=1,
        validation_alias=AliasChoices("non_preferred_output", "non_preferred_completion"),
    )

    @model_validator(mode="before")
    @classmethod
    def _rewrite(cls, row: Any) -> Any:
        if not isinstance(row, dict):
            return row
        return {
            key: normalize_messages(value) if isinstance(value, list) else value for key, value in row.items()
        }


Label = Annotated[str, Field(min_length=1, max_length=MAX_LABEL_CHARACTERS)]


class ClassificationRow(StrictModel):
    """A text or a pair of texts, and its class."""

    text: str = Field(min_length=1)
    text_pair: str | None = Field(default=None, min_length=1)
    label: Label


class TokenClassificationRow(StrictModel):
    """Words in order, and the class of each."""

    tokens: list[Annotated[str, Field(min_length=1)]] = Field(min_length=1)
    labels: list[Label]

    @model_validator(mode="after")
    def _has_a_label_per_word(self) -> Self:
        if len(self.tokens) != len(self.labels):
            raise PydanticCustomError(
                "unequal_lengths",
                "has {tokens} tokens and {labels} labels; every token needs one label",
                {"tokens": len(self.tokens), "labels": len(self.labels)},
            )
        return self


Row = ChatRow | CompletionRow | PreferenceRow | ClassificationRow | TokenClassificationRow

ROW_TYPES: dict[DatasetFormat, type[Row]] = {
    "chat": ChatRow,
    "completion": CompletionRow,
    "preference": PreferenceRow,
    "classification": ClassificationRow,
    "token_classification": TokenClassificationRow,
}


def row_format(row: Row) -> DatasetFormat:
    return _FORMATS[type(row)]


_FORMATS: dict[type[Row], DatasetFormat] = {row_type: name for name, row_type in ROW_TYPES.items()}
