import threading

import pytest

from cluster.contracts.errors import Conflict, NotFound
from cluster.contracts.evaluation import EvaluationReport
from cluster.contracts.jobs import JobStatus, SyncRequest
from cluster.contracts.parity import Parity
from cluster.contracts.weights import WeightsRef
from service.db import tables
from service.db.database import Database
from service.db.jobs.checkpoints import Checkpoints
from service.db.jobs.jobs import Job
from service.db.models.models import TunedModels
from service.db.scheduler.attempts import Attempts
from tests.service.db.rows import OTHER, TENANT, TOKEN, add_running_job, add_tenants, checkpoint, move

REPORT = EvaluationReport(held_out=None, general=None, general_kl=0.5, regression=None)


@pytest.fixture
def job(database: Database) -> Job:
    """A job with one checkpoint, at step 7, and a published model."""
    add_tenants(database)
    job = add_running_job(database)
    saved = checkpoint(job.id, 0, 7).model_copy(update={"form": "prefix"})
    with database.write() as session:
        Attempts(session).sync(job.id, 1, TOKEN, SyncRequest(events=[saved]))
        session.add(
            tables.Model(
                id=job.output_model,
                organization_id=TENANT.organization_id,
                project_id=TENANT.project_id,
                job_id=job.id,
                base="tiny",
                form="lora",
                manifest_key="jobs/x/manifest.json",
                manifest_sha256="d" * 64,
                parity={"max_abs": 1e-6, "mean_abs": 1e-7},
                report=REPORT.model_dump(mode="json"),
                created_at=5,
            )
        )
    return job


def test_a_tuned_name_resolves_to_a_base_and_weights(database: Database, job: Job) -> None:
    with database.read() as session:
        model = TunedModels(session, TENANT).resolve(job.output_model)
    assert (model.base, model.job_id) == ("tiny", job.id)
    assert (model.parity, model.report) == (Parity(max_abs=1e-6, mean_abs=1e-7), REPORT)
    assert model.adapter == WeightsRef(digest="d" * 64, manifest_key="jobs/x/manifest.json", form="lora")


def test_a_checkpoints_name_resolves_to_its_own_weights(database: Database, job: Job) -> None:
    with database.read() as session:
        model = TunedModels(session, TENANT).resolve(f"{job.output_model}:ckpt-step-7")
    assert "step-00000007" in model.adapter.manifest_key
    assert (model.base, model.adapter.form, model.report) == ("tiny", "prefix", None)


@pytest.mark.parametrize(
    "name", ["tiny", "ft:tiny:tunery::absent00", "", "{}:ckpt-step-8", "{}:ckpt-step-07"]
)
def test_any_other_name_is_not_found(database: Database, job: Job, name: str) -> None:
    with database.read() as session, pytest.raises(NotFound) as raised:
        TunedModels(session, TENANT).resolve(name.format(job.output_model))
    assert (raised.value.code, raised.value.param) == ("model_not_found", "model")


def test_another_tenants_model_is_absent(database: Database, job: Job) -> None:
    with database.write() as session:
        models = TunedModels(session, OTHER)
        assert models.list() == []
        for name in (job.output_model, f"{job.output_model}:ckpt-step-7"):
            with pytest.raises(NotFound):
                models.resolve(name)
        with pytest.raises(NotFound):
            models.delete(job.output_model)
    with database.read() as session:
        assert [model.name for model in TunedModels(session, TENANT).list()] == [job.output_model]


def test_a_deleted_model_is_absent_with_its_checkpoints(database: Database, job: Job) -> None:
    with database.write() as session:
        TunedModels(session, TENANT).delete(job.output_model)
    with database.write() as session:
        models = TunedModels(session, TENANT)
        assert models.list() == []
        for name in (job.output_model, f"{job.output_model}:ckpt-step-7"):
            with pytest.raises(NotFound):
                models.resolve(name)
        with pytest.raises(NotFound):
            models.delete(job.output_model)


def test_a_checkpoint_can_be_deleted_by_itself_once_its_job_has_ended(database: Database, job: Job) -> None:
    name = f"{job.output_model}:ckpt-step-7"
    with database.write() as session, pytest.raises(NotFound):
        TunedModels(session, OTHER).delete(name)
    with database.write() as session, pytest.raises(Conflict, match="Cancel the job") as refused:
        TunedModels(session, TENANT).delete(name)
    assert refused.value.code == "checkpoint_in_use"
    move(database, job.id, JobStatus.CANCELLED)
    with database.write() as session:
        models = TunedModels(session, TENANT)
        models.delete(name)
        for act in (models.resolve, models.delete):
            with pytest.raises(NotFound):
                act(name)
        assert models.resolve(job.output_model).name == job.output_model
        assert Checkpoints(session, TENANT).page(job.id).data == []


def test_a_locked_model_is_deleted_only_after_the_job_that_continues_it_is_written(
    database: Database, job: Job
) -> None:
    deleted = threading.Event()

    def delete() -> None:
        with database.write() as session:
            TunedModels(session, TENANT).delete(job.output_model)
        deleted.set()

    thread = threading.Thread(target=delete)
    with database.write() as session:
        TunedModels(session, TENANT).resolve_and_lock(job.output_model)
        thread.start()
        assert not deleted.wait(0.3)
    thread.join()
    assert deleted.is_set()
    with database.write() as session, pytest.raises(NotFound):
        TunedModels(session, TENANT).resolve_and_lock(job.output_model)
