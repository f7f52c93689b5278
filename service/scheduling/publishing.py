"""From `publishing` to `succeeded`: a model becomes public only after serving has shown that it computes what
training measured."""

import csv
import hashlib
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import structlog
from pydantic import ValidationError

from cluster.contracts.bases import BaseSpec
from cluster.contracts.errors import CorruptArtefact, NotFound, Overloaded, TrainingFailed, Unavailable
from cluster.contracts.generation import AdapterRef, ModelRef
from cluster.contracts.jobs import Finished
from cluster.contracts.manifest import Manifest
from cluster.storage.keys import file_key, sibling_key
from cluster.storage.store import ObjectStore
from service.db.jobs import Job
from service.db.work import Publication, Work
from service.scheduling.ports import Serving
from service.scheduling.validation import base_of

_log = structlog.get_logger()
TOLERANCE = {"float32": 1e-3, "bfloat16": 0.15}
"""Largest difference between a token's log-probability in training and in serving, in nats, by the type of
the frozen weights."""
CSV_HEADER = ("step", "train_loss", "train_accuracy", "valid_loss", "valid_mean_token_accuracy")


def publish(
    job: Job,
    work: Work,
    store: ObjectStore,
    serving: Serving,
    bases: Mapping[str, BaseSpec],
    *,
    at: float,
    patience_seconds: float,
) -> None:
    """Killed anywhere, it is simply done again. `at` is the database's clock.

    Raises Unavailable or Overloaded if it must be tried later; CorruptArtefact or TrainingFailed if the
    weights cannot be published, or if what they need has not answered for `patience_seconds`.
    """
    finished, ended_at = work.outcome(job)
    try:
        _publish(job, finished, work, store, serving, bases)
    except (Unavailable, Overloaded) as error:
        if at - ended_at < patience_seconds:
            raise
        raise TrainingFailed(
            f"The tuned model could not be published within {patience_seconds:.0f} seconds of its training; "
            f"it was not the job's fault, and the job may be created again. Last: {error.message}",
            code="platform_error",
        ) from error


def _publish(
    job: Job,
    finished: Finished,
    work: Work,
    store: ObjectStore,
    serving: Serving,
    bases: Mapping[str, BaseSpec],
) -> None:
    manifest = _verified(job, finished, store)
    differences = _compared(job, finished, manifest, serving, base_of(job, bases))
    results = result_csv(work.metrics(job))
    file_id = _result_file_id(job.id)
    stored = store.put(file_key(file_id), results)
    publication = Publication(
        manifest_key=finished.manifest_key,
        manifest_sha256=finished.manifest_sha256,
        parity=differences,
        result_file_id=file_id,
        result_bytes=stored.bytes,
        result_sha256=hashlib.sha256(results).hexdigest(),
        result_key=file_key(file_id),
    )
    if work.publish(job, publication):
        _log.info("published", job=job.id, model=job.output_model, **differences)


def parity(trained: Sequence[Sequence[float]], served: Sequence[Sequence[float]]) -> dict[str, float]:
    """Largest and mean absolute difference; infinite if anything is missing or not a number."""
    if [len(row) for row in trained] != [len(row) for row in served]:
        return {"max_abs": math.inf, "mean_abs": math.inf}
    pairs = [pair for rows in zip(trained, served, strict=True) for pair in zip(*rows, strict=True)]
    differences = [abs(ours - theirs) for ours, theirs in pairs]
    if not differences or not all(map(math.isfinite, differences)):
        return {"max_abs": math.inf, "mean_abs": math.inf}
    return {"max_abs": max(differences), "mean_abs": sum(differences) / len(differences)}


def result_csv(steps: Iterable[Mapping[str, Any]]) -> bytes:
    """OpenAI's result file; what was not measured at a step is blank."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_HEADER)
    for step in steps:
        names = ("step", "train_loss", "train_mean_token_accuracy", "valid_loss", "valid_mean_token_accuracy")
        writer.writerow([step.get(name) for name in names])
    return text.getvalue().encode()


def _verified(job: Job, finished: Finished, store: ObjectStore) -> Manifest:
    """The manifest, if it is the one the runner named, this job's, and all its files are there."""
    try:
        content = store.get(finished.manifest_key)
        if hashlib.sha256(content).hexdigest() != finished.manifest_sha256:
            raise CorruptArtefact("The stored manifest is not the one that the runner wrote.")
        manifest = Manifest.model_validate_json(content)
        for file in manifest.files:
            if store.stat(sibling_key(finished.manifest_key, file.name)).bytes != file.bytes:
                raise CorruptArtefact(f"The stored file {file.name} has another size than its manifest says.")
    except NotFound as error:
        raise CorruptArtefact("A file of the tuned model is missing in storage.") from error
    except ValidationError as error:
        raise CorruptArtefact("The stored manifest cannot be read.") from error
    if (manifest.job_id, manifest.base_alias) != (job.id, job.model):
        raise CorruptArtefact("The stored manifest belongs to another job.")
    return manifest


def _compared(
    job: Job, finished: Finished, manifest: Manifest, serving: Serving, base: BaseSpec
) -> dict[str, float]:
    """The differences, if serving computes what training measured; else raises TrainingFailed."""
    adapter = AdapterRef(
        digest=finished.manifest_sha256, manifest_key=finished.manifest_key, form=finished.form
    )
    served = serving.score(ModelRef(base=base, adapter=adapter), manifest.probe.token_ids)
    differences = parity(manifest.probe.logprobs, served)
    if differences["max_abs"] > TOLERANCE[base.dtype]:
        raise TrainingFailed(
            "The tuned model was not published: serving computes other log-probabilities than training did "
            f"(largest difference {differences['max_abs']:.3g}, allowed {TOLERANCE[base.dtype]:.3g}).",
            code="serving_mismatch",
        )
    return differences


def _result_file_id(job_id: str) -> str:
    """The same whenever it is asked for, so that a repeated publish writes the same object."""
    return "file-" + hashlib.sha256(f"results of {job_id}".encode()).hexdigest()[:24]
