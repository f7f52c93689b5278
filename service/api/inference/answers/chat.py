"""Turns generation events into OpenAI's chat completions, whole or in chunks. Pure."""

import hashlib
from dataclasses import dataclass, field

from cluster.contracts.generation import (
    FinishEvent,
    FinishReason,
    GenerationEvent,
    GenerationRequest,
    PromptEvent,
    ReasoningEvent,
    TextEvent,
    TokenLogprob,
    ToolCallEvent,
)
from service.api.inference.answers.response_meta import ResponseMeta, Tally
from service.api.schemas.base import ApiError, ErrorAnswer
from service.api.schemas.chat import (
    AnsweredCall,
    ChatAnswerMessage,
    ChatChoice,
    ChatChunkChoice,
    ChatCompletion,
    ChatCompletionBody,
    ChatCompletionChunk,
    ChatDelta,
    ChatFinishReason,
    ChatLogprobs,
    ChatTokenLogprob,
    ChatTokenTop,
    FunctionCall,
    FunctionCallDelta,
    NamedTool,
    ToolCallDelta,
)
from service.api.schemas.sampling import Usage


def chat_answer(body: ChatCompletionBody, request: GenerationRequest, model: str) -> "ChatAnswer":
    """Returns the answer to `request`, which was made from `body`. `model` is its public name."""
    return ChatAnswer(
        ResponseMeta.make("chatcmpl", request.id, model, request.model),
        n=body.n or 1,
        wants_logprobs=bool(body.logprobs),
        wants_usage_chunk=body.wants_usage_chunk,
        has_tools=request.sampling.tool_use is not None,
        is_call_named=isinstance(body.choice, NamedTool),
        has_functions=body.functions is not None,
        is_streamed=bool(body.stream),
    )


class ChatAnswer:
    """The answer to one conversation, with `n` choices."""

    def __init__(
        self,
        meta: ResponseMeta,
        *,
        n: int,
        wants_logprobs: bool,
        wants_usage_chunk: bool,
        has_tools: bool = False,
        is_call_named: bool = False,
        has_functions: bool = False,
        is_streamed: bool = False,
    ) -> None:
        """`has_tools`: the model may call tools, so an answer without text has no content. `is_call_named`:
        the request named the function that must be called; `finish_reason` is then `stop`, as in OpenAI's
        API. `has_functions`: the request used the older `functions`, and so does the answer. `is_streamed`:
        only chunks are sent, so `whole` has no log-probabilities."""
        self._meta = meta
        self._has_tools = has_tools
        self._has_functions = has_functions
        self._is_call_named = is_call_named
        self._wants_logprobs = wants_logprobs
        self._wants_usage_chunk = wants_usage_chunk
        self._is_streamed = is_streamed
        self._tally = Tally()
        self._choices = [_Choice() for _ in range(n)]

    def add(self, prompt: int, event: GenerationEvent) -> list[ChatCompletionChunk]:
        """Processes an event, and returns the chunks that a stream sends for it. `prompt` is always 0."""
        match event:
            case PromptEvent():
                self._tally.prompt_tokens += event.prompt_tokens
                if self._has_tools:
                    return []  # Whether there is any content depends on what comes first.
                return [self._opening(index, "") for index in range(len(self._choices))]
            case ReasoningEvent():
                # Log-probabilities are those of the content.
                self._choices[event.index].reasoning += event.text
                if not event.text:
                    return []
                delta = ChatDelta(reasoning_content=event.text)
                return [*self._opened(event.index), self._chunk(event.index, delta)]
            case TextEvent():
                choice = self._choices[event.index]
                choice.text += event.text
                self._take(choice, event.tokens)
                if not event.text:
                    return [self._chunk(event.index, ChatDelta())] if choice.is_open else []
                return [*self._opened(event.index), self._chunk(event.index, ChatDelta(content=event.text))]
            case ToolCallEvent():
                choice = self._choices[event.index]
                self._take(choice, event.tokens)
                call = self._call(event)
                delta = ChatDelta(tool_calls=[call])
                if self._has_functions:
                    delta = ChatDelta(function_call=call.function)
                return [*self._opened(event.index), self._chunk(event.index, delta)]
            case FinishEvent():
                self._tally.completion_tokens += event.completion_tokens
                reason = self._reason(event.reason)
                self._choices[event.index].finish_reason = reason
                return [*self._opened(event.index), self._chunk(event.index, ChatDelta(), reason)]

    def _take(self, choice: "_Choice", tokens: list[TokenLogprob]) -> None:
        choice.unsent += tokens
        if not self._is_streamed:
            # With their alternatives they take up to 27 kB each, so a long stream must not keep them.
            choice.tokens += tokens

    def _opened(self, index: int) -> list[ChatCompletionChunk]:
        """Returns the choice's first chunk unless it has been sent."""
        choice = self._choices[index]
        return [] if choice.is_open else [self._opening(index, "" if choice.text else None)]

    def _opening(self, index: int, content: str | None) -> ChatCompletionChunk:
        chunk = self._chunk(index, ChatDelta(role="assistant", content=content))
        self._choices[index].is_open = True
        return chunk

    def _reason(self, reason: FinishReason) -> ChatFinishReason:
        if reason != "tool_calls":
            return reason
        if self._is_call_named:
            return "stop"
        return "function_call" if self._has_functions else "tool_calls"

    def _call(self, event: ToolCallEvent) -> ToolCallDelta:
        """Records a piece of a call, and returns it in the form that a stream sends."""
        choice = self._choices[event.index]
        if event.name:
            # Derived, so that the whole answer and its chunks agree.
            seed = f"{self._meta.id}/{event.index}/{event.call}"
            id_ = "call_" + hashlib.sha256(seed.encode()).hexdigest()[:24]
            choice.calls.append(_Call(id_, event.name))
            function = FunctionCallDelta(name=event.name, arguments="")
            return ToolCallDelta(index=event.call, id=id_, type="function", function=function)
        choice.calls[event.call].arguments += event.arguments
        return ToolCallDelta(index=event.call, function=FunctionCallDelta(arguments=event.arguments))

    def whole(self) -> ChatCompletion:
        choices = [
            ChatChoice(
                index=index,
                message=self._message(choice),
                logprobs=_logprobs(choice.tokens) if self._wants_logprobs else None,
                finish_reason=choice.finish_reason or "stop",
            )
            for index, choice in enumerate(self._choices)
        ]
        return ChatCompletion(**vars(self._meta), choices=choices, usage=self.usage)

    def _message(self, choice: "_Choice") -> ChatAnswerMessage:
        content = None if self._has_tools and not choice.text else choice.text
        calls = [call.answered() for call in choice.calls]
        reasoning = choice.reasoning or None
        if calls and self._has_functions:
            return ChatAnswerMessage(
                content=content, reasoning_content=reasoning, function_call=calls[0].function
            )
        return ChatAnswerMessage(content=content, reasoning_content=reasoning, tool_calls=calls or None)

    @property
    def usage(self) -> Usage:
        """Usage of what has been added so far."""
        return self._tally.usage()

    def last_chunks(self) -> list[ChatCompletionChunk]:
        if not self._wants_usage_chunk:
            return []
        return [
            ChatCompletionChunk(
                object="chat.completion.chunk", **vars(self._meta), choices=[], usage=self.usage
            )
        ]

    def failure(self, error: ApiError) -> list[ErrorAnswer]:
        return [ErrorAnswer(error=error)]

    def _chunk(
        self, index: int, delta: ChatDelta, reason: ChatFinishReason | None = None
    ) -> ChatCompletionChunk:
        """Builds a chunk. It carries the tokens that have not been sent yet, if the choice is open."""
        choice = self._choices[index]
        tokens: list[TokenLogprob] = []
        if choice.is_open:
            tokens, choice.unsent = choice.unsent, []
        logprobs = _logprobs(tokens) if self._wants_logprobs and tokens else None
        part = ChatChunkChoice(index=index, delta=delta, logprobs=logprobs, finish_reason=reason)
        usage = {"usage": None} if self._wants_usage_chunk else {}
        return ChatCompletionChunk(
            object="chat.completion.chunk", **vars(self._meta), choices=[part], **usage
        )


@dataclass
class _Call:
    id: str
    name: str
    arguments: str = ""

    def answered(self) -> AnsweredCall:
        return AnsweredCall(id=self.id, function=FunctionCall(name=self.name, arguments=self.arguments))


@dataclass
class _Choice:
    text: str = ""
    reasoning: str = ""
    tokens: list[TokenLogprob] = field(default_factory=list)
    unsent: list[TokenLogprob] = field(default_factory=list)
    """The last tokens, which no chunk has carried yet."""
    is_open: bool = False
    """Whether its first chunk has been sent."""
    calls: list[_Call] = field(default_factory=list)
    finish_reason: ChatFinishReason | None = None


def _logprobs(tokens: list[TokenLogprob]) -> ChatLogprobs:
    return ChatLogprobs(content=[_token(token) for token in tokens], refusal=None)


def _token(token: TokenLogprob) -> ChatTokenLogprob:
    assert token.logprob is not None, "only the first token of an echoed prompt has no log-probability"
    top = [
        ChatTokenTop(token=other.token, logprob=other.logprob, bytes=other.bytes)
        for other in token.top
        if other.logprob is not None
    ]
    return ChatTokenLogprob(token=token.token, logprob=token.logprob, bytes=token.bytes, top_logprobs=top)
