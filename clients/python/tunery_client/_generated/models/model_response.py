from __future__ import annotations

from collections.abc import Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.model_response_status import (
    ModelResponseStatus,
    check_model_response_status,
)
from ..models.model_response_tool_choice_type_0 import (
    ModelResponseToolChoiceType0,
    check_model_response_tool_choice_type_0,
)

if TYPE_CHECKING:
    from ..models.function_choice import FunctionChoice
    from ..models.function_choices import FunctionChoices
    from ..models.function_tool import FunctionTool
    from ..models.incomplete_details import IncompleteDetails
    from ..models.json_object import JsonObject
    from ..models.metadata import Metadata
    from ..models.output_call import OutputCall
    from ..models.output_message import OutputMessage
    from ..models.response_failure import ResponseFailure
    from ..models.response_usage import ResponseUsage
    from ..models.text_settings import TextSettings


T = TypeVar("T", bound="ModelResponse")


@_attrs_define
class ModelResponse:
    """A response, whole or as it is when its event is sent.

    Attributes:
        id (str):
        object_ (Literal['response']):  Default: 'response'.
        created_at (int):
        status (ModelResponseStatus):
        error (None | ResponseFailure):
        incomplete_details (IncompleteDetails | None): Why the status is `incomplete`.
        model (str):
        output (list[OutputCall | OutputMessage]):
        usage (None | ResponseUsage): Null before the end, and if the response failed.
        instructions (None | str): Here and below: what the request said, or the default.
        max_output_tokens (int | None):
        max_tool_calls (int | None):
        metadata (Metadata):
        parallel_tool_calls (bool):
        prompt_cache_key (None | str):
        reasoning (JsonObject):
        safety_identifier (None | str):
        temperature (float):
        text (TextSettings):
        tool_choice (FunctionChoice | FunctionChoices | ModelResponseToolChoiceType0):
        tools (list[FunctionTool]):
        top_logprobs (int):
        top_p (float):
        user (None | str):
        background (bool):  Default: False.
        previous_response_id (None):
        service_tier (Literal['default']):  Default: 'default'.
        store (bool):  Default: False.
        truncation (Literal['disabled']):  Default: 'disabled'.
    """

    id: str
    created_at: int
    status: ModelResponseStatus
    error: None | ResponseFailure
    incomplete_details: IncompleteDetails | None
    model: str
    output: list[OutputCall | OutputMessage]
    usage: None | ResponseUsage
    instructions: None | str
    max_output_tokens: int | None
    max_tool_calls: int | None
    metadata: Metadata
    parallel_tool_calls: bool
    prompt_cache_key: None | str
    reasoning: JsonObject
    safety_identifier: None | str
    temperature: float
    text: TextSettings
    tool_choice: FunctionChoice | FunctionChoices | ModelResponseToolChoiceType0
    tools: list[FunctionTool]
    top_logprobs: int
    top_p: float
    user: None | str
    previous_response_id: None
    object_: Literal["response"] = "response"
    background: bool = False
    service_tier: Literal["default"] = "default"
    store: bool = False
    truncation: Literal["disabled"] = "disabled"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.function_choice import FunctionChoice  # noqa: PLC0415
        from ..models.incomplete_details import IncompleteDetails  # noqa: PLC0415
        from ..models.output_message import OutputMessage  # noqa: PLC0415
        from ..models.response_failure import ResponseFailure  # noqa: PLC0415
        from ..models.response_usage import ResponseUsage  # noqa: PLC0415

        id = self.id

        object_ = self.object_

        created_at = self.created_at

        status: str = self.status

        error: dict[str, Any] | None
        if isinstance(self.error, ResponseFailure):
            error = self.error.to_dict()
        else:
            error = self.error

        incomplete_details: dict[str, Any] | None
        if isinstance(self.incomplete_details, IncompleteDetails):
            incomplete_details = self.incomplete_details.to_dict()
        else:
            incomplete_details = self.incomplete_details

        model = self.model

        output = []
        for output_item_data in self.output:
            output_item: dict[str, Any]
            if isinstance(output_item_data, OutputMessage):
                output_item = output_item_data.to_dict()
            else:
                output_item = output_item_data.to_dict()

            output.append(output_item)

        usage: dict[str, Any] | None
        if isinstance(self.usage, ResponseUsage):
            usage = self.usage.to_dict()
        else:
            usage = self.usage

        instructions: None | str
        instructions = self.instructions

        max_output_tokens: int | None
        max_output_tokens = self.max_output_tokens

        max_tool_calls: int | None
        max_tool_calls = self.max_tool_calls

        metadata = self.metadata.to_dict()

        parallel_tool_calls = self.parallel_tool_calls

        prompt_cache_key: None | str
        prompt_cache_key = self.prompt_cache_key

        reasoning = self.reasoning.to_dict()

        safety_identifier: None | str
        safety_identifier = self.safety_identifier

        temperature = self.temperature

        text = self.text.to_dict()

        tool_choice: dict[str, Any] | str
        if isinstance(self.tool_choice, str):
            tool_choice = self.tool_choice
        elif isinstance(self.tool_choice, FunctionChoice):
            tool_choice = self.tool_choice.to_dict()
        else:
            tool_choice = self.tool_choice.to_dict()

        tools = []
        for tools_item_data in self.tools:
            tools_item = tools_item_data.to_dict()
            tools.append(tools_item)

        top_logprobs = self.top_logprobs

        top_p = self.top_p

        user: None | str
        user = self.user

        background = self.background

        previous_response_id = self.previous_response_id

        service_tier = self.service_tier

        store = self.store

        truncation = self.truncation

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "object": object_,
                "created_at": created_at,
                "status": status,
                "error": error,
                "incomplete_details": incomplete_details,
                "model": model,
                "output": output,
                "usage": usage,
                "instructions": instructions,
                "max_output_tokens": max_output_tokens,
                "max_tool_calls": max_tool_calls,
                "metadata": metadata,
                "parallel_tool_calls": parallel_tool_calls,
                "prompt_cache_key": prompt_cache_key,
                "reasoning": reasoning,
                "safety_identifier": safety_identifier,
                "temperature": temperature,
                "text": text,
                "tool_choice": tool_choice,
                "tools": tools,
                "top_logprobs": top_logprobs,
                "top_p": top_p,
                "user": user,
                "background": background,
                "previous_response_id": previous_response_id,
                "service_tier": service_tier,
                "store": store,
                "truncation": truncation,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.function_choice import FunctionChoice  # noqa: PLC0415
        from ..models.function_choices import FunctionChoices  # noqa: PLC0415
        from ..models.function_tool import FunctionTool  # noqa: PLC0415
        from ..models.incomplete_details import IncompleteDetails  # noqa: PLC0415
        from ..models.json_object import JsonObject  # noqa: PLC0415
        from ..models.metadata import Metadata  # noqa: PLC0415
        from ..models.output_call import OutputCall  # noqa: PLC0415
        from ..models.output_message import OutputMessage  # noqa: PLC0415
        from ..models.response_failure import ResponseFailure  # noqa: PLC0415
        from ..models.response_usage import ResponseUsage  # noqa: PLC0415
        from ..models.text_settings import TextSettings  # noqa: PLC0415

        d = dict(src_dict)
        id = d.pop("id")

        object_ = cast(Literal["response"], d.pop("object"))
        if object_ != "response":
            raise ValueError(f"object must match const 'response', got '{object_}'")

        created_at = d.pop("created_at")

        status = check_model_response_status(d.pop("status"))

        def _parse_error(data: object) -> None | ResponseFailure:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                error_type_0 = ResponseFailure.from_dict(data)

                return error_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | ResponseFailure, data)

        error = _parse_error(d.pop("error"))

        def _parse_incomplete_details(data: object) -> IncompleteDetails | None:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                incomplete_details_type_0 = IncompleteDetails.from_dict(data)

                return incomplete_details_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(IncompleteDetails | None, data)

        incomplete_details = _parse_incomplete_details(d.pop("incomplete_details"))

        model = d.pop("model")

        output = []
        _output = d.pop("output")
        for output_item_data in _output:

            def _parse_output_item(data: object) -> OutputCall | OutputMessage:
                try:
                    if not isinstance(data, dict):
                        raise TypeError()
                    output_item_type_0 = OutputMessage.from_dict(data)

                    return output_item_type_0
                except (TypeError, ValueError, AttributeError, KeyError):
                    pass
                if not isinstance(data, dict):
                    raise TypeError()
                output_item_type_1 = OutputCall.from_dict(data)

                return output_item_type_1

            output_item = _parse_output_item(output_item_data)

            output.append(output_item)

        def _parse_usage(data: object) -> None | ResponseUsage:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                usage_type_0 = ResponseUsage.from_dict(data)

                return usage_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | ResponseUsage, data)

        usage = _parse_usage(d.pop("usage"))

        def _parse_instructions(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        instructions = _parse_instructions(d.pop("instructions"))

        def _parse_max_output_tokens(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        max_output_tokens = _parse_max_output_tokens(d.pop("max_output_tokens"))

        def _parse_max_tool_calls(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        max_tool_calls = _parse_max_tool_calls(d.pop("max_tool_calls"))

        metadata = Metadata.from_dict(d.pop("metadata"))

        parallel_tool_calls = d.pop("parallel_tool_calls")

        def _parse_prompt_cache_key(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        prompt_cache_key = _parse_prompt_cache_key(d.pop("prompt_cache_key"))

        reasoning = JsonObject.from_dict(d.pop("reasoning"))

        def _parse_safety_identifier(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        safety_identifier = _parse_safety_identifier(d.pop("safety_identifier"))

        temperature = d.pop("temperature")

        text = TextSettings.from_dict(d.pop("text"))

        def _parse_tool_choice(
            data: object,
        ) -> FunctionChoice | FunctionChoices | ModelResponseToolChoiceType0:
            try:
                if not isinstance(data, str):
                    raise TypeError()
                tool_choice_type_0 = check_model_response_tool_choice_type_0(data)

                return tool_choice_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                tool_choice_type_1_type_0 = FunctionChoice.from_dict(data)

                return tool_choice_type_1_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            if not isinstance(data, dict):
                raise TypeError()
            tool_choice_type_1_type_1 = FunctionChoices.from_dict(data)

            return tool_choice_type_1_type_1

        tool_choice = _parse_tool_choice(d.pop("tool_choice"))

        tools = []
        _tools = d.pop("tools")
        for tools_item_data in _tools:
            tools_item = FunctionTool.from_dict(tools_item_data)

            tools.append(tools_item)

        top_logprobs = d.pop("top_logprobs")

        top_p = d.pop("top_p")

        def _parse_user(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        user = _parse_user(d.pop("user"))

        background = d.pop("background")

        previous_response_id = d.pop("previous_response_id")

        service_tier = cast(Literal["default"], d.pop("service_tier"))
        if service_tier != "default":
            raise ValueError(f"service_tier must match const 'default', got '{service_tier}'")

        store = d.pop("store")

        truncation = cast(Literal["disabled"], d.pop("truncation"))
        if truncation != "disabled":
            raise ValueError(f"truncation must match const 'disabled', got '{truncation}'")

        model_response = cls(
            id=id,
            object_=object_,
            created_at=created_at,
            status=status,
            error=error,
            incomplete_details=incomplete_details,
            model=model,
            output=output,
            usage=usage,
            instructions=instructions,
            max_output_tokens=max_output_tokens,
            max_tool_calls=max_tool_calls,
            metadata=metadata,
            parallel_tool_calls=parallel_tool_calls,
            prompt_cache_key=prompt_cache_key,
            reasoning=reasoning,
            safety_identifier=safety_identifier,
            temperature=temperature,
            text=text,
            tool_choice=tool_choice,
            tools=tools,
            top_logprobs=top_logprobs,
            top_p=top_p,
            user=user,
            background=background,
            previous_response_id=previous_response_id,
            service_tier=service_tier,
            store=store,
            truncation=truncation,
        )

        model_response.additional_properties = d
        return model_response

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
