"""The gang of workers as the loop sees it: a rank, sums over all workers, and full tensors."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, distributed
from torch.distributed.tensor import DTensor

from cluster.training.parts import attach_parts, detach_parts

Found = TypeVar("Found")

_PATIENCE = timedelta(days=1)

BUCKET_ELEMENTS = 1 << 24
"""Replicated gradients are reduced in buckets of this many elements: few messages, and no second copy of all
gradients."""


@dataclass(frozen=True, slots=True)
class World:
    rank: int = 0
    size: int = 1
    is_sharded: bool = False
    """Whether each worker holds a part of every weight (FSDP2), and torch adds up the gradients itself.
    Otherwise each worker holds the whole model."""
    replicas: int = 1
    """Number of replicas of a sharded model. Each is shared by the workers of one node, which have
    consecutive ranks."""

    @property
    def is_first(self) -> bool:
        """Whether this worker reports and writes checkpoints."""
        return self.rank == 0

    def mesh(self, device: torch.device) -> Any:
        """Returns the workers of a sharded world by replica and place in it; by place only if there is one
        replica. All workers call this together."""
        from torch.distributed.device_mesh import init_device_mesh

        if self.replicas == 1:
            return init_device_mesh(device.type, (self.size,), mesh_dim_names=("shard",))
        names, shape = ("replicate", "shard"), (self.replicas, self.size // self.replicas)
        mesh = init_device_mesh(device.type, shape, mesh_dim_names=names)
        # New groups would otherwise have torch's time limit, not that of the group of all workers.
        timeout = message_timeout(distributed.group.WORLD, device)
        for name in names:
            distributed.distributed_c10d._set_pg_timeout(timeout, mesh.get_group(name))
        return mesh

    def patient_group(self) -> Any:
        """Returns a process group in which workers wait for each other for up to a day, because downloads and
        uploads may take hours. A worker that dies ends the attempt sooner. None for a worker alone. All
        workers call this together."""
        return None if self.size == 1 else distributed.new_group(backend="gloo", timeout=_PATIENCE)

    def agreed(self, find: Callable[[], Found]) -> Found:
        """Returns what the first worker finds, on every worker. All workers call this together."""
        if self.size == 1:
            return find()
        found: list[Any] = [None]
        if self.is_first:
            try:
                found = [find()]
            except Exception as error:
                # The other workers would wait for ever.
                distributed.broadcast_object_list([error])
                raise
        distributed.broadcast_object_list(found)
        if isinstance(found[0], Exception):
            raise found[0]
        return cast("Found", found[0])

    def add_up(self, values: Tensor) -> None:
        """Replaces `values` by their sum over all workers, bit-identical on each."""
        if self.size > 1:
            distributed.all_reduce(values)

    def add_up_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replaces gradients by their sum over all workers, in a few messages. A worker that had no examples
        adds zeros."""
        if self.size == 1 or self.is_sharded:
            return
        for bucket in _buckets(parameters):
            gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in bucket]
            if len(gradients) == 1:
                distributed.all_reduce(gradients[0])
            else:
                flat = torch.cat([gradient.flatten() for gradient in gradients])
                distributed.all_reduce(flat)
                pieces = torch.split(flat, [gradient.numel() for gradient in gradients])
                for gradient, piece in zip(gradients, pieces, strict=True):
                    gradient.copy_(piece.view_as(gradient))
            for parameter, gradient in zip(bucket, gradients, strict=True):
                parameter.grad = gradient

    def announce_pass(self, objective: Any, *, is_last: bool, is_full: bool) -> None:
        """Call before each pass of a step over a sharded objective. Gradients are added up over the workers
        after the last pass.

        Until then each worker keeps the whole gradient of what it trains, in fp32. That is little for
        adapters. `is_full` says that most weights are trained: their gradients are added up within a replica
        of the model after each pass, and between replicas after the last one.
        """
        from torch.distributed.fsdp import FSDPModule

        if not isinstance(objective, FSDPModule):
            return
        if is_full:
            objective.set_requires_all_reduce(is_last)
        else:
            objective.set_requires_gradient_sync(is_last)

    def shard(
        self,
        objective: torch.nn.Module,
        layers: Iterable[torch.nn.Module],
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        """Shards the weights of an objective over the workers and their devices; those that `load_parts` has
        loaded already stay where they are. `layers` are gathered one at a time, the remaining weights for a
        whole pass. Gathered weights are in `dtype`, in which the model computes; each worker's own part keeps
        its type. Gradients are added up, not averaged, because losses are sums."""
        from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

        parts = detach_parts(objective)
        meshes = [part.device_mesh for part in parts.values() if isinstance(part, DTensor)]
        mesh = meshes[0] if meshes else self.mesh(device)
        policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32)
        for layer in layers:
            fully_shard(layer, mesh=mesh, mp_policy=policy)
        # The outermost module is resharded too: weights that stay gathered after a pass without gradients
        # would be taken for the trainable ones. Its input is a batch, in which FSDP would cast the
        # log-probabilities of DPO's reference as well.
        whole = replace(policy, cast_forward_inputs=False)
        fully_shard(objective, mesh=mesh, mp_policy=whole, reshard_after_forward=True)
        for module in objective.modules():
            if isinstance(module, FSDPModule):
                module.set_gradient_divide_factor(1.0)
                # Otherwise the factor becomes part of a reduction that gloo does not support.
                module.set_force_sum_reduction_for_comms(True)
        attach_parts(objective, parts)


def message_timeout(group: Any, device: torch.device) -> timedelta:
    """Returns the maximum time that a message between workers of `group` may take."""
    timeout: timedelta = group._get_backend(device).options._timeout
    return timeout


def _buckets(parameters: Iterable[torch.nn.Parameter]) -> Iterator[list[torch.nn.Parameter]]:
    """Groups the parameters into lists of at most BUCKET_ELEMENTS together, or of a single larger one."""
    bucket: list[torch.nn.Parameter] = []
    n_elements = 0
    for parameter in parameters:
        is_same = not bucket or (bucket[0].dtype == parameter.dtype and bucket[0].device == parameter.device)
        if bucket and (not is_same or n_elements + parameter.numel() > BUCKET_ELEMENTS):
            yield bucket
            bucket, n_elements = [], 0
        bucket.append(parameter)
        n_elements += parameter.numel()
    if bucket:
        yield bucket


def joined_world(parallelism: str = "ddp") -> World:
    """Returns this process's place in torch's process group, if there is one.

    With "hsdp", the workers of each node share a replica. Their number is LOCAL_WORLD_SIZE in the
    environment, as torchrun sets it. If nodes have different numbers of workers, all of them share one
    replica.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return World()
    rank, size = distributed.get_rank(), distributed.get_world_size()
    if size == 1 or parallelism not in ("fsdp", "hsdp"):
        return World(rank, size)
    replicas = _nodes(size) if parallelism == "hsdp" else 1
    return World(rank, size, is_sharded=True, replicas=replicas)


def _nodes(size: int) -> int:
    """Returns the number of nodes that the workers are on; 1 if some nodes have more workers than others."""
    here = int(os.environ.get("LOCAL_WORLD_SIZE", size))
    everywhere: list[Any] = [None] * size
    distributed.all_gather_object(everywhere, here)
    return size // here if set(everywhere) == {here} and size % here == 0 else 1


def whole(tensor: Any) -> Tensor:
    """Returns the full tensor, of which this worker may hold a part. All workers must call it in the same
    order."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def host_copies(tensors: Mapping[str, Any], world: World) -> dict[str, Tensor]:
    """Makes full copies in the host's memory on the first worker. The other workers must call it too, and get
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
