"""Takes a job from `publishing` to `succeeded`.

A model becomes public only if it forgot no more than its owner allows, and if serving computes the same
log-probabilities that training measured.
"""

import hashlib
from collections.abc import Mapping
from typing import Literal

import structlog
from pydantic import ValidationError

from cluster.contracts.bases import BaseSpec
from cluster.contracts.errors import Conflict, CorruptArtefact, NotFound
from cluster.contracts.generation import ModelRef
from cluster.contracts.hyperparameters import TrainingConfig
from cluster.contracts.jobs import Finished
from cluster.contracts.manifest import Manifest, provenance_of, weight_file_names
from cluster.storage.keys import file_key, sibling_key
from cluster.storage.store import ObjectStore
from service.db.files.files import File
from service.db.ids import event_file_id, result_file_id
from service.db.jobs.files import JobFiles
from service.db.jobs.jobs import Job
from service.db.scheduler.publication import Publication, ResultFile
from service.db.scheduler.store import SchedulerStore
from service.db.troubles import triage
from service.scheduling.interfaces import ServingClient
from service.scheduling.publishing.event_files import event_file
from service.scheduling.publishing.integrations import asks_for_events, described, event_file_name
from service.scheduling.publishing.measuring import measure
from service.scheduling.publishing.parity import check_parity
from service.scheduling.publishing.regression import check_regression
from service.scheduling.publishing.results import result_csv
from service.scheduling.validation import base_of

_log = structlog.get_logger()
PublishOutcome = Literal["published", "refused", "postponed"]


def try_to_publish(
    job: Job,
    jobs: SchedulerStore,
    store: ObjectStore,
    serving: ServingClient,
    bases: Mapping[str, BaseSpec],
) -> PublishOutcome:
    """Publishes the job's model, or records why that failed. The weights are safe, and a dependency that does
    not answer now may answer later: only an error that every try would repeat fails the job.

    Raises Conflict if the job or the scheduler's lease has changed, and Unavailable if the result cannot be
    recorded."""
    try:
        publish(job, jobs, store, serving, bases)
    except Conflict:
        raise
    except Exception as error:
        trouble = triage(error, "Publishing")
        log = _log.exception if trouble.kind == "fault" else _log.warning
        log("not published", job=job.id, code=trouble.code, error=trouble.error.message)
        if trouble.kind == "refusal":
            keeps_weights = not isinstance(error, CorruptArtefact)
            jobs.refuse_publishing(job, trouble.error, keeps_weights=keeps_weights)
            return "refused"
        jobs.postpone_publishing(job, trouble.error)
        return "postponed"
    return "published"


def publish(
    job: Job,
    jobs: SchedulerStore,
    store: ObjectStore,
    serving: ServingClient,
    bases: Mapping[str, BaseSpec],
) -> None:
    """Publishes the job's model. After an interruption, call it again.

    Raises Unavailable or Overloaded if it should be retried later, and CorruptArtefact or TrainingFailed if
    the weights cannot be published.
    """
    publishing = job.publishing
    assert publishing is not None, "a job is published once it is trained"
    store = store.encrypted_with(jobs.encryption_key(job))
    finished = jobs.outcome(job)
    if publishing.regression == "check":
        check_regression(finished.report, job.training.max_regression)
    manifest = _verified(job, finished, store)
    files = jobs.files(job)
    _check_provenance(manifest, job, files)
    base = base_of(job, bases)
    measured = measure(job, ModelRef(base=base, adapter=finished.weights), manifest, store, serving)
    parity = None
    if measured.served is not None:
        parity = check_parity(manifest.probe, measured.served, measured.served_base, dtype=base.dtype)
    metrics = jobs.metrics(job)
    results = result_csv(each.values for each in metrics)
    events = None
    if asks_for_events(job):
        assert job.config is not None, "a trained job is resolved"
        config = described(job, files) | job.config.model_dump(mode="json")
        content = event_file(metrics, finished.report, config)
        events = _put(store, event_file_id(job.id), event_file_name(job), content)
    publication = Publication(
        finished=finished,
        provenance=provenance_of(manifest),
        parity=parity,
        warning=None if measured.endings is None else measured.endings.warning,
        results=_put(store, result_file_id(job.id), "step_metrics.csv", results),
        event_file=events,
    )
    if jobs.publish(job, publication):
        figures = {} if parity is None else parity.model_dump()
        _log.info("published", job=job.id, model=job.output_model, **figures)


def _put(store: ObjectStore, id: str, name: str, content: bytes) -> ResultFile:
    stored = store.put(file_key(id), content)
    return ResultFile(id, name, file_key(id), stored.bytes, hashlib.sha256(content).hexdigest())


def _verified(job: Job, finished: Finished, store: ObjectStore) -> Manifest:
    """Reads the manifest. Raises CorruptArtefact if it is not the one that the runner named, belongs to
    another job, or lacks a file."""
    try:
        content = store.get(finished.manifest_key)
        if hashlib.sha256(content).hexdigest() != finished.manifest_sha256:
            raise CorruptArtefact("The stored manifest is not the one that the runner wrote.")
        manifest = Manifest.model_validate_json(content)
        names = set(weight_file_names(manifest))
        for file in manifest.files:
            # Files that only a resume needs may have been deleted since.
            if file.name in names and _size(store, finished, file.name) != file.bytes:
                raise CorruptArtefact(f"The stored file {file.name} has another size than its manifest says.")
    except NotFound as error:
        raise CorruptArtefact("A file of the tuned model is missing in storage.") from error
    except ValidationError as error:
        raise CorruptArtefact("The stored manifest cannot be read.") from error
    if (manifest.job_id, manifest.base_alias) != (job.id, job.model):
        raise CorruptArtefact("The stored manifest belongs to another job.")
    return manifest


def _size(store: ObjectStore, finished: Finished, name: str) -> int:
    return store.stat(sibling_key(finished.manifest_key, name)).bytes


def _check_provenance(manifest: Manifest, job: Job, files: JobFiles) -> None:
    """Checks that the manifest describes the model's origin as the job was created."""
    is_same = manifest.data_sha256 == files.training.sha256
    is_same = is_same and _train_alike(manifest.config, job.config)
    # A runner of an earlier release does not name the other files.
    if manifest.environment is not None:
        named = (manifest.validation_sha256, manifest.general_sha256)
        is_same = is_same and named == (_sha256(files.validation), _sha256(files.general))
    if not is_same:
        raise CorruptArtefact("The stored manifest names another configuration or other data than the job.")


def _train_alike(one: TrainingConfig | None, other: TrainingConfig | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.trains_like(other)


def _sha256(file: File | None) -> str | None:
    return None if file is None else file.sha256
