"""One of several processes that share a cache of weights. Imports little, because each of them does."""

import random
from multiprocessing.synchronize import Barrier
from pathlib import Path

from cluster.contracts.weights import WeightsRef
from cluster.serving.weights.folder import WeightsFolder
from cluster.storage.local import LocalStore


def churn(folder: Path, refs: list[WeightsRef], seed: int, start: Barrier) -> None:
    """Leases random weights, whose content is their own number, in a cache with room for two, and reads each
    twice."""
    chosen = random.Random(seed)
    store = LocalStore(folder / "store")
    room = 2 * (1 + len(store.get(refs[0].manifest_key)))
    weights = WeightsFolder(folder / "cache", store, budget_bytes=room)
    start.wait(300)
    for _ in range(60):
        number = chosen.randrange(len(refs))
        with weights.lease(refs[number], base_digest="b", template_digest="t") as found:
            for _ in range(2):
                assert (found / "a.safetensors").read_bytes() == b"%d" % number
