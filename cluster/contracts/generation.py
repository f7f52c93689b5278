"""Requests to a serving engine, and the events it answers with."""

import hashlib
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from cluster.contracts import errors
from cluster.contracts.bases import BaseSpec
from cluster.contracts.frozen import FrozenModel
from cluster.contracts.json_schema import JsonSchema
from cluster.contracts.weights import WeightsRef

MODEL_HEADER = "serve-multiplexed-model-id"
"""Carries the request's `ModelRef.name`, and routes the request to a replica that has the model."""

LOAD_TIMEOUT_HEADER = "tunery-patience-seconds"
"""How many seconds the request waits for its model to load before it fails with Unavailable."""

PROJECT_HEADER = "tunery-project-id"
"""The project for which the cluster reads a file, so that each has its share of the places."""

REPLICA_HEADER = "tunery-replica-url"
"""In the response of an application's only replica: the address where it can be called directly, without the
proxy."""


MAX_BIASES = 1024
"""Biases of one request. Each bias costs time at every token: biases for a whole vocabulary of 152k take 20
ms per choice, which delays everybody else's tokens."""


MAX_STOP_TOKENS = 64
"""Stop tokens of one request. vLLM has room for 128, including the model's own."""


MAX_STOP_CHARACTERS = 1024
"""Characters of one stop string. While a text may become one, as much of it is held back, for each choice."""


class ModelRef(FrozenModel):
    base: BaseSpec
    adapter: WeightsRef | None = None
    """None means the base itself."""
    on_quantized_base: bool = False
    """Whether the base's weights are quantized to 4 bits. Implied by an adapter of form `qlora`."""

    @property
    def is_quantized(self) -> bool:
        return self.on_quantized_base or (self.adapter is not None and self.adapter.form == "qlora")

    @property
    def full(self) -> WeightsRef | None:
        """Weights that replace the base's."""
        return self.adapter if self.adapter is not None and self.adapter.form == "full" else None

    @property
    def beside(self) -> WeightsRef | None:
        """Weights that are added to the base's."""
        return self.adapter if self.full is None else None

    @property
    def owner(self) -> "ModelRef":
        """The model without what is added to its weights."""
        return ModelRef(base=self.base, adapter=self.full, on_quantized_base=self.is_quantized)

    @property
    def weights(self) -> str:
        """Names the weights that an engine of this model must own: those of the base, those of the base in 4
        bits, or those of a full fine-tune. The base is identified by its whole catalogue entry, so that a
        changed entry is a different base."""
        named = self.base.model_dump_json() + (self.full.digest if self.full else "")
        if self.is_quantized:
            named += "in 4 bits"
        return hashlib.sha256(named.encode()).hexdigest()[:32]

    @property
    def name(self) -> str:
        """The weights and, for an adapter on them, its digest."""
        return adapted_name(self.weights, self.beside.digest) if self.beside else self.weights


def adapted_name(weights: str, digest: str) -> str:
    """Returns the `ModelRef.name` of an adapter on these weights."""
    return f"{weights}:{digest}"


def weights_of(name: str) -> str:
    """Returns the weights in a `ModelRef.name`."""
    return name.partition(":")[0]


class TextPrompt(FrozenModel):
    param: ClassVar[str] = "prompt"
    """The request parameter that holds the prompt; errors name it."""
    kind: Literal["text"] = "text"
    text: str
    split_special_tokens: bool = False
    """Treat special tokens in the text as ordinary text."""


class TokenPrompt(FrozenModel):
    param: ClassVar[str] = "prompt"
    kind: Literal["tokens"] = "tokens"
    token_ids: list[int]


ChatEnding = Literal["new_answer", "final_message", "nothing"]
"""How a rendered conversation ends: with the header of the answer to come, inside its final message, which
the answer continues, or after it."""


class ChatPrompt(FrozenModel):
    """A conversation, rendered with the model's chat template as in training."""

    param: ClassVar[str] = "messages"
    kind: Literal["chat"] = "chat"
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None = None
    template_options: dict[str, bool | str] = {}
    """Values for variables of the template. It must read each of them."""
    ending: ChatEnding = "new_answer"


Prompt = Annotated[TextPrompt | TokenPrompt | ChatPrompt, Field(discriminator="kind")]


class ToolUse(FrozenModel):
    """How the model may call the tools of a chat."""

    names: list[str] | None = None
    """The tools that may be called; None allows all."""
    is_required: bool = False
    """Whether the answer must be calls that follow their tools' schemas. Otherwise only calls of strict tools
    are guaranteed to."""
    is_parallel: bool = True
    """Whether an answer may have several calls. Otherwise it ends after the first."""


class Sampling(FrozenModel):
    max_tokens: int | None = Field(default=None, ge=0)
    """The most new tokens; None means what the context leaves. 0 only scores the prompt (with `echo`)."""
    temperature: float = Field(default=1.0, ge=0, le=2)
    """0 means greedy decoding."""
    top_p: float = Field(default=1.0, ge=0, le=1)
    top_k: int = Field(default=0, ge=0)
    """Draw from this many of the most likely tokens; 0 means all."""
    min_p: float = Field(default=0.0, ge=0, le=1)
    """Draw from tokens that are at least this fraction as likely as the most likely one."""
    n: int = Field(default=1, ge=1, le=128)
    """Number of choices. With a seed, choice i draws from its own stream, derived from (seed, i)."""
    seed: int | None = None
    stop: list[Annotated[str, Field(max_length=MAX_STOP_CHARACTERS)]] = Field(default=[], max_length=4)
    """The text ends before the first of these strings, no part of which is sent."""
    stop_token_ids: list[int] = Field(default=[], max_length=MAX_STOP_TOKENS)
    """Tokens that end the text, besides the model's own. They are not part of it."""
    ignore_eos: bool = False
    """The model's own end tokens do not end the text, unless it follows a grammar."""
    min_tokens: int = Field(default=0, ge=0)
    """Before this many tokens, end tokens are never drawn and stop strings are ordinary text. Without effect
    on a text that follows a grammar, which ends where the grammar does."""
    repetition_penalty: float = Field(default=1.0, ge=0.01, le=100)
    """Divides the positive logits of tokens in the prompt and in the text so far, and multiplies the negative
    ones; 1 changes nothing."""
    presence_penalty: float = Field(default=0.0, ge=-2, le=2)
    frequency_penalty: float = Field(default=0.0, ge=-2, le=2)
    logit_bias: dict[int, float] = Field(default={}, max_length=MAX_BIASES)
    logprobs: int | None = Field(default=None, ge=0, le=20)
    """None for no log-probabilities; k for those of the chosen token and the k most likely ones."""
    echo: bool = False
    """Start with the prompt, and with its log-probabilities if `logprobs` is set."""
    json_schema: JsonSchema | None = None
    """The new text is one JSON value that follows this schema, and ends where the value does; {"type":
    "object"} allows any object. None allows any text. Log-probabilities are those of the model without this
    constraint."""
    tool_use: ToolUse | None = None
    """Tools of a chat: calls in the new text are reported as such, and `json_schema` applies to answers
    without calls. None treats calls as text."""


class GenerationRequest(FrozenModel):
    id: str
    """Unique while the request is under way."""
    model: ModelRef
    prompt: Prompt
    sampling: Sampling = Sampling()
    tenant: str = ""
    """The project that makes the request. Fairness and cache isolation depend on it."""


class TokenLogprob(FrozenModel):
    token: str
    """The token's text. A token that is not whole characters is named by its bytes: `bytes:\xe4\xbd`."""
    bytes: list[int]
    token_id: int
    logprob: float | None
    """None for the first token of an echoed prompt, which has no preceding token."""
    top: list["TokenLogprob"] = []
    is_text: bool = True
    """False for a special token, which adds nothing to the text."""


FinishReason = Literal["stop", "length", "tool_calls"]
"""Why an answer ended: by itself, at its token limit, or by itself after at least one call."""


class PromptEvent(FrozenModel):
    """Always the first event, once per request: its prompt has been tokenized and accepted."""

    type: Literal["prompt"] = "prompt"
    prompt_tokens: int
    text: str = ""
    """The prompt's text, if `echo` is set."""
    tokens: list[TokenLogprob] = []
    """One per prompt token, if `echo` and `logprobs` are set."""


class TextEvent(FrozenModel):
    """Text that is safe to send: complete UTF-8, held back while it might be the start of a stop string. If
    everything is held back, the text is empty, and the event only says that another token was generated."""

    type: Literal["text"] = "text"
    index: int
    """Number of the choice among the request's n."""
    text: str
    completion_tokens: int
    """Generated for this choice so far."""
    tokens: list[TokenLogprob] = []


class ReasoningEvent(FrozenModel):
    """A piece of what the model writes before its answer, in the form of its chat template. The text is empty
    while nothing is certain, and for tokens of the form itself."""

    type: Literal["reasoning"] = "reasoning"
    index: int
    """Number of the choice among the request's n."""
    text: str
    completion_tokens: int
    """Generated for this choice so far."""
    tokens: list[TokenLogprob] = []


class ToolCallEvent(FrozenModel):
    """A piece of a tool call: first its name, then its arguments as they are generated."""

    type: Literal["tool_call"] = "tool_call"
    index: int
    """Number of the choice among the request's n."""
    call: int
    """Number of the call within the choice, counted from 0."""
    name: str = ""
    """Only in the call's first event, which has no arguments."""
    arguments: str = ""
    """The next piece of the JSON object. The object is incomplete if the choice is cut off."""
    completion_tokens: int
    """Generated for this choice so far."""
    tokens: list[TokenLogprob] = []


class FinishEvent(FrozenModel):
    """Always the last event of its choice."""

    type: Literal["finish"] = "finish"
    index: int
    reason: FinishReason
    completion_tokens: int
    end_token: TokenLogprob | None = None
    """The stop token that ended it, which has no text, if log-probabilities were requested."""


class ErrorEvent(FrozenModel):
    """Only on the wire: ends the stream, and is raised as a domain error by the client."""

    type: Literal["error"] = "error"
    error: Literal[
        "InvalidRequest",
        "InvalidDataset",
        "ContextLengthExceeded",
        "NotFound",
        "Overloaded",
        "Unavailable",
        "InvalidConfiguration",
        "CorruptArtefact",
        "TrainingFailed",
        "InternalError",
        "TuneryError",
    ]
    """The last one stands for any other error, such as a wrong cluster token, which concerns the service and
    not its caller."""
    message: str
    code: str | None = None
    param: str | None = None

    def as_error(self, *, retry_after_seconds: float = 1.0) -> errors.TuneryError:
        """Returns the error as it was raised on the cluster, or the nearest one that the wire format has."""
        kind: type[errors.TuneryError] = getattr(errors, self.error)
        if issubclass(kind, errors.Overloaded | errors.Unavailable):
            return kind(self.message, retry_after_seconds=retry_after_seconds, code=self.code)
        return kind(self.message, code=self.code, param=self.param)


GenerationEvent = Annotated[
    PromptEvent | ReasoningEvent | TextEvent | ToolCallEvent | FinishEvent, Field(discriminator="type")
]
WireEvent = Annotated[
    PromptEvent | ReasoningEvent | TextEvent | ToolCallEvent | FinishEvent | ErrorEvent,
    Field(discriminator="type"),
]


class EngineStats(FrozenModel):
    """A snapshot of one engine. For an encoder, requests count as choices and share one slot."""

    base: str
    running: int
    """Choices that hold a slot."""
    waiting: int
    slots: int
    adapters: list[str]
    """Digests of the tuned weights in memory."""
    generated_tokens: int
    """Since the engine started."""
    context_length: int = 0
    """Tokens of prompt and answer. 0 if the engine does not report it."""
    reserved_bytes: int = 0
    """Device memory that the engine may come to use, as counted in the replica's budget."""
    weight_bytes: int = 0
    """Here and below, 0 if the engine does not report it."""
    cache_bytes: int = 0
    """Keys and values when the contexts of all slots are full."""
    adapter_bytes: int = 0
    """Bytes of the adapters in memory now."""
    adapter_requests: int = 0
    """Requests to adapters since the engine started."""
    adapter_loads: int = 0
    """Adapters that were loaded since then."""
    load_seconds: float = 0.0
    """Seconds from storage or disk until ready."""
