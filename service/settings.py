"""The service's settings, read from the environment: `TUNERY_` before each field's name."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service.db.retries import Retries


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="TUNERY_", extra="ignore", frozen=True)

    database_url: str = "sqlite:///tunery.db"
    """`sqlite:///relative`, `sqlite:////absolute` or `postgresql://user:password@host/name`."""
    storage_url: str = "file:///var/lib/tunery/objects"
    """`file:///absolute/folder` or `s3://bucket/prefix`."""
    storage_endpoint: str | None = None
    """Root of an S3-compatible store that is not AWS."""
    catalogue: Path | None = None
    """A catalogue of base models that replaces the packaged one."""

    ray_url: str = "http://127.0.0.1:8265"
    """Root of Ray's dashboard, which carries its jobs API."""
    ray_auth_token: SecretStr | None = Field(default=None, validation_alias="RAY_AUTH_TOKEN")
    """Ray's own bearer token, from Ray's own variable."""
    serving_url: str = "http://127.0.0.1:8000"
    """Root of Ray Serve's HTTP proxy, under which `/engine` and `/datasets` are."""
    cluster_token: SecretStr = SecretStr("")
    """Bearer token of our own Serve applications; empty sends none."""
    service_url: str = "http://127.0.0.1:8001"
    """Root of the API's internal port as the cluster reaches it: where runners sync."""

    organization: str = Field(default="tunery", pattern=r"^[a-z0-9-]+$")
    """The default organization's name, a part of tuned models' names."""
    max_file_bytes: int = Field(default=512 * 2**20, gt=0)
    """The largest file that may be uploaded in one request; OpenAI's limit by default."""
    idempotency_seconds: float = Field(default=86_400.0, gt=0)
    """How long a create request is remembered: by its `Idempotency-Key` header, if it has one."""

    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Where web pages may call the API from, separated by commas: `https://app.example.com`, or `*` for
    anywhere. None by default."""
    max_connections: int = Field(default=2048, ge=16)
    """To one API process at once; the longest idle ones make room for new ones."""

    max_running_choices: int = Field(default=64, ge=1)
    """Choices that one API process has at its engines at once, over all tenants; twice the slots of the
    embedded engine by default, so that it always knows the next ones. An eighth of them is kept free for
    projects that have little or nothing there. A request for more runs alone."""
    max_waiting_choices: int = Field(default=256, ge=0)
    """Of one project, waiting for their turn there; one more is answered with 429."""
    max_waiting_choices_in_all: int = Field(default=1024, ge=0)
    """The same over all projects."""
    queue_seconds: float = Field(default=300.0, gt=0)
    """The longest wait for a turn; then 503."""
    load_seconds: float = Field(default=300.0, gt=0)
    """The longest wait for a model that is being loaded; then 503, which says since when. Where a replica
    must be started first, nobody can say how far it is: that wait may take `queue_seconds` more. A proxy
    before the API must be as patient: nothing is sent before a request is accepted, so that a refusal is a
    status."""
    usage_seconds: float = Field(default=5.0, gt=0)
    """Between two writes of what keys have used: what a process that is killed may not have counted."""
    drain_seconds: int = Field(default=5, ge=0)
    """For requests and streams under way when the API is asked to end; those that last longer are cut. The
    default fits into what `tunery up` may take to end; a rolling restart wants more than the longest
    stream."""
    drain_notice_seconds: float = Field(default=0.0, ge=0)
    """Before that, the API answers as ever, but not ready at /readyz: for load balancers to notice."""

    training_slots: int = Field(default=1, ge=1)
    """Training processes that may run at once, over all jobs; a job takes `training.num_workers` of them."""
    max_attempts: int = Field(default=3, ge=1)
    """Tries at one step of a job, or at going on from one checkpoint, before a fault of the platform ends the
    job. Progress, such as a new checkpoint, starts the count again."""
    retry_seconds: float = Field(default=2.0, ge=0)
    """The pause after the first fault; each further one doubles it."""
    longest_retry_seconds: float = Field(default=60.0, ge=0)
    """The longest pause."""
    lease_seconds: float = Field(default=45.0, gt=0)
    """An attempt that has not synced for so long is doubted: it is lost unless Ray says its process lives."""
    lease_extension_seconds: float = Field(default=300.0, ge=0)
    """How much longer an attempt may be silent whose process lives, because its host is busy or cannot reach
    the API; then it is lost."""
    start_seconds: float = Field(default=300.0, gt=0)
    """The same for an attempt that has not synced yet: its processes are still being started."""
    leader_seconds: float = Field(default=10.0, gt=0)
    """The scheduler's own lease: another one takes over after so long a silence."""
    validate_seconds: float = Field(default=1800.0, gt=0)
    """How long a new job waits for the cluster, for storage or for its base model, which may have to be
    downloaded, before it fails."""
    publish_seconds: float = Field(default=900.0, gt=0)
    """How long a trained model waits for serving or storage to answer before its job fails."""
    stop_grace_seconds: float = Field(default=3.0, ge=0)
    """What a runner may take to end by itself before Ray is told to stop it."""
    tick_seconds: float = Field(default=0.5, gt=0)
    """Between two rounds of the scheduler."""

    sweep_interval_seconds: float = Field(default=3600.0, ge=0)
    """Between two sweeps, which free storage of what nobody needs any more; 0 leaves that to `tunery
    sweep`."""
    sweep_grace_seconds: float = Field(default=24 * 3600.0, ge=0)
    """Nothing younger is swept."""
    resume_state_seconds: float = Field(default=24 * 3600.0, ge=0)
    """How long after a job's end the optimizer's state of its checkpoints is kept, for
    `training.restore_optimizer`. The weights stay until they are deleted."""

    @property
    def retries(self) -> Retries:
        return Retries(self.max_attempts, self.retry_seconds, self.longest_retry_seconds)

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return value.replace(",", " ").split() if isinstance(value, str) else value
