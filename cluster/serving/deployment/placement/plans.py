"""The serving plans of bases, from their configuration and this installation's settings."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from cluster.bases.configs import config_here, is_quantized, read_config, stored_bytes, stored_bytes_here
from cluster.bases.resolve import tokenizer_folder
from cluster.contracts.bases import BaseSpec
from cluster.contracts.errors import EngineStartFailed, InvalidRequest
from cluster.contracts.generation import ModelRef
from cluster.contracts.hyperparameters import TrainingOptions
from cluster.contracts.serving_plan import EngineName, ServingPlan
from cluster.planning.serving import plan_serving
from cluster.planning.shapes import shape_of
from cluster.serving.deployment.settings import EngineSettings

_ReadConfig = Callable[[BaseSpec], Mapping[str, Any]]


class ServingPlans:
    """Plans each base once."""

    def __init__(self, settings: EngineSettings, read: _ReadConfig | None = None) -> None:
        """`read` returns a base's `config.json`, and may download it."""
        self._settings = settings
        self._read = read or (lambda base: read_config(tokenizer_folder(base)))
        self._plans: dict[str, ServingPlan] = {}
        """Plans by catalogue entry."""

    async def plan(self, base: BaseSpec) -> ServingPlan:
        """Raises EngineStartFailed if vLLM is to serve the base, and no node has room for it; Unavailable if
        what its folder says of it cannot be downloaded."""
        entry = base.model_dump_json()
        if (known := self._plans.get(entry)) is None:
            config = await asyncio.to_thread(self._read, base)
            size = await asyncio.to_thread(stored_bytes, base) if is_quantized(config) else None
            known = await asyncio.to_thread(_plan, base, config, self._settings, size)
            self._plans[entry] = known
        return known

    async def engine(self, model: ModelRef) -> EngineName:
        """What runs the model. A base without room is vLLM's: its own deployment says what is missing."""
        if takes_embedded(model):
            return "embedded"
        try:
            return (await self.plan(model.base)).engine
        except EngineStartFailed:
            return "vllm"


def takes_embedded(model: ModelRef) -> bool:
    """Whether the model has a form that vLLM does not run."""
    return model.is_quantized or (model.beside is not None and model.beside.form == "prefix")


def check_adapter_rank(base: BaseSpec, training: TrainingOptions | None, settings: EngineSettings) -> None:
    """Raises InvalidRequest if vLLM serves the base, and could not load the adapter that is to be trained."""
    if training is None or training.type not in ("lora", "qlora") or training.use_dora:
        return
    try:
        plan = _plan_here(base, settings).vllm
    except EngineStartFailed:
        return
    if plan is not None and training.r > plan.max_lora_rank:
        raise InvalidRequest(
            f"training.r is {training.r}, but adapters of {base.alias} are served with rank "
            f"{plan.max_lora_rank} at most (TUNERY_ENGINE_LORA_RANK).",
            param="training.r",
        )


def why_not_served(base: BaseSpec, settings: EngineSettings) -> str | None:
    """Why no node for serving has room for a base whose configuration is here."""
    try:
        _plan_here(base, settings)
    except EngineStartFailed as error:
        return error.message
    return None


def planned_context(base: BaseSpec, settings: EngineSettings) -> int | None:
    """Tokens of the context that vLLM is planned to serve a base with whose configuration is here. None if
    vLLM is not to serve it."""
    try:
        plan = _plan_here(base, settings).vllm
    except EngineStartFailed:
        return None
    return None if plan is None else plan.max_model_len


def _plan_here(base: BaseSpec, settings: EngineSettings) -> ServingPlan:
    config = config_here(base) or {}
    return _plan(base, config, settings, stored_bytes_here(base) if is_quantized(config) else None)


def _plan(
    base: BaseSpec, config: Mapping[str, Any], settings: EngineSettings, stored: int | None
) -> ServingPlan:
    return plan_serving(
        base,
        shape_of(config),
        settings.serving_pools,
        settings.options,
        is_quantized=is_quantized(config),
        stored_bytes=stored,
    )
