"""A repeated job has the configuration of the former one, and its model says where it comes from."""

from cluster.contracts.costs import RunCost
from cluster.contracts.hyperparameters import Hyperparameters, TrainingOptions
from cluster.contracts.jobs import JobStatus
from cluster.contracts.provenance import Provenance
from service.db.jobs.jobs import Job
from service.db.models.models import TunedModels
from tests.service.db.rows import TENANT
from tests.service.scheduling.world import BASE, World

COST = RunCost(
    device="cpu",
    steps=4,
    trained_tokens=321,
    held_out_tokens=0,
    general_tokens=64,
    training_seconds=2.0,
    evaluation_seconds=1.0,
    memory_bytes=1000,
)


def trained(world: World, **new: object) -> Job:
    """A job that has succeeded."""
    job = world.job(**new)
    scheduler = world.scheduler()
    scheduler.tick()
    scheduler.tick()
    world.train(job, cost=COST)
    scheduler.tick()
    assert world.status(job) is JobStatus.SUCCEEDED
    return world.see(job)


def replayed(world: World, source: Job, bases=None, training=None, **changes) -> Job:
    """As `service.api.jobs.replays` completes it."""
    options = source.training.model_copy(update={"source_job": source.id} | (training or {}))
    job = world.job(
        seed=source.seed,
        training=options,
        hyperparameters=source.hyperparameters.model_copy(update=changes),
    )
    world.scheduler(bases=bases).tick()
    return world.see(job)


def test_a_published_model_and_its_job_show_their_provenance_and_what_the_run_took(world: World) -> None:
    job = trained(world, seed=3)
    assert isinstance(job.provenance, Provenance)
    assert job.provenance.config == job.config
    assert (job.provenance.base, job.provenance.config.seed) == ("tiny", 3)
    assert job.provenance.training_sha256 == "0" * 64
    assert job.cost is not None
    assert job.cost.model_dump().items() >= COST.model_dump().items()
    assert job.cost.publishing_seconds >= 0
    with world.database.read() as session:
        models = TunedModels(session, TENANT)
        checkpoint = models.resolve(f"{job.output_model}:ckpt-step-4")
        assert models.resolve(job.output_model).provenance == checkpoint.provenance == job.provenance


def test_a_manifest_of_other_data_is_not_published(world: World) -> None:
    job = world.job()
    scheduler = world.scheduler()
    scheduler.tick()
    scheduler.tick()
    world.data_sha256 = "1" * 64
    world.train(job)
    scheduler.tick()
    failed = world.see(job)
    assert failed.error is not None
    assert (failed.status, failed.error.code) == (JobStatus.FAILED, "corrupt_artefact")


def test_a_replay_keeps_numbers_that_the_catalogue_has_changed_since(world: World) -> None:
    source = trained(world, hyperparameters=Hyperparameters(n_epochs=2))
    changed = {"tiny": BASE.model_copy(update={"learning_rates": {"lora": 9e-3}, "context_length": 128})}
    assert replayed(world, source, bases=changed).config == source.config
    faster = replayed(world, source, bases=changed, learning_rate_multiplier=2.0, n_epochs=5).config
    assert faster is not None
    assert source.config is not None
    assert (faster.n_epochs, faster.learning_rate) == (5, 18e-3)
    assert faster.max_length == source.config.max_length


def test_a_replay_asks_whether_the_base_is_still_the_same(world: World) -> None:
    source = trained(world)
    replayed(world, source)
    assert world.serving.checked[-1].base_sha256 == source.provenance.base_sha256
    replayed(world, source, training={"allow_changed_base": True})
    assert world.serving.checked[-1].base_sha256 is None
    world.job(training=TrainingOptions())
    world.scheduler().tick()
    assert world.serving.checked[-1].base_sha256 is None
