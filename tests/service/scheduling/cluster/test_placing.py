from cluster.contracts.devices import Pool
from cluster.contracts.hyperparameters import Hyperparameters, TrainingConfig, TrainingOptions, resolve
from cluster.contracts.jobs import Placement
from cluster.contracts.plan import DeviceMemory, Footprint, Plan
from service.db.scheduler.store import Claim
from service.scheduling.cluster.placing import placed
from tests.service.scheduling.world import BASE

MEMORY = DeviceMemory(**dict.fromkeys(DeviceMemory.model_fields, 1))


def pool(name: str, **more: str) -> Pool:
    return Pool.model_validate(
        {"name": name, "kind": "cuda", "devices": 8, "device_bytes": 1, "labels": {"pool": name, **more}}
    )


def plan(name: str, num_workers: int) -> Plan:
    footprint = Footprint(
        pool=pool(name),
        form="lora",
        device=MEMORY,
        host_bytes=1,
        resume_state_bytes=1,
        served_bytes=1,
    )
    return Plan(num_workers=num_workers, parallelism="ddp", footprint=footprint)


def config(*plans: Plan) -> TrainingConfig:
    options = TrainingOptions()
    _, found = resolve(
        Hyperparameters(), options, BASE, n_examples=100, seed=1, plan=plans[0] if plans else None
    )
    return found.model_copy(update={"alternatives": plans[1:]})


def claim(pool: str | None, workers: int | None = None, **nodes: int) -> Claim:
    return Claim(1, "ftjob-1-a1", "secret", None, pool, nodes, workers)


def test_an_attempt_runs_as_it_is_planned_for_its_pool_on_the_nodes_that_were_chosen() -> None:
    job = config(plan("cheap", 2), plan("dear", 1))
    now = pool("dear", zone="b")
    attempt, placement = placed(job, claim("dear", 1, n1=1), [pool("cheap"), now])
    assert (attempt.num_workers, attempt.alternatives) == (1, ())
    assert attempt.batch_size == job.batch_size
    assert placement == Placement(pool="dear", labels={"pool": "dear", "zone": "b"}, nodes={"n1": 1})

    attempt, placement = placed(job, claim("cheap"), [])
    assert (attempt.num_workers, placement) == (2, Placement(pool="cheap", labels={"pool": "cheap"}))


def test_an_elastic_job_runs_as_it_is_planned_for_the_workers_that_it_gets() -> None:
    for plans in ([plan("a", 4), plan("a", 2), plan("b", 4)], [Plan(num_workers=4), Plan(num_workers=2)]):
        attempt, _ = placed(config(*plans), claim("a", 2, n1=2), [])
        assert (attempt.num_workers, attempt.alternatives) == (2, ())


def test_a_job_that_was_planned_without_pools_runs_anywhere() -> None:
    job = config()
    assert placed(job, claim("training", 1, n1=1), []) == (job, Placement(pool="training", nodes={"n1": 1}))
    assert placed(job, claim(None), []) == (job, None)
