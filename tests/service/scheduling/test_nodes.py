"""Jobs go to the nodes that Ray shows, and stay off those on which attempts keep failing."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from cluster.bases.configs import config_here
from cluster.contracts.devices import Pool
from cluster.contracts.errors import STORAGE_UNAVAILABLE, Unavailable
from cluster.contracts.hyperparameters import Hyperparameters, TrainingConfig, TrainingOptions, WorkerRange
from cluster.contracts.jobs import Failed, JobStatus, NumberedStart, Placement, Stopped
from cluster.contracts.ray_nodes import ClusterReport, RayNode, WaitingGang
from cluster.planning.shapes import shape_of
from service.api.jobs.public_jobs import public_job
from service.db import tables
from service.db.jobs.jobs import Job, Jobs
from service.db.jobs.queue_places import queue_places
from service.db.scheduler.node_faults import node_faults
from service.db.scheduler.pool_views import PoolNode, pool_views
from service.scheduling import admission
from tests.service.db.rows import TENANT, resume_state
from tests.service.scheduling.world import BASE, GOOD, World

BROKEN = Failed(code="worker_lost", message="A worker died.", is_user_fault=False)


@dataclass
class FakeCluster:
    """A ClusterView."""

    names: Sequence[str] = ()
    """Of nodes with a free CPU."""
    nodes: Sequence[RayNode] = ()
    is_down: bool = False

    def look(self, waiting: Sequence[WaitingGang]) -> ClusterReport:
        if self.is_down:
            raise Unavailable("The cluster does not answer.")
        nodes = [RayNode(node_id=name, cpus=1, free_cpus=1) for name in self.names]
        return ClusterReport(nodes=(*nodes, *self.nodes), worker_cpus=1)


def test_an_attempt_is_told_the_nodes_and_says_where_its_workers_are(world: World) -> None:
    world.cluster = FakeCluster(["a", "b"])
    job = world.job()
    scheduler = world.scheduler()
    scheduler.tick()
    scheduler.tick()
    assert world.spec(f"{job.id}-a1").placement == Placement(pool="training", nodes={"a": 1})
    world.sync(job, [NumberedStart(seq=0, created_at=1, nodes={"b": 1})])
    with world.database.read() as session:
        assert session.get_one(tables.Attempt, (job.id, 1)).nodes == {"b": 1}


def test_an_elastic_job_starts_with_as_many_workers_as_there_is_room_for(world: World) -> None:
    world.settings = world.settings.model_copy(update={"training_slots": 8})
    world.cluster = FakeCluster(["a", "b", "c"])
    training = TrainingOptions(num_workers=WorkerRange(min=1, max=4))
    job = world.job(training=training, hyperparameters=Hyperparameters(batch_size=5))
    scheduler = world.scheduler()
    scheduler.tick()
    waiting = world.see(job)
    assert (waiting.num_workers, waiting.max_workers) == (1, 3)
    scheduler.tick()
    spec = world.spec(f"{job.id}-a1")
    assert (spec.config.num_workers, spec.config.batch_size, spec.config.alternatives) == (3, 5, ())
    assert spec.placement == Placement(pool="training", nodes={"a": 1, "b": 1, "c": 1})
    assert world.attempts(job)[0].num_workers == 3
    world.sync(job)
    assert "The job runs with 3 worker(s), of at most 3" in world.messages(job)
    workers = public_job(world.see(job)).tunery.workers
    assert workers is not None
    assert (workers.current, workers.min, workers.max) == (3, 1, 3)


def test_the_nodes_of_each_pool_are_recorded_with_those_that_no_job_starts_on(world: World) -> None:
    world.cluster = FakeCluster(["a"], [RayNode(node_id="b", cpus=1, free_cpus=0, is_draining=True)])
    scheduler = world.scheduler()
    scheduler.tick()
    with world.database.read() as session:
        view = pool_views(session)["training"]
    going = PoolNode("b", "draining", 1, 0, "It is about to be taken away.")
    assert view.nodes == (PoolNode("a", "standing", 1, 1), going)
    world.cluster = None
    world.scheduler().tick()
    with world.database.read() as session:
        assert pool_views(session)["training"] == view, "what the settings say has not been seen"


def elastic(world: World) -> Job:
    world.settings = world.settings.model_copy(update={"training_slots": 8, "elastic_settle_seconds": 0})
    return world.job(training=TrainingOptions(num_workers=WorkerRange(min=1, max=4)))


def tick(world: World, *free: str, held: Sequence[str] = ()) -> None:
    """As a new scheduler, to which Ray shows these nodes."""
    world.cluster = FakeCluster(free, [RayNode(node_id=name, cpus=1, free_cpus=0) for name in held])
    scheduler = world.scheduler()
    for _ in range(3):
        scheduler.tick()


def runs(world: World, job: Job, attempt: int) -> list[str]:
    """The nodes on which the attempt was started, and now runs."""
    spec = world.spec(f"{job.id}-a{attempt}")
    assert spec.placement is not None
    assert spec.config.num_workers == len(spec.placement.nodes)
    events = [NumberedStart(seq=0, created_at=1, nodes=spec.placement.nodes)]
    assert world.sync(job, events).command == "continue"
    return sorted(spec.placement.nodes)


def leave(world: World, job: Job, number: int, reason: str | None = None) -> None:
    world.sync(job, [resume_state(job.id, 1, number)], Stopped(reason=reason))
    world.ray.statuses[f"{job.id}-a{world.see(job).attempt}"] = "succeeded"


def test_an_elastic_job_grows_when_a_node_joins_and_shrinks_when_one_leaves(world: World) -> None:
    job = elastic(world)
    tick(world, "a")
    assert runs(world, job, 1) == ["a"]
    tick(world, "b", held=["a"])
    assert world.sync(job).command == "pause"
    leave(world, job, 1)
    tick(world, "a", "b")
    assert runs(world, job, 2) == ["a", "b"]
    assert world.spec(f"{job.id}-a2").resume_from == resume_state(job.id, 1, 1).manifest_key

    leave(world, job, 2, "a node that it runs on is about to be taken away.")
    tick(world, "a")
    assert runs(world, job, 3) == ["a"]
    with world.database.read() as session:
        row = session.get_one(tables.Job, job.id)
        assert (row.faults, row.retry_at, row.displacements, row.resize_to) == (0, None, 0, None)
    (told,) = [event for event in world.log(job) if event.data.get("reason") == "resized"]
    assert told.data["num_workers"] == 2
    assert told.message.startswith(
        "Growing from 1 to 2 workers because devices of pool training have been idle for 0s; training "
        "resumes from the saved checkpoint, and should end about 29m"
    )
    world.train(job)
    tick(world, "a")
    assert world.status(job) is JobStatus.SUCCEEDED, world.messages(job)


def test_an_elastic_job_makes_room_for_another_one_and_goes_on_beside_it(world: World) -> None:
    job = elastic(world)
    tick(world, "a", "b")
    assert runs(world, job, 1) == ["a", "b"]
    other = world.job()
    tick(world, held=["a", "b"])
    assert world.status(job) is JobStatus.PAUSING
    leave(world, job, 1)
    tick(world, "a", "b")
    assert sorted(runs(world, job, 2) + runs(world, other, 1)) == ["a", "b"]
    tick(world, held=["a", "b"])
    assert (world.status(job), world.status(other)) == (JobStatus.RUNNING, JobStatus.RUNNING)


def test_an_elastic_job_whose_owner_pauses_it_meanwhile_stays_paused_and_resumes_with_all_workers(
    world: World,
) -> None:
    job = elastic(world)
    tick(world, "a", "b")
    assert runs(world, job, 1) == ["a", "b"]
    world.job(priority="low")
    other = world.job()
    tick(world, held=["a", "b"])
    with world.database.write() as session:
        Jobs(session, TENANT).pause(job.id)
    leave(world, job, 1)
    assert world.status(job) is JobStatus.PAUSED
    world.cancel(other)
    with world.database.write() as session:
        Jobs(session, TENANT).resume(job.id)
    tick(world, "c", "d", "e", held=["a"])
    assert len(runs(world, job, 2)) == 2


def test_without_a_view_of_the_cluster_ray_finds_the_nodes(world: World) -> None:
    world.cluster = FakeCluster(["a"], is_down=True)
    job = world.job()
    scheduler = world.scheduler()
    scheduler.tick()
    scheduler.tick()
    assert world.spec(f"{job.id}-a1").placement == Placement(pool="training")


def test_a_job_of_a_pool_waits_until_somebody_says_which_nodes_there_are(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "_DOWN_SECONDS", 0.0)
    pools = (Pool(name="training", kind="cpu", devices=1, host_bytes=2**34),)
    world.settings = world.settings.model_copy(update={"training_pools": pools})
    world.serving.answer = GOOD.model_copy(update={"shape": shape_of(config_here(BASE) or {})})
    cluster = world.cluster = FakeCluster(["a"], is_down=True)
    job = world.job()
    for _ in range(3):
        world.scheduler().tick()
    assert world.status(job) is JobStatus.QUEUED
    assert world.messages(job)[-1] == "Waiting: the cluster does not answer."
    with world.database.read() as session:
        place = queue_places(session, [world.see(job)])[job.id]
    assert place.reason == "cluster_unavailable"
    cluster.is_down = False
    world.scheduler().tick()
    assert world.spec(f"{job.id}-a1").placement == Placement(pool="training", nodes={"a": 1})


def test_a_job_runs_in_a_dearer_pool_if_the_cheapest_is_full_and_shows_that_plan(world: World) -> None:
    def gpus(name: str, free: int) -> RayNode:
        return RayNode(node_id=name, labels={"pool": name}, cpus=8, free_cpus=8, gpus=1, free_gpus=free)

    pools = tuple(
        Pool.model_validate(
            {"name": name, "kind": "cuda", "devices": 1, "device_bytes": "80GB", "price": price}
            | {"labels": {"pool": name}}
        )
        for name, price in (("dear", 2.0), ("cheap", 1.0))
    )
    world.settings = world.settings.model_copy(update={"training_pools": pools, "training_device": "cuda"})
    world.serving.answer = GOOD.model_copy(update={"shape": shape_of(config_here(BASE) or {})})
    world.cluster = FakeCluster(nodes=[gpus("cheap", 0), gpus("dear", 1)])
    job = world.job()
    scheduler = world.scheduler()
    scheduler.tick()
    assert pools_of(world.see(job).config) == ["cheap", "dear"]
    scheduler.tick()
    spec = world.spec(f"{job.id}-a1")
    assert spec.placement == Placement(pool="dear", labels={"pool": "dear"}, nodes={"dear": 1})
    assert pools_of(spec.config) == ["dear"]
    assert pools_of(world.see(job).config) == ["dear", "cheap"]
    world.train(job)
    for _ in range(3):
        scheduler.tick()
    assert world.status(job) is JobStatus.SUCCEEDED, world.messages(job)


def pools_of(config: TrainingConfig | None) -> list[str]:
    assert config is not None
    return [plan.footprint.pool.name for plan in config.plans if plan.footprint is not None]


def test_retries_of_one_job_do_not_make_a_node_one_to_avoid_but_failures_of_two_jobs_do(
    world: World,
) -> None:
    world.cluster = FakeCluster(["a"])
    first, second = world.job(), world.job()
    for attempt in (1, 2):
        assert place(world, first, attempt) == "a"
        fail(world, first, attempt)
    assert not any("node a" in message for message in world.messages(first))
    world.cluster = FakeCluster(["a", "b"])
    assert place(world, first, 3) == "b", "a retry goes to a node without faults if that has as much room"
    world.settings = world.settings.model_copy(update={"training_slots": 2})
    assert place(world, second, 1) == "a", "no other is free, and one job alone says little"
    fail(world, second, 1)
    world.scheduler().tick()
    assert world.status(second) is JobStatus.QUEUED, "it waits for another node"
    assert [message for message in world.messages(second) if "node a" in message] == [
        "Attempts of 2 jobs in a row have failed on node a. For 30 minutes, no job starts there if its pool "
        "has other nodes."
    ]


@pytest.mark.parametrize(("later", "faults"), [(["b", "c"], {}), (["a", "b"], {"a": 2})])
def test_a_store_that_does_not_answer_is_a_fault_of_a_node_only_if_others_reach_it(
    world: World, later: list[str], faults: dict[str, int]
) -> None:
    away = Failed(code=STORAGE_UNAVAILABLE, message="Storage does not answer.", is_user_fault=False)
    first, second = world.job(), world.job()

    def lose_the_store(job: Job) -> None:
        world.sync(job, state=away, attempt=1)
        world.ray.statuses[f"{job.id}-a1"] = "failed"

    world.cluster = FakeCluster(["a"])
    assert place(world, first, 1) == "a"
    lose_the_store(first)
    world.cluster = FakeCluster(later)
    assert place(world, first, 2) == "b", "where it has not failed yet"
    world.settings = world.settings.model_copy(update={"training_slots": 2})
    place(world, second, 1)
    lose_the_store(second)
    with world.database.read() as session:
        assert node_faults(session, time.time()) == faults


def test_a_retry_goes_to_a_node_on_which_the_job_has_not_failed_yet(world: World) -> None:
    world.settings = world.settings.model_copy(update={"training_slots": 2})
    jobs = {}
    for name in ("a", "b"):
        world.cluster = FakeCluster([name])
        jobs[name] = world.job()
        assert place(world, jobs[name], 1) == name
    for job in jobs.values():
        fail(world, job, 1)
    world.cluster = FakeCluster(["a", "b"])
    assert [place(world, job, 2) for job in jobs.values()] == ["b", "a"]


def place(world: World, job: Job, attempt: int) -> str:
    """The node on which the attempt is started."""
    scheduler = world.scheduler()
    for _ in range(3):
        scheduler.tick()
    placement = world.spec(f"{job.id}-a{attempt}").placement
    assert placement is not None
    (node,) = placement.nodes
    return node


def fail(world: World, job: Job, attempt: int) -> None:
    """By a fault of the platform."""
    world.sync(job, state=BROKEN, attempt=attempt)
    world.ray.statuses[f"{job.id}-a{attempt}"] = "failed"
