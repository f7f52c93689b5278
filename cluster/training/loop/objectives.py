"""Training objectives, as modules over a model. Losses are sums with counts beside them, because sums over
parts add up to the sum over the whole, and means do not.

Always call the objective, never the model inside it: FSDP, which shards the weights over the workers, must
see every use of them. Any other use of the model goes through `inside`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from cluster.training.data.batches import Batcher, Microbatch
from cluster.training.loop.compute import Compute
from cluster.training.loop.out_of_memory import in_fitting_passes
from cluster.training.model.head import Head

Used = TypeVar("Used")


class Sums(NamedTuple):
    loss: Tensor
    """Scalar: nats, summed over learned tokens, pairs or labels; differentiable."""
    correct: Tensor
    """Scalar: the number of correct units. A token or class is correct if it was the most likely one, a pair
    if the preferred answer got the larger reward."""
    margin: Tensor
    """Scalar: rewards of preferred answers minus those of the others, summed; 0 except for preferences."""
    logprobs: Tensor | None = None
    """float32 (sequences,): the log-probability of each sequence's learned tokens, for preferences."""
    predictions: Tensor | None = None
    """int64 (S,): the class chosen for each label, in the order of the microbatch's targets."""


class Objective(Protocol):
    """An nn.Module as well."""

    model: Any

    def __call__(self, batch: Microbatch) -> Sums: ...


def inside(objective: Objective, use: Callable[[], Used]) -> Used:
    """Returns what `use` returns, called within the objective's forward. There, the model can run by itself,
    and the weights outside of its layers are gathered. All workers that share a model call this together."""
    return cast("Used", objective(use))  # type: ignore[arg-type]


class _Objective(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Microbatch | Callable[[], Used]) -> Sums | Used:
        return self.sums(batch) if isinstance(batch, Microbatch) else batch()

    def sums(self, batch: Microbatch) -> Sums:
        raise NotImplementedError


class LanguageObjective(_Objective):
    """Cross-entropy of the learned tokens under a causal transformers model, adapted or not."""

    def __init__(self, model: Any, head: Head) -> None:
        super().__init__(model)
        self.head = head

    def sums(self, batch: Microbatch) -> Sums:
        rows = self.head.rows(self.model, batch)
        loss, correct = self.head.loss(self.model, rows, batch.targets)
        return Sums(loss, correct, torch.zeros_like(correct))


class PreferenceObjective(_Objective):
    """Direct preference optimisation (Rafailov et al., 2023, arXiv:2305.18290, equation 7).

    The reference is the model before the first step. Only its log-probability of each sequence is kept, in
    the microbatch. Without that, the model is its own reference.
    """

    def __init__(self, model: Any, head: Head, *, beta: float) -> None:
        super().__init__(model)
        self.head = head
        self._beta = beta

    def sums(self, batch: Microbatch) -> Sums:
        policy = sequence_logprobs(self.model, self.head, batch)
        reference = policy.detach() if batch.reference is None else batch.reference
        rewards = self._beta * (policy - reference)
        margins = rewards[0::2] - rewards[1::2]
        # A microbatch that only keeps this worker in step with the others has no targets.
        margins = margins if len(batch.targets) else margins[:0]
        detached = margins.detach()
        loss = -functional.logsigmoid(margins).sum()
        return Sums(loss, (detached > 0).sum(), detached.sum(), logprobs=policy.detach())


class ClassificationObjective(_Objective):
    """Cross-entropy of the labels of texts, or of their words, under an encoder with a classification
    head."""

    def __init__(self, model: Any, *, is_per_token: bool) -> None:
        super().__init__(model)
        self._is_per_token = is_per_token

    def sums(self, batch: Microbatch) -> Sums:
        logits = self.model(input_ids=batch.token_ids, attention_mask=batch.attention_mask).logits.float()
        logits = logits.flatten(0, 1)[batch.positions] if self._is_per_token else logits[batch.owners]
        loss = functional.cross_entropy(logits, batch.targets, reduction="sum")
        chosen = logits.detach().argmax(-1)
        correct = (chosen == batch.targets).sum()
        return Sums(loss, correct, torch.zeros_like(correct), predictions=chosen)


def sequence_logprobs(model: Any, head: Head, batch: Microbatch) -> Tensor:
    """float32 (sequences,): the log-probability of each sequence's learned tokens; differentiable."""
    rows = head.rows(model, batch)
    logprobs = head.logprobs(model, rows, batch.targets)
    zeros = torch.zeros(len(batch.sequences), dtype=logprobs.dtype, device=logprobs.device)
    return zeros.index_add(0, batch.owners, logprobs)


@torch.no_grad()
def reference_logprobs(
    objective: PreferenceObjective,
    batcher: Batcher,
    compute: Compute,
    *,
    before_pass: Callable[[], None],
) -> Tensor:
    """Returns float32 (sequences of the data set,), in the host's memory: the log-probability of each
    sequence under the model as it is, in evaluation mode. Every worker computes a share and gets the whole
    result. Leaves the model in training mode. Raises the errors of `in_fitting_passes`."""
    found = torch.zeros(len(batcher.dataset.offsets) - 1, device=compute.device)

    def score() -> None:
        for microbatch in batcher.microbatches(batcher.all_examples()):
            before_pass()
            batch = microbatch.to(compute.device)
            with compute.autocast():
                sums = objective(batch)
            if len(batch.targets):
                found[batch.sequences] = sums.logprobs

    objective.model.eval()
    in_fitting_passes(batcher, compute, score)
    objective.model.train()
    compute.world.add_up(found)
    return found.cpu()
