"""The workers of one run on a Ray cluster. They are placed all at once or not at all, and each has its seat
in the process group that they form."""

import os
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, NamedTuple

import psutil
import ray
from ray.util.placement_group import PlacementGroup, placement_group, placement_group_table
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from cluster.contracts.jobs import JobSpec
from cluster.worker_resources import resources_per_worker

_NODE_LABEL = "ray.io/node-id"
"""Ray's own label of each node."""
_WAIT_SECONDS = 60.0
"""Time that one call waits for a placement group, after which another call waits."""


class Place(NamedTuple):
    """Where Ray has put a worker."""

    node_id: str
    gpus: tuple[str, ...]
    """Ray's ids of the GPUs that the worker holds: indices on its node, or UUIDs."""


@dataclass(frozen=True, slots=True)
class Seat:
    """A worker's place among the others, as torchrun describes it."""

    rank: int
    size: int
    local_rank: int
    local_size: int
    gpus: tuple[str, ...] = ()
    """GPUs of all workers on its node, in the order of their local ranks."""
    meeting: tuple[str, int] | None = None
    """Address of the first worker; None if it is alone."""

    def see_gpus(self) -> None:
        """Makes the GPUs of all workers on its node visible to this process, as NCCL needs it. Its own GPU is
        the one with its local rank. Must be called before the first use of CUDA."""
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(self.gpus)

    def join(self, backend: str, timeout_seconds: float) -> None:
        """Joins the process group, with the environment that torchrun would set. Does nothing if the worker
        is alone."""
        if self.meeting is None:
            return
        from torch import distributed

        os.environ |= {
            "MASTER_ADDR": self.meeting[0],
            "MASTER_PORT": str(self.meeting[1]),
            "RANK": str(self.rank),
            "WORLD_SIZE": str(self.size),
            "LOCAL_RANK": str(self.local_rank),
            "LOCAL_WORLD_SIZE": str(self.local_size),
        }
        if self.local_size < self.size:
            interface = interface_of(ray.util.get_node_ip_address(), psutil.net_if_addrs())
            if interface is not None:
                os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)
        distributed.init_process_group(backend, timeout=timedelta(seconds=timeout_seconds))


class TrainingWorker:
    """An actor: one process of a gang."""

    def place(self) -> Place:
        context = ray.get_runtime_context()
        return Place(context.get_node_id(), tuple(context.get_accelerator_ids().get("GPU", ())))

    def meeting(self) -> tuple[str, int]:
        """Returns this node's address with a free port."""
        address = ray.util.get_node_ip_address()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with closing(socket.socket(family)) as free:
            free.bind(("", 0))
            return address, free.getsockname()[1]

    def work(self, work: Callable[..., None], seat: Seat, *arguments: Any) -> None:
        work(seat, *arguments)


def reserve(spec: JobSpec) -> tuple[PlacementGroup, dict[str, int]]:
    """Reserves what all workers need (`resources_per_worker`) once the cluster has it. Waits as long as that
    takes: a pool may have to grow, or another job may have to end. Also returns the number of workers on each
    node, by node id."""
    each, size = resources_per_worker(spec.device), spec.config.num_workers
    group = placement_group([{name: float(count) for name, count in each.items()}] * size, **placing(spec))
    while not group.wait(_WAIT_SECONDS):
        pass
    return group, dict(Counter(placement_group_table(group)["bundles_to_node_id"].values()))


def start(spec: JobSpec, group: PlacementGroup) -> list[tuple[Any, Seat]]:
    """Starts the workers on what was reserved for them. Returns handles of their actors, in the order of
    their ranks. The actors end with the driver of the Ray job."""
    each, size = resources_per_worker(spec.device), spec.config.num_workers
    actors = [
        ray.remote(TrainingWorker)
        .options(
            num_cpus=each["CPU"],
            num_gpus=each.get("GPU", 0),
            scheduling_strategy=PlacementGroupSchedulingStrategy(
                placement_group=group, placement_group_bundle_index=number
            ),
        )
        .remote()
        for number in range(size)
    ]
    seated = seats(ray.get([actor.place.remote() for actor in actors]))
    first, _ = seated[0]
    meeting = ray.get(actors[first].meeting.remote()) if len(seated) > 1 else None
    return [(actors[number], replace(seat, meeting=meeting)) for number, seat in seated]


def work_on_all(workers: Iterable[tuple[Any, Seat]], work: Callable[..., None], *arguments: Any) -> None:
    """Calls `work(seat, *arguments)` in each worker and returns when all have returned. Raises the error of
    the first worker that fails, or Ray's error if its process is lost; the other workers are left waiting for
    it."""
    running = [actor.work.remote(work, seat, *arguments) for actor, seat in workers]
    while running:
        (ended,), running = ray.wait(running, num_returns=1)
        ray.get(ended)


def placing(spec: JobSpec) -> dict[str, Any]:
    """Returns the options of Ray's placement group, which is made as a whole or not at all. A gang for which
    one node of its pool has room is placed on one node, so that its workers use the fast links within it."""
    placement, footprint, size = spec.placement, spec.config.footprint, spec.config.num_workers
    pool = None if footprint is None else footprint.pool
    if placement is not None and placement.nodes:
        # A larger gang takes whole nodes. Ray's own strategies cannot express that.
        selectors = [
            {**placement.labels, _NODE_LABEL: node_id}
            for node_id, workers in placement.nodes.items()
            for _ in range(workers)
        ]
        return {"strategy": "PACK", "bundle_label_selector": selectors}
    labels = placement.labels if placement is not None else pool.selector if pool is not None else {}
    fits_one = pool is not None and size <= pool.devices
    return {
        "strategy": "STRICT_PACK" if fits_one else "PACK",
        "bundle_label_selector": [labels] * size if labels else None,
    }


def interface_of(address: str, interfaces: Mapping[str, Iterable[Any]]) -> str | None:
    """Returns the network interface that has an address, among those of `psutil.net_if_addrs`. Without it,
    gloo listens on the address to which the host's name resolves, and other nodes cannot reach that if it is
    127.0.1.1, as on Debian."""
    found = (name for name, own in interfaces.items() if any(each.address == address for each in own))
    return next(found, None)


def seats(places: Sequence[Place]) -> list[tuple[int, Seat]]:
    """Returns the workers' indices and seats, in the order of their ranks. Workers of one node have
    consecutive ranks, as HSDP requires."""
    by_node: dict[str, list[int]] = {}
    for number in sorted(range(len(places)), key=places.__getitem__):
        by_node.setdefault(places[number].node_id, []).append(number)
    found: list[tuple[int, Seat]] = []
    for numbers in by_node.values():
        gpus = tuple(sorted({gpu for number in numbers for gpu in places[number].gpus}))
        for local_rank, number in enumerate(numbers):
            found.append((number, Seat(len(found), len(places), local_rank, len(numbers), gpus)))
    return found
