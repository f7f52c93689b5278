"""Chooses the replica for a request: one with the model in memory, unless it is much busier than the
others."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from cluster.contracts.generation import weights_of

_LEAD = 8
"""A replica may have this many more running requests than the best one and still count as equally good, so
that the order does not change with every request."""
_ADAPTER_COST = 8
_WEIGHTS_COST = 32
"""The cost of loading an adapter or weights, in running requests."""


@dataclass(frozen=True)
class Replica:
    id: str
    models: frozenset[str]
    """Names of the models in memory, and of the weights that they run on."""
    ongoing: int
    """Running requests."""


def rank_replicas(replicas: Sequence[Replica], model: str, *, load_at_start: bool = False) -> list[str]:
    """Returns the ids of all replicas, the best for `model` (a `ModelRef.name`; empty: any model) first.
    `load_at_start`: all of them load the same weights when they start, whether or not they are asked to.
    Replicas that are still loading come last, because a busy one answers earlier.

    Replicas that would have to load the same amount are ordered by a hash, so that all routers make the same
    choice before they know what is loaded: first a replica for the weights, and then one with the weights for
    an adapter."""
    ranked = [_Ranked.make(replica, model) for replica in replicas]
    if not load_at_start:
        return _ordered(ranked)
    loading = [one for one in ranked if one.missing >= _WEIGHTS_COST]
    return _ordered([one for one in ranked if one not in loading]) + _ordered(loading)


def _ordered(ranked: "Sequence[_Ranked]") -> list[str]:
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
    """The cost of what the replica would have to load."""
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
