"""Jobs and models take turns on the same GPUs."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from cluster.contracts.devices import Pool
from cluster.contracts.errors import InvalidRequest, Unavailable
from cluster.contracts.jobs import JobStatus
from cluster.contracts.serving_plan import GpuSharing
from service.scheduling.cluster.gpu_arbiter import GpuArbiter
from service.scheduling.cluster.pool_states import ANY_POOL
from service.scheduling.policy.decide import decide
from service.scheduling.policy.snapshot import (
    Gang,
    NodeState,
    PoolState,
    QueuedJob,
    Rules,
    RunningJob,
    Snapshot,
    Start,
)
from tests.fakes import FakeServing
from tests.service.scheduling.world import GOOD, World


def running(workers: int, job_id: str = "held", *, pool: str = ANY_POOL, **changes: Any) -> RunningJob:
    job = RunningJob(job_id, "p", "normal", 0.0, pool, workers, 0.0, 100.0, 0.0)
    return replace(job, **changes)


class Arbiter:
    """Of a pool of one node, beside a second pool that serving has none of."""

    def __init__(self, policy: GpuSharing = "training_first", pools: Sequence[Pool] = ()) -> None:
        self.serving = FakeServing(GOOD)
        self.now = 0.0
        self._arbiter = GpuArbiter(self.serving, policy, pools, lambda: self.now)
        self._pool = pools[0].name if pools else ANY_POOL

    def may_start(self, wanted: int, *, held: int = 0, publishes_soon: bool = False) -> bool:
        starts = [Start("job", self._pool, wanted, {})] if wanted else []
        jobs = [running(held, pool=self._pool)] if held else []
        return not self._arbiter.why_wait([], jobs, starts, publishes_soon=publishes_soon)

    def free(self, devices: int, *, held: int = 0) -> int:
        """Of what is free in a pool of so many devices, what training may have."""
        state = PoolState(self._pool, devices, (NodeState("a", devices, devices - held),))
        (found,) = self._arbiter.divided([state], [running(held, pool=self._pool)])
        free = found.total_free
        assert free + found.for_models == devices - held
        return free

    def pausing(self, devices: int, jobs: Sequence[RunningJob]) -> list[str]:
        state = PoolState(self._pool, devices, (NodeState("a", devices, 0),))
        return [job.job_id for job in self._arbiter.pausing([state], jobs, 50.0)]

    @property
    def claimed(self) -> list[int]:
        return [claim.devices for claim in self.serving.claims]


def test_without_sharing_serving_is_not_asked() -> None:
    arbiter = Arbiter("off")
    assert arbiter.may_start(1)
    assert arbiter.claimed == []


@pytest.mark.parametrize(("policy", "idle"), [("training_first", 0.0), ("serving_first", 120.0)])
def test_a_job_starts_once_models_have_let_go(policy: GpuSharing, idle: float) -> None:
    arbiter = Arbiter(policy)
    arbiter.serving.is_granted = False
    assert not arbiter.may_start(1)
    assert not arbiter.may_start(1)
    arbiter.serving.is_granted = True
    assert arbiter.may_start(1)
    assert arbiter.claimed == [1, 1, 1]
    assert {claim.idle_seconds for claim in arbiter.serving.claims} == {idle}


def test_a_claim_is_renewed_while_training_runs_and_given_back_once() -> None:
    arbiter = Arbiter()
    assert arbiter.may_start(1)
    for arbiter.now in (1.0, 10.0, 20.0):
        arbiter.may_start(0, held=1)
    for arbiter.now in (21.0, 22.0, 100.0):
        arbiter.may_start(0)
    assert arbiter.claimed == [1, 1, 0]


def test_a_job_that_is_cancelled_while_it_waits_takes_its_claim_back() -> None:
    arbiter = Arbiter()
    arbiter.serving.is_granted = False
    assert not arbiter.may_start(1)
    arbiter.serving.is_granted = True
    assert arbiter.may_start(0)
    assert arbiter.claimed == [1, 0]


def test_serving_that_refuses_a_claim_holds_up_the_jobs_of_its_pool_only() -> None:
    arbiter = Arbiter()
    arbiter.serving.fault = InvalidRequest("Extra inputs are not permitted")
    assert not arbiter.may_start(1)


def test_a_new_scheduler_says_what_training_holds() -> None:
    arbiter = Arbiter()
    arbiter.may_start(0, held=1)
    assert arbiter.claimed == [1]


def test_a_model_that_was_just_trained_is_published_before_the_next_job() -> None:
    arbiter = Arbiter()
    assert not arbiter.may_start(1, publishes_soon=True)
    assert arbiter.claimed == [0]
    assert arbiter.may_start(1)


def test_serving_that_does_not_answer_keeps_its_gpus() -> None:
    arbiter = Arbiter()
    arbiter.serving.fault = Unavailable("gone")
    assert not arbiter.may_start(1)


def gpus(**changes: Any) -> Pool:
    settings = {"name": "h100", "kind": "cuda", "devices": 8, "device_bytes": 1, "accelerator_type": "H100"}
    return Pool.model_validate({**settings, **changes})


def test_each_side_keeps_its_floor() -> None:
    arbiter = Arbiter("by_load", [gpus(floor=2)])
    arbiter.serving.serving_floor, arbiter.serving.needed_devices = 3, 0
    assert arbiter.may_start(0)
    assert arbiter.claimed == [2]
    assert arbiter.serving.claims[0].labels == {"ray.io/accelerator-type": "H100"}
    assert arbiter.free(8) == 5
    arbiter.serving.needed_devices, arbiter.now = 8, 5.0
    assert arbiter.may_start(0)
    assert arbiter.free(8) == 2
    assert arbiter.free(8, held=2) == 0


def test_jobs_pause_for_models_that_are_asked_for_and_come_back_once_these_are_idle() -> None:
    arbiter = Arbiter("by_load")
    low = running(2, "low", priority="low")
    older, newer = running(2, "older"), running(4, "newer", saved_at=40.0)
    assert arbiter.may_start(0, held=8)
    assert arbiter.pausing(8, [low, older, newer]) == []
    arbiter.serving.needed_devices, arbiter.now = 3, 4.0
    assert arbiter.may_start(0, held=8)
    assert arbiter.pausing(8, [low, older, newer]) == []
    arbiter.now = 5.0
    assert arbiter.may_start(0, held=8)
    # Of the lowest priority first, then those that lose the least; and none in vain.
    assert arbiter.pausing(8, [low, older, newer]) == ["newer"]
    arbiter.serving.needed_devices = 2
    arbiter.now = 10.0
    assert arbiter.may_start(0, held=8)
    assert arbiter.pausing(8, [low, older, newer]) == ["low"]
    assert arbiter.pausing(8, [replace(low, is_leaving=True), older, newer]) == []
    arbiter.serving.needed_devices, arbiter.now = 0, 15.0
    assert arbiter.may_start(0, held=6)
    assert arbiter.free(8, held=6) == 2


def test_jobs_of_other_pools_start_meanwhile() -> None:
    named = [gpus(), gpus(name="l4", accelerator_type="L4")]
    serving = FakeServing(GOOD)
    arbiter = GpuArbiter(serving, "training_first", named)
    serving.is_granted = False
    starts = [Start("one", "h100", 1, {}), Start("two", "elsewhere", 1, {})]
    assert set(arbiter.why_wait([], [], starts, publishes_soon=False)) == {"one"}


class TwoNodes:
    """Of four GPUs each. A job has one of the first node's, and models have some of the second's."""

    def __init__(self, policy: GpuSharing, *, served: int, needed: int = 0) -> None:
        self.serving = FakeServing(GOOD)
        self.serving.needed_devices = needed
        self.served = served
        self.now = 0.0
        self._arbiter = GpuArbiter(self.serving, policy, (), lambda: self.now)
        self._held = [running(1, nodes={"a": 1})]

    def tick(self, *workers: int, seconds: float = 1.0) -> list[str]:
        """The nodes of the gangs that start, of those that wait."""
        self.now += seconds
        seen = PoolState(ANY_POOL, 4, (NodeState("a", 4, 3), NodeState("b", 4, 4, self.served)))
        pools = self._arbiter.divided([seen], self._held)
        queue = [
            QueuedJob(f"job-{place}", "p", "normal", float(place), (Gang(ANY_POOL, count, 10.0),))
            for place, count in enumerate(workers)
        ]
        starts = decide(Snapshot(100.0, queue, self._held, pools, {}), Rules()).starts
        waits = self._arbiter.why_wait(pools, self._held, starts, publishes_soon=False)
        return [node for start in starts if start.job_id not in waits for node in start.nodes]


def test_no_job_is_sent_to_a_node_whose_gpus_busy_models_hold() -> None:
    """Serving, which counts GPUs over all nodes, lets go of as many."""
    cluster = TwoNodes("serving_first", served=2, needed=2)
    assert [cluster.tick(4) for _ in range(30)] == [[]] * 30
    # Then the job claims nothing either, and others may start on what is free.
    assert cluster.serving.claims[-1].devices == 1
    assert cluster.tick(4, 2) == ["b"]


def test_idle_models_let_go_of_the_node_that_a_job_needs() -> None:
    cluster = TwoNodes("training_first", served=2)
    assert cluster.tick(4) == []
    # Of eight, the models have two and the job needs both.
    assert cluster.serving.claims[-1].devices == 8
    assert cluster.tick(4) == []
    cluster.served = 0
    assert cluster.tick(4) == ["b"]


def test_a_job_that_was_given_up_is_tried_again_in_case_models_have_become_idle() -> None:
    cluster = TwoNodes("serving_first", served=2, needed=2)
    for _ in range(20):
        assert cluster.tick(4) == []
    cluster.serving.needed_devices = 0
    assert cluster.tick(4, seconds=60.0) == []
    assert cluster.tick(4) == []
    assert cluster.serving.claims[-1].devices == 8
    cluster.served = 0
    assert cluster.tick(4) == ["b"]


def test_devices_that_no_model_holds_are_taken_first() -> None:
    cluster = TwoNodes("training_first", served=4)
    assert cluster.tick(3) == ["a"]
    assert cluster.serving.claims[-1].devices == 4


def test_a_running_job_pauses_for_models_without_using_an_attempt(world: World) -> None:
    world.settings = world.settings.model_copy(update={"gpu_sharing": "by_load"})
    job = world.job()
    scheduler = world.scheduler()
    scheduler.tick()
    scheduler.tick()
    assert world.status(job) == JobStatus.STARTING
    world.serving.needed_devices = 1
    scheduler = world.scheduler()
    scheduler.tick()
    scheduler.tick()
    assert world.status(job) == JobStatus.PAUSING
    assert any("GPUs for model serving" in message for message in world.messages(job))


def test_the_scheduler_starts_a_job_when_the_gpus_are_free_and_says_what_it_waits_for(world: World) -> None:
    world.settings = world.settings.model_copy(update={"gpu_sharing": "training_first"})
    world.serving.is_granted = False
    job = world.job()
    scheduler = world.scheduler()
    for _ in range(3):
        scheduler.tick()
    assert world.status(job) == JobStatus.QUEUED
    waits = [message for message in world.messages(job) if "its GPUs are serving models" in message]
    assert len(waits) == 1
    world.serving.is_granted = True
    scheduler.tick()
    assert world.status(job) == JobStatus.STARTING
    assert world.serving.claims[-1].devices == 1
