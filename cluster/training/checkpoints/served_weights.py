"""The weights of a run in training, as serving reads them, and the scores that serving must reproduce."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from cluster.bases.processor import processor_files
from cluster.contracts.bases import WeightsForm
from cluster.contracts.manifest import Probe
from cluster.training.checkpoints.export import save_adapter
from cluster.training.checkpoints.served_files import ShardedFiles, write_config, write_sharded
from cluster.training.model.head import causal_model
from cluster.training.model.merged import ReadWeight
from cluster.training.model.prefix import prefix_states
from cluster.training.model.trainee import Trainee, trainable_parameters
from cluster.training.world import World, host_copies


@dataclass(frozen=True, slots=True)
class ServedWeights:
    trainee: Trainee
    dtype: str
    """Type in which the model is served."""
    tokenizer: Any
    read: ReadWeight
    """Returns weights of layers in 4 bits, so that an adapter can be merged into them."""
    score: Callable[[], Probe]
    """Scores the probe with the model in training, as it will be served, and puts the base's scores beside
    it. All workers call it together."""
    world: World
    base: Path
    """The base's folder."""
    heartbeat: Callable[[], None] = lambda: None

    @property
    def form(self) -> WeightsForm:
        return self.trainee.form

    def write(self, folder: Path) -> tuple[ShardedFiles | None, Probe]:
        """Writes the served files into `folder` and scores the probe. All workers call this. Only the first
        one writes, unless the files are those of a whole model: then each worker writes a share. Returns this
        worker's share, and the probe."""
        model = self.trainee.model
        if self.form == "full":
            share = write_sharded(model, self.dtype, folder, self.world, self.heartbeat, self.read)
            if self.world.is_first:
                processor = processor_files(self.base)
                write_config(causal_model(model), self.tokenizer, processor, self.dtype, folder)
            return share, self.score()
        weights = host_copies(trainable_parameters(model), self.world)
        if self.world.is_first:
            if self.form == "prefix":
                save_file(prefix_states(model), folder / "prefix.safetensors")
            else:
                save_adapter(model, weights, folder)
        return None, self.score()
