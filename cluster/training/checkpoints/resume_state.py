"""What a run needs to continue where it stopped: its sharded tensors and its progress.

The files are stored beside the served weights of the same step, if there are any, and their names begin with
`resume`. Each worker writes its own part. Only the newest resume state of a job is kept."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from cluster.contracts.errors import CorruptArtefact, TrainingFailed
from cluster.contracts.frozen import NonFiniteModel
from cluster.contracts.manifest import ManifestFile
from cluster.contracts.weights import WeightsRef
from cluster.storage.files import unobserved
from cluster.training.checkpoints.distributed_store import load
from cluster.training.checkpoints.saved_tensors import Index, SavedTensor
from cluster.training.loop.progress import Progress
from cluster.training.world import put

WEIGHTS, MOMENTS, EXTRAS = "weights/", "moments/", "extras/"
"""Prefixes of the names of a state's tensors."""


@dataclass(frozen=True, slots=True)
class TrainingState:
    """A run at one step. The tensors are the live ones of training: this worker's parts, on its device."""

    progress: Progress
    weights: Mapping[str, Tensor]
    """Exact trainable parameters, by name."""
    moments: Mapping[str, Tensor]
    """The optimizer's tensors, named as in `optimizer.moments`."""
    extras: Mapping[str, Tensor]
    """Further tensors of some methods, equal on all workers: DPO's reference, AdaLoRA's allocation."""
    best: WeightsRef | None = None
    """The checkpoint of the best epoch so far."""

    def tensors(self) -> dict[str, Tensor]:
        kinds = ((WEIGHTS, self.weights), (MOMENTS, self.moments), (EXTRAS, self.extras))
        return {prefix + name: tensor.detach() for prefix, of in kinds for name, tensor in of.items()}


class ResumeManifest(NonFiniteModel):
    """`resume_manifest.json`, which is written last: without it, there is no resume state."""

    format: int = 2
    job_id: str
    attempt: int
    step: int
    base_digest: str
    data_sha256: str
    training_type: str
    """TrainingOptions.type. A state fits only runs of the same type."""
    progress: Progress
    best: WeightsRef | None
    files: list[ManifestFile]
    tensors: dict[str, SavedTensor]


def read_manifest(body: bytes, key: str) -> ResumeManifest:
    try:
        return ResumeManifest.model_validate_json(body)
    except ValidationError as error:
        raise CorruptArtefact(f"The manifest {key!r} cannot be read.") from error


class SavedState:
    """A stored state, from which each worker reads its own parts into its own tensors."""

    def __init__(
        self,
        progress: Progress,
        best: WeightsRef | None,
        index: Index,
        fetch: Callable[[str], Path],
        *,
        group: Any = None,
        heartbeat: Callable[[], None] = unobserved,
    ) -> None:
        """Makes a handle of a stored state. `fetch` returns the path of a file that the index names, and
        downloads it if necessary. `group` and `heartbeat` are passed to `load`."""
        self.progress, self.best = progress, best
        self._index, self._fetch = index, fetch
        self._group, self._heartbeat = group, heartbeat

    def restore_weights(self, parameters: Mapping[str, torch.nn.Parameter]) -> None:
        """Copies the saved values into the trainable parameters. All workers call this. Raises TrainingFailed
        (`checkpoint_mismatch`) if they belong to another adapter or model."""
        saved = self._named(WEIGHTS)
        check_fits(parameters, {name: each.shape for name, each in saved.items()})
        self._load(WEIGHTS, parameters)

    def moments(self, parameters: Mapping[str, torch.nn.Parameter]) -> dict[str, Tensor]:
        """Returns the optimizer's tensors, sharded as the parameters are now. All workers call this."""
        places = {}
        for name, saved in self._named(MOMENTS).items():
            parameter = parameters.get(name.rpartition(":")[0])
            if parameter is None:
                continue
            if parameter.shape == torch.Size(saved.shape):
                places[name] = torch.empty_like(parameter, dtype=saved.torch_dtype, requires_grad=False)
            else:
                places[name] = torch.empty(saved.shape, dtype=saved.torch_dtype, device=parameter.device)
        self._load(MOMENTS, places)
        return places

    def extras(self) -> dict[str, Tensor]:
        """Returns the extra tensors of the state. All workers call this."""
        named = self._named(EXTRAS).items()
        found = {name: torch.empty(saved.shape, dtype=saved.torch_dtype) for name, saved in named}
        self._load(EXTRAS, found)
        return found

    def _named(self, prefix: str) -> dict[str, SavedTensor]:
        return {
            name.removeprefix(prefix): saved for name, saved in self._index.items() if name.startswith(prefix)
        }

    def _load(self, prefix: str, targets: Mapping[str, Tensor]) -> None:
        load(
            {prefix + name: tensor.detach() for name, tensor in targets.items()},
            self._index,
            self._fetch,
            group=self._group,
            heartbeat=self._heartbeat,
        )


def restore_weights(parameters: Mapping[str, torch.nn.Parameter], weights: Mapping[str, Tensor]) -> None:
    """Copies whole values into the trainable parameters. Raises TrainingFailed (`checkpoint_mismatch`) if
    they belong to another adapter or model."""
    check_fits(parameters, {name: list(value.shape) for name, value in weights.items()})
    for name, parameter in parameters.items():
        put(parameter, weights[name])


def check_fits(parameters: Mapping[str, Any], shapes: Mapping[str, list[int]]) -> None:
    """Raises TrainingFailed (`checkpoint_mismatch`) if saved weights with these shapes do not fit the
    parameters."""
    for name, parameter in parameters.items():
        found = shapes.get(name)
        if found is None or list(found) != list(parameter.shape):
            shape = "is missing" if found is None else f"has the shape {list(found)}"
            raise TrainingFailed(
                f"The checkpoint does not fit this kind of training: {name} {shape}, expected "
                f"{list(parameter.shape)}. An adapter must keep its type, rank and target modules.",
                code="checkpoint_mismatch",
                param="training.from_checkpoint",
            )
    if unknown := sorted(shapes.keys() - parameters.keys()):
        raise TrainingFailed(
            f"The checkpoint does not fit this kind of training: it also holds {unknown[0]}.",
            code="checkpoint_mismatch",
            param="training.from_checkpoint",
        )
