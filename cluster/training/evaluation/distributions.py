"""Keeps a model's predictions at each learned token of a data set, so that another model can be compared with
it later. In full fine-tuning, the two models never exist at the same time."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from cluster.training.data.batches import Batcher, Microbatch
from cluster.training.loop.compute import Compute
from cluster.training.loop.objectives import Objective, inside
from cluster.training.loop.out_of_memory import in_fitting_passes
from cluster.training.model.head import Head
from cluster.training.model.interleaving import Interleaving

ROWS = 256
"""Number of positions whose log-probabilities are read at once. Each takes a row of logits."""
KEPT = 1 << 24
"""Total number of log-probabilities that are kept: those of the most likely tokens at each position."""
_LEAST = 1e-9


class Distributions(NamedTuple):
    """The K most likely tokens at each of S positions, in the order of the data set."""

    token_ids: Tensor
    """int32 (S, K)."""
    logprobs: Tensor
    """float32 (S, K)."""

    @classmethod
    def empty(cls, positions: int, vocabulary: int, device: torch.device) -> "Distributions":
        shape = (positions, min(vocabulary, max(1, KEPT // positions)))
        return cls(
            torch.zeros(shape, dtype=torch.int32, device=device),
            torch.zeros(shape, dtype=torch.float32, device=device),
        )

    def keep(self, places: Tensor, logprobs: Tensor) -> None:
        """Keeps the largest of `logprobs` (N, vocabulary) at N places."""
        top = logprobs.topk(self.token_ids.shape[1])
        self.token_ids[places] = top.indices.int()
        self.logprobs[places] = top.values

    def divergence(self, places: Tensor, logprobs: Tensor) -> Tensor:
        """Returns KL(kept || other) in nats, summed over N places. `logprobs` (N, vocabulary) are the other
        model's. All tokens that are not kept count as one, so the result is at most a little too small."""
        kept = self.logprobs[places].double()
        other = logprobs.gather(1, self.token_ids[places].long()).double()
        total = (kept.exp() * (kept - other)).sum()
        if kept.shape[1] < logprobs.shape[1]:
            rest, other_rest = ((1 - each.exp().sum(1)).clamp_min(_LEAST) for each in (kept, other))
            total += (rest * (rest / other_rest).log()).sum()
        return total


@torch.no_grad()
def read_tokens(
    objective: Objective,
    head: Head,
    batcher: Batcher,
    compute: Compute,
    visit: Callable[[Tensor, Tensor, Tensor], Tensor],
    *,
    before_pass: Callable[[], None],
    interleaving: Interleaving = Interleaving(),
) -> Tensor:
    """Returns the float64 sum of what `visit(places, targets, logprobs)` returns for this worker's share of a
    data set.

    `visit` gets the numbers of N learned tokens among all of them, their token ids, and log-probabilities (N,
    vocabulary) at their positions. It is called at least once, with an N that may be 0, and again with the
    same tokens if passes did not fit. Raises the errors of `in_fitting_passes`."""

    def read_all() -> Tensor:
        total = torch.zeros((), dtype=torch.float64, device=compute.device)

        def read(batch: Microbatch, places: Tensor) -> None:
            nonlocal total
            rows = head.rows(objective.model, batch)
            numbers = torch.arange(len(batch.targets), device=places.device)
            for some in torch.split(numbers, ROWS):
                logprobs = head.logits(objective.model, rows[some]).log_softmax(-1)
                total = total + visit(places[some], batch.targets[some], logprobs)

        def read_one(microbatch: Microbatch) -> None:
            before_pass()
            places = batcher.places(microbatch).to(compute.device)
            with compute.autocast():
                inside(objective, partial(read, microbatch.to(compute.device), places))

        for _ in interleaving.run(
            partial(read_one, each) for each in batcher.microbatches(batcher.all_examples())
        ):
            pass
        return total

    return in_fitting_passes(batcher, compute, read_all, interleaving)
