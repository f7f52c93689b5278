"""Each worker loads its own part of every family's model: the slices, types and buffers of the whole one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor
from torch.testing._internal.distributed.fake_pg import FakeStore
from transformers import AutoModelForCausalLM

from cluster.contracts.errors import TrainingFailed
from cluster.training.model.pretrained import load_pretrained
from cluster.training.model.sharded import load_parts
from cluster.training.parts import detach_parts, divide, parts_aside
from tests.families import make_family
from tests.family_support import DECODERS

pytestmark = pytest.mark.slow

WORKERS, RANK = 4, 3


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """A folder for each family. Then this process is the last of four workers. No other exists, so nothing
    can come from them. Meshes outlive their process groups, so there is only one group."""
    made = {family: tmp_path_factory.mktemp(family) for family in DECODERS}
    for family, folder in made.items():
        make_family(family, folder)
    distributed.init_process_group("fake", store=FakeStore(), rank=RANK, world_size=WORKERS)
    yield made
    distributed.destroy_process_group()


def own_slice(whole: torch.Tensor, shards: int, place: int) -> torch.Tensor:
    pieces = torch.chunk(whole, shards)
    return pieces[place] if place < len(pieces) else whole[:0]


@pytest.mark.parametrize("family", DECODERS)
def test_a_worker_has_its_slices_and_the_buffers_of_the_whole_model(
    family: str, folders: dict[str, Path]
) -> None:
    whole = load_pretrained(AutoModelForCausalLM, folders[family], torch.bfloat16)
    replicas = init_device_mesh("cpu", (2, 2), mesh_dim_names=("replicate", "shard"))
    for mesh, shards in ((init_device_mesh("cpu", (WORKERS,)), WORKERS), (replicas, 2)):
        model = load_parts(AutoModelForCausalLM, folders[family], torch.bfloat16, mesh)
        assert_own(model, whole, shards)


def assert_own(model: Any, whole: Any, shards: int) -> None:
    assert type(model) is type(whole)
    expected, found = dict(whole.named_parameters()), dict(model.named_parameters())
    assert found.keys() == expected.keys(), "tied weights stay tied"
    for name, part in found.items():
        assert isinstance(part, DTensor)
        assert torch.equal(part.to_local(), own_slice(expected[name], shards, RANK % shards)), name
    buffers = dict(whole.named_buffers())
    assert {name: value.dtype for name, value in model.named_buffers()} == {
        name: value.dtype for name, value in buffers.items()
    }
    assert all(torch.equal(value, buffers[name]) for name, value in model.named_buffers())
    assert not hasattr(model.config, "distributed_config")


def test_fewer_experts_than_workers_are_refused(folders: dict[str, Path]) -> None:
    model = nn.Module()
    model.experts = nn.Parameter(torch.empty(3, 4, 4, device="meta"))
    with pytest.raises(TrainingFailed, match=r"experts is 3 weights.* at most 3") as refused:
        divide(model, init_device_mesh("cpu", (WORKERS,)))
    assert refused.value.param == "training.num_workers"


def test_parts_come_back_where_they_were(folders: dict[str, Path]) -> None:
    mesh = init_device_mesh("cpu", (WORKERS,))
    model = load_parts(AutoModelForCausalLM, folders["gemma2"], torch.float32, mesh)
    before = dict(model.named_parameters(remove_duplicate=False))
    with parts_aside(model):
        shapes = {name: value.shape for name, value in model.named_parameters()}
        assert not any(isinstance(value, DTensor) for value in model.parameters())
        held = sum(value.untyped_storage().nbytes() for value in model.parameters())
        model.requires_grad_(False)
    assert held < 1000
    after = dict(model.named_parameters(remove_duplicate=False))
    assert {name: id(value) for name, value in after.items()} == {
        name: id(value) for name, value in before.items()
    }
    assert not any(value.requires_grad for value in after.values())

    parts = detach_parts(model)
    assert {value.device.type for value in model.parameters()} == {"meta"}
    assert {name: value.shape for name, value in model.named_parameters()} == shapes
    assert parts.keys() == before.keys()
