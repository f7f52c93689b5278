"""What a resume needs besides the weights that serving reads: files whose names begin with `resume_`."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from cluster.contracts.bases import WeightsForm
from cluster.contracts.errors import TrainingFailed
from cluster.contracts.weights import WeightsRef
from cluster.training.checkpoints.export import contiguous
from cluster.training.loop.progress import Progress
from cluster.training.world import put

OPTIMIZER_FILE = "resume_optimizer.safetensors"
WEIGHTS_FILE = "resume_weights.safetensors"
EXTRAS_FILE = "resume_extras.safetensors"
PROGRESS_FILE = "resume_progress.json"


@dataclass(frozen=True, slots=True)
class TrainingState:
    """A run at one step, in full and in the host's memory."""

    progress: Progress
    weights: dict[str, Tensor]
    """The exact trainable parameters, by name."""
    moments: dict[str, Tensor]
    """The optimizer's tensors, named as in `optimizer.moments`."""
    extras: dict[str, Tensor]
    """Further tensors of some methods: DPO's reference, AdaLoRA's allocation."""
    best: WeightsRef | None = None
    """The checkpoint of the best epoch so far."""


def write_state(state: TrainingState, folder: Path) -> None:
    for name, tensors in (
        (WEIGHTS_FILE, state.weights),
        (OPTIMIZER_FILE, state.moments),
        (EXTRAS_FILE, state.extras),
    ):
        save_file(contiguous(tensors), folder / name)
    progress = asdict(state.progress)
    if math.isinf(state.progress.best_loss):
        progress["best_loss"] = None  # JSON has no infinity.
    best = state.best and [state.best.manifest_key, state.best.digest]
    (folder / PROGRESS_FILE).write_text(json.dumps({"progress": progress, "best": best}))


def read_state(folder: Path, form: WeightsForm) -> TrainingState:
    """Reads what `write_state` wrote. `form` is the form of the run's checkpoints."""
    kept = json.loads((folder / PROGRESS_FILE).read_text())
    progress = kept["progress"]
    if progress["best_loss"] is None:
        progress["best_loss"] = math.inf
    best = None
    if kept["best"] is not None:
        manifest_key, digest = kept["best"]
        best = WeightsRef(digest=digest, manifest_key=manifest_key, form=form)
    return TrainingState(
        progress=Progress(**progress),
        weights=load_file(folder / WEIGHTS_FILE),
        moments=load_file(folder / OPTIMIZER_FILE),
        extras=load_file(folder / EXTRAS_FILE),
        best=best,
    )


def read_adapter_state(folder: Path) -> TrainingState:
    """The state of a run at its first step, from PEFT's LoRA weights, which are exactly the trainable
    ones."""
    saved = load_file(folder / "adapter_model.safetensors")
    # PEFT leaves the adapter's name out of its files.
    named = {
        re.sub(r"(?<=\.lora_[AB])(?=\.weight$)", ".default", name): value for name, value in saved.items()
    }
    return TrainingState(Progress(), named, moments={}, extras={})


def restore_weights(parameters: Mapping[str, torch.nn.Parameter], weights: Mapping[str, Tensor]) -> None:
    """Copies the values into the trainable parameters. Raises TrainingFailed (`checkpoint_mismatch`) if they
    belong to another adapter or model."""
    for name, parameter in parameters.items():
        found = weights.get(name)
        if found is None or found.shape != parameter.shape:
            shape = "is missing" if found is None else f"has the shape {list(found.shape)}"
            raise TrainingFailed(
                f"The checkpoint does not fit this kind of training: {name} {shape}, expected "
                f"{list(parameter.shape)}. An adapter must keep its type, rank and target modules.",
                code="checkpoint_mismatch",
                param="training.from_checkpoint",
            )
        put(parameter, found)
    if unknown := sorted(weights.keys() - parameters.keys()):
        raise TrainingFailed(
            f"The checkpoint does not fit this kind of training: it also holds {unknown[0]}.",
            code="checkpoint_mismatch",
            param="training.from_checkpoint",
        )
