"""The parameters that both generation routes share."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator
from typing_extensions import TypeAliasType

from cluster.contracts.bases import SamplingDefaults
from cluster.contracts.generation import (
    MAX_BIASES,
    MAX_STOP_CHARACTERS,
    MAX_STOP_TOKENS,
    Sampling,
    ToolUse,
)
from service.api.http.validation import cross_field_error
from service.api.schemas.base import Answer, Body

StopString = Annotated[str, Field(min_length=1, max_length=MAX_STOP_CHARACTERS)]
TokenId = Annotated[int, Field(ge=0)]
_BiasedToken = Annotated[int, BeforeValidator(lambda key: int(key) if key.isdecimal() else key)]
LogitBias = TypeAliasType(
    "LogitBias",
    Annotated[dict[_BiasedToken, Annotated[float, Field(ge=-100, le=100)]], Field(max_length=MAX_BIASES)],
)
"""Biases by token id."""


class StreamOptions(Body):
    include_usage: bool = False
    """Send one more chunk at the end, with the usage and without choices."""
    include_obfuscation: bool = False
    """Accepted, but has no effect: no padding is ever added."""


class SamplingExtensions(Body):
    """What OpenAI's API does not have, under the names and with the meaning that vLLM gives it. Penalties and
    biases change the model's scores first; then `temperature`, `min_p`, `top_k` and `top_p` apply, in this
    order."""

    top_k: Annotated[int, Field(ge=-1, lt=2**31)] | None = None
    """Sample from this many of the most likely tokens. -1 and 0 mean all."""
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    """Sample only from tokens that are at least this fraction as likely as the most likely one."""
    repetition_penalty: Annotated[float, Field(ge=0.01, le=100)] | None = None
    """Above 1, tokens of the prompt and of the answer so far become less likely; below 1, more likely."""
    min_tokens: Annotated[int, Field(ge=0)] | None = None
    """The answer does not end before this many tokens: end tokens are not sampled, and stop strings are
    ordinary text. Has no effect on an answer that must follow a schema or the parameters of tools."""
    stop_token_ids: Annotated[list[TokenId], Field(max_length=MAX_STOP_TOKENS)] | None = None
    """The answer also ends before any of these tokens."""
    ignore_eos: bool | None = None
    """Continue after the model's own end tokens, up to the token limit. Has no effect on an answer that must
    follow a schema or the parameters of tools."""

    def extensions(self) -> dict[str, Any]:
        """The fields of `Sampling` that these set."""
        given = self.model_dump(include=set(SamplingExtensions.model_fields), exclude_none=True)
        if "top_k" in given:
            given["top_k"] = max(0, given["top_k"])
        return given


class SamplingBody(SamplingExtensions):
    """Every field may be null, which means its default, as in OpenAI's API."""

    model: str
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    logit_bias: LogitBias | None = None
    """Biases by token id in the base model's own vocabulary, which differs from OpenAI's tokenizers."""
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: StopString | Annotated[list[StopString], Field(max_length=4)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    """1 by default, unless the catalogue sets another value for the base model."""
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    """The same."""
    user: str | None = None
    """Accepted, but has no effect."""

    @model_validator(mode="after")
    def _stream_options_need_a_stream(self) -> "SamplingBody":
        if self.stream_options is not None and not self.stream:
            raise cross_field_error(
                "stream_options", "'stream_options' is only allowed when 'stream' is true."
            )
        return self

    @property
    def wants_usage_chunk(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    def sampling(
        self,
        defaults: SamplingDefaults,
        *,
        max_tokens: int | None,
        logprobs: int | None,
        echo: bool = False,
        json_schema: dict[str, Any] | None = None,
        tool_use: ToolUse | None = None,
    ) -> Sampling:
        stop = [self.stop] if isinstance(self.stop, str) else self.stop
        given = {"temperature": self.temperature, "top_p": self.top_p, **self.extensions()}
        chosen = {name: value for name, value in given.items() if value is not None}
        return Sampling(
            max_tokens=max_tokens,
            n=self.n or 1,
            seed=self.seed,
            stop=stop or [],
            presence_penalty=self.presence_penalty or 0.0,
            frequency_penalty=self.frequency_penalty or 0.0,
            logit_bias=self.logit_bias or {},
            logprobs=logprobs,
            echo=echo,
            json_schema=json_schema,
            tool_use=tool_use,
            **(defaults.model_dump() | chosen),
        )


class PromptTokensDetails(Answer):
    cached_tokens: int
    """Here and below, always 0: not reported."""
    audio_tokens: int


class CompletionTokensDetails(Answer):
    reasoning_tokens: int
    """Here and below, always 0: not reported."""
    audio_tokens: int
    accepted_prediction_tokens: int
    rejected_prediction_tokens: int


class Usage(Answer):
    """Tokens of all prompts, each counted once, and of all choices."""

    prompt_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens: int
    completion_tokens_details: CompletionTokensDetails
    total_tokens: int


FinishReason = TypeAliasType("FinishReason", Literal["stop", "length"])
