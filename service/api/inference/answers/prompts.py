"""Builds generation requests from bodies. Refuses parameters that this server does not support, by name."""

import uuid
from typing import Any

from cluster.contracts.conversation import normalize_conversation
from cluster.contracts.errors import InvalidRequest
from cluster.contracts.generation import (
    ChatPrompt,
    GenerationRequest,
    ModelRef,
    Prompt,
    TextPrompt,
    TokenPrompt,
    ToolUse,
)
from service.api.schemas.chat import (
    AllowedTools,
    ChatCompletionBody,
    ChatMessage,
    JsonObjectFormat,
    JsonSchemaFormat,
    NamedTool,
    RefusalPart,
)
from service.api.schemas.completions import CompletionBody

_MAX_CHOICES = 2048
"""The most choices of one request. Some of them wait for others, see `MeteredEngine`."""
_MAX_KEPT_CHOICES = 128
"""The most choices with log-probabilities that are not streamed: they take kilobytes per token and are kept
until the end."""
_ANY_OBJECT = {"type": "object"}


def completion_requests(body: CompletionBody, model: ModelRef, tenant: str) -> list[GenerationRequest]:
    """Returns one request per prompt, each with `n` choices."""
    if body.suffix is not None:
        raise _unsupported("suffix", "Inserting text before a suffix is not supported.")
    best_of, n = body.best_of, body.n or 1
    if best_of is not None and best_of < n:
        raise InvalidRequest(
            f"'best_of' is {best_of} and 'n' is {n}: no more choices are returned than are generated. Leave "
            "'best_of' out.",
            param="best_of",
        )
    if best_of is not None and best_of > n:
        raise _unsupported(
            "best_of", "'best_of' greater than 'n' is not supported: ask for 'n' choices and pick one."
        )
    prompts = _prompts(body)
    _check_choices(body, len(prompts), n)
    max_tokens = 16 if body.max_tokens is None else body.max_tokens
    sampling = body.sampling(
        model.base.sampling, max_tokens=max_tokens, logprobs=body.logprobs, echo=bool(body.echo)
    )
    return [
        GenerationRequest(id=_new_id(), model=model, prompt=prompt, sampling=sampling, tenant=tenant)
        for prompt in prompts
    ]


def _check_choices(body: CompletionBody, num_prompts: int, n: int) -> None:
    if num_prompts * n > _MAX_CHOICES:
        raise InvalidRequest(
            f"{num_prompts} prompts with n = {n} are more than {_MAX_CHOICES} choices: send several "
            "requests.",
            param="prompt",
        )
    if num_prompts * n > _MAX_KEPT_CHOICES and body.logprobs is not None and not body.stream:
        raise InvalidRequest(
            f"{num_prompts} prompts with n = {n} are more than {_MAX_KEPT_CHOICES} choices, the most with "
            "'logprobs'; stream the answer, or send several requests.",
            param="prompt",
        )


def chat_request(body: ChatCompletionBody, model: ModelRef, tenant: str) -> GenerationRequest:
    conversation = normalize_conversation(
        body.model_dump(include={"messages", "tools", "functions"}, exclude_none=True)
    )
    tools = None if body.choice == "none" else conversation.get("tools") or None
    max_tokens = body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens
    logprobs = (body.top_logprobs or 0) if body.logprobs else None
    return GenerationRequest(
        id=_new_id(),
        model=model,
        prompt=ChatPrompt(
            messages=conversation["messages"],
            tools=tools,
            template_options=body.chat_template_kwargs or {},
            ending=body.ending,
        ),
        sampling=body.sampling(
            model.base.sampling,
            max_tokens=max_tokens,
            logprobs=logprobs,
            json_schema=_json_schema(body),
            tool_use=_tool_use(body) if tools else None,
        ),
        tenant=tenant,
    )


def _tool_use(body: ChatCompletionBody) -> ToolUse:
    match body.choice:
        case AllowedTools(allowed_tools=allowed):
            is_required = allowed.mode == "required"
        case choice:
            is_required = choice == "required" or isinstance(choice, NamedTool)
    return ToolUse(
        names=body.chosen_tools,
        is_required=is_required,
        is_parallel=body.parallel_tool_calls is not False and body.functions is None,
    )


def _json_schema(body: ChatCompletionBody) -> dict[str, Any] | None:
    match body.response_format:
        case JsonObjectFormat():
            # A model that was not asked for JSON may write white space forever. OpenAI refuses this too.
            if not any("json" in _text(message).lower() for message in body.messages):
                raise InvalidRequest(
                    "'messages' must contain the word 'json' in some form, to use 'response_format' of type "
                    "'json_object'.",
                    param="messages",
                )
            return _ANY_OBJECT
        case JsonSchemaFormat(json_schema=definition):
            return _ANY_OBJECT if definition.schema_ is None else definition.schema_
        case _:
            return None


def _text(message: ChatMessage) -> str:
    content = message.content or ""
    if isinstance(content, str):
        return content
    return "".join(part.refusal if isinstance(part, RefusalPart) else part.text for part in content)


def _prompts(body: CompletionBody) -> list[Prompt]:
    prompt = body.prompt
    if isinstance(prompt, list) and isinstance(prompt[0], int):
        return [TokenPrompt(token_ids=[item for item in prompt if isinstance(item, int)])]
    splits = body.tunery is not None and body.tunery.split_special_tokens
    return [
        TextPrompt(text=item, split_special_tokens=splits) if isinstance(item, str) else _tokens(item)
        for item in (prompt if isinstance(prompt, list) else [prompt or ""])
    ]


def _tokens(item: int | list[int]) -> TokenPrompt:
    assert isinstance(item, list)
    return TokenPrompt(token_ids=item)


def _unsupported(param: str, message: str) -> InvalidRequest:
    return InvalidRequest(message, code="unsupported_parameter", param=param)


def _new_id() -> str:
    return uuid.uuid4().hex
