"""The forward and backward passes of one step: the gradient of the whole batch, however it is split."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch

from cluster.training.data.batches import Batcher, Microbatch, Step
from cluster.training.data.dataset import Indices
from cluster.training.loop.compute import Compute
from cluster.training.loop.growth import DeviceMemory, Growth
from cluster.training.loop.objectives import Objective
from cluster.training.loop.out_of_memory import failure_of_passes, is_out_of_memory
from cluster.training.loop.stopwatch import Stopwatch
from cluster.training.loop.stragglers import Work
from cluster.training.world import whole

BROKEN_LINES = 20
"""Maximum number of lines that an error names. Finding each takes separate passes."""


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
    """Maximum number of tokens that passes have from now on, if more would not fit."""
    work: tuple[Work, ...] = ()
    """Work that each worker did for the previous step."""


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
        """`heartbeat` is called before each pass. `memory` is given for a GPU if workers share a model."""
        self._objective, self._batcher, self._heartbeat = objective, batcher, heartbeat
        self._autocast, self._device, self._world = compute.autocast, compute.device, compute.world
        parameters = list(objective.model.parameters())
        self._parameters = [p for p in parameters if p.requires_grad]
        # Full fine-tuning leaves the towers of a model of text and images frozen.
        self._is_full = 2 * _size(self._parameters) > _size(parameters)
        self._growth = None if memory is None else Growth(memory, batcher.pass_tokens)
        self._stopwatch, self._tokens = Stopwatch(compute.device), 0

    def run(self, examples: Indices, *, seed: int, command_code: int) -> StepSums:
        """Adds the gradient of the mean loss over the learned units of `examples` to each parameter's
        gradient.

        Passes the first worker's `command_code` to all workers. When any worker runs out of memory, all of
        them continue with passes of half as many tokens, which changes no result. Raises TrainingFailed
        (`out_of_memory`) if a pass has one example.

        Workers that share a model cannot repeat a pass. Their passes start small and grow as long as they fit
        on all workers (`growth`). A worker that runs out of memory anyway raises PassesTooLarge at once,
        while the others wait for it; whatever started the gang ends them and starts another gang.
        """
        was_halved = False
        settled_tokens = self._grow()
        while True:
            torch.manual_seed(seed)
            size, rank = self._world.size, self._world.rank
            totals = torch.zeros(6 + 2 * size, dtype=torch.float64, device=self._device)
            totals[3] = command_code if self._world.is_first else 0
            # The work of the previous step, because the end of this one must not be waited for.
            totals[6 + rank], totals[6 + size + rank] = self._stopwatch.seconds(), self._tokens
            self._stopwatch.start()
            failure = self._accumulate(examples, totals)
            self._stopwatch.stop()
            self._world.add_up(totals)
            loss, correct, margin, code, n_failed, n_stuck, *work = totals.tolist()
            if not n_failed:
                each = tuple(map(Work, work[:size], work[size:]))
                return StepSums(loss, correct, margin, int(code), was_halved, settled_tokens, each)
            if n_stuck:
                raise failure_of_passes(self._batcher, examples, "train on", can_repeat=True) from failure
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
        units, longest, self._tokens = self._batcher.n_units(examples), 0, 0
        try:
            for is_last, microbatch in self._passes(examples):
                self._heartbeat()
                longest = max(longest, microbatch.token_ids.numel())
                self._tokens += microbatch.token_ids.numel()
                self._world.announce_pass(self._objective, is_last=is_last, is_full=self._is_full)
                with self._autocast():
                    sums = self._objective(microbatch.to(self._device))
                torch.autograd.backward(sums.loss / units)
                totals[:3] += torch.stack([sums.loss.detach(), sums.correct, sums.margin]).double()
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            # The frames of the traceback hold the tensors that did not fit.
            error = error.with_traceback(None)
            if self._world.is_sharded:
                raise failure_of_passes(self._batcher, examples, "train on", can_repeat=False) from error
            # The other workers' passes may be smaller, because each worker has scored by itself before.
            totals[4], totals[5] = 1, not self._batcher.can_halve
            return error
        if self._growth is not None and not self._growth.is_over:
            self._growth.end(longest)
        return None

    def _passes(self, examples: Indices) -> Iterator[tuple[bool, Microbatch]]:
        """Yields the microbatches, and whether each is the last."""
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

    def add_up_gradients(self) -> None:
        """Replaces gradients by their sums over all workers."""
        self._world.add_up_gradients(self._parameters)

    def broken_lines(self, step: Step) -> list[int]:
        """Returns the first lines of the step whose own loss or gradient is not finite, at most BROKEN_LINES.
        Clears all gradients."""
        lines: list[int] = []
        for example in np.sort(step.examples):
            if len(lines) == BROKEN_LINES:
                break
            finite = torch.ones((), dtype=torch.float64, device=self._device)
            for is_last, microbatch in self._passes(step.examples[step.examples == example]):
                self._heartbeat()
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
        return lines


def _size(parameters: Iterable[torch.nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)
