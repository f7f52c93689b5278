"""Jobs from creation to end, on both databases."""

import hashlib
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import select

from cluster.bases.configs import config_here
from cluster.contracts.datasets import DatasetCheck, Problem
from cluster.contracts.devices import Pool
from cluster.contracts.errors import (
    CHECK_QUEUED,
    MODEL_NOT_AVAILABLE,
    Conflict,
    InternalError,
    InvalidRequest,
    NotFound,
    TuneryError,
    Unavailable,
)
from cluster.contracts.evaluation import EvaluationReport
from cluster.contracts.hyperparameters import Hyperparameters, TrainingOptions
from cluster.contracts.jobs import Failed, JobStatus, Running, Stopped
from cluster.contracts.manifest import AnswerPrompt, ProbeScores
from cluster.contracts.parity import Parity
from cluster.planning.shapes import shape_of
from service.db import tables
from service.db.database import now
from service.db.files.files import Files
from service.db.jobs.faults import note_wait
from service.db.models.models import TunedModels
from service.db.organization.api_keys import ApiKeys
from service.db.scheduler.queue_window import gang_shape, planned_gangs
from service.db.usage.usage import DAY, HOUR, MINUTE, UsageCounts, UsageKey, write_totals
from service.metrics.scheduler import SchedulerMetrics
from service.scheduling.__main__ import run
from tests.databases import on_both_databases
from tests.fakes import FakeRayJobs, Fuse, Killed
from tests.service.db.rows import TENANT, add_file, outbox, step
from tests.service.scheduling.world import BASE, GOOD, TOTAL_STEPS, World

SHAPE = shape_of(config_here(BASE) or {})
"""Of the built-in base."""
LIFE = [
    "Created fine-tuning job: {id}",
    "Validating training file: {file}",
    "Files validated, moving job to queued state",
    "Fine-tuning job started",
    "Step 1/4: training loss=1.00",
    "Step 2/4: training loss=0.50",
    "Step 3/4: training loss=0.33",
    "Step 4/4: training loss=0.25",
    "Checkpoint created at step 4 with Snapshot ID: {model}:ckpt-step-4",
    "Training is complete, and its weights are stored",
    "The served model is checked before it is published",
    "New fine-tuned model created: {model}",
    "The job has successfully completed",
]


def life(job) -> list[str]:
    return [line.format(id=job.id, file=job.training_file, model=job.output_model) for line in LIFE]


@on_both_databases
def test_a_job_goes_from_files_to_a_model(world: World) -> None:
    job = world.job()
    scheduler = world.scheduler()
    scheduler.tick()
    assert world.status(job) is JobStatus.QUEUED
    scheduler.tick()
    assert world.status(job) is JobStatus.STARTING
    world.train(job)
    assert world.status(job) is JobStatus.PUBLISHING
    scheduler.tick()
    done = world.see(job)
    assert done.status is JobStatus.SUCCEEDED
    assert world.messages(job) == life(job)
    assert done.fine_tuned_model == job.output_model
    assert (done.trained_tokens, done.estimated_finish) == (321, None)
    assert done.finished_at is not None
    assert outbox(world.database) == ["fine_tuning.job.created", "fine_tuning.job.succeeded"]
    assert [one.released_at is not None for one in world.attempts(job)] == [True]


def test_a_planned_job_waits_among_those_of_its_shape(world: World) -> None:
    job = world.job()
    world.scheduler().tick()
    with world.database.read() as session:
        row = session.get_one(tables.Job, job.id)
        assert row.gang_shape == gang_shape(planned_gangs(row.gangs)) != ""


def test_auto_is_resolved_to_numbers_during_validation(world: World) -> None:
    job = world.job(hyperparameters=Hyperparameters(n_epochs=2), seed=5)
    world.scheduler().tick()
    resolved = world.see(job)
    assert resolved.hyperparameters == Hyperparameters(n_epochs=2, batch_size=4, learning_rate_multiplier=1.0)
    assert (resolved.config.seed, resolved.config.learning_rate) == (5, 1e-3)


def test_the_specification_holds_all_that_the_runner_needs(world: World) -> None:
    validation, general = add_file(world.database), add_file(world.database)
    start = "jobs/other/attempts/1/checkpoints/step-00000009/manifest.json"
    options = TrainingOptions(general_file=general.id)
    job = world.job(validation_file=validation.id, training=options, start_from=start)
    scheduler = world.scheduler()
    scheduler.tick()
    scheduler.tick()
    spec = world.spec(f"{job.id}-a1")
    assert (spec.job_id, spec.attempt, spec.service_url) == (job.id, 1, "http://service")
    assert spec.config == world.see(job).config
    assert spec.training_key == f"files/{job.training_file}"
    assert spec.validation_key == f"files/{validation.id}"
    assert spec.general_key == f"files/{general.id}"
    assert {spec.training_sha256, spec.validation_sha256, spec.general_sha256} == {"0" * 64}
    assert (spec.start_from, spec.resume_from) == (start, None)
    assert [request.key for request in world.serving.checked] == [
        spec.training_key,
        spec.validation_key,
        spec.general_key,
    ]


def test_held_out_examples_are_not_trained_on(world: World) -> None:
    """OpenAI's rule gives 5 epochs for 20 examples, and 6 for the 15 that remain."""
    scheduler = world.scheduler()
    whole = world.job()
    scheduler.tick()
    world.serving.answer = world.serving.answer.model_copy(update={"n_held_out": 5})
    split = world.job(training=TrainingOptions(validation_split=0.25))
    scheduler.tick()
    assert world.see(whole).hyperparameters.n_epochs == 5
    assert world.see(split).hyperparameters.n_epochs == 6


def test_a_preference_job_is_validated_as_such(world: World) -> None:
    pairs = add_file(world.database, status="processed", format="preference")
    text = add_file(world.database, status="processed", format="chat")
    options = TrainingOptions(general_file=text.id)
    job = world.job(file=pairs, formats=("preference",), method="dpo", training=options)
    world.scheduler().tick()
    seen = world.see(job)
    assert [request.method for request in world.serving.checked] == ["dpo", "supervised"]
    assert (seen.config.method, seen.config.beta, seen.hyperparameters.beta) == ("dpo", 0.1, 0.1)
    assert seen.config.learning_rate == pytest.approx(1e-4)


def test_the_result_file_is_openais_csv(world: World) -> None:
    job = _trained(world)
    world.scheduler().tick()
    with world.database.read() as session:
        file = Files(session, TENANT).get(world.see(job).result_file)
    assert (file.purpose, file.status) == ("fine-tune-results", "processed")
    content = world.store.get(file.object_key)
    assert file.bytes == len(content)
    lines = content.decode().split("\n")
    assert lines[0] == "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy"
    assert lines[1:3] == ["1,1.0,0.5,,", "2,0.5,0.5,,"]
    assert len(lines) == TOTAL_STEPS + 2


def test_a_published_model_has_the_manifest_that_the_runner_named(world: World) -> None:
    job = _trained(world)
    world.scheduler().tick()
    with world.database.read() as session:
        model = TunedModels(session, TENANT).resolve(job.output_model)
    assert world.serving.scored[0].adapter == model.adapter
    assert model.adapter.manifest_key.endswith("/step-00000004/manifest.json")
    assert model.parity == Parity(max_abs=0, mean_abs=0, p99_abs=0)


# Validation


@pytest.mark.parametrize("role", ["training", "validation"])
def test_a_file_with_problems_fails_the_job_with_their_lines(world: World, role: str) -> None:
    job = world.job(validation_file=add_file(world.database).id)
    bad = Problem(line=7, code="invalid_json", message="Line 7: the line is not JSON")
    answers = (
        {"training": [bad], "validation": []} if role == "training" else {"training": [], "validation": [bad]}
    )
    training_key = f"files/{job.training_file}"

    def check(request, *, project_id: str) -> DatasetCheck:
        which = "training" if request.key == training_key else "validation"
        return GOOD.model_copy(update={"problems": answers[which]})

    world.serving.check_dataset = check
    world.scheduler().tick()
    failed = world.see(job)
    assert failed.status is JobStatus.FAILED
    assert (failed.error.code, failed.error.param) == (f"invalid_{role}_file", f"{role}_file")
    assert "Line 7: the line is not JSON." in failed.error.message
    assert world.log(job)[-1].level == "error"
    assert outbox(world.database)[-1] == "fine_tuning.job.failed"


@pytest.mark.parametrize(
    ("model", "method", "found", "needed"),
    [
        ("tiny", "supervised", "preference", "chat or completion"),
        ("tiny", "dpo", "chat", "preference"),
        ("encoder", "supervised", "completion", "classification or token_classification"),
    ],
)
def test_a_file_of_another_format_fails_the_job_and_is_named(
    world: World, model: str, method: str, found: str, needed: str
) -> None:
    file = add_file(world.database, status="processed", format=found)
    job = world.job(file=file, model=model, method=method, formats=(found,))
    world.scheduler().tick()
    error = world.see(job).error
    assert (error.code, error.param) == ("wrong_format", "training_file")
    assert error.message.endswith(f"It holds {found} rows, but the job needs {needed} rows.")
    assert world.serving.checked == []


def test_an_encoders_validation_file_has_the_format_and_the_classes_of_its_training_file(
    world: World,
) -> None:
    texts, more, words = (
        add_file(world.database, status="processed", format=format)
        for format in ("classification", "classification", "token_classification")
    )
    world.serving.answer = GOOD.model_copy(update={"class_names": ["no", "yes"]})
    options = {"file": texts, "model": "encoder", "formats": ("classification", "token_classification")}
    same, other = (world.job(**options, validation_file=file.id) for file in (more, words))
    world.scheduler().tick()
    assert world.status(same) is JobStatus.QUEUED
    error = world.see(other).error
    assert (error.code, error.param) == ("wrong_format", "validation_file")
    assert [check.class_names for check in world.serving.checked[:2]] == [[], ["no", "yes"]]


@pytest.mark.parametrize(
    ("n_examples", "message"),
    [
        (7, "Training file has 7 example(s), but must have at least 10 examples"),
        (1001, "Training file has 1001 example(s), but may have at most 1000 examples"),
    ],
)
def test_too_few_or_too_many_examples_fail_the_job(world: World, n_examples: int, message: str) -> None:
    job = world.job()
    world.serving.answer = GOOD.model_copy(update={"n_examples": n_examples})
    world.scheduler().tick()
    error = world.see(job).error
    assert (error.code, error.param, error.message) == ("invalid_n_examples", "training_file", message)


def test_shortened_examples_are_reported_with_their_lines(world: World) -> None:
    job = world.job(training=TrainingOptions(on_overlength="truncate"))
    found = {"n_truncated": 2, "truncated_lines": [3, 9], "n_dropped": 1, "dropped_lines": [5]}
    world.serving.answer = GOOD.model_copy(update=found)
    world.scheduler().tick()
    dropped, truncated = world.log(job)[-3:-1]
    assert (dropped.level, truncated.level) == ("warn", "warn")
    assert dropped.message == "1 example(s) of training_file with more than 64 tokens were left out: lines 5"
    assert truncated.message == (
        "2 example(s) of training_file with more than 64 tokens were cut at the end: lines 3, 9"
    )


def test_notes_of_the_dataset_compiler_are_reported_once(world: World) -> None:
    job = world.job(validation_file=add_file(world.database).id)
    world.serving.answer = GOOD.model_copy(update={"notes": ["An end is added."]})
    world.scheduler().tick()
    reported = [event for event in world.log(job) if event.message == "An end is added."]
    assert [event.level for event in reported] == ["warn"]


def test_a_general_set_is_checked_the_way_training_compiles_it(world: World) -> None:
    """Examples that are too long are left out, whatever happens to those of the training file."""
    options = TrainingOptions(general_file=add_file(world.database).id, on_overlength="truncate")
    job = world.job(training=options)
    world.serving.answer = GOOD.model_copy(update={"n_dropped": 1, "dropped_lines": [3]})
    world.scheduler().tick()
    assert [request.on_overlength for request in world.serving.checked] == ["truncate", "drop"]
    assert "training.general_file with more than 64 tokens were left out" in world.log(job)[-2].message


def test_a_job_that_can_never_run_fails_with_the_reason(world: World) -> None:
    too_wide = world.job(training=TrainingOptions(num_workers=2))
    untrainable = world.job(training=TrainingOptions(type="full"))
    world.scheduler().tick()
    assert world.see(too_wide).error.param == "training.num_workers"
    assert world.see(untrainable).error.param == "training.type"


def test_a_job_that_fits_no_device_fails_with_the_numbers(world: World) -> None:
    small = Pool.model_validate({"kind": "cpu", "devices": 1, "host_bytes": "100MB"})
    world.settings = world.settings.model_copy(update={"training_pools": (small,)})
    world.serving.answer = GOOD.model_copy(update={"shape": SHAPE})
    job = world.job()
    world.scheduler().tick()
    error = world.see(job).error
    assert (error.code, error.param) == ("insufficient_memory", "training")
    assert "the largest pool has 1 x 0.1 GB" in error.message


def test_a_job_is_planned_when_its_files_are_validated(world: World) -> None:
    pool = Pool.model_validate({"kind": "cuda", "devices": 8, "device_bytes": "80GB"})
    world.settings = world.settings.model_copy(update={"training_pools": (pool,), "training_slots": 8})
    world.serving.answer = GOOD.model_copy(update={"shape": SHAPE})
    job = world.job(training=TrainingOptions(num_workers=2, max_seq_length=48))
    world.scheduler().tick()
    config = world.see(job).config
    assert (config.num_workers, config.parallelism, config.max_length) == (2, "ddp", 48)
    assert config.footprint.pool == pool
    assert world.serving.checked[0].max_length == 48
    # Two workers with 2048 tokens for each of them, in examples of ten, in ten steps.
    assert world.see(job).hyperparameters.batch_size == 4


def test_a_base_that_left_the_catalogue_fails_the_job_at_any_stage(world: World) -> None:
    job = world.job()
    scheduler = world.scheduler()
    scheduler.tick()
    other = world.job()
    scheduler = world.scheduler(bases={"another": None})
    scheduler.tick()
    for one in (job, other):
        assert world.see(one).error.code == "invalid_configuration"


def test_validation_waits_for_serving(world: World) -> None:
    job = world.job()
    world.serving.fault = Unavailable("still loading")
    scheduler = world.scheduler()
    for _ in range(3):
        scheduler.tick()
    assert world.status(job) is JobStatus.VALIDATING_FILES
    world.serving.fault = None
    world.scheduler().tick()
    assert world.status(job) is JobStatus.QUEUED


def test_layers_that_the_cluster_does_not_find_fail_the_job_with_the_option_that_names_them(
    world: World,
) -> None:
    job = world.job(training=TrainingOptions(target_modules=["nope"]))
    param = "training.target_modules"

    def check(request, *, project_id: str) -> DatasetCheck:
        assert request.training == job.training
        raise InvalidRequest(f"{param} names 'nope'; it has q_proj.", param=param)

    world.serving.check_dataset = check
    world.scheduler().tick()
    failed = world.see(job)
    assert failed.status is JobStatus.FAILED
    assert (failed.error.param, failed.error.message) == (param, f"{param} names 'nope'; it has q_proj.")
    assert world.ray.submissions == []


def test_a_job_cancelled_during_validation_stays_cancelled(world: World) -> None:
    job = world.job()

    def check(request, *, project_id: str) -> DatasetCheck:
        world.cancel(job)
        return GOOD

    world.serving.check_dataset = check
    scheduler = world.scheduler()
    scheduler.tick()
    scheduler.tick()
    assert world.status(job) is JobStatus.CANCELLED
    assert world.messages(job)[-1] == "The job has been cancelled"
    assert world.ray.submissions == []


# Admission


def test_jobs_run_one_after_the_other_in_order_of_creation(world: World) -> None:
    jobs = [world.job() for _ in range(3)]
    scheduler = world.scheduler()
    for expected in jobs:
        for _ in range(4):
            scheduler.tick()
        assert world.ray.submissions[-1] == f"{expected.id}-a1"
        world.train(expected)
    assert len(world.ray.submissions) == 3


def test_an_ended_attempt_holds_its_slots_until_ray_has_released_it(world: World) -> None:
    first, second = world.job(), world.job()
    scheduler = world.scheduler()
    scheduler.tick()
    scheduler.tick()
    world.train(first)
    world.ray.statuses[f"{first.id}-a1"] = "running"  # ended by its own word, but its process is still there
    scheduler.tick()
    assert world.see(second).status is JobStatus.QUEUED
    assert world.ray.stopped == [f"{first.id}-a1"]
    scheduler.tick()
    assert world.see(second).status is JobStatus.STARTING


# Lost attempts


def _running(world: World, **new):
    job = world.job(**new)
    scheduler = world.scheduler()
    scheduler.tick()
    scheduler.tick()
    world.sync(job, [step(0, 1, TOTAL_STEPS)])
    return job, scheduler


def _trained(world: World):
    job, _ = _running(world)
    world.train(job)
    return job


@pytest.mark.parametrize("status", ["failed", "stopped", "succeeded", "absent"])
def test_an_attempt_whose_process_ended_silently_is_replaced(world: World, status: str) -> None:
    job, scheduler = _running(world)
    world.sync(job, [world.checkpoint(job, 1, 2)])
    world.silence(job, 3)
    if status == "absent":
        world.ray.statuses.clear()
    else:
        world.ray.statuses[f"{job.id}-a1"] = status
    scheduler.tick()
    assert world.status(job) is JobStatus.QUEUED
    scheduler.tick()
    assert world.status(job) is JobStatus.STARTING
    assert world.spec(f"{job.id}-a2").resume_from.endswith(
        "attempts/1/checkpoints/step-00000002/manifest.json"
    )
    with pytest.raises(Conflict):
        world.sync(job, attempt=1)


LEADS_FOR_LONG = {"heartbeat_timeout_seconds": 0.0}
"""So that no heartbeat is excused because the scheduler has just begun to lead."""


def test_a_silent_runner_with_a_live_process_gets_a_grace_period_and_is_then_replaced_and_stopped(
    world: World,
) -> None:
    """Its host may be too busy for it to sync."""
    world.settings = world.settings.model_copy(update=LEADS_FOR_LONG)
    job, scheduler = _running(world)
    world.silence(job, world.settings.heartbeat_timeout_seconds + 20)
    scheduler.tick()
    assert world.status(job) is JobStatus.RUNNING
    world.silence(job, world.settings.heartbeat_grace_seconds)
    scheduler.tick()
    assert world.status(job) is JobStatus.QUEUED
    scheduler.tick()
    assert world.ray.stopped == [f"{job.id}-a1"]
    scheduler.tick()
    assert world.ray.submissions == [f"{job.id}-a1", f"{job.id}-a2"]


def test_an_attempt_that_has_not_synced_yet_has_a_longer_timeout(world: World) -> None:
    world.settings = world.settings.model_copy(update=LEADS_FOR_LONG)
    job = world.job()
    scheduler = world.scheduler()
    scheduler.tick()
    scheduler.tick()
    world.silence(job, world.settings.heartbeat_timeout_seconds + 5)
    scheduler.tick()
    assert world.status(job) is JobStatus.STARTING
    world.silence(job, world.settings.start_timeout_seconds)
    scheduler.tick()
    assert world.status(job) is JobStatus.STARTING, "Ray says that its process lives"
    world.silence(job, world.settings.heartbeat_grace_seconds)
    scheduler.tick()
    assert world.status(job) is JobStatus.QUEUED


def test_silence_while_no_scheduler_ran_is_excused(world: World) -> None:
    job, scheduler = _running(world)
    scheduler.close()
    world.silence(job, world.settings.heartbeat_timeout_seconds + world.settings.heartbeat_grace_seconds + 60)
    world.scheduler().tick()
    assert world.status(job) is JobStatus.RUNNING


def test_a_validation_that_waited_when_the_scheduler_stopped_waits_for_its_whole_time_again(
    world: World,
) -> None:
    job = world.job()
    with world.database.write() as session:
        session.get_one(tables.Job, job.id).waiting_since = 1.0
    world.serving.fault = Unavailable("serving is starting")
    world.scheduler().tick()
    assert world.status(job) is JobStatus.VALIDATING_FILES


def test_silence_while_the_database_was_down_is_excused(world: World) -> None:
    job, scheduler = _running(world)
    world.schedulers_database.is_down = True
    scheduler.tick()
    world.schedulers_database.is_down = False
    world.silence(job, world.settings.heartbeat_timeout_seconds + world.settings.heartbeat_grace_seconds + 60)
    scheduler.tick()
    assert world.status(job) is JobStatus.RUNNING


def test_after_three_platform_faults_the_job_fails(world: World) -> None:
    job = world.job()
    scheduler = world.scheduler()
    scheduler.tick()
    for number in (1, 2, 3):
        scheduler.tick()
        scheduler.tick()
        fault = Failed(code="node_died", message=f"Node {number} died.", is_user_fault=False)
        world.sync(job, state=fault)
        world.ray.statuses[f"{job.id}-a{number}"] = "failed"
    scheduler.tick()
    scheduler.tick()
    failed = world.see(job)
    assert failed.status is JobStatus.FAILED
    assert failed.error.code == "platform_error"
    assert "failed 3 times" in failed.error.message
    assert "Node 3 died." in failed.error.message
    assert len(world.ray.submissions) == 3


def test_a_resumed_job_reports_no_step_twice(world: World) -> None:
    job, scheduler = _running(world)
    world.sync(job, [step(1, 2, TOTAL_STEPS), world.checkpoint(job, 2, 2), step(3, 3, TOTAL_STEPS)])
    world.ray.statuses[f"{job.id}-a1"] = "failed"
    world.silence(job, 3)
    scheduler.tick()
    scheduler.tick()
    events = [step(0, 3, TOTAL_STEPS), step(1, 4, TOTAL_STEPS)]
    world.sync(job, events, world.finished(job))
    scheduler.tick()
    steps = [event.data["step"] for event in world.log(job) if event.type == "metrics"]
    assert steps == [1, 2, 3, 4]
    assert world.status(job) is JobStatus.SUCCEEDED


# Cancel


def test_a_cancelled_runner_gets_the_command_and_is_then_stopped(world: World) -> None:
    job, scheduler = _running(world)
    world.cancel(job)
    assert world.sync(job).command == "cancel"
    scheduler.tick()
    assert world.ray.stopped == [f"{job.id}-a1"]
    scheduler.tick()
    assert world.attempts(job)[0].released_at is not None


def test_a_cancelled_runner_that_ends_by_itself_is_not_stopped(world: World) -> None:
    job, scheduler = _running(world)
    world.cancel(job)
    world.sync(job, state=Stopped())
    world.ray.statuses[f"{job.id}-a1"] = "succeeded"
    scheduler.tick()
    assert world.ray.stopped == []
    assert world.attempts(job)[0].released_at is not None


def test_a_job_cancelled_while_it_is_published_has_no_model(world: World) -> None:
    job = _trained(world)

    def score(model, rows):
        world.cancel(job)
        return ProbeScores(logprobs=[[-1.0, -1.0]])

    world.serving.score = score
    world.scheduler().tick()
    assert world.status(job) is JobStatus.CANCELLED
    assert world.models() == []
    assert world.see(job).result_file is None


# Publishing


@pytest.mark.parametrize("wrong", [[-1.0, -1.01], [-1.0], [], [-1.0, float("nan")], [-1.0, float("-inf")]])
def test_a_model_for_which_serving_computes_other_values_is_not_published(
    world: World, wrong: list[float]
) -> None:
    job = _trained(world)
    world.serving.logprobs = lambda row: wrong
    world.scheduler().tick()
    failed = world.see(job)
    assert (failed.status, failed.error.code) == (JobStatus.FAILED, "serving_mismatch")
    assert world.models() == []


def test_a_model_that_never_ends_its_answers_is_published_with_a_warning(world: World) -> None:
    world.answer_prompts = [
        AnswerPrompt(token_ids=[1, 2], answer_tokens=5),
        AnswerPrompt(token_ids=[3], answer_tokens=6),
    ]
    world.serving.reason = "length"
    job = _trained(world)
    world.scheduler().tick()
    assert world.status(job) is JobStatus.SUCCEEDED
    assert world.serving.generated == [([1, 2], 26), ([3], 28)]
    warning, created, done = world.log(job)[-3:]
    assert warning.level == "warn"
    assert "did not end its answer by itself on any of 2 training prompts" in warning.message
    assert (created.message, done.message) == (
        f"New fine-tuned model created: {job.output_model}",
        "The job has successfully completed",
    )


def test_one_answer_that_ends_by_itself_suffices(world: World) -> None:
    world.answer_prompts = [AnswerPrompt(token_ids=[1, 2], answer_tokens=5)] * 2
    job = _trained(world)
    world.scheduler().tick()
    assert len(world.serving.generated) == 1
    assert [event.level for event in world.log(job)[-2:]] == ["info", "info"]


def test_a_prompt_that_leaves_no_room_for_its_answer_is_skipped(world: World) -> None:
    world.answer_prompts = [AnswerPrompt(token_ids=[1] * (BASE.context_length - 4), answer_tokens=5)]
    world.serving.reason = "length"
    job = _trained(world)
    world.scheduler().tick()
    assert world.serving.generated == []
    assert world.log(job)[-1].level == "info"


def test_the_parity_of_an_encoder_is_checked_by_its_classes(world: World) -> None:
    texts = add_file(world.database, status="processed", format="classification")
    options = {"file": texts, "model": "encoder", "formats": ("classification",)}
    good, bad = (world.job(**options) for _ in range(2))
    scheduler = world.scheduler()
    for job, logprobs in ((good, [-1.0, -1.0]), (bad, [-1.0, -1.5])):
        for _ in range(4):
            scheduler.tick()
        world.train(job)
        world.serving.class_logprobs = lambda row, logprobs=logprobs: logprobs
        scheduler.tick()
    assert world.status(good) is JobStatus.SUCCEEDED
    assert world.see(bad).error.code == "serving_mismatch"
    assert world.serving.scored == []
    assert [model.base.alias for model in world.serving.classified] == ["encoder"] * 2


def _evaluated(world: World, regression: float | None, **options):
    job, _ = _running(world, training=TrainingOptions(**options))
    report = EvaluationReport(held_out=None, general=None, general_kl=None, regression=regression)
    world.train(job, report)
    world.scheduler().tick()
    return world.see(job)


def test_a_published_model_keeps_its_evaluation(world: World) -> None:
    job = _evaluated(world, 0.5, max_regression=0.5)
    assert job.status is JobStatus.SUCCEEDED
    with world.database.read() as session:
        assert TunedModels(session, TENANT).resolve(job.output_model).report == job.report
    assert job.report.regression == 0.5


@pytest.mark.parametrize(
    ("regression", "code"), [(0.51, "max_regression_exceeded"), (None, "regression_not_measured")]
)
def test_a_model_that_forgot_too_much_is_not_published_and_its_evaluation_shows_why(
    world: World, regression: float | None, code: str
) -> None:
    job = _evaluated(world, regression, max_regression=0.5)
    assert (job.status, job.error.code) == (JobStatus.FAILED, code)
    assert job.report.regression == regression
    assert world.models() == []


def test_weights_that_changed_in_storage_are_not_published(world: World) -> None:
    for damage in ("manifest", "truncated", "missing"):
        job = _trained(world)
        key = world.attempts(job)[0].result["manifest_key"]
        weights = key.replace("manifest.json", "adapter.safetensors")
        if damage == "manifest":
            world.store.put(key, world.store.get(key) + b" ")
        elif damage == "truncated":
            world.store.put(weights, b"short")
        else:
            world.store.delete(weights)
        world.scheduler().tick()
        failed = world.see(job)
        assert (failed.status, failed.error.code) == (JobStatus.FAILED, "corrupt_artefact"), damage
    assert world.models() == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [(b'"', b"'", "cannot be read"), (b'"job_id":"ftjob-', b'"job_id":"other-', "belongs to another job")],
)
def test_a_manifest_that_is_no_manifest_or_another_jobs_is_not_published(
    world: World, old: bytes, new: bytes, message: str
) -> None:
    """Even if the runner named it by its digest."""
    job = _trained(world)
    key = world.attempts(job)[0].result["manifest_key"]
    wrong = world.store.get(key).replace(old, new)
    assert world.store.put(key, wrong).sha256 != world.attempts(job)[0].result["manifest_sha256"]
    with world.database.write() as session:
        attempt = session.get_one(tables.Attempt, (job.id, 1))
        attempt.result = attempt.result | {"manifest_sha256": hashlib.sha256(wrong).hexdigest()}
    world.scheduler().tick()
    failed = world.see(job)
    assert (failed.status, failed.error.code) == (JobStatus.FAILED, "corrupt_artefact")
    assert message in failed.error.message
    assert world.models() == []


# Several schedulers, and kills


@on_both_databases
def test_four_schedulers_claim_each_job_once(world: World) -> None:
    world.settings = world.settings.model_copy(update={"training_slots": 64, "tick_seconds": 0.02})
    jobs = [world.job() for _ in range(6)]
    schedulers = [world.scheduler() for _ in range(4)]
    stop, deadline = threading.Event(), time.monotonic() + 300
    with ThreadPoolExecutor(4) as pool:
        for scheduler in schedulers:
            metrics = SchedulerMetrics(CollectorRegistry())
            pool.submit(run, scheduler, stop, world.settings.tick_seconds, metrics)
        while len(world.ray.submissions) < len(jobs) and time.monotonic() < deadline:
            stop.wait(0.1)
            world.expire_lease()  # the next to ask leads, even in the middle of another's round
        stop.set()
    assert sorted(world.ray.submissions) == sorted(f"{job.id}-a1" for job in jobs)
    assert all(len(world.attempts(job)) == 1 for job in jobs)


@on_both_databases
def test_a_scheduler_whose_lease_was_taken_writes_nothing_more(world: World) -> None:
    job = world.job()
    old = world.scheduler()
    old.tick()
    assert world.status(job) is JobStatus.QUEUED
    new = world.scheduler()
    other = world.job()
    new.tick()  # takes the lease, validates the second job and starts the first
    before = world.see(job), world.see(other), world.attempts(job)[0].heartbeat_at
    world.train(job)
    published = world.see(job)
    old.tick()
    old.tick()
    assert (world.see(job), world.see(other)) == (published, before[1])
    new.tick()
    assert world.status(job) is JobStatus.SUCCEEDED


@on_both_databases
def test_a_scheduler_that_closes_lets_the_next_one_in_at_once(world: World) -> None:
    job = world.job()
    waiting, first = world.scheduler(), world.scheduler()
    first.tick()
    waiting.tick()
    assert world.status(job) is JobStatus.QUEUED, "only the first one acts"
    first.close()
    waiting.tick()
    assert world.status(job) is JobStatus.STARTING


@on_both_databases
def test_a_round_that_waits_for_the_cluster_keeps_the_lease(world: World) -> None:
    """`keep_lead` comes from another thread, while Ray takes its time to answer."""

    class SlowRay(FakeRayJobs):
        def submit(self, submission_id: str, spec_key: str) -> None:
            world.advance(590)
            first.keep_lead()
            world.advance(590)
            super().submit(submission_id, spec_key)

    world.ray = SlowRay()
    job = world.job()
    waiting, first = world.scheduler(), world.scheduler()
    first.tick()
    first.tick()
    assert world.attempts(job)[0].state == "submitted", "the answer was recorded under the same lease"
    world.advance(20)
    first.keep_lead()
    waiting.tick()
    first.tick()
    world.train(job)
    first.tick()
    assert world.status(job) is JobStatus.PUBLISHING, "between rounds, only a tick renews the lease"
    waiting.tick()
    assert world.status(job) is JobStatus.SUCCEEDED


@on_both_databases
def test_after_a_kill_at_any_point_another_scheduler_finishes_the_job_once(world: World) -> None:
    killed_at = 0
    while True:
        # Every point on SQLite, and every third on PostgreSQL, where each job takes longer.
        killed_at += 1 if world.database.dialect == "sqlite" else 3
        job = world.job()
        fuse = Fuse(at=killed_at)
        scheduler = world.scheduler(fuse)
        deaths = 0
        for _ in range(30):
            try:
                scheduler.tick()
            except Killed:
                deaths += 1
                scheduler = world.scheduler()
            status = world.status(job)
            if status is JobStatus.STARTING and f"{job.id}-a1" in world.ray.statuses:
                world.train(job)
            attempts = world.attempts(job)
            if status is JobStatus.SUCCEEDED and attempts[0].released_at is not None:
                break
        assert world.status(job) is JobStatus.SUCCEEDED, killed_at
        assert world.messages(job) == life(job), killed_at
        assert len(world.attempts(job)) == 1, killed_at
        assert world.ray.submissions.count(f"{job.id}-a1") == 1, killed_at
        assert [model.job_id for model in world.models()].count(job.id) == 1, killed_at
        if not deaths:
            break
    assert killed_at > 20


def test_each_job_starts_once_after_an_outage_of_ray(world: World) -> None:
    job = world.job()
    scheduler = world.scheduler()
    scheduler.tick()
    world.ray.fault = Unavailable("away", code="ray_unavailable")
    scheduler.tick()
    assert world.status(job) is JobStatus.STARTING
    num_calls = world.ray.num_calls
    scheduler.tick()
    assert world.ray.num_calls == num_calls + 1, "one question a round is enough to know"
    world.ray.fault = None
    scheduler.tick()
    assert world.ray.submissions == [f"{job.id}-a1"]
    world.sync(job, state=Running())
    assert world.status(job) is JobStatus.RUNNING


def test_a_start_that_another_tunery_up_completes_reports_to_the_new_one(world: World) -> None:
    job = world.job()
    scheduler = world.scheduler()
    scheduler.tick()
    world.ray.fault = Unavailable("away", code="ray_unavailable")
    scheduler.tick()
    world.ray.fault = None
    scheduler.close()
    world.settings = world.settings.model_copy(update={"service_url": "http://another"})
    world.scheduler().tick()
    assert world.ray.submissions == [f"{job.id}-a1"]
    assert world.spec(f"{job.id}-a1").service_url == "http://another"
    world.sync(job, state=Running())
    assert world.status(job) is JobStatus.RUNNING


def test_a_slow_publish_does_not_hold_up_other_jobs(world: World) -> None:
    slow = _trained(world)
    entered, go_on = threading.Event(), threading.Event()

    def score(model, rows):
        entered.set()
        assert go_on.wait(300)
        return ProbeScores(logprobs=[[-1.0, -1.0]])

    world.serving.score = score
    with ThreadPoolExecutor(2) as pool:
        scheduler = world.scheduler(executor=pool)
        scheduler.tick()
        assert entered.wait(300)
        other = world.job()
        for _ in range(600):
            scheduler.tick()
            if world.status(other) is JobStatus.STARTING:
                break
            entered.wait(0.01)
        assert world.status(other) is JobStatus.STARTING
        assert world.status(slow) is JobStatus.PUBLISHING
        go_on.set()
    assert world.status(slow) is JobStatus.SUCCEEDED


def _break(world: World, broken, error: Exception):
    """Serving fails for the job's training file alone."""
    key = f"files/{broken.training_file}"

    def check(request, *, project_id: str) -> DatasetCheck:
        if request.key == key:
            raise error
        return GOOD

    world.serving.check_dataset = check


def test_an_unexpected_error_in_one_job_stops_no_other(world: World) -> None:
    broken, fine = world.job(), world.job()
    _break(world, broken, RuntimeError("a bug"))
    world.scheduler().tick()
    assert world.status(broken) is JobStatus.VALIDATING_FILES
    assert world.status(fine) is JobStatus.QUEUED


# Platform faults in a step of the scheduler


FAULTS = [
    RuntimeError("a bug of ours"),
    InternalError.of("The model server"),
    TuneryError("The cluster's token is wrong.", code="invalid_api_key"),
    NotFound("No route POST /datasets/check."),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_a_platform_fault_in_validation_is_retried_and_then_reported_with_its_id(
    world: World, fault: Exception, capsys
) -> None:
    job = world.job()
    world.serving.fault = fault
    for number in (1, 2):
        world.scheduler().tick()  # another one each time: the count is not in its memory
        assert world.status(job) is JobStatus.VALIDATING_FILES, number
        last = world.log(job)[-1]
        assert last.level == "warn"
        assert last.message.startswith("Validation failed: ")
        assert f"retried in 0 seconds; {3 - number} more fault(s)" in last.message
    world.scheduler().tick()
    failed = world.see(job)
    assert (failed.status, failed.error.code) == (JobStatus.FAILED, "platform_error")
    assert "failed 3 times in a row" in failed.error.message
    (named,) = re.findall("err_[0-9a-f]{16}", failed.error.message) or [None]
    assert (named is not None) == isinstance(fault, RuntimeError | InternalError)
    assert named is None or named in capsys.readouterr().out


def test_a_step_that_recovers_has_all_its_retries_again(world: World) -> None:
    job = world.job()
    world.serving.fault = RuntimeError("a bug of ours")
    world.scheduler().tick()
    world.scheduler().tick()
    world.serving.fault = None
    world.scheduler().tick()
    assert world.status(job) is JobStatus.QUEUED
    world.scheduler().tick()
    for number in (1, 2):
        assert world.status(job) is JobStatus.STARTING
        world.sync(job, state=Failed(code="node_died", message="A node died.", is_user_fault=False))
        world.ray.statuses[f"{job.id}-a{number}"] = "failed"
        for _ in range(2):
            world.scheduler().tick()
    assert world.status(job) is JobStatus.STARTING


def test_a_failed_step_pauses_longer_each_time_whichever_scheduler_leads(world: World) -> None:
    update = {"retry_seconds": 30.0, "max_retry_seconds": 50.0}
    world.settings = world.settings.model_copy(update=update)
    job = world.job()
    world.serving.fault = RuntimeError("a bug of ours")
    world.scheduler().tick()
    assert "retried in 30 seconds" in world.log(job)[-1].message
    world.serving.fault = None
    world.scheduler().tick()
    assert world.status(job) is JobStatus.VALIDATING_FILES
    world.serving.fault = RuntimeError("a bug of ours")
    world.pass_time(job, 31)
    world.scheduler().tick()
    assert "retried in 50 seconds" in world.log(job)[-1].message
    world.serving.fault = None
    world.pass_time(job, 51)
    world.scheduler().tick()
    assert world.status(job) is JobStatus.QUEUED


def test_a_lost_attempt_is_replaced_after_a_pause(world: World) -> None:
    world.settings = world.settings.model_copy(update={"retry_seconds": 30.0})
    job, scheduler = _running(world)
    world.ray.statuses[f"{job.id}-a1"] = "failed"
    world.silence(job, 3)
    scheduler.tick()
    scheduler.tick()
    assert world.status(job) is JobStatus.QUEUED
    assert "retried in 30 seconds" in world.log(job)[-1].message
    world.pass_time(job, 31)
    scheduler.tick()
    assert world.status(job) is JobStatus.STARTING


def test_an_unexpected_error_while_a_job_starts_is_a_fault_and_stops_no_other(world: World) -> None:
    broken, fine = world.job(), world.job()
    world.settings = world.settings.model_copy(update={"training_slots": 2})
    put = world.store.put

    def refuse(key: str, content: bytes):
        if broken.id in key:
            raise OSError("a bug of ours")
        return put(key, content)

    world.store.put = refuse
    scheduler = world.scheduler()
    for _ in range(12):
        scheduler.tick()
    assert world.status(fine) is JobStatus.STARTING
    failed = world.see(broken)
    assert (failed.status, failed.error.code) == (JobStatus.FAILED, "platform_error")
    assert "err_" in failed.error.message


def test_a_waiting_step_is_reported_once_and_fails_the_job_at_the_limit(world: World) -> None:
    job = world.job()
    serving_away, no_model = (
        Unavailable("The model server does not answer.", code="serving_unavailable"),
        Unavailable("The base model cannot be downloaded.", code=MODEL_NOT_AVAILABLE),
    )
    for fault in (serving_away, no_model, serving_away, no_model):
        world.serving.fault = fault
        scheduler = world.scheduler()
        scheduler.tick()
    reported = [event.message for event in world.log(job) if event.level == "warn"]
    assert reported == [f"Validation waits: {fault.message}" for fault in (serving_away, no_model)]
    assert world.status(job) is JobStatus.VALIDATING_FILES
    world.pass_time(job, world.settings.validation_timeout_seconds + 1)
    deadline = time.monotonic() + 300
    # It is tried again after a pause. Another scheduler would let it wait for its whole time again.
    while world.status(job) is JobStatus.VALIDATING_FILES:
        scheduler.tick()
        assert time.monotonic() < deadline
    failed = world.see(job)
    assert (failed.status, failed.error.code) == (JobStatus.FAILED, MODEL_NOT_AVAILABLE)
    assert failed.error.message.endswith(no_model.message)


def test_time_in_which_a_check_only_waits_for_its_turn_fails_no_job(world: World) -> None:
    job = world.job()
    queued = Unavailable("Other files are checked first.", code=CHECK_QUEUED)
    is_read = Unavailable("The file is being read.", code="dataset_not_ready")

    def note(error: Unavailable, at: float) -> None:
        with world.database.write() as session:
            row = session.get_one(tables.Job, job.id)
            note_wait(session, row, "Validation", error, timeout_seconds=1800, at=at)

    for error, at in [(queued, 10_000), (queued, 20_000), (is_read, 30_000), (is_read, 31_000)]:
        note(error, at)
    # A wait that began before is neither forgotten nor longer: it goes on.
    for error, at in [(queued, 40_000), (queued, 50_000), (is_read, 50_700)]:
        note(error, at)
    assert world.status(job) is JobStatus.VALIDATING_FILES
    reported = [event.message for event in world.log(job) if event.level == "warn"]
    assert reported == [f"Validation waits: {error.message}" for error in (queued, is_read)]
    note(is_read, 50_900)
    failed = world.see(job)
    assert (failed.status, failed.error.code) == (JobStatus.FAILED, "platform_error")
    assert "waited for 1900 seconds" in failed.error.message


def test_a_job_whose_check_waits_for_its_turn_is_tried_again(world: World) -> None:
    job, scheduler = world.job(), world.scheduler()
    world.serving.fault = Unavailable("Other files are checked first.", code=CHECK_QUEUED)
    scheduler.tick()
    world.pass_time(job, 2 * world.settings.validation_timeout_seconds)
    world.serving.fault = None
    deadline = time.monotonic() + 300
    while world.status(job) is JobStatus.VALIDATING_FILES:
        scheduler.tick()
        assert time.monotonic() < deadline
    assert world.status(job) is JobStatus.QUEUED
    assert set(world.serving.checked_for) == {job.tenant.project_id}


def test_a_start_that_waits_for_ray_is_reported_once_and_has_no_limit(world: World) -> None:
    job = world.job()
    scheduler = world.scheduler()
    scheduler.tick()
    world.ray.fault = Unavailable("Ray does not answer.", code="ray_unavailable")
    for _ in range(3):
        scheduler.tick()
        world.pass_time(job, 1e6)
    assert world.messages(job)[3:] == ["The start waits: Ray does not answer."]
    world.ray.fault = None
    scheduler.tick()
    assert world.ray.submissions == [f"{job.id}-a1"]


def test_usage_by_the_minute_is_forgotten_in_the_background(world: World) -> None:
    with world.database.write() as session:
        key_id = ApiKeys(session).create(TENANT, name="k", scopes=frozenset({"infer"}))[1]
        at = int(now(session)) - int(world.settings.usage_minutes_seconds)
        starts = {at - DAY: MINUTE, at - HOUR: MINUTE, at + HOUR: MINUTE, at - 2 * DAY: HOUR}
        keys = [UsageKey(TENANT, key_id, "m", "completions", *when) for when in starts.items()]
        write_totals(session, "w", dict.fromkeys(keys, UsageCounts(1, 2, 3)))
    world.scheduler().tick()
    with world.database.read() as session:
        assert set(session.scalars(select(tables.Usage.start))) == {at + HOUR, at - 2 * DAY}
