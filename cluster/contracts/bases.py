"""What Tunery knows of a base model before it loads one."""

from typing import Annotated, Literal

from pydantic import Field

from cluster.contracts.frozen import FrozenModel

TrainingType = Literal["lora", "qlora", "full", "peft"]
"""How weights are adapted: LoRA, LoRA on a base in 4 bits, every weight, or another of PEFT's methods."""

WeightsForm = Literal["lora", "qlora", "prefix", "full"]
"""What a checkpoint is to serving: a plain LoRA adapter on its base, one on its base quantized to 4 bits,
keys and values that precede every prompt, or a model of its own."""


class BuiltinSource(FrozenModel):
    """Weights that ship with Tunery, under `cluster/bases/<name>/weights`."""

    kind: Literal["builtin"] = "builtin"
    name: str = Field(pattern=r"^[a-z0-9_]+$")


class FolderSource(FrozenModel):
    """A folder in transformers' format, at the same path on every node."""

    kind: Literal["folder"] = "folder"
    path: str


class HubSource(FrozenModel):
    """A hub repository at a pinned commit."""

    kind: Literal["hub"] = "hub"
    repository: str
    revision: str = Field(pattern=r"^[0-9a-f]{40}$")


BaseSource = Annotated[BuiltinSource | FolderSource | HubSource, Field(discriminator="kind")]


class BaseSpec(FrozenModel):
    """One line of the catalogue: a base model that jobs may tune and clients may ask."""

    alias: str = Field(pattern=r"^[A-Za-z0-9._-]+$")
    """The public model id. Without `/`, which the openai SDK percent-encodes, and without `:`, which parts
    the fields of a tuned model's name."""
    source: BaseSource
    context_length: int = Field(gt=0)
    """Tokens of prompt and completion together."""
    learning_rates: dict[TrainingType, float]
    """The rate that `learning_rate_multiplier` = 1 means in supervised training, by training type. `qlora`
    and `peft` go by `lora`'s where they have none; another missing type is refused."""
    architecture: Literal["decoder", "encoder"] = "decoder"
    """A decoder continues text; an encoder sorts texts, or their words, into classes."""
    max_training_examples: int = Field(default=1_000_000, gt=0)
    dtype: Literal["float32", "bfloat16"] = "float32"
    """The type that frozen weights are held in, for training and serving alike."""
    qlora_served_on: Literal["full_precision", "four_bits"] = "full_precision"
    """What QLoRA adapters, which are trained on the base in 4 bits, are served on. `full_precision`: on the
    base that all adapters share; the model then differs a little from the one that was trained, and the job's
    evaluation says by how much. `four_bits`: on the weights it was trained on, dequantized, which take the
    memory of another base; the vLLM backend has none of these. Models keep what they were published with."""
    owned_by: str = "tunery"
    created: int = 0
    """Unix seconds, shown by `/v1/models`."""


class BasesRequest(FrozenModel):
    """Which of these can the cluster use?"""

    bases: list[BaseSpec]


class BasesAnswer(FrozenModel):
    unavailable: dict[str, str]
    """Why not, by alias, of those that it cannot."""
