"""The gang of data-parallel workers, as the loop sees it: a rank, and sums over all of them."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, distributed


@dataclass(frozen=True, slots=True)
class World:
    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this worker reports and writes checkpoints."""
        return self.rank == 0

    def add_up(self, values: Tensor) -> None:
        """Replaces `values` by their sum over all workers, the same to the last bit on each."""
        if self.size > 1:
            distributed.all_reduce(values)

    def add_up_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """The same for gradients, in one message. A worker that had no examples adds zeros."""
        if self.size == 1:
            return
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        pieces = torch.split(flat, [gradient.numel() for gradient in gradients])
        for parameter, gradient, piece in zip(parameters, gradients, pieces, strict=True):
            parameter.grad = gradient.copy_(piece.view_as(gradient))


def joined_world() -> World:
    """This process in torch's process group, if there is one."""
    if distributed.is_available() and distributed.is_initialized():
        return World(distributed.get_rank(), distributed.get_world_size())
    return World()
