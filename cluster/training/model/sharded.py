"""Loads a model so that no worker ever holds more than its own part.

transformers builds the model on the meta device, without memory. Before it reads the weights, it calls a hook
in which parameters become DTensors. It then reads only this worker's slices from the safetensors files."""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh

from cluster.bases.pretrained import LOADING, read_config
from cluster.training.model.pretrained import load_pretrained
from cluster.training.parts import divide


def load_parts(kind: Any, folder: Path, dtype: torch.dtype, mesh: DeviceMesh) -> Any:
    """Loads with `kind`, one of transformers' Auto classes. Each parameter is a DTensor with this worker's
    part, in `dtype` on the mesh's device; buffers are whole. `mesh` has the dimensions (shards) or (replicas,
    shards)."""
    from transformers.distributed import DistributedConfig

    config = read_config(folder)
    with LOADING, torch.device("meta"):
        family = type(kind.from_config(config))

    def maybe_distribute_model(cls: type, model: nn.Module, *_: Any) -> nn.Module:
        divide(model, mesh)
        return model

    hook: dict[str, Any] = {"maybe_distribute_model": classmethod(maybe_distribute_model)}
    divided = type(family.__name__, (family,), hook)
    divided.__module__ = family.__module__
    # All sizes are 1, so that transformers itself shards nothing but calls the hook.
    model = load_pretrained(
        divided, folder, dtype, config=config, distributed_config=DistributedConfig(tp_size=1)
    )
    model.__class__ = family
    if hasattr(model.config, "distributed_config"):
        del model.config.distributed_config
    for buffer in model.buffers():
        buffer.data = buffer.data.to(mesh.device_type)
    return model
