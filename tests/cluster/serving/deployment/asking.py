"""Asks Ray's autoscaler for a gang of eight GPUs, as the engine's replica does, until they stand; then waits
until they have gone again. Prints what it saw. RAY_ADDRESS names the cluster."""

import asyncio
import json
import sys
import time

import ray

from cluster.contracts.ray_nodes import ClusterReport, ClusterRequest, WaitingGang
from cluster.serving.deployment.cluster_state import ClusterState

GANG = WaitingGang(name="ftjob-1", device="cuda", workers=8, workers_per_node=4, labels={"pool": "gpu"})
SECONDS = 600.0


async def main() -> None:
    ray.init(log_to_driver=False)
    state = ClusterState()
    before = await state.answer(ClusterRequest())
    grown = await until(state, ClusterRequest(waiting=(GANG,)), free=8)
    calls = 50
    began = time.perf_counter()
    for _ in range(calls):
        await state.answer(ClusterRequest(waiting=(GANG,)))
    each = (time.perf_counter() - began) / calls
    shrunk = await until(state, ClusterRequest(), free=0)
    seen = {"before": free(before), "grown": free(grown), "shrunk": free(shrunk), "seconds": each}
    seen["labels"] = sorted({node.labels.get("pool") for node in grown.nodes if node.gpus})
    json.dump(seen, sys.stdout)


async def until(state: ClusterState, request: ClusterRequest, *, free: int) -> ClusterReport:
    deadline = time.monotonic() + SECONDS
    while True:
        report = await state.answer(request)
        if sum(node.free_gpus for node in report.nodes if not node.is_draining) == free:
            return report
        assert time.monotonic() < deadline, report
        await asyncio.sleep(0.5)  # The autoscaler sends no notification.


def free(report: ClusterReport) -> list[float]:
    return sorted(node.free_gpus for node in report.nodes if not node.is_draining)


if __name__ == "__main__":
    asyncio.run(main())
