"""Settings of an engine replica, from the environment."""

import os
import warnings
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    AliasChoices,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from cluster.contracts.serving_plan import EngineName
from cluster.planning.serving_settings import ServingSettings

PLACER = "placer"
"""The deployment of `cluster.serving.deployment.placement.placer`, in the application of `engine`."""

_OLD_SCALE_TO_ZERO = "TUNERY_ENGINE_REST_SECONDS"


class EngineSettings(ServingSettings):
    vllm_python: str = Field("", validation_alias="TUNERY_VLLM_PYTHON")
    """Path, on the nodes of `serving_pools`, of the Python interpreter of an environment with vLLM. It must
    have the cluster's versions of Python and Ray. If empty, Ray's own interpreter is used. `tunery vllm
    install` creates an environment for `tunery up`."""
    placement: Literal["shared", "own"] = Field("shared", validation_alias="TUNERY_ENGINE_PLACEMENT")
    """`shared`: a replica of `/engine` holds up to `models` models. `own`: each base and each full fine-tune
    gets its own deployment on first use, and `engine` only forwards requests to them."""
    min_replicas: NonNegativeInt = Field(
        default_factory=lambda data: int(data.get("placement") == "shared"),
        validation_alias="TUNERY_ENGINE_MIN_REPLICAS",
    )
    """Minimum number of replicas of a model deployment. With 0, the default for own deployments, it scales to
    zero, and the next request waits for a replica to start."""
    max_replicas: PositiveInt = Field(1, validation_alias="TUNERY_ENGINE_MAX_REPLICAS")
    """Maximum number of replicas of a model deployment. If larger than `min_replicas`, the number of replicas
    follows the number of running requests. A base that vLLM serves gets no more than its pool has room
    for."""
    max_entries: PositiveInt = Field(
        default_factory=lambda data: 4 if data.get("placement") == "own" else 1,
        validation_alias="TUNERY_ENGINE_MAX_ENTRIES",
    )
    """Maximum number of replicas of `/engine` if it forwards requests to model deployments. The number of
    replicas follows the number of running requests. With `shared` placement, each of them may also load the
    small models, and a larger `max_replicas` takes precedence."""
    listen_host: str = Field("", validation_alias="TUNERY_ENGINE_LISTEN_HOST")
    """An address on which the replica of `/engine` itself listens, on a free port. The API then calls it
    directly, which takes half as long as going through Serve's proxy, and falls back to the proxy if it
    cannot connect. Only for a deployment with one replica, because Serve neither counts nor balances these
    requests."""
    scale_to_zero_seconds: PositiveFloat = Field(
        600.0, validation_alias=AliasChoices("TUNERY_ENGINE_SCALE_TO_ZERO_SECONDS", _OLD_SCALE_TO_ZERO)
    )
    """How long a replica must have been unneeded before it is stopped, in seconds."""
    pending_seconds: PositiveFloat = Field(1200.0, validation_alias="TUNERY_ENGINE_PENDING_SECONDS")
    """How long a vLLM model may wait for a node with enough room, in seconds: for a node that an autoscaler
    adds, or for GPUs that are in use. After that, its GPU reservation ends and its start counts as failed."""
    start_seconds: PositiveFloat = Field(1800.0, validation_alias="TUNERY_ENGINE_START_SECONDS")
    """How long vLLM may take to start on its GPUs, including the download of the weights, in seconds. After
    that, it releases its GPUs and its start counts as failed."""
    drain_seconds: PositiveFloat = Field(900.0, validation_alias="TUNERY_ENGINE_DRAIN_SECONDS")
    """How long answers in progress may take to finish when their replica is about to stop, in seconds:
    because it makes room for another model or a job, is no longer needed, or is redeployed. Answers that take
    longer are cut off."""
    forget_seconds: float = Field(7 * 86_400.0, ge=600, validation_alias="TUNERY_ENGINE_FORGET_SECONDS")
    """How long after the last request for a model its own deployment, scaled to zero by then, is removed, in
    seconds."""
    hot_tokens_per_second: NonNegativeFloat = Field(
        0.0, validation_alias="TUNERY_ENGINE_HOT_TOKENS_PER_SECOND"
    )
    """Rate, in prompt and completion tokens per second averaged over about five minutes, at which a LoRA
    adapter gets its own deployment, with the adapter merged into its base, until its rate falls to half of
    that. Only for own deployments of the embedded engine. An adapter whose merged weights do not produce the
    same results stays unmerged. 0: never."""
    hot_adapters: PositiveInt = Field(4, validation_alias="TUNERY_ENGINE_HOT_ADAPTERS")
    """Maximum number of merged adapters, each with up to `max_replicas` replicas."""
    actor_options: dict[str, Any] = Field({}, validation_alias="TUNERY_ENGINE_ACTOR_OPTIONS")
    """JSON: Ray's `ray_actor_options` of a replica of an own deployment, for example `{"num_gpus": 1}`."""
    waiting: PositiveInt = Field(256, validation_alias="TUNERY_ENGINE_WAITING")
    """Maximum number of queued sequences of one tenant in one engine."""
    models: PositiveInt = Field(4, validation_alias="TUNERY_ENGINE_MODELS")
    """Maximum number of models in memory, including encoders."""
    bytes: NonNegativeInt = Field(0, validation_alias="TUNERY_ENGINE_BYTES")
    """Device memory that all models may use together, in bytes: weights, adapters, and the KV cache with full
    contexts in all slots. 0: four fifths of the memory that is free when the replica starts, which leaves
    room for activations; nine tenths for vLLM, which includes activations. A model that is too large with
    `slots` slots gets as many slots as fit. If replicas share a machine without a GPU, set the share of
    each."""
    idle_seconds: NonNegativeInt = Field(3600, validation_alias="TUNERY_ENGINE_IDLE_SECONDS")
    """Time after which an unused model is unloaded, in seconds; 0: never."""
    adapter_bytes: NonNegativeInt = Field(0, validation_alias="TUNERY_ENGINE_ADAPTER_BYTES")
    """Memory that the adapters of one model may use together, in bytes. For vLLM, it is host memory, which
    holds a copy for each of the model's GPUs. 0: an eighth of `bytes`; for vLLM on `serving_pools`, its GPUs'
    share of half of the node's free memory."""
    warm_bases: str = Field("", validation_alias="TUNERY_WARM_BASES")
    """Comma-separated aliases of bases that are loaded before a replica is ready and never unloaded. Those
    that vLLM serves on `serving_pools` are started in the background, and restarted within a minute if they
    are gone; they make room for training only."""
    cache_dir: Path = Field(
        default_factory=lambda: Path.home() / ".cache" / "tunery", validation_alias="TUNERY_CACHE_DIR"
    )
    """Folder for weights on disk. TUNERY_CACHE_BYTES limits its size, by default to half of the free disk
    space."""

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
        if self.hot_tokens_per_second and (self.placement != "own" or self.engine == "vllm"):
            raise ValueError(
                "TUNERY_ENGINE_HOT_TOKENS_PER_SECOND needs TUNERY_ENGINE_PLACEMENT=own and "
                "the embedded engine"
            )
        is_lone = (
            self.placement == "shared"
            and self.min_replicas == self.max_replicas == 1
            and not (self.gpu_pools and self.max_entries > 1)
        )
        if self.listen_host and not is_lone:
            raise ValueError(
                "TUNERY_ENGINE_LISTEN_HOST needs exactly one replica that is always running and holds all "
                "models"
            )
        return self

    @property
    def forwards(self) -> bool:
        """Whether models have deployments of their own, to which `engine` forwards."""
        return self.placement == "own" or bool(self.gpu_pools)

    @property
    def own_engine(self) -> EngineName:
        """What runs in a replica of `/engine` itself."""
        return "vllm" if self.engine == "vllm" and not self.gpu_pools else "embedded"

    @classmethod
    def read(cls) -> Self:
        if _OLD_SCALE_TO_ZERO in os.environ:
            # A FutureWarning, because Python hides DeprecationWarning from operators.
            warnings.warn(
                f"{_OLD_SCALE_TO_ZERO} is now called TUNERY_ENGINE_SCALE_TO_ZERO_SECONDS; the old name will "
                "stop working in release 0.2.",
                FutureWarning,
                stacklevel=2,
            )
        return super().read()
