"""Arbitrates GPUs that training shares with serving: how many jobs may have, and when they may start."""

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
"""How long a model must not have been asked for, before its GPUs are a job's."""
_CODE = "gpu_in_use"
_RENEW_SECONDS = {"training_first": 15.0, "serving_first": 15.0, "by_load": 5.0}
"""Serving forgets a claim after a minute, in case the scheduler is gone. Its answers say what models need,
which jobs have to hear of soon if they are to pause for them."""
_PUBLISHING = "a model that was just trained is being published on its GPUs."
_SERVING = "its GPUs are serving models, and are about to be free."


class GpuArbiter:
    """Tells serving how many GPUs training has, and wants, and hears what models need."""

    def __init__(
        self,
        serving: ServingClient,
        policy: GpuSharing,
        pools: Sequence[Pool] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`pools` are those of training; without any, jobs share the first GPUs that models are served on."""
        self._serving = serving
        self._policy = policy
        self._clock = clock
        unnamed = {} if pools else {ANY_POOL: _Line(None, 0)}
        named = {pool.name: _Line(pool.selector, pool.floor) for pool in pools if pool.kind == "cuda"}
        self._lines = {} if policy == "off" else {**unnamed, **named}

    def divided(self, states: Sequence[PoolState], running: Sequence[RunningJob]) -> list[PoolState]:
        """The pools with what is free for training beside `running`: the rest is for models."""
        found = []
        for state in states:
            line = self._lines.get(state.name)
            if line is not None:
                held = sum(job.workers for job in running if job.pool == state.name)
                left = state.with_room(self._shared(line, state).for_training - held)
                state = replace(left, for_models=state.total_free - left.total_free)
            found.append(state)
        return found

    def why_wait(
        self, running: Sequence[RunningJob], starts: Sequence[Start], *, publishes_soon: bool
    ) -> Mapping[str, Unavailable]:
        """Why jobs that could start beside `running` must wait, by pool; those of other pools may start. A
        model that was just trained is published first, which takes serving's turn."""
        waits = {}
        for name, line in self._lines.items():
            held = sum(job.workers for job in running if job.pool == name)
            wanted = sum(start.workers for start in starts if start.pool == name)
            if publishes_soon and wanted:
                self._claim(line, held)
                waits[name] = Unavailable(_PUBLISHING, code=_CODE)
            elif not self._claim(line, held + wanted) and wanted:
                waits[name] = Unavailable(_SERVING, code=_CODE)
        return waits

    def pausing(
        self, states: Sequence[PoolState], running: Sequence[RunningJob], at: float
    ) -> Iterator[RunningJob]:
        """The jobs that pause for models, if models come first where there is load."""
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
        """Whether serving has let go of the devices. Training's floor is claimed at all times."""
        claimed = max(line.training_floor, devices)
        is_quiet = claimed == 0 and not line.answer.needed
        is_fresh = is_quiet or self._clock() - line.granted_at < _RENEW_SECONDS[self._policy]
        if claimed == line.granted and is_fresh:
            return True
        claim = TrainingClaim(devices=claimed, idle_seconds=_IDLE_SECONDS[self._policy], labels=line.labels)
        try:
            line.answer = self._serving.claim_devices(claim)
        except TuneryError as error:
            # Also of serving of another release, which must not keep jobs of other pools waiting.
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
            # Serving knows of the claim now: it must be told if it is taken back.
            line.granted = None
        return line.answer.is_granted


@dataclass(slots=True)
class _Line:
    """What is agreed with serving about one pool."""

    labels: dict[str, str] | None
    training_floor: int
    granted: int | None = None
    """Devices of the last claim, if serving has let go of them."""
    granted_at: float = float("-inf")
    answer: ClaimAnswer = field(default_factory=lambda: ClaimAnswer(is_granted=False))
    """The last one."""
