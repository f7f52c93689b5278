"""Trained is not published: trained weights are safe at once, and publishing is tried until it succeeds."""

import re
import time

import pytest

from cluster.contracts.errors import Conflict, InternalError, Unavailable
from cluster.contracts.evaluation import EvaluationReport
from cluster.contracts.hyperparameters import EarlyStopping, TrainingOptions
from cluster.contracts.jobs import Failed, JobStatus
from cluster.contracts.manifest import ProbeScores
from service.db.jobs.jobs import Job, Jobs
from service.db.models.models import TunedModel, TunedModels
from service.scheduling.sweeping.sweep import SweepOptions, sweep
from tests.service.db.rows import TENANT, outbox, step
from tests.service.scheduling.world import World

AWAY = Unavailable("The model server does not answer.", code="serving_unavailable")
WRONG = [-1.0, -1.5]


def trained(world: World, report: EvaluationReport | None = None, **new) -> Job:
    job = world.job(**new)
    scheduler = world.scheduler()
    scheduler.tick()
    scheduler.tick()
    world.train(job, report)
    return world.see(job)


def republish(world: World, job: Job, **how) -> Job:
    with world.database.write() as session:
        return Jobs(session, TENANT).republish(job.id, **how)


def model(world: World, name: str) -> TunedModel:
    with world.database.read() as session:
        return TunedModels(session, TENANT).resolve(name)


def sweep_everything(world: World) -> None:
    sweep(
        world.database, world.store, SweepOptions(grace_seconds=0, resume_state_seconds=0), clock=lambda: 1e12
    )


def assert_weights_are_safe(world: World, job: Job) -> None:
    """Whatever a sweep frees: they are a model that can be asked and downloaded."""
    sweep_everything(world)
    weights = model(world, world.see(job).publishing.weights)
    assert world.store.get(weights.adapter.manifest_key.replace("manifest.json", "adapter.safetensors"))


def test_an_hour_without_serving_and_through_restarts_loses_nothing(world: World) -> None:
    world.settings = world.settings.model_copy(update={"retry_seconds": 2.0})
    job = trained(world)
    world.serving.fault = AWAY
    pauses: list[int] = []
    while sum(pauses) < 3600:
        world.scheduler().tick()  # another one each time: the times of the tries are not in its memory
        waiting = world.see(job)
        assert (waiting.status, waiting.status.public) == (JobStatus.PUBLISHING, "running")
        assert (waiting.publishing.tries, waiting.publishing.fault.message) == (len(pauses) + 1, AWAY.message)
        last = world.log(job)[-1]
        pauses.append(min(2 ** len(pauses) * 2, 900))
        assert last.message == (
            f"Publishing try {len(pauses)} failed: {AWAY.message} It is tried again in {pauses[-1]} seconds."
        )
        assert last.data == {"error_code": AWAY.code, "next_try_at": int(waiting.next_publish_at)}
        world.scheduler().tick()
        assert world.see(job).publishing.tries == len(pauses), "it is not due yet"
        world.pass_time(job, pauses[-1] + 1)
        assert_weights_are_safe(world, job)
    assert pauses[:3] + pauses[-3:] == [2, 4, 8, 900, 900, 900]
    world.serving.fault = None
    world.scheduler().tick()
    assert world.status(job) is JobStatus.SUCCEEDED
    assert model(world, job.output_model).adapter == model(world, job.publishing.weights).adapter


@pytest.mark.parametrize("code", ["model_not_ready", "gpu_in_use"])
def test_tries_that_wait_for_gpus_or_for_a_load_are_told_from_failures(world: World, code: str) -> None:
    job = trained(world)
    for fault in (Unavailable("Later.", code=code), AWAY, Unavailable("Later.", code=code)):
        world.serving.fault = fault
        world.scheduler().tick()
    stands = world.see(job).publishing
    assert (stands.tries, stands.waits) == (3, 2)
    republish(world, job)
    assert (world.see(job).publishing.tries, world.see(job).publishing.waits) == (0, 0)


@pytest.mark.parametrize("code", ["model_not_ready", "gpu_in_use"])
def test_a_long_wait_for_gpus_is_looked_at_every_minute_without_an_event_for_each(
    world: World, code: str
) -> None:
    world.settings = world.settings.model_copy(update={"retry_seconds": 20.0})
    job = trained(world)
    world.serving.fault = Unavailable("Later.", code=code)
    pauses = []
    for _ in range(6):
        began = time.time()
        world.scheduler().tick()
        waiting = world.see(job)
        pauses.append((waiting.next_publish_at - began + 1) // 20 * 20)
        world.pass_time(job, 61)
    assert pauses == [20, 40, 60, 60, 60, 60]
    stands = waiting.publishing
    assert (stands.tries, stands.waited_until is not None) == (6, code == "gpu_in_use")
    assert sum(event.message.startswith("Publishing try") for event in world.log(job)) == 2
    world.serving.fault = AWAY
    world.scheduler().tick()
    assert world.log(job)[-1].message.startswith("Publishing try 7 failed")


def test_a_job_that_waits_to_be_published_holds_no_training_slot(world: World) -> None:
    waiting = trained(world)
    world.serving.fault = AWAY
    world.scheduler().tick()
    world.serving.fault = None
    world.pass_time(waiting, -1000)
    other = world.job()
    for _ in range(3):
        world.scheduler().tick()
    assert (world.status(waiting), world.status(other)) == (JobStatus.PUBLISHING, JobStatus.STARTING)


def test_a_bug_of_ours_costs_no_trained_model_either(world: World, capsys) -> None:
    job = trained(world)
    world.serving.fault = RuntimeError("a bug of ours")
    for _ in range(10):
        world.scheduler().tick()
    assert world.see(job).publishing.tries == 10
    assert world.see(job).publishing.fault.code == InternalError.default_code
    assert world.see(job).publishing.fault.message[-21:-1] in capsys.readouterr().out
    world.serving.fault = None
    world.scheduler().tick()
    assert world.status(job) is JobStatus.SUCCEEDED


def test_at_the_limit_the_job_fails_and_can_be_published_again_for_the_whole_time(world: World) -> None:
    job = trained(world)
    world.serving.fault = AWAY
    world.scheduler().tick()
    world.pass_time(job, world.settings.publish_timeout_seconds)
    world.scheduler().tick()
    failed = world.see(job)
    assert (failed.status, failed.error.code) == (JobStatus.FAILED, "publish_timeout")
    waited, _, last = failed.error.message.partition(" seconds, which is the limit. ")
    assert re.fullmatch(r"Publishing was tried 2 times in 6048\d\d", waited)
    assert last == (
        "Last: The model server does not answer. The trained weights stay, as the checkpoint "
        f"'{job.publishing.weights}'. Republishing the job tries again."
    )
    assert_weights_are_safe(world, job)
    again = republish(world, job)
    assert (again.status, again.error, again.finished_at) == (JobStatus.PUBLISHING, None, None)
    world.scheduler().tick()
    assert (world.status(job), world.see(job).publishing.tries) == (JobStatus.PUBLISHING, 1)
    world.serving.fault = None
    world.scheduler().tick()
    assert world.see(job).fine_tuned_model == job.output_model
    assert outbox(world.database)[1:] == ["fine_tuning.job.failed", "fine_tuning.job.succeeded"]


def test_a_refused_model_keeps_its_weights_and_is_published_once_serving_is_right(world: World) -> None:
    job = trained(world)
    world.serving.logprobs = lambda row: WRONG
    world.scheduler().tick()
    failed = world.see(job)
    assert (failed.status, failed.error.code) == (JobStatus.FAILED, "serving_mismatch")
    assert "mean difference 0.25 nats, allowed 0.0002" in failed.error.message
    assert world.models() == []
    assert_weights_are_safe(world, job)
    republish(world, job)
    world.scheduler().tick()
    assert world.see(job).error == failed.error, "the gate holds"
    world.serving.logprobs = lambda row: [-1.0] * (len(row) - 1)
    republish(world, job)
    world.scheduler().tick()
    assert (world.status(job), model(world, job.output_model).parity.max_abs) == (JobStatus.SUCCEEDED, 0.0)


def test_the_gate_can_be_skipped_for_one_job(world: World) -> None:
    job = trained(world)
    world.serving.logprobs = lambda row: WRONG
    world.scheduler().tick()
    republish(world, job, gate="skip")
    assert world.messages(job)[-1] == "Publishing is tried again, as requested, without the publish gate"
    world.scheduler().tick()
    assert (world.status(job), model(world, job.output_model).parity) == (JobStatus.SUCCEEDED, None)


def test_an_owner_may_publish_a_model_that_forgot_too_much(world: World) -> None:
    report = EvaluationReport(held_out=None, general=None, general_kl=None, regression=0.6)
    job = trained(world, report, training=TrainingOptions(max_regression=0.5))
    world.scheduler().tick()
    assert world.see(job).error.code == "max_regression_exceeded"
    republish(world, job, regression="allow")
    world.scheduler().tick()
    assert world.status(job) is JobStatus.SUCCEEDED


def test_weights_that_early_stopping_chose_are_listed_though_newer_checkpoints_replaced_them(
    world: World,
) -> None:
    stopping = TrainingOptions(early_stopping=EarlyStopping(patience=4))
    job = world.job(training=stopping, validation_file=None)
    scheduler = world.scheduler()
    scheduler.tick()
    scheduler.tick()
    saved = [world.checkpoint(job, 2 * number - 1, number) for number in range(1, 6)]
    events = [event for number, one in enumerate(saved) for event in (step(2 * number, number + 1, 5), one)]
    best = saved[0]
    end = world.finished(job).model_copy(
        update={"manifest_key": best.manifest_key, "manifest_sha256": best.manifest_sha256}
    )
    world.sync(job, events, end)
    name = f"{job.output_model}:ckpt-step-1"
    assert world.see(job).publishing.weights == name
    world.serving.logprobs = lambda row: WRONG
    world.scheduler().tick()
    assert_weights_are_safe(world, job)
    assert model(world, name).adapter.digest == best.manifest_sha256


def test_asking_again_makes_the_next_try_due_and_what_an_older_try_finds_is_not_recorded(
    world: World,
) -> None:
    world.settings = world.settings.model_copy(update={"retry_seconds": 900.0})
    job = trained(world)
    world.serving.fault = AWAY
    world.scheduler().tick()
    world.serving.fault = None

    def ask_meanwhile(model, rows):
        republish(world, job)
        world.serving.score = lambda model, rows: ProbeScores(logprobs=[[-1.0, -1.0]])
        return ProbeScores(logprobs=[WRONG])

    world.serving.score = ask_meanwhile
    world.scheduler().tick()
    assert world.see(job).publishing.tries == 1, "the next try is far away"
    republish(world, job)
    scheduler = world.scheduler()
    scheduler.tick()
    assert world.status(job) is JobStatus.PUBLISHING
    scheduler.tick()
    assert world.status(job) is JobStatus.SUCCEEDED


def test_only_trained_weights_that_are_not_published_can_be_published_again(world: World) -> None:
    world.settings = world.settings.model_copy(update={"training_slots": 4})

    def unavailable(model, rows):
        raise AWAY

    world.serving.score = unavailable
    done, cancelled, deleted = trained(world), trained(world), trained(world)
    world.cancel(cancelled)
    untrained = world.job()
    world.serving.score = lambda model, rows: ProbeScores(
        logprobs=[WRONG if deleted.id in model.adapter.manifest_key else [-1.0, -1.0]]
    )
    world.scheduler().tick()
    with world.database.write() as session:
        TunedModels(session, TENANT).delete(deleted.publishing.weights)
    cases = [
        (untrained, "not_trained"),
        (done, "job_ended"),
        (cancelled, "job_ended"),
        (deleted, "weights_deleted"),
    ]
    for job, code in cases:
        before = world.see(job)
        with pytest.raises(Conflict) as refused:
            republish(world, job)
        assert refused.value.code == code
        assert world.see(job) == before


def test_a_job_that_failed_before_it_was_trained_cannot_be_published(world: World) -> None:
    job = world.job()
    scheduler = world.scheduler()
    scheduler.tick()
    scheduler.tick()
    world.sync(job, state=Failed(code="out_of_memory", message="Too large.", is_user_fault=True))
    with pytest.raises(Conflict) as refused:
        republish(world, job)
    assert refused.value.code == "not_trained"
