"""Starts attempts: from `queued` to a Ray job.

The intent is recorded first, so that a scheduler that is killed in between never starts an attempt twice.
"""

from collections.abc import Mapping, Sequence

from cluster.contracts.bases import BaseSpec
from cluster.contracts.devices import Pool
from cluster.contracts.errors import InvalidConfiguration, NotFound
from cluster.contracts.jobs import Device, JobSpec
from cluster.storage.keys import spec_key
from cluster.storage.store import ObjectStore
from cluster.tracing import traceparent
from service.db.jobs.jobs import Job
from service.db.scheduler.pending_work import Attempt
from service.db.scheduler.store import Claim, SchedulerStore
from service.scheduling.cluster.placing import placed
from service.scheduling.interfaces import RayJobs, RayStatus
from service.scheduling.publishing.integrations import tracking_of
from service.scheduling.validation import base_of
from service.settings import TrackerPlaces


class Launcher:
    """Starts attempts. Every method raises Unavailable if Ray or the store does not answer. The attempt then
    stays in the state `submitting` until `recover`."""

    def __init__(
        self,
        store: ObjectStore,
        ray: RayJobs,
        bases: Mapping[str, BaseSpec],
        *,
        service_url: str,
        device: Device,
        trackers: TrackerPlaces,
        pools: Sequence[Pool] = (),
    ) -> None:
        self._store = store
        self._ray = ray
        self._bases = bases
        self._service_url = service_url
        self._device = device
        self._trackers = trackers
        self._pools = pools

    def launch(self, jobs: SchedulerStore, job: Job, claim: Claim) -> None:
        """Submits a claimed attempt: stores its specification, starts the Ray job, and records that Ray has
        it."""
        try:
            spec = self._spec(jobs, job, claim)
            store = self._store.encrypted_with(spec.encryption_key)
            store.put(spec_key(job.id, claim.number), spec.model_dump_json().encode())
        except InvalidConfiguration as error:
            jobs.reject(job, code=error.code or "", message=error.message)
            return
        self._submit(jobs, job.id, claim.number, claim.submission_id)

    def recover(self, jobs: SchedulerStore, attempt: Attempt, status: RayStatus) -> None:
        """Completes a submission that was interrupted at any point. `status` is Ray's current one."""
        if status != "absent":
            jobs.mark_submitted(attempt.job_id, attempt.number)
        elif self._is_specified(jobs, attempt):
            self._submit(jobs, attempt.job_id, attempt.number, attempt.submission_id)
        elif (claim := jobs.reclaim(attempt)) is not None:
            self.launch(jobs, jobs.job(attempt.job_id), claim)

    def _submit(self, jobs: SchedulerStore, job_id: str, number: int, submission_id: str) -> None:
        self._ray.submit(submission_id, spec_key(job_id, number))
        jobs.mark_submitted(job_id, number)

    def _is_specified(self, jobs: SchedulerStore, attempt: Attempt) -> bool:
        try:
            spec = JobSpec.model_validate_json(self._store.get(spec_key(attempt.job_id, attempt.number)))
        except NotFound:
            return False
        # `tunery up` listens on another port each time.
        return spec.service_url == self._service_url and jobs.token_matches(attempt, spec.attempt_token)

    def _spec(self, jobs: SchedulerStore, job: Job, claim: Claim) -> JobSpec:
        assert job.config is not None, "a queued job is resolved"
        config, placement = placed(job.config, claim, self._pools)
        files = jobs.files(job)
        return JobSpec(
            job_id=job.id,
            attempt=claim.number,
            attempt_token=claim.token,
            service_url=self._service_url,
            device=self._device,
            base=base_of(job, self._bases),
            config=config,
            training_key=files.training.object_key,
            training_sha256=files.training.sha256,
            validation_key=files.validation and files.validation.object_key,
            validation_sha256=files.validation and files.validation.sha256,
            general_key=files.general and files.general.object_key,
            general_sha256=files.general and files.general.sha256,
            start_from=job.start_from,
            resume_from=claim.resume_from,
            tracking=tracking_of(job, files, self._trackers),
            placement=placement,
            traceparent=traceparent() or job.traceparent,
            encryption_key=jobs.encryption_key(job),
        )
