"""The GPUs that a replica sees, without a cluster."""

import asyncio
import os
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from cluster.serving.deployment.datasets import DatasetsApp
from cluster.serving.deployment.engines import EngineApp
from cluster.serving.deployment.placement.per_model import ModelApp
from cluster.serving.deployment.placement.placer import Placer
from cluster.serving.deployment.reserved_gpus import hide_unreserved_gpus


@pytest.mark.parametrize(("reserved", "seen"), [([], ""), ([1], "1")])
def test_a_replica_sees_the_gpus_that_ray_has_reserved_for_it(
    monkeypatch: pytest.MonkeyPatch, reserved: list[int], seen: str
) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "get_gpu_ids", lambda: reserved)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    hide_unreserved_gpus()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == seen


def test_outside_ray_no_gpu_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    hide_unreserved_gpus()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"


@pytest.mark.parametrize(
    ("deployment", "arguments"), [(EngineApp, []), (ModelApp, ["{}", False]), (DatasetsApp, []), (Placer, [])]
)
def test_every_replica_asks_ray_for_its_gpus_before_it_does_anything_else(
    monkeypatch: pytest.MonkeyPatch, deployment: Any, arguments: list[Any]
) -> None:
    class Asked(Exception):
        pass

    def get_gpu_ids() -> list[int]:
        raise Asked

    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "get_gpu_ids", get_gpu_ids)

    async def construct() -> None:
        # Not an instance, which would be destroyed as Serve does it.
        if (construction := deployment.__init__(SimpleNamespace(), *arguments)) is not None:
            await construction

    with pytest.raises(Asked):
        asyncio.run(construct())
