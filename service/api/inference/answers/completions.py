"""Turns generation events into OpenAI's text completions, whole or in chunks. Pure."""

from dataclasses import dataclass, field

from cluster.contracts.generation import (
    FinishEvent,
    GenerationEvent,
    PromptEvent,
    ReasoningEvent,
    TextEvent,
    TokenLogprob,
    ToolCallEvent,
)
from service.api.inference.answers.response_meta import ResponseMeta, Tally, TextOffsets
from service.api.schemas.base import ApiError, ErrorAnswer
from service.api.schemas.completions import Completion, CompletionChoice, CompletionLogprobs
from service.api.schemas.sampling import FinishReason


class CompletionAnswer:
    """The answer to `num_prompts` prompts with `n` choices each. The choices of prompt i start at index i *
    n."""

    def __init__(
        self,
        meta: ResponseMeta,
        *,
        num_prompts: int,
        n: int,
        wants_logprobs: bool,
        wants_usage_chunk: bool,
        is_streamed: bool = False,
    ) -> None:
        """`is_streamed`: only chunks are sent, so `whole` has no log-probabilities."""
        self._meta = meta
        self._n = n
        self._wants_logprobs = wants_logprobs
        self._wants_usage_chunk = wants_usage_chunk
        self._is_streamed = is_streamed
        self._tally = Tally()
        self._choices = [_Choice() for _ in range(num_prompts * n)]
        self._offsets = [TextOffsets() for _ in self._choices]

    def add(self, prompt: int, event: GenerationEvent) -> list[Completion]:
        """Processes an event, and returns the chunks that a stream sends for it."""
        match event:
            case PromptEvent():
                self._tally.prompt_tokens += event.prompt_tokens
                if not event.text and not event.tokens:
                    return []
                return [
                    self._chunk(prompt * self._n + index, event.text, event.tokens)
                    for index in range(self._n)
                ]
            case TextEvent():
                return [self._chunk(prompt * self._n + event.index, event.text, event.tokens)]
            case ToolCallEvent() | ReasoningEvent():
                raise AssertionError("only chats have tools and reasoning")
            case FinishEvent():
                assert event.reason != "tool_calls"
                self._tally.completion_tokens += event.completion_tokens
                # Evaluation harnesses expect a log-probability of every token that was generated.
                end = [] if event.end_token is None else [event.end_token]
                return [self._chunk(prompt * self._n + event.index, "", end, event.reason)]

    def whole(self) -> Completion:
        choices = []
        for index, choice in enumerate(self._choices):
            logprobs = self._logprobs(choice.tokens, TextOffsets())
            choices.append(
                CompletionChoice(
                    index=index, text=choice.text, logprobs=logprobs, finish_reason=choice.finish_reason
                )
            )
        return Completion(**vars(self._meta), choices=choices, usage=self._tally.usage())

    def last_chunks(self) -> list[Completion]:
        if not self._wants_usage_chunk:
            return []
        return [
            Completion(object="text_completion", **vars(self._meta), choices=[], usage=self._tally.usage())
        ]

    def failure(self, error: ApiError) -> list[ErrorAnswer]:
        return [ErrorAnswer(error=error)]

    def _chunk(
        self, index: int, text: str, tokens: list[TokenLogprob], reason: FinishReason | None = None
    ) -> Completion:
        choice = self._choices[index]
        choice.text += text
        if not self._is_streamed:
            # With their alternatives they take kilobytes each, so a long stream must not keep them.
            choice.tokens += tokens
        choice.finish_reason = reason
        logprobs = self._logprobs(tokens, self._offsets[index]) if tokens else None
        part = CompletionChoice(index=index, text=text, logprobs=logprobs, finish_reason=reason)
        usage = {"usage": None} if self._wants_usage_chunk else {}
        return Completion(object="text_completion", **vars(self._meta), choices=[part], **usage)

    def _logprobs(self, tokens: list[TokenLogprob], offsets: TextOffsets) -> CompletionLogprobs | None:
        if not self._wants_logprobs:
            return None
        return CompletionLogprobs(
            tokens=[token.token for token in tokens],
            token_logprobs=[token.logprob for token in tokens],
            top_logprobs=[_top(token) for token in tokens],
            text_offset=[offsets.place(token) for token in tokens],
        )


@dataclass
class _Choice:
    text: str = ""
    tokens: list[TokenLogprob] = field(default_factory=list)
    finish_reason: FinishReason | None = None


def _top(token: TokenLogprob) -> dict[str, float] | None:
    """Returns the most likely tokens and, if it is not among them, the chosen token.

    A token with the same text as another, such as a byte that is a token of its own, is named by its id."""
    if token.logprob is None:
        return None
    names = {token.token: token.token_id}
    top: dict[str, float] = {}
    for other in token.top:
        is_taken = names.setdefault(other.token, other.token_id) != other.token_id
        if other.logprob is not None:
            top[f"token_id:{other.token_id}" if is_taken else other.token] = other.logprob
    top.setdefault(token.token, token.logprob)
    return top
