"""What a training worker reserves on its node, by the cluster's environment."""

import os

from cluster.contracts.jobs import Device


def worker_cpus() -> int:
    """TUNERY_WORKER_CPUS (1): the CPUs that each worker reserves and computes with."""
    return int(os.environ.get("TUNERY_WORKER_CPUS", "1"))


def resources_per_worker(device: Device) -> dict[str, int]:
    """In Ray's words."""
    return {"CPU": worker_cpus(), **({"GPU": 1} if device == "cuda" else {})}
