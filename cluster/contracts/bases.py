"""What Tunery knows about a base model before loading it."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cluster.contracts.frozen import FrozenModel
from cluster.contracts.model_shape import ModelShape

TrainingType = Literal["lora", "qlora", "full", "peft"]
"""How weights are adapted: LoRA, LoRA on a base in 4 bits, all weights, or another PEFT method."""

WeightsForm = Literal["lora", "qlora", "prefix", "full"]
"""What a checkpoint is for serving: a plain LoRA adapter, a LoRA adapter on the base quantized to 4 bits, a
prefix of keys and values before every prompt, or a model of its own."""


class BuiltinSource(FrozenModel):
    """Weights that ship with Tunery, under `cluster/bases/<name>/weights`."""

    kind: Literal["builtin"] = "builtin"
    name: str = Field(pattern=r"^[a-z0-9_]+$")


class FolderSource(FrozenModel):
    """A folder in transformers' format, with the same path on every node."""

    kind: Literal["folder"] = "folder"
    path: str


class HubSource(FrozenModel):
    """A Hugging Face Hub repository at a pinned commit."""

    kind: Literal["hub"] = "hub"
    repository: str
    revision: str = Field(pattern=r"^[0-9a-f]{40}$")


BaseSource = Annotated[BuiltinSource | FolderSource | HubSource, Field(discriminator="kind")]


class SamplingDefaults(FrozenModel):
    """Sampling parameters of requests that do not set them. The defaults are those of OpenAI's API."""

    temperature: float = Field(default=1.0, ge=0, le=2)
    top_p: float = Field(default=1.0, ge=0, le=1)
    top_k: int = Field(default=0, ge=0, lt=2**31)
    """0 means all tokens."""
    min_p: float = Field(default=0.0, ge=0, le=1)
    repetition_penalty: float = Field(default=1.0, ge=0.01, le=100)


class BaseSpec(FrozenModel):
    """A catalogue entry: a base model that jobs may tune and clients may use."""

    alias: str = Field(pattern=r"^[A-Za-z0-9._-]+$")
    """The public model id. It contains no `/`, which the openai SDK percent-encodes, and no `:`, which
    separates the fields of a tuned model's name."""
    source: BaseSource
    context_length: int = Field(gt=0)
    """Maximum number of prompt and completion tokens combined."""
    learning_rates: dict[TrainingType, float]
    """The learning rate that `learning_rate_multiplier` = 1 stands for in supervised training, by training
    type. `qlora` and `peft` fall back to the rate of `lora`; any other missing type is refused."""
    architecture: Literal["decoder", "encoder"] = "decoder"
    """A decoder generates text; an encoder classifies texts or words."""
    max_training_examples: int = Field(default=1_000_000, gt=0)
    dtype: Literal["float32", "bfloat16"] = "float32"
    """The data type of frozen weights, in training and in serving."""
    qlora_served_on: Literal["full_precision", "four_bits"] = "full_precision"
    """The weights that QLoRA adapters, which are trained on the base in 4 bits, are served on.

    `full_precision`: the base that all adapters share. The served model then differs slightly from the
    trained one, and the job's evaluation reports by how much. `four_bits`: the weights it was trained on,
    dequantized, which take as much memory as another base. The vLLM backend does not support it. Models keep
    the setting that they were published with."""
    engine: Literal["auto", "embedded", "vllm"] = "auto"
    """The engine that serves the base and the models tuned from it. `auto` follows TUNERY_ENGINE. Prefixes
    are always served by the embedded engine."""
    sampling: SamplingDefaults = SamplingDefaults()
    """Sampling parameters of requests that do not set them: `temperature`, `top_p`, `top_k`, `min_p` and
    `repetition_penalty`, for the base and the models tuned from it. If unset, OpenAI's defaults apply (a
    temperature of 1, and no tokens left out), regardless of what `generation_config.json` recommends."""
    owned_by: str = "tunery"
    created: int = 0
    """Unix seconds; shown by `/v1/models`."""

    @model_validator(mode="after")
    def _can_be_served(self) -> Self:
        if self.engine == "vllm" and self.architecture == "encoder":
            raise ValueError('engine = "vllm" is for decoders')
        if self.engine == "vllm" and self.qlora_served_on == "four_bits":
            raise ValueError('engine = "vllm" does not go with qlora_served_on = "four_bits"')
        return self


class BasesRequest(FrozenModel):
    """Asks which of these bases the cluster can use."""

    bases: list[BaseSpec]


class BasesAnswer(FrozenModel):
    unavailable: dict[str, str] = {}
    """The bases that the cluster cannot use, as alias → reason."""
    shapes: dict[str, ModelShape] = {}
    """Shapes by alias, of the bases that are on the cluster and whose family is known."""
    contexts: dict[str, int] = {}
    """Tokens of context by alias, of those bases for which serving has memory for less than the catalogue's
    context."""
