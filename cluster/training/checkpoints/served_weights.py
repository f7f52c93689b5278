"""The weights of a run in training, as serving reads them, with the scores that serving must reproduce."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from cluster.bases.resolve import base_folder
from cluster.contracts.bases import BaseSpec, WeightsForm
from cluster.contracts.hyperparameters import TrainingConfig
from cluster.contracts.manifest import Probe
from cluster.training.checkpoints.export import DTYPES, is_adapted, save_adapter
from cluster.training.checkpoints.probe import score_probe, with_base
from cluster.training.checkpoints.resume_state import restore_weights
from cluster.training.checkpoints.served import load_causal, load_served, unadapted
from cluster.training.checkpoints.served_files import ShardedFiles, merge, write_config, write_sharded
from cluster.training.data.dataset import Dataset
from cluster.training.model.adapters import attach
from cluster.training.model.layout import choose_attention
from cluster.training.model.prefix import prefix_states
from cluster.training.model.trainee import (
    Trainee,
    is_served_quantized,
    load_merge_base,
    trainable_parameters,
)
from cluster.training.world import World, host_copies

_HOST = torch.device("cpu")
"""Where models are loaded beside the one in training, which fills the device."""
NO_PROBE = Probe(token_ids=[], logprobs=[])


@dataclass(slots=True)
class ServedWeights:
    base: BaseSpec
    config: TrainingConfig
    trainee: Trainee
    weights: Path
    """The folder of the weights that the job began with, without adapters."""
    tokenizer: Any
    probe_data: Dataset
    score: Callable[[bool], Probe]
    """Scores the probe with the model in training, or if True, without what was trained: its adapter is off.
    All workers call it together."""
    world: World
    heartbeat: Callable[[], None] = lambda: None
    base_probe: Probe | None = None
    """The base's scores, once they are known. They are the same at every step."""

    @property
    def form(self) -> WeightsForm:
        return self.trainee.form

    def write(self, folder: Path, *, total_steps: int) -> tuple[ShardedFiles | None, Probe]:
        """Writes the served files into `folder` and scores the probe. All workers call this; the first one
        writes, and of a full fine-tune each worker a share. Returns this worker's share, and the probe on the
        first worker."""
        model, dtype = self.trainee.model, self.base.dtype
        if not is_adapted(model):
            share = write_sharded(model, dtype, folder, self.world, self.heartbeat)
            if self.world.is_first:
                write_config(model, self.tokenizer, dtype, folder)
            return share, self._beside_base(self.score(False))
        weights = host_copies(trainable_parameters(model), self.world)
        if self.form == "full":
            if not self.world.is_first:
                return None, NO_PROBE
            return None, self._beside_base(self._merge(weights, folder, total_steps))
        if self.world.is_first:
            if self.form == "prefix":
                save_file(prefix_states(model), folder / "prefix.safetensors")
            else:
                save_adapter(model, weights, folder)
        if self.form == "prefix" or (self.form == "lora" and self.config.type == "qlora"):
            # Serving's model differs from the one in training: it has the base in full precision.
            return None, self._reloaded(folder) if self.world.is_first else NO_PROBE
        if self.base_probe is None:
            self.base_probe = self.score(True)
        return None, with_base(self.score(False), self.base_probe)

    def _merge(self, weights: dict[str, torch.Tensor], folder: Path, total_steps: int) -> Probe:
        """Merges the adapter into a separate fp32 base, because merging into and unmerging from the model in
        training would change it, and scores the result as it is stored."""
        is_quantized = is_served_quantized(self.base, self.config)
        model = load_merge_base(
            self.weights, self.base, self.config, self.probe_data, is_quantized=is_quantized
        )
        self.heartbeat()
        task = self.trainee.model.peft_config["default"].task_type
        adapted = attach(model, self.base, self.config, total_steps=total_steps, task=task)
        restore_weights(trainable_parameters(adapted), weights)
        merged = merge(adapted, self.tokenizer, self.base.dtype, folder)
        self.heartbeat()
        for parameter in filter(torch.is_floating_point, merged.parameters()):
            parameter.data = parameter.data.to(DTYPES[self.base.dtype])
        if self.base.architecture != "encoder":
            choose_attention(merged)
        return score_probe(merged, self.probe_data)

    def _reloaded(self, folder: Path) -> Probe:
        model = load_served(folder, self.form, self.weights, self.base.dtype, _HOST)
        if self.base_probe is None:
            with unadapted(model) as base:
                self.base_probe = score_probe(base, self.probe_data)
        return with_base(score_probe(model, self.probe_data), self.base_probe)

    def _beside_base(self, probe: Probe) -> Probe:
        """Adds the scores of the catalogue's base, on the first worker. An encoder's base has no classes."""
        if not self.world.is_first or self.base.architecture == "encoder":
            return probe
        if self.base_probe is None:
            base = load_causal(base_folder(self.base), self.base.dtype, _HOST)
            self.base_probe = score_probe(base, self.probe_data)
            self.heartbeat()
        return with_base(probe, self.base_probe)
