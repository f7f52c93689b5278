"""The settings that serving is planned by, from the environment."""

import re
from typing import Self

from pydantic import Field, PositiveInt, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from cluster.contracts.errors import InvalidConfiguration
from cluster.contracts.serving_plan import EngineChoice, ServingPool
from cluster.planning.serving import ServingOptions


class ServingSettings(BaseSettings):
    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    engine: EngineChoice = Field("auto", validation_alias="TUNERY_ENGINE")
    """The engine that runs decoders, unless the catalogue sets it for a base: `vllm`, `embedded`, or `auto`,
    which means vLLM for bases with more than 1 GB of weights where `serving_pools` has GPUs. Encoders and
    prefixes always use the embedded engine. There is no fallback: a base that is configured for vLLM but that
    vLLM cannot serve is unavailable. With `vllm` and without `serving_pools`, the replica itself runs vLLM,
    and divides `bytes` among `models`."""
    serving_pools: tuple[ServingPool, ...] = Field((), validation_alias="TUNERY_SERVING_POOLS")
    """The GPUs that serve models, as JSON, in order of preference: `[{"kind": "cuda", "nodes": 2, "devices":
    8, "device_bytes": "80GB", "labels": {"ray.io/accelerator-type": "H100"}}]`. `nodes`, `devices` and
    `device_bytes` have the same meaning as in TUNERY_TRAINING_POOLS; `labels` are the nodes' Ray labels,
    required if other nodes also have GPUs. Each base that vLLM serves has its own deployment, which reserves
    as many GPUs of one node as the model needs. `tunery up` detects this machine's GPUs.

    The labels of a pool of the kind `cpu` select the nodes for everything else: the applications `/engine`
    and `/datasets`, and models of the embedded engine. Without such a pool, they take a fraction of a
    processor on any node."""
    slots: PositiveInt = Field(32, validation_alias="TUNERY_ENGINE_SLOTS")
    """Maximum number of sequences decoded together. For vLLM on `serving_pools`, the default if unset is as
    many as fit into memory."""
    adapters: PositiveInt = Field(32, validation_alias="TUNERY_ENGINE_ADAPTERS")
    """Maximum number of adapters of one model in memory."""
    batch_adapters: PositiveInt = Field(8, validation_alias="TUNERY_ENGINE_BATCH_ADAPTERS")
    """vLLM only: maximum number of adapters on the GPU, which a single batch may mix. On `serving_pools`, the
    default if unset is as many as fit into memory, up to `adapters`."""
    lora_rank: PositiveInt = Field(64, validation_alias="TUNERY_ENGINE_LORA_RANK")
    """vLLM only: maximum rank of an adapter: 1, 8, 16, 32, 64, 128, 256, 320 or 512. Every adapter slot on
    the GPU is sized for it."""

    @property
    def gpu_pools(self) -> tuple[ServingPool, ...]:
        return tuple(pool for pool in self.serving_pools if pool.kind == "cuda")

    @property
    def cpu_selector(self) -> dict[str, str]:
        """Ray's labels of the nodes for what needs no GPU. Empty: any node."""
        return next((pool.selector for pool in self.serving_pools if pool.kind == "cpu"), {})

    @property
    def options(self) -> ServingOptions:
        """What the planner may not exceed, or must follow where a variable is set."""
        return ServingOptions(
            engine=self.engine,
            adapters=self.adapters,
            lora_rank=self.lora_rank,
            slots=self.slots if "slots" in self.model_fields_set else None,
            batch_adapters=self.batch_adapters if "batch_adapters" in self.model_fields_set else None,
        )

    @classmethod
    def read(cls) -> Self:
        """Reads the environment. Raises InvalidConfiguration, which names the variable."""
        try:
            return cls()
        except SettingsError as error:
            named = re.search(r'field "(\w+)"', str(error))
            variable = str(cls.model_fields[named[1]].validation_alias) if named else "A variable"
            raise InvalidConfiguration(
                f"{variable} is not JSON: {error.__cause__}.", param=variable
            ) from error
        except ValidationError as error:
            wrong = error.errors()[0]
            if not wrong["loc"]:
                raise InvalidConfiguration(f"{wrong['msg']}.") from error
            variable = str(wrong["loc"][0])
            raise InvalidConfiguration(
                f"{variable} is {wrong['input']!r}: {wrong['msg']}.", param=variable
            ) from error
