"""The serving plans of bases, from their configuration and this installation's settings."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from cluster.bases.configs import config_here, is_quantized, read_config, stored_bytes, stored_bytes_here
from cluster.bases.lora_form import more_than_lora
from cluster.bases.resolve import tokenizer_folder
from cluster.contracts.bases import BaseSpec
from cluster.contracts.errors import EngineStartFailed, InvalidRequest
from cluster.contracts.generation import ModelRef
from cluster.contracts.hyperparameters import TrainingOptions
from cluster.contracts.serving_plan import EngineName, ServingPlan
from cluster.planning.adapters import adapts_experts
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
        """Plans the base. Raises EngineStartFailed if vLLM is to serve the base and no node has room for it;
        Unavailable if the base's configuration cannot be downloaded."""
        entry = base.model_dump_json()
        if (known := self._plans.get(entry)) is None:
            config = await asyncio.to_thread(self._read, base)
            size = await asyncio.to_thread(stored_bytes, base) if is_quantized(config) else None
            known = await asyncio.to_thread(_plan, base, config, self._settings, size)
            self._plans[entry] = known
        return known

    async def engine(self, model: ModelRef) -> EngineName:
        """Returns the engine that runs the model. A base without room belongs to vLLM: its own deployment
        reports what is missing."""
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
    """Raises InvalidRequest if vLLM serves the base and could not load the adapter that is to be trained."""
    ranks = {} if training is None else _ranks(training)
    if training is None or not ranks:
        return
    shape = shape_of(config_here(base) or {})
    if shape is not None and adapts_experts(shape, training):
        return  # Merged when it is published.
    try:
        plan = _plan_here(base, settings).vllm
    except EngineStartFailed:
        return
    for param, rank in ranks.items():
        if plan is not None and rank > plan.max_lora_rank:
            raise InvalidRequest(
                f"{param} is {rank}, but adapters of {base.alias} are served with rank "
                f"{plan.max_lora_rank} at most (TUNERY_ENGINE_LORA_RANK).",
                param=param,
            )


def _ranks(training: TrainingOptions) -> dict[str, int]:
    """Returns the ranks of the adapter that is to be trained, by the parameter that gives them. Only plain
    LoRA is served as an adapter and has any."""
    if training.type != "peft":
        is_plain = training.type in ("lora", "qlora") and not training.use_dora
        return {"training.r": training.r} if is_plain else {}
    config = training.peft_config or {}
    if more_than_lora(config) is not None:
        return {}
    ranks = {"training.peft_config.r": int(config.get("r") or 0)}
    pattern = config.get("rank_pattern") or {}
    return ranks | {f"training.peft_config.rank_pattern.{name}": rank for name, rank in pattern.items()}


def why_not_served(base: BaseSpec, settings: EngineSettings) -> str | None:
    """Returns why no serving node has room for a base whose configuration is on this machine."""
    try:
        _plan_here(base, settings)
    except EngineStartFailed as error:
        return error.message
    return None


def planned_context(base: BaseSpec, settings: EngineSettings) -> int | None:
    """Returns the tokens of the context with which vLLM is planned to serve a base whose configuration is on
    this machine. None if vLLM is not to serve it."""
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
