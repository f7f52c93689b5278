"""The forward and backward passes of one step: the gradient of the whole batch, however it is cut."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch

from cluster.contracts.errors import TrainingFailed
from cluster.training.data.batches import Batcher, Microbatch, Step
from cluster.training.data.dataset import Indices
from cluster.training.loop.compute import Compute
from cluster.training.loop.growth import DeviceMemory, Growth
from cluster.training.loop.objectives import Objective
from cluster.training.world import whole

_CODE = "out_of_memory"
_ADVICE = (
    "Shorten the longest examples, set training.activation_checkpointing to 'full' or training.optimizer to "
    "'adamw_8bit', use a smaller rank, LoRA or QLoRA in place of full fine-tuning, more workers, or a larger "
    "machine."
)


class StepSums(NamedTuple):
    """Sums over the step's examples and all workers."""

    loss: float
    correct: float
    margin: float
    command_code: int
    """What the first worker passed to `run`."""
    was_halved: bool
    """Whether memory ran out, so that passes have half as many tokens from now on."""
    settled_tokens: int | None = None
    """The most tokens that passes have from now on, if more would not fit."""


class StepEngine:
    """Computes gradients. The loop handles the optimizer and the epochs."""

    def __init__(
        self,
        objective: Objective,
        batcher: Batcher,
        compute: Compute,
        *,
        heartbeat: Callable[[], None],
        memory: DeviceMemory | None = None,
    ) -> None:
        """`heartbeat` is called before each pass. `memory` is that of a GPU, if workers share a model."""
        self._objective, self._batcher, self._heartbeat = objective, batcher, heartbeat
        self._autocast, self._device, self._world = compute.autocast, compute.device, compute.world
        parameters = list(objective.model.parameters())
        self._parameters = [p for p in parameters if p.requires_grad]
        self._is_full = len(self._parameters) == len(parameters)
        self._has_halved = False
        self._growth = None if memory is None else Growth(memory, batcher.pass_tokens)

    def run(self, examples: Indices, *, seed: int, command_code: int) -> StepSums:
        """Adds the gradient of the mean loss over the learned units of `examples` to each parameter's
        gradient.

        Passes the first worker's `command_code` to all workers. When any worker runs out of memory for the
        first time, all of them continue with passes of half as many tokens, which changes no result; the
        second time, raises TrainingFailed (`out_of_memory`). Workers that share a model cannot repeat a pass:
        their passes grow from small ones for as long as they fit on all of them (`growth`).
        """
        was_halved = False
        settled_tokens = self._grow()
        while True:
            torch.manual_seed(seed)
            totals = torch.zeros(5, dtype=torch.float64, device=self._device)
            totals[3] = command_code if self._world.is_first else 0
            failure = self._accumulate(examples, totals)
            self._world.add_up(totals)
            loss, correct, margin, code, n_failed = totals.tolist()
            if not n_failed:
                return StepSums(loss, correct, margin, int(code), was_halved, settled_tokens)
            if self._has_halved:
                raise out_of_memory(self._batcher, examples) from failure
            self._halve()
            was_halved = True

    def _grow(self) -> int | None:
        growth = self._growth
        if growth is None or growth.is_over:
            return None
        short = torch.tensor(float(not growth.begin()), device=self._device)
        self._world.add_up(short)
        growth.decide(has_room=not short.item())
        self._batcher.limit(growth.tokens)
        return growth.tokens if growth.is_over and growth.tokens < growth.wanted else None

    def _accumulate(self, examples: Indices, totals: torch.Tensor) -> BaseException | None:
        units, longest = self._batcher.n_units(examples), 0
        try:
            for is_last, microbatch in self._passes(examples):
                self._heartbeat()
                longest = max(longest, microbatch.token_ids.numel())
                self._world.announce_pass(self._objective, is_last=is_last, is_full=self._is_full)
                with self._autocast():
                    sums = self._objective(microbatch.to(self._device))
                torch.autograd.backward(sums.loss / units)
                totals[:3] += torch.stack([sums.loss.detach(), sums.correct, sums.margin]).double()
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            # Workers that share a model wait for this one in the middle of a pass, and cannot repeat it.
            if not is_out_of_memory(error) or self._world.is_sharded:
                raise
            totals[4] = 1
            # The frames of its traceback hold the tensors that did not fit.
            return error.with_traceback(None)
        if self._growth is not None and not self._growth.is_over:
            self._growth.end(longest)
        return None

    def _passes(self, examples: Indices) -> Iterator[tuple[bool, Microbatch]]:
        """The microbatches, and whether each is the last."""
        waiting: Microbatch | None = None
        for microbatch in self._batcher.microbatches(examples):
            if waiting is not None:
                yield False, waiting
            waiting = microbatch
        if waiting is not None:
            yield True, waiting

    def _halve(self) -> None:
        for parameter in self._parameters:
            parameter.grad = None
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        self._batcher.halve()
        self._has_halved = True

    def add_up_gradients(self) -> None:
        """Replaces gradients by their sums over all workers."""
        self._world.add_up_gradients(self._parameters)

    def broken_lines(self, step: Step) -> list[int]:
        """The lines of the step whose own loss or gradient is not finite. Clears all gradients."""
        lines = []
        for example in step.examples:
            finite = torch.ones((), dtype=torch.float64, device=self._device)
            for is_last, microbatch in self._passes(step.examples[step.examples == example]):
                self._world.announce_pass(self._objective, is_last=is_last, is_full=self._is_full)
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
    """Turns running out of memory into TrainingFailed (`out_of_memory`) where passes cannot be halved."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingFailed(f"Not enough memory to train this way. {_ADVICE}", code=_CODE) from error


def is_out_of_memory(error: BaseException) -> bool:
    """torch raises OutOfMemoryError on a GPU; its CPU allocator raises a RuntimeError with this text."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return type(error) is RuntimeError and "not enough memory" in str(error)


def out_of_memory(batcher: Batcher, examples: Indices) -> TrainingFailed:
    """An error that names the longest example of the step and says what to change."""
    lengths = batcher.dataset.lengths()[examples]
    line = int(batcher.dataset.lines[examples[lengths.argmax()]])
    return TrainingFailed(
        f"Not enough memory for a forward and backward pass, also with passes of half as many tokens. The "
        f"longest example of the step, on line {line}, has {int(lengths.max())} tokens. {_ADVICE}",
        code=_CODE,
    )
