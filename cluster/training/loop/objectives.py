"""What training minimises, as modules over a model: losses as sums, with counts beside them, because sums of
parts add up to the whole and means of parts do not.

An objective is called, never the model inside it, so that whatever shares the model among workers sees every
use of its weights.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from cluster.training.data.batches import Batcher, Microbatch
from cluster.training.model.head import Head
from cluster.training.world import World


class Sums(NamedTuple):
    loss: Tensor
    """Scalar: nats, summed over learned tokens, pairs or labels; differentiable."""
    correct: Tensor
    """Scalar: how many of them were right: the most likely token or class, or the better answer's reward the
    larger one."""
    margin: Tensor
    """Scalar: rewards of the better answers less those of the others, summed; 0 but for preferences."""
    logprobs: Tensor | None = None
    """float32 (sequences,): of a preference microbatch, each sequence's learned tokens."""
    predictions: Tensor | None = None
    """int64 (S,): the class chosen for each label, in the order of the microbatch's targets."""


class Objective(Protocol):
    """Also an nn.Module."""

    model: Any

    def __call__(self, batch: Microbatch) -> Sums: ...


class LanguageObjective(nn.Module):
    """Cross-entropy of the learned tokens under a causal transformers model, adapted or not."""

    def __init__(self, model: Any, head: Head) -> None:
        super().__init__()
        self.model = model
        self.head = head

    def forward(self, batch: Microbatch) -> Sums:
        rows = self.head.rows(self.model, batch)
        loss, correct = self.head.loss(self.model, rows, batch.targets)
        return Sums(loss, correct, torch.zeros_like(correct))


class PreferenceObjective(nn.Module):
    """Direct preference optimisation (Rafailov et al., 2023, arXiv:2305.18290, equation 7).

    The reference is the model as it was before the first step, of which only each sequence's log-probability
    is kept, in the microbatch. Without it the model is its own reference.
    """

    def __init__(self, model: Any, head: Head, *, beta: float) -> None:
        super().__init__()
        self.model = model
        self.head = head
        self._beta = beta

    def forward(self, batch: Microbatch) -> Sums:
        policy = sequence_logprobs(self.model, self.head, batch)
        reference = policy.detach() if batch.reference is None else batch.reference
        rewards = self._beta * (policy - reference)
        margins = rewards[0::2] - rewards[1::2]
        # A microbatch that only keeps other workers company learns nothing.
        margins = margins if len(batch.targets) else margins[:0]
        detached = margins.detach()
        loss = -functional.logsigmoid(margins).sum()
        return Sums(loss, (detached > 0).sum(), detached.sum(), logprobs=policy.detach())


class ClassificationObjective(nn.Module):
    """Cross-entropy of the labels of texts, or of their words, under an encoder with a head for them."""

    def __init__(self, model: Any, *, is_per_token: bool) -> None:
        super().__init__()
        self.model = model
        self._is_per_token = is_per_token

    def forward(self, batch: Microbatch) -> Sums:
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
    *,
    autocast: Callable[[], Any],
    device: torch.device,
    world: World,
    heartbeat: Callable[[], None],
) -> Tensor:
    """float32 (sequences of the data set,), in the host's memory: of everything, by the model as it is, in
    evaluation mode; every worker takes a share and gets the whole. Leaves the model in training mode."""
    found = torch.zeros(len(batcher.dataset.offsets) - 1, device=device)
    objective.model.eval()
    for microbatch in batcher.microbatches(batcher.all_examples()):
        heartbeat()
        batch = microbatch.to(device)
        with autocast():
            sums = objective(batch)
        if len(batch.targets):
            found[batch.sequences] = sums.logprobs
    objective.model.train()
    world.add_up(found)
    return found.cpu()
