"""The space that a run needs in a node's folder for temporary files.

Checkpoints are written there before they are uploaded, one at a time. What a run begins with is downloaded
there: the files of a resume state are deleted once all workers have read them, while tuned weights stay."""

import os
from pathlib import Path

from cluster.contracts.jobs import JobSpec
from cluster.contracts.manifest import is_resume_file
from cluster.contracts.plan import Footprint
from cluster.scratch import folder_bytes, require_space
from cluster.storage.store import ObjectStore
from cluster.training.checkpoints.checkpoint import read_manifest
from cluster.training.world import World

_FP32_BYTES = {"float32": 1, "bfloat16": 2}
"""Ratio of a weight's size in fp32 to its size in the base's type."""


def require_scratch(spec: JobSpec, store: ObjectStore, world: World, shared: Path) -> None:
    """Raises Unavailable (`insufficient_scratch`) if this node has less free space than the run is planned to
    need at once. `shared` is the node's folder for downloads: what other workers have already put there
    counts as part of the need. Without a plan nothing is known, and nothing is raised. Raises the errors of
    `read_manifest`."""
    footprint = spec.config.footprint
    if footprint is None:
        return
    local_size = min(int(os.environ.get("LOCAL_WORLD_SIZE", world.size)), world.size)
    reads_state = spec.resume_from is not None or spec.config.restore_optimizer
    needed = checkpoint_bytes(footprint, world, local_size=local_size, reads_state=reads_state)
    if spec.start_from is not None:
        needed += _tuned_bytes(spec, footprint, store, spec.start_from)
    require_space(shared.parent, needed, "the job's checkpoints", present=folder_bytes(shared))


def checkpoint_bytes(footprint: Footprint, world: World, *, local_size: int, reads_state: bool) -> int:
    """Returns the maximum bytes that checkpoints take at once on a node with `local_size` of the workers.
    With `reads_state`, the run begins with a state in storage: workers that share one model read only their
    parts of it, others read all of it."""
    share = local_size / world.size
    served = footprint.served_bytes * (share if footprint.form == "full" else 1)
    written = footprint.resume_state_bytes * share + served
    is_one_model = world.is_sharded and world.replicas == 1
    read = footprint.resume_state_bytes * (share if is_one_model else 1) if reads_state else 0
    return round(max(written, read))


def _tuned_bytes(spec: JobSpec, footprint: Footprint, store: ObjectStore, manifest_key: str) -> int:
    """Returns the size of the tuned weights that the run begins with, and of a base in fp32 into which they
    are merged."""
    manifest, _ = read_manifest(store, manifest_key)
    downloaded = sum(file.bytes for file in manifest.files if not is_resume_file(file.name))
    is_merged = spec.config.type == "full" and manifest.form != "full"
    return downloaded + is_merged * footprint.served_bytes * _FP32_BYTES[spec.base.dtype]
