"""Which replica answers a request: one that has its model in memory, unless that one has much more to do."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from cluster.contracts.generation import weights_of

_LEAD = 8
"""Requests by which a replica may be busier than the best choice and still be as good: the order among such
replicas stays the same while their numbers flicker."""
_ADAPTER_COST = 8
_WEIGHTS_COST = 32
"""What loading is worth, in requests that are under way already."""


@dataclass(frozen=True)
class Replica:
    id: str
    models: frozenset[str]
    """Names of the models in memory, and of the weights that they run on."""
    ongoing: int
    """Requests under way."""


def rank_replicas(replicas: Sequence[Replica], model: str) -> list[str]:
    """The ids of all replicas, the best for `model` (a `ModelRef.name`; empty: any model) first.

    Those that must load as much as each other are ordered by a hash, so that every router sends a model the
    same way before word of what is loaded has spread: weights to a replica, adapters to one that has their
    weights.
    """
    ranked = [_Ranked.make(replica, model) for replica in replicas]
    least = min((one.cost for one in ranked), default=0)

    def place(one: _Ranked) -> tuple[bool, int, bytes]:
        is_busy = one.cost > least + _LEAD
        return is_busy, one.cost if is_busy else one.missing, one.hash

    return [one.id for one in sorted(ranked, key=place)]


@dataclass(frozen=True)
class _Ranked:
    id: str
    cost: int
    missing: int
    """What the replica would have to load, as a cost."""
    hash: bytes

    @staticmethod
    def make(replica: Replica, model: str) -> "_Ranked":
        weights = weights_of(model)
        named = model
        if not model or model in replica.models:
            missing = 0
        elif weights in replica.models:
            missing = _ADAPTER_COST
        else:
            missing, named = _WEIGHTS_COST, weights
        digest = hashlib.blake2b(f"{named} {replica.id}".encode(), digest_size=8).digest()
        return _Ranked(replica.id, replica.ongoing + missing, missing, digest)
