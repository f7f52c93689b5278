"""The service's settings, read from environment variables: `TUNERY_` followed by the field's name in
capitals.

`Field.description` of every field is its docstring; `docs/settings.md` is generated from them.
"""

import os
import re
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, IPvAnyNetwork, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from cluster.bases.catalogue import load_catalogue
from cluster.contracts.devices import Pool, check_pools
from cluster.contracts.errors import InvalidConfiguration
from cluster.contracts.integrations import IntegrationType, TrackerType
from cluster.contracts.jobs import Device
from cluster.contracts.serving_plan import GpuSharing
from cluster.egress.destinations import EgressPolicy
from service.db.limits.names import LimitName
from service.db.retention.rules import DAY_SECONDS, RetentionKind, RetentionRules
from service.db.retries import PublishPolicy, RetryPolicy
from service.listed_settings import read_list
from service.oidc.issuers import Issuer

RENAMED = {
    "TUNERY_MAX_WAITING_CHOICES_IN_ALL": "max_waiting_choices_total",
    "TUNERY_QUEUE_SECONDS": "queue_timeout_seconds",
    "TUNERY_LOAD_SECONDS": "load_timeout_seconds",
    "TUNERY_USAGE_SECONDS": "usage_flush_seconds",
    "TUNERY_LONGEST_RETRY_SECONDS": "max_retry_seconds",
    "TUNERY_LEASE_SECONDS": "heartbeat_timeout_seconds",
    "TUNERY_LEASE_EXTENSION_SECONDS": "heartbeat_grace_seconds",
    "TUNERY_START_SECONDS": "start_timeout_seconds",
    "TUNERY_LEADER_SECONDS": "leader_lease_seconds",
    "TUNERY_VALIDATE_SECONDS": "validation_timeout_seconds",
    "TUNERY_PUBLISH_SECONDS": "publish_timeout_seconds",
}
"""Former variables and the fields that they set. They still work, with a warning, until release 0.2."""


_SERVER_SCHEMES = ("https", "http")


@dataclass(frozen=True, slots=True)
class TrackerPlaces:
    """Where the trackers are that jobs may use."""

    urls: Mapping[TrackerType, str]
    """URLs of the trackers; those that jobs may not use are absent."""
    wandb_entity: str | None
    """The only one, unless None."""


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="TUNERY_", extra="ignore", frozen=True, use_attribute_docstrings=True
    )

    database_url: str = "sqlite:///tunery.db"
    """URL of the database: `sqlite:///relative/path`, `sqlite:////absolute/path` or
    `postgresql://user:password@host/name`. SQLite serves processes on one machine only. `tunery up` uses
    `tunery.db` in its data folder by default."""
    storage_url: str = "file:///var/lib/tunery/objects"
    """Where files and checkpoints are stored: `file:///absolute/folder` or `s3://bucket/prefix`. The cluster
    must see the same place. `tunery up` uses `objects/` in its data folder by default."""
    storage_endpoint: str | None = None
    """Root URL of an S3-compatible store other than AWS. Leave it unset for AWS and for folders."""
    storage_checksums: Literal["when_required", "when_supported"] = "when_required"
    """Whether requests to S3 carry checksums that S3 compares with what it stores: `when_supported` wherever
    there are any, as buckets with a default retention of Object Lock demand, or `when_required`, because
    several S3-compatible stores refuse them. The cluster must have the same one."""
    catalogue: Path | None = None
    """Path of a TOML file with the base models on offer; it replaces the packaged catalogue. The API, the
    scheduler and the cluster must have the same one; API and scheduler notice when it changes. `tunery up`
    uses `catalogue.toml` in its data folder by default."""

    ray_url: str = "http://127.0.0.1:8265"
    """Root URL of Ray's dashboard, which carries its jobs API. The default is Ray's own port on this
    machine."""
    ray_auth_token: SecretStr | None = Field(default=None, validation_alias="RAY_AUTH_TOKEN")
    """Ray's bearer token. It is read from Ray's own variable, `RAY_AUTH_TOKEN`; unset sends none. Only the
    scheduler and `tunery reconcile` use it: do not give it to the API."""
    serving_url: str = "http://127.0.0.1:8000"
    """Root URL of Ray Serve's HTTP proxy, which has `/engine` and `/datasets` under it. The default is
    Serve's own port on this machine."""
    cluster_token: SecretStr = SecretStr("")
    """Bearer token of Tunery's own Serve applications; the cluster must have the same one. Empty sends
    none."""
    service_url: str = "http://127.0.0.1:8001"
    """Root URL of the API's internal port as the cluster reaches it. Training jobs report there."""

    organization: str = Field(default="tunery", pattern=r"^[a-z0-9-]+$")
    """Name of the default organization, which is part of every tuned model's name (`ft:base:NAME:…`): lower
    case letters, digits and hyphens."""
    max_file_bytes: int = Field(default=512 * 2**20, gt=0)
    """Largest file that one request may carry, in bytes. The default, 512 MiB, is OpenAI's limit."""
    min_upload_bytes_per_second: int = Field(default=16 * 2**10, gt=0)
    """Slowest rate at which a file or a part may arrive, in bytes per second, on average over 30 seconds.
    Slower requests are answered with 408, because each holds a connection. The default is 16 KiB per
    second."""
    max_upload_bytes: int = Field(default=8 * 2**30, gt=0)
    """Largest file that may be sent in parts, in bytes. The default, 8 GiB, is OpenAI's limit."""
    max_import_bytes: int = Field(default=2 * 2**30, gt=0)
    """Largest weights of an imported adapter, in bytes. They are read into the memory of the cluster that
    validates them. The default, 2 GiB, fits rank 64 for all layers of a model with 70 billion parameters."""
    upload_seconds: int = Field(default=3600, gt=0)
    """How long a file may be sent in parts, in seconds; then the upload expires. The default, an hour, is
    OpenAI's."""
    max_parts_at_once: int = Field(default=8, ge=1)
    """Parts of uploads that one API process receives at once, over all projects. More parts wait, for up to
    `queue_timeout_seconds`. A project may have half of them. Each takes up to 64 MiB in the folder for
    temporary files."""
    idempotency_seconds: float = Field(default=86_400.0, gt=0)
    """How long a request that creates a job is remembered, in seconds, so that a repeated one with the same
    `Idempotency-Key` returns the same job. The default is a day."""
    grader_embedding_model: str | None = None
    """Base model of the catalogue, an encoder, whose embeddings graders with the metric `cosine` compare.
    Without it, they are refused."""

    oidc_issuers: Annotated[tuple[Issuer, ...], NoDecode] = ()
    """Identity providers whose tokens (JWT, OpenID Connect) the API accepts beside its own keys, as JSON, or
    the path of a TOML or JSON file that lists them as `issuers`: `[{"issuer": "https://login.example.com/",
    "audience": "tunery", "rules": [{"claims": {"groups": "ml"}, "project": "proj_…", "scopes": ["read",
    "write"]}]}]`. docs/identity-providers.md has all fields. None by default."""
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins of web pages that may call the API, separated by commas, such as `https://app.example.com`; `*`
    allows any. None by default: browsers then block such calls."""
    trusted_proxies: Annotated[tuple[IPvAnyNetwork, ...], NoDecode] = ()
    """Addresses or networks of proxies, separated by commas, such as `10.0.3.7, 10.0.4.0/28`. For requests
    from these, the audit log has the client's address as reported in `X-Forwarded-For`: the last one that is
    not itself a trusted proxy's. None by default: the header is then ignored, because a caller could
    write any address into it. Name only proxies that set or append to the header, and networks that
    no client is in, whether it reaches the API itself or through a proxy."""
    dashboard: bool = True
    """Whether the API serves the dashboard at `/`. Without it, that path needs a key like any other."""
    max_connections: int = Field(default=2048, ge=16)
    """Connections that one API process holds at once. When the limit is reached, the connections that have
    been idle longest are closed to make room for new ones. The requests in progress of one project may take
    half of them, those of one organization three quarters; further ones are answered with 429. The streams of
    events of one project may take a quarter."""

    max_body_bytes_in_flight: int = Field(default=256 * 2**20, ge=64 * 2**20)
    """Bytes that the bodies of requests in progress may have together in one API process; one project may
    have half of them. A request that would exceed this is answered with 429. Files and parts of uploads go to
    the disk and do not count. The default is eight of the largest bodies; what is parsed from them takes
    memory beside."""

    max_running_choices: int = Field(default=64, ge=1)
    """Choices (`n` of a request) that one API process generates at once, over all projects. The default is
    twice the slots of the embedded engine, so that the engine always knows which sequences come next; with
    vLLM, which runs many more at once, `tunery up` sets 512. An eighth is reserved for projects with little
    or nothing running. A request with more choices than this runs alone."""
    max_waiting_choices: int = Field(default=256, ge=0)
    """Choices of one project that may wait in one API process for their turn. A request that would exceed
    the limit is answered with 429. 0 refuses every request that cannot start at once."""
    max_waiting_choices_total: int = Field(default=1024, ge=0)
    """Choices of all projects that may wait in one API process. A request that would exceed the limit is
    answered with 429. The default lets four projects fill their own queues."""
    queue_timeout_seconds: float = Field(default=300.0, gt=0)
    """How long a request may wait for its turn, in seconds; then it is answered with 503."""
    load_timeout_seconds: float = Field(default=300.0, gt=0)
    """How long a request may wait for its model to be loaded, in seconds; then it is answered with 503, which
    says how long loading has taken so far. If a replica must be started first, the wait may take
    `queue_timeout_seconds` longer, because no progress is known until the replica is up. Nothing is sent
    while a request waits, so read time-outs of proxies in front of the API must be longer than this and
    twice `queue_timeout_seconds`: 15 minutes by default."""
    project_requests_per_minute: int | None = Field(default=None, ge=0)
    """Requests per minute that each project may send to each base model and the models tuned from it. Unset
    means no limit, here and below. Projects and keys can have limits of their own, which apply instead."""
    project_tokens_per_minute: int | None = Field(default=None, ge=0)
    """Tokens per minute, prompts and answers together, that each project may use of each base model and the
    models tuned from it."""
    project_concurrent_jobs: int | None = Field(default=None, ge=0)
    """Fine-tuning jobs of a project that may be under way at once. Paused ones, and those that only wait
    to be published, do not count."""
    project_jobs_per_day: int | None = Field(default=None, ge=0)
    """Fine-tuning jobs that a project may create within 24 hours."""
    project_stored_bytes: int | None = Field(default=None, ge=0)
    """Bytes that the files and exports of a project may have together."""
    project_device_hours_per_month: int | None = Field(default=None, ge=0)
    """Hours of training that a project may use in a calendar month (UTC): the duration of its attempts times
    their training processes. Once they are used up, no job is created or resumed; running ones go on."""

    key_requests_per_minute: int = Field(default=6000, ge=0)
    """Requests per minute that one API process answers to each key, beside those to models, so that one
    program in a loop does not slow down all others. Of requests to models, as many may be refused. 0: no
    limit."""

    metrics_port: int | None = Field(default=None, ge=1, le=65535)
    """Port on which each API process serves its metrics for Prometheus, at `/metrics`. Unset: none. The port
    needs no key, so let only Prometheus reach it."""
    scheduler_metrics_port: int | None = Field(default=None, ge=1, le=65535)
    """The same for the scheduler: another port than the API's where both run on one machine."""
    metrics_host: str = "127.0.0.1"
    """Address on which metrics are served. The default is reachable from this machine only."""
    usage_flush_seconds: float = Field(default=5.0, gt=0)
    """Time between two writes of the token counts of API keys to the database, in seconds. An API process
    that is killed loses at most this much."""
    usage_minutes_seconds: float = Field(default=31 * 86_400.0, ge=86_400.0)
    """How long usage is kept by the minute, in seconds; by the hour it is kept for good. The default is 31
    days."""
    drain_seconds: int = Field(default=5, ge=0)
    """How long requests and streams may go on after the API is asked to stop, in seconds; the rest is cut
    off. The default fits into the 8 seconds in which `tunery up` stops. For rolling restarts, set it longer
    than the longest stream. 0 cuts everything off at once."""
    drain_notice_seconds: float = Field(default=0.0, ge=0)
    """How long the API answers as usual after it is asked to stop, but reports "not ready" at /readyz, in
    seconds. Behind a load balancer, set it longer than the interval of its health checks. 0, the default,
    stops accepting at once."""

    price_per_million_tokens: dict[str, Annotated[float, Field(ge=0)]] = {}
    """Prices of a million trained tokens by base model, as JSON: `{"tunery-tiny-1": 0.5, "*": 3}`. `*` is the
    price of every other base. Estimates of jobs and `/v1/organization/costs` show it; nothing is billed."""
    price_per_million_input_tokens: dict[str, Annotated[float, Field(ge=0)]] = {}
    """Prices of a million tokens that models read, by base model, in the same form. They are those of the
    models tuned from it, too."""
    price_per_million_output_tokens: dict[str, Annotated[float, Field(ge=0)]] = {}
    """The same for tokens that models write."""
    price_per_device_hour: float | None = Field(default=None, ge=0)
    """Price of an hour of one training process with its device, for estimates and costs. It is added to the
    price of the tokens if both are set."""
    price_currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    """Currency of these prices: three letters (ISO 4217)."""
    training_device: Device = "cpu"
    """What jobs train on: `cuda` for NVIDIA GPUs, one for each training process, or `cpu`. There is no
    fallback: a job for GPUs waits until the cluster has enough free ones. `tunery up` uses `cuda` by default
    on a machine with NVIDIA GPUs."""
    training_pools: Annotated[tuple[Pool, ...], NoDecode] = ()
    """The devices that jobs may be trained on, as JSON: `[{"name": "h100", "kind": "cuda", "nodes": 4,
    "devices": 8, "device_bytes": "80GB", "host_bytes": "1.5TB", "accelerator_type": "H100"}]`, or
    `[{"kind": "cpu", "devices": 2, "host_bytes": "32GiB"}]`; or the path of a TOML or JSON file that lists
    them as `pools`. `nodes` (1) is the most that the pool can have, `devices` the number on each of them,
    `device_bytes` the memory of one GPU, and `host_bytes` that of one node; docs/pools.md has the other
    fields. All are of the kind of `training_device`. Jobs are planned for every pool that they fit in and
    take the cheapest (in the order given, if prices are equal); they are refused if they fit in none. Without
    pools nothing is refused for its size, and `auto` takes one worker. `tunery up` finds this machine's
    devices."""
    training_slots: int = Field(default=1, ge=1)
    """Training processes that may run at once where no pools are named, over all jobs. A job takes
    `training.num_workers` of them. With `training_pools`, each pool has as many as it has devices, and this
    counts for nothing. `tunery up` makes a pool of this machine: of so many of its processors, or of so many
    GPUs if it is set (by default of those that it does not keep for serving)."""
    queue_ageing_seconds: float = Field(default=24 * 3600.0, gt=0)
    """How long a job may wait before it comes ahead of all that have waited less, whatever their priority and
    their project, in seconds. A job that needs a whole node or more waits a quarter of it. The default is a
    day."""
    fair_share_half_life_seconds: float = Field(default=3600.0, gt=0)
    """After this time, half of what a project has used of the devices no longer counts when its jobs wait for
    their turn, in seconds. The default is an hour: a longer one makes those who use much wait for longer."""
    preemption: bool = True
    """Whether running jobs are paused for waiting ones of a higher priority. They save a checkpoint, go back
    to the queue, and continue from there. Without it, running elastic jobs do not change their workers."""
    elastic_settle_seconds: float = Field(default=120.0, ge=0)
    """How long devices are idle before an elastic job grows into them, and how long such a job runs before it
    gets another number of workers, in seconds."""
    organizations_may_prioritize: bool = False
    """Whether administrators of other organizations than the operator's may give their projects the priority
    `high`, and more than one share of the devices. Jobs of all organizations then wait, or pause, for theirs.
    """
    queue_report_seconds: float = Field(default=5.0, ge=0)
    """Time between two updates of where queued jobs stand and what they wait for, in seconds."""
    gpu_sharing: GpuSharing = "off"
    """Whether jobs and models that vLLM serves take turns on the same GPUs. `training_first`: as soon as a
    job is ready, its GPUs are taken from models, once their running answers have ended, or after
    TUNERY_ENGINE_DRAIN_SECONDS. `serving_first`: a job waits until models have not been asked for two
    minutes; then it runs to its end. `by_load`: the same, and running jobs pause for models that are asked
    for and have no GPUs; they continue once those are idle. Requests for models without GPUs are answered
    with 503 meanwhile. The `floor` of a pool is never given away. Models that were just trained are published
    before the next job begins. `off`: training and serving have different GPUs. `tunery up` uses
    `training_first` on a machine with one GPU."""
    serving_gpus: int | None = Field(default=None, ge=0)
    """How many of this machine's GPUs `tunery up` keeps for serving. Unset: one if there are several. The
    others are for training."""
    max_attempts: int = Field(default=3, ge=1)
    """Platform faults in a row that end a job. A new checkpoint, or any other progress, resets the count, so
    that long jobs survive more interruptions than that."""
    retry_seconds: float = Field(default=2.0, ge=0)
    """Pause before the first retry after a platform fault, in seconds. Each further fault doubles it, up to
    `max_retry_seconds`."""
    max_retry_seconds: float = Field(default=60.0, ge=0)
    """Longest pause before a retry, in seconds."""
    heartbeat_timeout_seconds: float = Field(default=45.0, gt=0)
    """How long a training attempt may be silent, in seconds. An attempt whose process Ray reports alive then
    has `heartbeat_grace_seconds` more before it counts as lost and is retried. An attempt whose process is
    gone is lost at once. Silence does not count while the API is down, for which the API must have been
    silent as long."""
    heartbeat_grace_seconds: float = Field(default=300.0, ge=0)
    """How much longer, in seconds, an attempt may be silent while Ray reports its process alive: its host may
    be overloaded or unable to reach the API."""
    start_timeout_seconds: float = Field(default=300.0, gt=0)
    """`heartbeat_timeout_seconds` for an attempt that has not reported yet, in seconds. It is longer because
    the processes are still being started."""
    leader_lease_seconds: float = Field(default=10.0, gt=0)
    """Lease of the scheduler that leads, in seconds. Another scheduler takes over when the leader has been
    silent for so long; the leader renews the lease after a third of it."""
    validation_timeout_seconds: float = Field(default=1800.0, gt=0)
    """How long a new job waits for the cluster, the storage or its base model during validation, in seconds;
    then it fails. Time in which other files are checked first does not count. The default leaves time to
    download a base model."""
    publish_timeout_seconds: float = Field(default=7 * 86_400.0, gt=0)
    """How long publishing a trained model is tried while serving or storage does not answer, in seconds; then
    its job fails, and keeps the weights. The pauses between two tries begin with `retry_seconds`, and each is
    twice the one before. The default is a week."""
    max_publish_retry_seconds: float = Field(default=900.0, ge=0)
    """Longest pause between two tries to publish a model, in seconds."""
    stop_grace_seconds: float = Field(default=3.0, ge=0)
    """How long an attempt that has ended or was cancelled may take to exit by itself, in seconds, before Ray
    is asked to stop it."""
    tick_seconds: float = Field(default=0.5, gt=0)
    """Time between two rounds of the scheduler, in seconds."""

    export_seconds: float = Field(default=7 * 86_400.0, gt=0)
    """How long an export of a model, such as a GGUF file, is kept, in seconds. Asked for again, it is kept
    for so long from then on. The default is a week."""

    sweep_interval_seconds: float = Field(default=3600.0, ge=0)
    """Time between two sweeps, in seconds, over the whole installation. A sweep deletes what nothing refers
    to any more from storage. 0 leaves that to `tunery sweep`."""
    sweep_grace_seconds: float = Field(default=24 * 3600.0, ge=0)
    """Age that an object must have before a sweep deletes it, in seconds. The default of a day gives the
    operator time to notice that something is wrong."""
    superseded_seconds: float = Field(default=600.0, ge=0)
    """How long checkpoints and resume states stay in storage after newer ones have superseded them, in
    seconds. A database that is restored, or that takes over without its last seconds, may still name them:
    set it longer than a backup of database and storage takes."""
    resume_state_seconds: float = Field(default=24 * 3600.0, ge=0)
    """How long the optimizer state of a job's checkpoints is kept after the job has ended, in seconds. Jobs
    that continue with `training.restore_optimizer` need it. The weights stay until they are deleted."""

    retention_days: dict[RetentionKind, Annotated[float, Field(gt=0)]] = {}
    """How long projects keep what they have, in days, unless they or their organization have set it, as JSON:
    `{"files": 365, "events": 90}`. The kinds are `files`, `results`, `events`, `usage`, `checkpoints`,
    `resume_states`, `data_reports` and `exports`. What is left out is kept for good, but resume states for
    `resume_state_seconds` and exports for `export_seconds`."""
    min_retention_days: dict[RetentionKind, Annotated[float, Field(gt=0)]] = {"usage": 400}
    """The shortest that organizations and projects may set, in the same form. By default, a year of usage
    stays, and a month to bill it: costs are computed from it."""
    max_retention_days: dict[RetentionKind, Annotated[float, Field(gt=0)]] = {}
    """The longest that anything is kept, in the same form, whatever organizations and projects have set."""

    checkpoints_kept: int = Field(default=3, ge=1)
    """How many of a job's newest checkpoints with weights, one after each epoch, are kept and usable, as with
    OpenAI. The best one is kept too, and those that an alias names or that are shared. The others are deleted
    as soon as newer ones are stored. Of the states for a resume, only the newest is kept."""

    webhook_allowed_destinations: Annotated[tuple[str, ...], NoDecode] = ()
    """Where webhooks may go beside public hosts over https, separated by commas: host names and addresses
    (`localhost`, `hooks.internal`), over http too and on any port, and networks (`10.1.0.0/16`), whose
    addresses may be called. None by default. API and scheduler must have the same."""
    webhook_disable_after_seconds: float = Field(default=5 * 86_400.0, gt=0)
    """How long every delivery to a webhook endpoint may fail before the endpoint is disabled, in seconds."""
    webhook_retention_seconds: float = Field(default=7 * 86_400.0, ge=86_400.0)
    """How long ended webhook deliveries are kept to be looked at, in seconds."""

    integrations: Annotated[tuple[IntegrationType, ...], NoDecode] = ()
    """Integrations that jobs may ask for, separated by commas: `wandb`, `mlflow`, `trackio`, `tensorboard`.
    None by default. Keys of trackers are variables of the cluster, where Ray runs the drivers of jobs:
    `WANDB_API_KEY`; `MLFLOW_TRACKING_TOKEN`, or `MLFLOW_TRACKING_USERNAME` and `MLFLOW_TRACKING_PASSWORD`;
    `TRACKIO_WRITE_TOKEN` or `HF_TOKEN`."""
    wandb_url: str = "https://api.wandb.ai"
    """Root URL of the API of Weights & Biases, for `integrations`. The default is the public service."""
    wandb_entity: str | None = None
    """The one team or user of Weights & Biases that jobs may write to. Unset, they may name any that the key
    can write to."""
    mlflow_url: str | None = None
    """Root URL of the MLflow tracking server, for `integrations`."""
    trackio_url: str | None = None
    """Where trackio keeps its runs, for `integrations`: `file:///absolute/folder` on the node where Ray runs
    the drivers of jobs, the root URL of a trackio server, or `hf://owner/space`."""

    @property
    def trackers(self) -> "TrackerPlaces":
        """Trackers that jobs may use. Raises InvalidConfiguration if a tracker's place is missing or
        malformed."""
        places: dict[TrackerType, tuple[str | None, tuple[str, ...]]] = {
            "wandb": (self.wandb_url, _SERVER_SCHEMES),
            "mlflow": (self.mlflow_url, _SERVER_SCHEMES),
            "trackio": (self.trackio_url, (*_SERVER_SCHEMES, "file", "hf")),
        }
        return TrackerPlaces(
            {
                type: _tracker_url(f"TUNERY_{type}_URL".upper(), url, schemes)
                for type, (url, schemes) in places.items()
                if type in self.integrations
            },
            self.wandb_entity,
        )

    @property
    def pools(self) -> tuple[Pool, ...]:
        """`training_pools`, or one that stands for devices of which no more is known than their number."""
        unknown = Pool.model_construct(kind=self.training_device, devices=self.training_slots)
        return self.training_pools or (unknown,)

    @property
    def training_devices(self) -> int:
        """Training processes that may run at once, over all pools."""
        return sum(pool.all_devices for pool in self.pools)

    @property
    def most_workers(self) -> int:
        """Training processes that one job may have: it runs within one pool."""
        return max(pool.all_devices for pool in self.pools)

    @property
    def project_limits(self) -> Mapping[LimitName, int]:
        """The limits of every project. A name without a limit is absent."""
        named: dict[LimitName, int | None] = {
            "requests_per_minute": self.project_requests_per_minute,
            "tokens_per_minute": self.project_tokens_per_minute,
            "concurrent_jobs": self.project_concurrent_jobs,
            "jobs_per_day": self.project_jobs_per_day,
            "stored_bytes": self.project_stored_bytes,
            "device_hours_per_month": self.project_device_hours_per_month,
        }
        return {name: value for name, value in named.items() if value is not None}

    @property
    def retention(self) -> RetentionRules:
        days: dict[RetentionKind, float | None] = {
            "resume_states": self.resume_state_seconds / DAY_SECONDS,
            "exports": self.export_seconds / DAY_SECONDS,
        }
        return RetentionRules(
            {**days, **self.retention_days}, self.min_retention_days, self.max_retention_days
        )

    @property
    def retries(self) -> RetryPolicy:
        return RetryPolicy(self.max_attempts, self.retry_seconds, self.max_retry_seconds)

    @property
    def publishing(self) -> PublishPolicy:
        return PublishPolicy(self.publish_timeout_seconds, self.retry_seconds, self.max_publish_retry_seconds)

    @property
    def webhook_policy(self) -> EgressPolicy:
        """Raises InvalidConfiguration for a destination that cannot be read."""
        return EgressPolicy.parse(self.webhook_allowed_destinations)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _RenamedVariables(settings_cls)

    @field_validator("training_pools", mode="before")
    @classmethod
    def _read_pools(cls, value: object) -> object:
        if isinstance(value, str):
            return read_list(value, variable="TUNERY_TRAINING_POOLS", member="pools")
        return value

    @field_validator("oidc_issuers", mode="before")
    @classmethod
    def _read_issuers(cls, value: object) -> object:
        if isinstance(value, str):
            return read_list(value, variable="TUNERY_OIDC_ISSUERS", member="issuers")
        return value

    @field_validator("oidc_issuers")
    @classmethod
    def _each_once(cls, issuers: tuple[Issuer, ...]) -> tuple[Issuer, ...]:
        urls = [issuer.issuer for issuer in issuers]
        if repeated := {url for url in urls if urls.count(url) > 1}:
            raise ValueError(f"{', '.join(sorted(repeated))} is listed twice")
        return issuers

    @field_validator("training_pools")
    @classmethod
    def _of_the_training_device(cls, pools: tuple[Pool, ...], info: ValidationInfo) -> tuple[Pool, ...]:
        check_pools(pools)
        device = info.data.get("training_device")
        for pool in pools:
            if pool.kind != device:
                raise ValueError(
                    f"pool '{pool.name}' is of kind '{pool.kind}', but TUNERY_TRAINING_DEVICE is '{device}'"
                )
        return pools

    @field_validator(
        "cors_origins", "trusted_proxies", "webhook_allowed_destinations", "integrations", mode="before"
    )
    @classmethod
    def _split(cls, value: object) -> object:
        return value.replace(",", " ").split() if isinstance(value, str) else value


def checked_settings() -> Settings:
    """The settings, once all that they name has been read. Raises InvalidConfiguration, which names the
    variable."""
    try:
        settings = Settings()
    except SettingsError as error:
        cause = error.__cause__
        named = re.search(r'field "(\w+)"', str(error))
        variable = f"TUNERY_{named[1]}".upper() if named else "A variable"
        raise InvalidConfiguration(f"{variable} is not JSON: {cause}.") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field, *within = first["loc"]
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in within)
        message = f"TUNERY_{str(field).upper()}{place} is {first['input']!r}: {first['msg']}."
        raise InvalidConfiguration(message) from error
    load_catalogue(settings.catalogue)
    _ = settings.webhook_policy, settings.trackers
    return settings


def _tracker_url(variable: str, url: str | None, schemes: Collection[str]) -> str:
    """Raises InvalidConfiguration. A user name or a password would end up in the specifications of jobs."""
    if not url:
        raise InvalidConfiguration(
            f"{variable} is not set, but TUNERY_INTEGRATIONS names it.", param=variable
        )
    parts = urlsplit(url)
    is_place = parts.path.startswith("/") if parts.scheme == "file" else bool(parts.netloc)
    if parts.scheme not in schemes or not is_place or "@" in parts.netloc or parts.query or parts.fragment:
        raise InvalidConfiguration(
            f"{variable} must be a URL with {', '.join(schemes)}, and without a user name, a query or a "
            "fragment. Keys of trackers have variables of their own.",
            param=variable,
        )
    return url.rstrip("/")


class _RenamedVariables(PydanticBaseSettingsSource):
    """Reads the former names of variables and warns about each."""

    def __call__(self) -> dict[str, Any]:
        return {field: self._value(old, field) for old, field in RENAMED.items() if old in os.environ}

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        raise NotImplementedError

    def _value(self, old: str, field: str) -> str:
        # A FutureWarning, because Python hides DeprecationWarning from operators.
        warnings.warn(
            f"{old} is now called TUNERY_{field.upper()}; the old name will stop working in release 0.2.",
            FutureWarning,
            stacklevel=2,
        )
        return os.environ[old]
