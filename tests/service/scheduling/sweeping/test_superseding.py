"""Superseded checkpoints leave storage without waiting for a sweep."""

from cluster.contracts.jobs import NumberedResumeState
from cluster.storage.keys import manifest_key, sibling_key
from service.db.jobs.jobs import Job, Jobs, NewJob
from service.scheduling.sweeping.superseding import delete_superseded
from tests.service.db.rows import TENANT
from tests.service.scheduling.world import World

PART, STATE, WEIGHTS = "resume_part-00000.safetensors", "resume_manifest.json", "adapter.safetensors"


def running(world: World) -> Job:
    job, scheduler = world.job(), world.scheduler()
    scheduler.tick()
    scheduler.tick()
    world.sync(job)
    return world.see(job)


def save(world: World, job: Job, number: int) -> None:
    """Reports a checkpoint, and the resume state that is stored beside it."""
    key = manifest_key(job.id, job.attempt, number)
    for name in (PART, STATE):
        world.store.put(sibling_key(key, name), b"state")
    saved = world.checkpoint(job, 2 * number, number).model_copy(update={"best_step": 1})
    state = NumberedResumeState(
        seq=2 * number + 1,
        created_at=1,
        step=number,
        manifest_key=sibling_key(key, STATE),
        manifest_sha256="0" * 64,
    )
    world.sync(job, [saved, state])


def kept(world: World, name: str) -> list[int]:
    """The steps of which storage has this file."""
    found = (info.key for info in world.store.list("jobs/") if info.key.endswith(f"/{name}"))
    return [int(key.split("/step-")[1][:8]) for key in found]


def test_only_the_newest_state_and_the_kept_checkpoints_stay_in_storage(world: World) -> None:
    job = running(world)
    for number in range(1, 7):
        save(world, job, number)
    assert kept(world, STATE) == [1, 2, 3, 4, 5, 6]
    assert delete_superseded(world.database, world.store) > 0
    assert kept(world, STATE) == kept(world, PART) == [6]
    assert kept(world, "manifest.json") == kept(world, WEIGHTS) == [1, 4, 5, 6]
    assert delete_superseded(world.database, world.store) == 0


def test_the_scheduler_deletes_them_by_itself(world: World) -> None:
    job = running(world)
    for number in (1, 2):
        save(world, job, number)
    world.scheduler().tick()
    assert kept(world, STATE) == [1, 2], "a backup that is being made may name it"
    world.settings = world.settings.model_copy(update={"superseded_seconds": 0.0})
    world.scheduler().tick()
    assert kept(world, STATE) == [2]


def test_what_another_job_starts_from_stays(world: World) -> None:
    job = running(world)
    save(world, job, 2)
    with world.database.write() as session:
        new = NewJob(
            model=job.model,
            training_file=job.training_file,
            start_from=manifest_key(job.id, 1, 2),
        )
        Jobs(session, TENANT).create(new)
    for number in range(3, 8):
        save(world, job, number)
    delete_superseded(world.database, world.store)
    assert kept(world, STATE) == [2, 7]
    assert kept(world, WEIGHTS) == [2, 5, 6, 7]
