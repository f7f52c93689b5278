"""The parts of a model's weights that one worker holds, before and after FSDP2 shards the model.

FSDP2 shards plain parameters only. `detach_parts` takes the parts out of a model that was loaded in parts,
and `attach_parts` puts them into the sharded one."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Replicate, Shard

from cluster.contracts.errors import TrainingFailed


def divide(model: nn.Module, mesh: DeviceMesh) -> None:
    """Replaces every parameter of a model on the meta device by a DTensor there, as FSDP2 shards it. `mesh`
    has the dimensions (shards) or (replicas, shards).

    Raises TrainingFailed if there are fewer experts than shards: transformers concatenates a worker's
    experts, and fails if there are none."""
    placements = [*[Replicate()] * (mesh.ndim - 1), Shard(0)]
    n_shards, place = mesh.size(mesh.ndim - 1), mesh.get_local_rank(mesh.ndim - 1)
    divided: dict[int, nn.Parameter] = {}
    for name, parameter in list(model.named_parameters(remove_duplicate=False)):
        if parameter.ndim > 2 and parameter.shape[0] < n_shards:
            raise TrainingFailed(
                f"{name} is {parameter.shape[0]} weights, which cannot be divided among {n_shards} workers. "
                f"Train on at most {parameter.shape[0]}, or with training.parallelism 'ddp'.",
                code="unsupported_option",
                param="training.num_workers",
            )
        if id(parameter) not in divided:
            pieces = torch.chunk(parameter.data, n_shards)
            piece = pieces[place] if place < len(pieces) else parameter.data[:0]
            part = DTensor.from_local(
                piece, mesh, placements, run_check=False, shape=parameter.shape, stride=parameter.stride()
            )
            divided[id(parameter)] = nn.Parameter(part, parameter.requires_grad)
        _put(model, name, divided[id(parameter)])


@contextmanager
def parts_aside(model: nn.Module) -> Iterator[None]:
    """Inside the block, the DTensors are replaced by parameters without memory, in their full shapes and on
    the host, so that adapters that are attached to them are also made there."""
    aside: dict[int, tuple[nn.Parameter, nn.Parameter]] = {}
    for name, part in _parts(model):
        if id(part) not in aside:
            shape = torch.zeros((), dtype=part.dtype).expand(part.shape)
            aside[id(part)] = (nn.Parameter(shape, part.requires_grad), part)
        _put(model, name, aside[id(part)][0])
    yield
    back = {id(shape): part for shape, part in aside.values()}
    for name, parameter in list(model.named_parameters(remove_duplicate=False)):
        if id(parameter) in back:
            part = back[id(parameter)]
            part.requires_grad_(parameter.requires_grad)
            _put(model, name, part)


def detach_parts(module: nn.Module) -> dict[str, nn.Parameter]:
    """Takes the DTensors out of a module and leaves parameters with their full shapes on the meta device.
    Returns the DTensors by name; tied parameters stay tied."""
    found = dict(_parts(module))
    empty = {
        id(parameter): nn.Parameter(
            torch.empty(parameter.shape, dtype=parameter.dtype, device="meta"), parameter.requires_grad
        )
        for parameter in found.values()
    }
    for name, parameter in found.items():
        _put(module, name, empty[id(parameter)])
    return found


def attach_parts(module: nn.Module, parts: Mapping[str, nn.Parameter]) -> None:
    """Puts what `detach_parts` returned into the module once FSDP2 has sharded it over the same mesh."""
    for name, part in parts.items():
        owner, _, own_name = name.rpartition(".")
        sharded = getattr(module.get_submodule(owner), own_name)
        assert isinstance(part, DTensor)
        assert (sharded.shape, sharded.placements) == (part.shape, part.placements), name
        part.requires_grad_(sharded.requires_grad)
    module.load_state_dict(dict(parts), strict=False, assign=True)


def _parts(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    named = module.named_parameters(remove_duplicate=False)
    return [(name, parameter) for name, parameter in named if isinstance(parameter, DTensor)]


def _put(module: nn.Module, name: str, parameter: nn.Parameter) -> None:
    owner, _, own_name = name.rpartition(".")
    setattr(module.get_submodule(owner), own_name, parameter)
