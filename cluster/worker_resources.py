"""The resources that a training worker reserves on its node, according to the cluster's environment."""

import os

from cluster.contracts.jobs import Device


def worker_cpus() -> int:
    """Returns TUNERY_WORKER_CPUS (1), the number of CPUs that each worker reserves and computes with."""
    return int(os.environ.get("TUNERY_WORKER_CPUS", "1"))


def resources_per_worker(device: Device) -> dict[str, int]:
    """Returns the resources, under Ray's names."""
    return {"CPU": worker_cpus(), **({"GPU": 1} if device == "cuda" else {})}
