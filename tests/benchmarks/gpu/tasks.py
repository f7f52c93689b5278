"""Training of a base on made-up chats, and the memory that its plan expects."""

from pathlib import Path
from typing import Any

from cluster.bases.configs import read_config
from cluster.contracts.devices import Pool
from cluster.contracts.hyperparameters import TrainingOptions
from cluster.planning.memory import Lengths as PlannedLengths
from cluster.planning.memory import Way, footprint
from cluster.planning.planner import task_of
from cluster.planning.shapes import shape_of
from tests.benchmarks.gpu.sizes import GB, Setting, rounded
from tests.benchmarks.training.chats import Lengths
from tests.benchmarks.training.ours import base_of, measure
from tests.benchmarks.training.task import Measurement, Task

_POOL = Pool.model_validate({"kind": "cuda", "devices": 1, "device_bytes": "80GB"})
_TOLERANCE = 0.01


def task_for(setting: Setting, name: str, **changes: Any) -> Task:
    """LoRA of the base `middle` or `large` on chats of skewed lengths."""
    sizes = setting.sizes
    fields: dict[str, Any] = {
        "folder": setting.base(name).source.path,
        "vocab": getattr(sizes, name).vocab,
        "context": sizes.context,
        "n_chats": 192,
        "lengths": sizes.chats,
        "batch_size": 32,
        "learning_rate": 1e-4,
        "is_gpu": True,
    }
    return Task(**fields | changes)


def even_task(setting: Setting, name: str, tokens: int, *, n_chats: int, **changes: Any) -> Task:
    """Examples of so many tokens, one in each step."""
    lengths = Lengths(median=tokens, spread=0.0, shortest=tokens, longest=tokens)
    return task_for(setting, name, context=tokens, lengths=lengths, n_chats=n_chats, batch_size=1, **changes)


def measured(setting: Setting, task: Task) -> Measurement:
    """Trains, in the first step also for a warm-up."""
    setting.forget_peak()
    return measure(task, setting.device)


def are_close(found: Measurement, expected: Measurement) -> bool:
    """Whether two runs have the same losses, but for the rounding of bf16."""
    pairs = zip(found.losses, expected.losses, strict=True)
    return all(abs(one - other) <= _TOLERANCE * other for one, other in pairs)


def figures(found: Measurement, task: Task) -> dict[str, object]:
    """Memory is that of the GPU. Without one, the plan and the peak are of different things."""
    return {
        "tokens_per_second": round(found.tokens_per_second),
        "mfu": None if found.mfu is None else rounded(found.mfu),
        "peak_gb": rounded(found.peak_bytes / GB),
        "planned_gb": rounded(planned_bytes(task) / GB),
        "losses": [rounded(loss) for loss in found.losses[:8]],
        "note": found.note,
    }


def planned_bytes(task: Task) -> int:
    """What the plan expects a GPU's tensors to take: without the process's own context and buffers."""
    shape = shape_of(read_config(Path(task.folder)))
    assert shape is not None
    options = TrainingOptions(type=task.type)
    lengths = PlannedLengths(task.lengths.longest, task.lengths.longest)
    planned = task_of(shape, base_of(task), options, "supervised", lengths)
    way = Way(1, "single", task.activation_checkpointing, max(8192, task.lengths.longest))
    device = footprint(planned, way, _POOL).device
    return device.total - device.runtime
