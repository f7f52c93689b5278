"""One step's forward and backward passes: gradients of the whole batch, however it is cut."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from cluster.contracts.errors import TrainingFailed
from cluster.training.data.batches import Batcher, Step
from cluster.training.data.dataset import Indices
from cluster.training.loop.objectives import Objective
from cluster.training.world import World, whole

_CODE = "out_of_memory"
_ADVICE = (
    "Shorten the longest examples, set training.activation_checkpointing to 'full' or training.optimizer to "
    "'adamw_8bit', use a smaller rank, LoRA or QLoRA in place of full fine-tuning, more workers, or a larger "
    "machine."
)


class StepSums(NamedTuple):
    """Over all workers."""

    loss: float
    correct: float
    margin: float
    command_code: int
    """What the first worker passed to `run`."""
    was_halved: bool
    """Memory did not suffice, and passes have half as many tokens from now on."""


class StepEngine:
    """Computes gradients. Knows nothing of optimizers and epochs."""

    def __init__(
        self,
        objective: Objective,
        batcher: Batcher,
        *,
        autocast: Callable[[], Any],
        device: torch.device,
        world: World,
        heartbeat: Callable[[], None],
    ) -> None:
        """`heartbeat` is called before each pass: a sign of life."""
        self._objective, self._batcher = objective, batcher
        self._autocast, self._device, self._world, self._heartbeat = autocast, device, world, heartbeat
        self._parameters = [p for p in objective.model.parameters() if p.requires_grad]
        self._has_halved = False

    def run(self, examples: Indices, *, seed: int, command_code: int) -> StepSums:
        """Adds to each parameter's gradient that of the mean loss over the learned units of `examples`.

        The first worker's `command_code` reaches all workers. The first time that memory does not suffice on
        one of them, all go on with passes of half as many tokens, which changes no result. Raises
        TrainingFailed (`out_of_memory`) the second time."""
        was_halved = False
        while True:
            torch.manual_seed(seed)
            totals = torch.zeros(5, dtype=torch.float64, device=self._device)
            totals[3] = command_code if self._world.is_first else 0
            failure = self._accumulate(examples, totals)
            self._world.add_up(totals)
            loss, correct, margin, code, n_failed = totals.tolist()
            if not n_failed:
                return StepSums(loss, correct, margin, int(code), was_halved)
            if self._has_halved:
                raise out_of_memory(self._batcher, examples) from failure
            self._halve()
            was_halved = True

    def _accumulate(self, examples: Indices, totals: torch.Tensor) -> BaseException | None:
        units = self._batcher.n_units(examples)
        try:
            for microbatch in self._batcher.microbatches(examples):
                self._heartbeat()
                with self._autocast():
                    sums = self._objective(microbatch.to(self._device))
                torch.autograd.backward(sums.loss / units)
                totals[:3] += torch.stack([sums.loss.detach(), sums.correct, sums.margin]).double()
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            # Workers that share a model wait for this one in the midst of a pass: there is no going on.
            if not is_out_of_memory(error) or self._world.is_sharded:
                raise
            totals[4] = 1
            # Its frames hold the tensors that there is no memory for.
            return error.with_traceback(None)
        return None

    def _halve(self) -> None:
        for parameter in self._parameters:
            parameter.grad = None
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        self._batcher.halve()
        self._has_halved = True

    def add_up_gradients(self) -> None:
        """Over all workers."""
        self._world.add_up_gradients(self._parameters)

    def broken_lines(self, step: Step) -> list[int]:
        """The lines whose loss or gradient alone is not finite. Leaves no gradients behind."""
        lines = []
        for example in step.examples:
            finite = torch.ones((), dtype=torch.float64, device=self._device)
            for microbatch in self._batcher.microbatches(step.examples[step.examples == example]):
                with self._autocast():
                    loss = self._objective(microbatch.to(self._device)).loss
                torch.autograd.backward(loss)
                finite *= loss.detach().isfinite()
            self.add_up_gradients()
            norm = torch.nn.utils.get_total_norm([p.grad for p in self._parameters if p.grad is not None])
            finite *= whole(norm).isfinite()
            for parameter in self._parameters:
                parameter.grad = None
            self._world.add_up(finite)
            if finite.item() < self._world.size:
                lines.append(int(self._batcher.dataset.lines[example]))
        return sorted(lines)


@contextmanager
def typed_out_of_memory() -> Iterator[None]:
    """Whatever runs out of memory where passes cannot be halved ends as TrainingFailed (`out_of_memory`)."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingFailed(f"Not enough memory to train this way. {_ADVICE}", code=_CODE) from error


def is_out_of_memory(error: BaseException) -> bool:
    """torch says OutOfMemoryError on a GPU; its CPU allocator raises a RuntimeError with these words."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return type(error) is RuntimeError and "not enough memory" in str(error)


def out_of_memory(batcher: Batcher, examples: Indices) -> TrainingFailed:
    """With a hint that names what is large."""
    lengths = batcher.dataset.lengths()[examples]
    line = int(batcher.dataset.lines[examples[lengths.argmax()]])
    return TrainingFailed(
        f"Not enough memory for a forward and backward pass, also with passes of half as many tokens. The "
        f"longest example of the step, on line {line}, has {int(lengths.max())} tokens. {_ADVICE}",
        code=_CODE,
    )
