"""The gang of workers as the loop sees it: a rank, sums over all workers, and full tensors."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed
from torch.distributed.tensor import DTensor


@dataclass(frozen=True, slots=True)
class World:
    rank: int = 0
    size: int = 1
    is_sharded: bool = False
    """Whether each worker holds a part of every weight (FSDP2), and torch adds up the gradients itself.
    Otherwise each worker holds the whole model."""

    @property
    def is_first(self) -> bool:
        """Whether this worker reports and writes checkpoints."""
        return self.rank == 0

    def add_up(self, values: Tensor) -> None:
        """Replaces `values` by their sum over all workers, bit-identical on each."""
        if self.size > 1:
            distributed.all_reduce(values)

    def add_up_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Does the same for gradients, in one message. A worker that had no examples adds zeros."""
        if self.size == 1 or self.is_sharded:
            return
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        pieces = torch.split(flat, [gradient.numel() for gradient in gradients])
        for parameter, gradient, piece in zip(parameters, gradients, pieces, strict=True):
            parameter.grad = gradient.copy_(piece.view_as(gradient))

    def shard(
        self,
        objective: torch.nn.Module,
        layers: Iterable[torch.nn.Module],
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        """Shards the weights of an objective over the workers and their devices. `layers` are gathered one at
        a time, the remaining weights for a whole pass. Gathered weights are in `dtype`, in which the model
        computes; each worker's own part keeps its type. Gradients are added up, not averaged, because losses
        are sums."""
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

        mesh = init_device_mesh(device.type, (self.size,))
        policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32)
        for layer in layers:
            fully_shard(layer, mesh=mesh, mp_policy=policy)
        # The outermost module is resharded too: weights that stay gathered after a pass without gradients
        # would be taken for the trainable ones.
        fully_shard(objective, mesh=mesh, mp_policy=policy, reshard_after_forward=True)
        for module in objective.modules():
            if isinstance(module, FSDPModule):
                module.set_gradient_divide_factor(1.0)
                # Otherwise the factor is part of a reduction that gloo does not support.
                module.set_force_sum_reduction_for_comms(True)


def joined_world(*, is_sharded: bool = False) -> World:
    """This process's place in torch's process group, if there is one."""
    if distributed.is_available() and distributed.is_initialized():
        size = distributed.get_world_size()
        return World(distributed.get_rank(), size, is_sharded=is_sharded and size > 1)
    return World()


def whole(tensor: Any) -> Tensor:
    """The full tensor, of which this worker may hold a part. All workers must call it in the same order."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def host_copies(tensors: Mapping[str, Any], world: World) -> dict[str, Tensor]:
    """Full copies in the host's memory on the first worker. The other workers must call it too, and get
    nothing."""
    copies = {}
    for name, tensor in tensors.items():
        full = whole(tensor).detach()
        if world.is_first:
            copies[name] = full.to("cpu", copy=True)
    return copies


def put(tensor: Tensor, value: Tensor) -> None:
    """Copies the full `value` into `tensor`, or into this worker's part of it."""
    with torch.no_grad():
        if isinstance(tensor, DTensor):
            from torch.distributed.tensor import distribute_tensor

            value = distribute_tensor(
                value.to(tensor.device, tensor.dtype), tensor.device_mesh, tensor.placements
            )
        tensor.copy_(value)
