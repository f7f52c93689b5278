"""A request to a serving engine, and the events it answers with."""

import hashlib
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from cluster.contracts import errors
from cluster.contracts.bases import BaseSpec
from cluster.contracts.frozen import FrozenModel
from cluster.contracts.json_schema import JsonSchema
from cluster.contracts.weights import WeightsRef

MODEL_HEADER = "serve-multiplexed-model-id"
"""In which a request over HTTP carries its `ModelRef.name`: it leads to a replica that has the model."""

LOAD_TIMEOUT_HEADER = "tunery-patience-seconds"
"""In which it says how long it waits for a model that is not loaded; then it is Unavailable."""

REPLICA_HEADER = "tunery-replica-url"
"""In which a lone replica's answer says where it can be asked itself, without the proxy."""


MAX_BIASES = 1024
"""Of one request. Each costs time at every token: those of a whole vocabulary of 152k take 20 ms a choice,
in which nobody else's tokens are computed."""


class ModelRef(FrozenModel):
    base: BaseSpec
    adapter: WeightsRef | None = None
    """None is the base itself."""
    on_quantized_base: bool = False
    """The base's weights are those of its quantization to 4 bits. An adapter of form `qlora` implies it."""

    @property
    def is_quantized(self) -> bool:
        return self.on_quantized_base or (self.adapter is not None and self.adapter.form == "qlora")

    @property
    def full(self) -> WeightsRef | None:
        """Weights that take the place of the base's."""
        return self.adapter if self.adapter is not None and self.adapter.form == "full" else None

    @property
    def beside(self) -> WeightsRef | None:
        """What is added to the base's weights."""
        return self.adapter if self.full is None else None

    @property
    def owner(self) -> "ModelRef":
        """The model that is these weights alone, without what is added to them."""
        return ModelRef(base=self.base, adapter=self.full, on_quantized_base=self.is_quantized)

    @property
    def weights(self) -> str:
        """Names what an engine of this model must have as its own: the weights of the base, which is told
        apart by its whole line of the catalogue, so that a changed one is another, the same in 4 bits,
        or those of a full fine-tune."""
        named = self.base.model_dump_json() + (self.full.digest if self.full else "")
        if self.is_quantized:
            named += "in 4 bits"
        return hashlib.sha256(named.encode()).hexdigest()[:32]

    @property
    def name(self) -> str:
        """The weights and, of an adapter on them, its digest."""
        return adapted_name(self.weights, self.beside.digest) if self.beside else self.weights


def adapted_name(weights: str, digest: str) -> str:
    """The `ModelRef.name` of an adapter on these weights."""
    return f"{weights}:{digest}"


def weights_of(name: str) -> str:
    """The weights in a `ModelRef.name`."""
    return name.partition(":")[0]


class TextPrompt(FrozenModel):
    param: ClassVar[str] = "prompt"
    """The parameter of a client's request in which it came: what errors name."""
    kind: Literal["text"] = "text"
    text: str
    split_special_tokens: bool = False
    """Special tokens in the text are ordinary text."""


class TokenPrompt(FrozenModel):
    param: ClassVar[str] = "prompt"
    kind: Literal["tokens"] = "tokens"
    token_ids: list[int]


class ChatPrompt(FrozenModel):
    """Rendered with the model's own chat template, as in training, up to the assistant's turn."""

    param: ClassVar[str] = "messages"
    kind: Literal["chat"] = "chat"
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None = None


Prompt = Annotated[TextPrompt | TokenPrompt | ChatPrompt, Field(discriminator="kind")]


class ToolUse(FrozenModel):
    """How the tools that a chat shows may be called."""

    names: list[str] | None = None
    """The ones that may be; None is all."""
    is_required: bool = False
    """The answer is calls, by the schemas of their tools. Else only those of strict tools are sure to be."""
    is_parallel: bool = True
    """Several in one answer; otherwise it ends after the first."""


class Sampling(FrozenModel):
    max_tokens: int | None = Field(default=None, ge=0)
    """New tokens at most; None is what the context leaves. 0 only scores the prompt (with `echo`)."""
    temperature: float = Field(default=1.0, ge=0, le=2)
    """0 is greedy."""
    top_p: float = Field(default=1.0, ge=0, le=1)
    n: int = Field(default=1, ge=1, le=128)
    """Choices. With a seed, choice i draws from a stream of its own derived from (seed, i)."""
    seed: int | None = None
    stop: list[str] = Field(default=[], max_length=4)
    """The text ends before the first of these; none of it is sent."""
    presence_penalty: float = Field(default=0.0, ge=-2, le=2)
    frequency_penalty: float = Field(default=0.0, ge=-2, le=2)
    logit_bias: dict[int, float] = Field(default={}, max_length=MAX_BIASES)
    logprobs: int | None = Field(default=None, ge=0, le=20)
    """None: no log-probabilities; k: the chosen token's, and the k most likely ones'."""
    echo: bool = False
    """Begin with the prompt; its log-probabilities too when `logprobs` is set."""
    json_schema: JsonSchema | None = None
    """The new text is one JSON value by this schema, and ends where that does; {"type": "object"} is any
    object. None: any text. Log-probabilities stay those of the model without it."""
    tool_use: ToolUse | None = None
    """For a chat with tools: calls in the new text are told as such; `json_schema` is for answers without.
    None: calls are text like any other."""


class GenerationRequest(FrozenModel):
    id: str
    """Unique while the request is under way; `cancel` takes it."""
    model: ModelRef
    prompt: Prompt
    sampling: Sampling = Sampling()
    tenant: str = ""
    """The project that asks: fairness and cache isolation go by it."""


class TokenLogprob(FrozenModel):
    token: str
    """The token's text. One that is not whole characters is named by its bytes: `bytes:\\xe4\\xbd`."""
    bytes: list[int]
    token_id: int
    logprob: float | None
    """None for the first token of an echoed prompt, which nothing precedes."""
    top: list["TokenLogprob"] = []
    is_text: bool = True
    """False for a special token, which adds nothing to the text."""


FinishReason = Literal["stop", "length", "tool_calls"]
"""By itself, by its limit of tokens, or by itself after at least one call."""


class PromptEvent(FrozenModel):
    """Always first, once a request: its prompt is tokenised and accepted."""

    type: Literal["prompt"] = "prompt"
    prompt_tokens: int
    text: str = ""
    """The prompt's text if `echo` was asked for."""
    tokens: list[TokenLogprob] = []
    """One a prompt token if `echo` and `logprobs` were asked for."""


class TextEvent(FrozenModel):
    """Text that is safe to send: complete UTF-8, held back while it might become a stop string. It is empty
    where all is held back, and then says only that another token was generated."""

    type: Literal["text"] = "text"
    index: int
    """Which of the n choices."""
    text: str
    completion_tokens: int
    """That the choice has so far."""
    tokens: list[TokenLogprob] = []


class ToolCallEvent(FrozenModel):
    """A piece of a call of a tool: first its name, then its arguments as they come."""

    type: Literal["tool_call"] = "tool_call"
    index: int
    """Which of the n choices."""
    call: int
    """Which of the choice's calls, from 0."""
    name: str = ""
    """With the call's first event only, which has no arguments."""
    arguments: str = ""
    """More of the JSON object, as the model writes it; it is incomplete if the choice is cut off."""
    completion_tokens: int
    """That the choice has so far."""
    tokens: list[TokenLogprob] = []


class FinishEvent(FrozenModel):
    """Always last of its choice."""

    type: Literal["finish"] = "finish"
    index: int
    reason: FinishReason
    completion_tokens: int


class ErrorEvent(FrozenModel):
    """On the wire only: ends the stream; the client raises it as a domain error again."""

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
    """The last is any other, such as a wrong cluster token: it is the service's affair, not its caller's."""
    message: str
    code: str | None = None
    param: str | None = None

    def as_error(self, *, retry_after_seconds: float = 1.0) -> errors.TuneryError:
        """The error as it was raised on the cluster, or the nearest one that the wire knows."""
        kind: type[errors.TuneryError] = getattr(errors, self.error)
        if issubclass(kind, errors.Overloaded | errors.Unavailable):
            return kind(self.message, retry_after_seconds=retry_after_seconds, code=self.code)
        return kind(self.message, code=self.code, param=self.param)


GenerationEvent = Annotated[
    PromptEvent | TextEvent | ToolCallEvent | FinishEvent, Field(discriminator="type")
]
WireEvent = Annotated[
    PromptEvent | TextEvent | ToolCallEvent | FinishEvent | ErrorEvent, Field(discriminator="type")
]


class EngineStats(FrozenModel):
    """A moment's view of one engine, or of an encoder, whose requests count as choices and take turns at one
    slot."""

    base: str
    running: int
    """Choices that hold a slot."""
    waiting: int
    slots: int
    adapters: list[str]
    """Digests of the tuned weights in memory."""
    generated_tokens: int
    """Since the engine began."""
    reserved_bytes: int = 0
    """Of the device's memory, that it may come to take: what counts in the replica's budget."""
    weight_bytes: int = 0
    """Here and below, 0 is for an engine that does not say."""
    cache_bytes: int = 0
    """Keys and values when the contexts of all slots are full."""
    adapter_bytes: int = 0
    """Of the adapters in memory now."""
    load_seconds: float = 0.0
    """From storage or disk to ready."""
