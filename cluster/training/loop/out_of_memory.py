"""What happens to a run when a pass runs out of memory.

Workers that each hold a model repeat the step, or the scoring, in smaller passes. Workers that share a model
wait for each other within a pass and cannot repeat it: the attempt ends, and the job's next attempt takes
smaller passes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, TypeVar

import torch

from cluster.contracts.errors import PassesTooLarge, TrainingFailed
from cluster.training.data.batches import Batcher
from cluster.training.data.dataset import Indices
from cluster.training.loop.compute import Compute
from cluster.training.model.interleaving import Interleaving

Found = TypeVar("Found")

CODE = "out_of_memory"
_TEXTS = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "Cuda failure 2",
    "Cuda failure 'out of memory'",
)
"""Messages of the CPU's allocator on two systems, and of code that allocates GPU memory outside of torch's
allocator: kernels, cuBLAS, and two releases of NCCL."""
_ADVICE = (
    "Shorten the longest examples, set training.activation_checkpointing to 'full' or training.optimizer to "
    "'adamw_8bit', use a smaller rank, LoRA or QLoRA in place of full fine-tuning, more workers, or a larger "
    "machine."
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error means that memory ran out. torch raises OutOfMemoryError if its allocator for GPUs
    finds no memory. If memory runs out elsewhere, it raises another RuntimeError, which only its text
    identifies."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _TEXTS)


@contextmanager
def typed_out_of_memory() -> Iterator[None]:
    """Turns running out of memory into TrainingFailed (`out_of_memory`) where smaller passes would not
    help."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingFailed(f"Not enough memory to train this way. {_ADVICE}", code=CODE) from error


def in_fitting_passes(
    batcher: Batcher,
    compute: Compute,
    score: Callable[[], Found],
    interleaving: Interleaving = Interleaving(),
) -> Found:
    """Returns what `score` finds in passes over `batcher` without gradients, as many at once as
    `interleaving` says. If they do not fit, `score` is called again with half as many at once, or with passes
    of half as many tokens.

    Raises PassesTooLarge if workers share the model, and TrainingFailed (`out_of_memory`) if a pass has a
    single example.
    """
    while True:
        try:
            return score()
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            # The frames of the traceback hold the tensors that did not fit.
            failure = error.with_traceback(None)
        is_halved = interleaving.halve()
        if compute.world.is_sharded or not (is_halved or batcher.can_halve):
            can_repeat = not compute.world.is_sharded
            raise failure_of_passes(
                batcher, batcher.all_examples(), "score", can_repeat=can_repeat
            ) from failure
        if compute.device.type == "cuda":
            torch.cuda.empty_cache()
        if not is_halved:
            batcher.halve()


def can_go_on(error: TrainingFailed, compute: Compute) -> bool:
    """Whether a run can continue without the scores for which there is not enough memory. Workers that share
    a model cannot: they wait for each other in the middle of a pass."""
    return error.code == CODE and not compute.world.is_sharded


def failure_of_passes(
    batcher: Batcher, examples: Indices, what: Literal["train on", "score"], *, can_repeat: bool
) -> PassesTooLarge | TrainingFailed:
    """Returns the error for passes over `examples` that do not fit. If passes are of single examples, it
    names the longest one. Otherwise it says how many tokens the next attempt should try, because the workers
    of this one cannot repeat the passes."""
    if batcher.can_halve and not can_repeat:
        return PassesTooLarge(
            f"A pass of {batcher.pass_tokens} tokens did not fit into the memory of a device.",
            pass_tokens=batcher.pass_tokens // 2,
        )
    lengths = batcher.dataset.lengths()[examples]
    line = int(batcher.dataset.lines[examples[lengths.argmax()]])
    return TrainingFailed(
        f"Not enough memory to {what} even single examples. The longest of them, on line {line} of its file, "
        f"has {int(lengths.max())} tokens. {_ADVICE}",
        code=CODE,
    )
