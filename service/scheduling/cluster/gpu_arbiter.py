"""Divides GPUs between training and serving: how many jobs may have, and when jobs may start."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog

from cluster.contracts.devices import ClaimAnswer, Pool, TrainingClaim
from cluster.contracts.errors import TuneryError, Unavailable
from cluster.contracts.serving_plan import GpuSharing
from service.scheduling.cluster.pool_states import ANY_POOL
from service.scheduling.interfaces import ServingClient
from service.scheduling.policy.sharing import Shared, give_back
from service.scheduling.policy.snapshot import PoolState, RunningJob, Start

_log = structlog.get_logger()

_IDLE_SECONDS = {"training_first": 0.0, "serving_first": 120.0, "by_load": 120.0}
"""How long a model must have received no requests before a job may take its GPUs."""
_CODE = "gpu_in_use"
_RENEW_SECONDS = {"training_first": 15.0, "serving_first": 15.0, "by_load": 5.0}
"""Serving forgets a claim after a minute, in case the scheduler is gone. Its answers also say how many GPUs
models need: with `by_load`, jobs have to pause soon after that changes."""
_LET_GO_SECONDS = 15.0
"""How long Ray may take to show GPUs as free after serving has released them."""
_AS_SEEN_SECONDS = 60.0
"""How long jobs rely on what Ray shows as free, once serving has nothing more to release but still holds
devices where jobs could start."""
_PUBLISHING = "a model that was just trained is being published on its GPUs."
_SERVING = "its GPUs are serving models, and are about to be free."


class GpuArbiter:
    """Tells serving how many GPUs training holds and wants, and learns how many models need."""

    def __init__(
        self,
        serving: ServingClient,
        policy: GpuSharing,
        pools: Sequence[Pool] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`pools` are the training pools. Without any, jobs share the first GPUs on which models are
        served."""
        self._serving = serving
        self._policy = policy
        self._clock = clock
        unnamed = {} if pools else {ANY_POOL: _Line(None, 0)}
        named = {pool.name: _Line(pool.selector, pool.floor) for pool in pools if pool.kind == "cuda"}
        self._lines = {} if policy == "off" else {**unnamed, **named}

    def divided(self, states: Sequence[PoolState], running: Sequence[RunningJob]) -> list[PoolState]:
        """The pools, limited to what training may use beside `running`: the rest is for models."""
        found = []
        for state in states:
            line = self._lines.get(state.name)
            if line is not None:
                held = sum(job.workers for job in running if job.pool == state.name)
                seen = _as_seen(state) if self._clock() < line.as_seen_until else state
                left = seen.with_room(self._shared(line, state).for_training - held)
                state = replace(left, for_models=state.total_free - left.total_free)
            found.append(state)
        return found

    def why_wait(
        self,
        states: Sequence[PoolState],
        running: Sequence[RunningJob],
        starts: Sequence[Start],
        *,
        publishes_soon: bool,
    ) -> Mapping[str, Unavailable]:
        """Returns, by job id, why jobs that could start beside `running` must wait. `states` come from
        `divided`. A model that was just trained is published first, which takes serving's turn. A job also
        waits until Ray shows that its devices are free: serving counts devices, but does not know on which
        nodes the job needs them."""
        waits: dict[str, Unavailable] = {}
        by_name = {state.name: state for state in states}
        for name, line in self._lines.items():
            held = sum(job.workers for job in running if job.pool == name)
            here = [start for start in starts if start.pool == name]
            if publishes_soon and here:
                self._claim(line, held)
                waits.update((start.job_id, Unavailable(_PUBLISHING, code=_CODE)) for start in here)
                continue
            claimed = held + sum(start.workers for start in here)
            state = by_name.get(name)
            blocked, missing = _still_served(state, here) if state is not None else ([], 0)
            if state is not None and blocked:
                # Leave models only the devices they hold, minus those that the starts need.
                left = state.devices - sum(node.served for node in state.nodes) + missing
                claimed = max(claimed, min(left, self._shared(line, state).for_training))
            is_granted = self._claim(line, claimed)
            self._note_blocked(line, is_granted=is_granted and bool(blocked))
            late = blocked if is_granted else here
            waits.update((start.job_id, Unavailable(_SERVING, code=_CODE)) for start in late)
        return waits

    def _note_blocked(self, line: "_Line", *, is_granted: bool) -> None:
        """`is_granted`: serving has granted the claim, but models still hold devices that jobs wait for."""
        now = self._clock()
        if not is_granted:
            line.blocked_since = None
        elif line.blocked_since is None:
            line.blocked_since = now
        elif now - line.blocked_since >= _LET_GO_SECONDS:
            line.blocked_since, line.as_seen_until = None, now + _AS_SEEN_SECONDS

    def pausing(
        self, states: Sequence[PoolState], running: Sequence[RunningJob], at: float
    ) -> Iterator[RunningJob]:
        """The jobs that must pause for models under the policy `by_load`."""
        if self._policy != "by_load":
            return
        for state in states:
            if (line := self._lines.get(state.name)) is not None:
                here = [job for job in running if job.pool == state.name]
                yield from give_back(here, self._shared(line, state).for_training, at)

    def _shared(self, line: "_Line", state: PoolState) -> Shared:
        needed = 0 if self._policy == "training_first" else line.answer.needed
        return Shared(state.devices, line.training_floor, line.answer.floor, needed)

    def _claim(self, line: "_Line", devices: int) -> bool:
        """Whether serving has released the devices. Training's floor is always part of the claim."""
        claimed = max(line.training_floor, devices)
        is_quiet = claimed == 0 and not line.answer.needed
        is_fresh = is_quiet or self._clock() - line.granted_at < _RENEW_SECONDS[self._policy]
        if claimed == line.granted and is_fresh:
            return True
        claim = TrainingClaim(devices=claimed, idle_seconds=_IDLE_SECONDS[self._policy], labels=line.labels)
        try:
            line.answer = self._serving.claim_devices(claim)
        except TuneryError as error:
            # This includes errors of another release of serving: they must not block jobs of other pools.
            _log.warning(
                "serving does not answer a claim of GPUs",
                devices=claimed,
                code=error.code,
                error=error.message,
            )
            return False
        if line.answer.is_granted:
            line.granted, line.granted_at = claimed, self._clock()
        else:
            # Serving now knows this claim, so a later change of it must be sent too.
            line.granted = None
        return line.answer.is_granted


@dataclass(slots=True)
class _Line:
    """The state of the agreement with serving about one pool."""

    labels: dict[str, str] | None
    training_floor: int
    granted: int | None = None
    """Devices of the last claim, if serving has released them."""
    granted_at: float = float("-inf")
    answer: ClaimAnswer = field(default_factory=lambda: ClaimAnswer(is_granted=False))
    """The last answer."""
    blocked_since: float | None = None
    """Since when models have held devices of nodes where jobs could start, although the claim is granted."""
    as_seen_until: float = float("-inf")
    """Until then, devices that models hold do not count as free."""


def _as_seen(state: PoolState) -> PoolState:
    nodes = (replace(node, free=node.free - node.served, served=0) for node in state.nodes)
    return replace(state, nodes=tuple(nodes))


def _still_served(state: PoolState, starts: Sequence[Start]) -> tuple[list[Start], int]:
    """The starts that need devices which models still hold, and the number of those devices."""
    idle = {node.node_id: node.free - node.served for node in state.nodes}
    blocked, missing = [], 0
    for start in starts:
        short = 0
        for node_id, devices in start.nodes.items():
            left = idle.get(node_id, devices) - devices
            short += max(0, -left)
            idle[node_id] = max(0, left)
        if short:
            blocked.append(start)
            missing += short
    return blocked, missing
