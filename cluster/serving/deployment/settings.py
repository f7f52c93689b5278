"""What the environment says about a replica of engines."""

import os
import warnings
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    AliasChoices,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from cluster.contracts.errors import InvalidConfiguration

_OLD_SCALE_TO_ZERO = "TUNERY_ENGINE_REST_SECONDS"


class EngineSettings(BaseSettings):
    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    engine: Literal["embedded", "vllm"] = Field("embedded", validation_alias="TUNERY_ENGINE")
    """What runs the models. vLLM needs a GPU, and divides `bytes` of its memory between `models`."""
    placement: Literal["shared", "own"] = Field("shared", validation_alias="TUNERY_ENGINE_PLACEMENT")
    """Shared: a replica of `engine` holds up to `models` models. Own: each base, and each full fine-tune, has
    a deployment for itself, made when it is first asked for, and `engine` is but the way to them."""
    min_replicas: NonNegativeInt = Field(
        default_factory=lambda data: int(data.get("placement") == "shared"),
        validation_alias="TUNERY_ENGINE_MIN_REPLICAS",
    )
    """Of what holds models; 0, the default for own deployments, lets it rest until somebody asks, who then
    waits for it."""
    max_replicas: PositiveInt = Field(1, validation_alias="TUNERY_ENGINE_MAX_REPLICAS")
    """More than `min_replicas` lets their number follow the requests under way."""
    listen_host: str = Field("", validation_alias="TUNERY_ENGINE_LISTEN_HOST")
    """An address, of the replica of `engine`, at a free port of which it listens itself. The API asks it
    there, which is half the way through Serve's proxy, and asks the proxy where that cannot be reached. Only
    for a deployment of one replica, because Serve neither counts nor spreads these requests."""
    scale_to_zero_seconds: PositiveFloat = Field(
        600.0, validation_alias=AliasChoices("TUNERY_ENGINE_SCALE_TO_ZERO_SECONDS", _OLD_SCALE_TO_ZERO)
    )
    """Seconds for which a replica must have been superfluous before it is stopped."""
    forget_seconds: float = Field(7 * 86_400.0, ge=600, validation_alias="TUNERY_ENGINE_FORGET_SECONDS")
    """For which nobody must have asked for a model before its own deployment, at zero replicas by then, is
    removed."""
    hot_tokens_per_second: NonNegativeFloat = Field(
        0.0, validation_alias="TUNERY_ENGINE_HOT_TOKENS_PER_SECOND"
    )
    """Of own deployments of the embedded engine: a LoRA adapter that is asked for so many tokens, read and
    written, over about five minutes gets a deployment with the adapter merged into its base, until it has
    cooled down to half of that; one whose merged weights do not compute the same stays beside its base. 0 is
    never."""
    hot_adapters: PositiveInt = Field(4, validation_alias="TUNERY_ENGINE_HOT_ADAPTERS")
    """At most so many at once, each with up to `max_replicas`."""
    actor_options: dict[str, Any] = Field({}, validation_alias="TUNERY_ENGINE_ACTOR_OPTIONS")
    """JSON: what a replica of an own deployment needs, as Ray's `ray_actor_options`: `{"num_gpus": 1}`."""
    slots: PositiveInt = Field(32, validation_alias="TUNERY_ENGINE_SLOTS")
    """Choices decoded together."""
    waiting: PositiveInt = Field(256, validation_alias="TUNERY_ENGINE_WAITING")
    """Choices of a tenant in the queue of one engine."""
    models: PositiveInt = Field(4, validation_alias="TUNERY_ENGINE_MODELS")
    """Models in memory, encoders among them."""
    bytes: NonNegativeInt = Field(0, validation_alias="TUNERY_ENGINE_BYTES")
    """Of the device's memory, that all models may take together: weights, adapters, and keys and values when
    the contexts of all slots are full. 0 is four fifths of what is free when the replica starts, which leaves
    room for what a forward pass needs; vLLM counts that too, and has nine tenths. A model that is too large
    with `slots` gets as many as there is room for. Where replicas share a machine without a GPU, each is to
    be told its part."""
    idle_seconds: NonNegativeInt = Field(3600, validation_alias="TUNERY_ENGINE_IDLE_SECONDS")
    """After which a model that nothing used is unloaded; 0 is never."""
    adapters: PositiveInt = Field(32, validation_alias="TUNERY_ENGINE_ADAPTERS")
    """Adapters of one model in memory."""
    adapter_bytes: NonNegativeInt = Field(0, validation_alias="TUNERY_ENGINE_ADAPTER_BYTES")
    """What the adapters of one model may take together; 0 is an eighth of `bytes`."""
    batch_adapters: PositiveInt = Field(8, validation_alias="TUNERY_ENGINE_BATCH_ADAPTERS")
    """Of vLLM: adapters on the GPU, which one batch may mix."""
    lora_rank: PositiveInt = Field(64, validation_alias="TUNERY_ENGINE_LORA_RANK")
    """Of vLLM: the largest rank of an adapter."""
    warm_bases: str = Field("", validation_alias="TUNERY_WARM_BASES")
    """Aliases, by commas, to load before a replica is ready and never to unload."""
    cache_dir: Path = Field(
        default_factory=lambda: Path.home() / ".cache" / "tunery", validation_alias="TUNERY_CACHE_DIR"
    )
    """Weights on disk; TUNERY_CACHE_BYTES is how much of them, by default half of what the disk has free."""

    @model_validator(mode="after")
    def _check_replicas(self) -> "EngineSettings":
        if self.min_replicas > self.max_replicas:
            raise ValueError(
                f"TUNERY_ENGINE_MIN_REPLICAS ({self.min_replicas}) must not be more than "
                f"TUNERY_ENGINE_MAX_REPLICAS ({self.max_replicas})"
            )
        if self.placement == "own" and self.forget_seconds < self.scale_to_zero_seconds:
            raise ValueError(
                f"TUNERY_ENGINE_FORGET_SECONDS ({self.forget_seconds:g}) must not be less than "
                f"TUNERY_ENGINE_SCALE_TO_ZERO_SECONDS ({self.scale_to_zero_seconds:g}): it would remove "
                "running replicas"
            )
        if self.hot_tokens_per_second and (self.placement, self.engine) != ("own", "embedded"):
            raise ValueError(
                "TUNERY_ENGINE_HOT_TOKENS_PER_SECOND needs TUNERY_ENGINE_PLACEMENT=own and "
                "TUNERY_ENGINE=embedded"
            )
        is_lone = self.placement == "shared" and self.min_replicas == self.max_replicas == 1
        if self.listen_host and not is_lone:
            raise ValueError(
                "TUNERY_ENGINE_LISTEN_HOST is for one replica that is always there and holds all models"
            )
        return self

    @staticmethod
    def read() -> "EngineSettings":
        """Reads the environment. Raises InvalidConfiguration, which names the variable."""
        if _OLD_SCALE_TO_ZERO in os.environ:
            # A FutureWarning, because Python hides DeprecationWarning from operators.
            warnings.warn(
                f"{_OLD_SCALE_TO_ZERO} is now called TUNERY_ENGINE_SCALE_TO_ZERO_SECONDS; the old name will "
                "stop working in release 0.2.",
                FutureWarning,
                stacklevel=2,
            )
        try:
            return EngineSettings()
        except ValidationError as error:
            wrong = error.errors()[0]
            if not wrong["loc"]:
                raise InvalidConfiguration(f"{wrong['msg']}.") from error
            variable = str(wrong["loc"][0])
            raise InvalidConfiguration(
                f"{variable} is {wrong['input']!r}: {wrong['msg']}.", param=variable
            ) from error
