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
    must have access to the same location. `tunery up` uses `objects/` in its data folder by default."""
    storage_endpoint: str | None = None
    """Root URL of an S3-compatible store other than AWS. Leave it unset for AWS and for folders."""
    storage_checksums: Literal["when_required", "when_supported"] = "when_required"
    """When requests to S3 carry checksums for S3 to verify: `when_supported` sends them with every request
    that supports them, which buckets with a default Object Lock retention require; `when_required` sends them
    only where S3 requires them, because several S3-compatible stores reject them. The cluster must use the
    same value."""
    catalogue: Path | None = None
    """Path of a TOML file that lists the available base models; it replaces the packaged catalogue. The API,
    the scheduler and the cluster must use the same file; the API and the scheduler notice when it changes.
    `tunery up` uses `catalogue.toml` in its data folder by default."""

    ray_url: str = "http://127.0.0.1:8265"
    """Root URL of Ray's dashboard, which carries its jobs API. The default is Ray's own port on this
    machine."""
    ray_auth_token: SecretStr | None = Field(default=None, validation_alias="RAY_AUTH_TOKEN")
    """Ray's bearer token. It is read from Ray's own variable, `RAY_AUTH_TOKEN`; if unset, no token is sent.
    Only the scheduler and `tunery reconcile` use it: do not give it to the API."""
    serving_url: str = "http://127.0.0.1:8000"
    """Root URL of Ray Serve's HTTP proxy, which has `/engine` and `/datasets` under it. The default is
    Serve's own port on this machine."""
    cluster_token: SecretStr = SecretStr("")
    """Bearer token of Tunery's own Serve applications; the cluster must have the same one. If empty, no token
    is sent."""
    service_url: str = "http://127.0.0.1:8001"
    """Root URL of the API's internal port, as seen from the cluster. Training jobs send their reports to
    it."""

    organization: str = Field(default="tunery", pattern=r"^[a-z0-9-]+$")
    """Name of the default organization, which is part of every tuned model's name (`ft:base:NAME:…`):
    lowercase letters, digits and hyphens."""
    max_file_bytes: int = Field(default=512 * 2**20, gt=0)
    """Maximum size of a file uploaded in a single request, in bytes. The default, 512 MiB, is OpenAI's
    limit."""
    min_upload_bytes_per_second: int = Field(default=16 * 2**10, gt=0)
    """Minimum rate at which a file or a part must arrive, in bytes per second, averaged over 30 seconds.
    Slower requests are answered with 408, because each one occupies a connection. The default is 16 KiB per
    second."""
    max_upload_bytes: int = Field(default=8 * 2**30, gt=0)
    """Maximum size of a file uploaded in parts, in bytes. The default, 8 GiB, is OpenAI's limit."""
    max_import_bytes: int = Field(default=2 * 2**30, gt=0)
    """Maximum size of an imported adapter's weights, in bytes. They are read into memory on the cluster,
    which validates them. The default, 2 GiB, fits rank 64 for all layers of a model with 70 billion
    parameters."""
    upload_seconds: int = Field(default=3600, gt=0)
    """How long a client may take to upload a file in parts, in seconds, before the upload expires. The
    default, an hour, is OpenAI's."""
    max_parts_at_once: int = Field(default=8, ge=1)
    """Maximum number of upload parts that one API process receives at once, across all projects. Further
    parts wait, for up to `queue_timeout_seconds`. A single project may use half of them. Each part takes up
    to 64 MiB in the folder for temporary files."""
    idempotency_seconds: float = Field(default=86_400.0, gt=0)
    """How long a request that creates a job is remembered, in seconds. During this time, a repeated request
    with the same `Idempotency-Key` returns the same job. The default is a day."""
    grader_embedding_model: str | None = None
    """The encoder in the catalogue whose embeddings are compared by graders with the metric `cosine`. Without
    it, such graders are refused."""

    oidc_issuers: Annotated[tuple[Issuer, ...], NoDecode] = ()
    """Identity providers whose tokens (JWT, OpenID Connect) the API accepts in addition to its own keys, as
    JSON, or the path of a TOML or JSON file that lists them as `issuers`: `[{"issuer":
    "https://login.example.com/", "audience": "tunery", "rules": [{"claims": {"groups": "ml"}, "project":
    "proj_…", "scopes": ["read", "write"]}]}]`. docs/identity-providers.md describes all fields. None by
    default."""
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins of web pages that may call the API, separated by commas, such as `https://app.example.com`; `*`
    allows any origin. None by default, in which case browsers block such calls."""
    trusted_proxies: Annotated[tuple[IPvAnyNetwork, ...], NoDecode] = ()
    """Addresses or networks of proxies, separated by commas, such as `10.0.3.7, 10.0.4.0/28`. For requests
    from these, the audit log records the client's address from `X-Forwarded-For`: the last one that does not
    belong to a trusted proxy. None by default, in which case the header is ignored, because a caller could
    write any address into it. List only proxies that set or append to the header, and networks that contain
    no clients, whether those reach the API directly or through a proxy."""
    dashboard: bool = True
    """Whether the API serves the dashboard at `/`. If not, that path requires a key like any other."""
    max_connections: int = Field(default=2048, ge=16)
    """Maximum number of open connections per API process. When the limit is reached, the connections that
    have been idle longest are closed to make room for new ones. The requests in progress of a single project
    may use half of them, and those of a single organization three quarters; further requests are answered
    with 429. The event streams of a single project may use a quarter."""

    max_body_bytes_in_flight: int = Field(default=256 * 2**20, ge=64 * 2**20)
    """Maximum total size of the bodies of requests in progress in one API process, in bytes; a single project
    may use half of it. A request that would exceed it is answered with 429. Files and upload parts are
    written to disk and do not count. The default is enough for eight bodies of the maximum size; the data
    parsed from them takes additional memory."""

    max_running_choices: int = Field(default=64, ge=1)
    """Maximum number of choices (`n` of a request) that one API process generates at once, across all
    projects. The default is twice the slots of the embedded engine, so that the engine always knows which
    sequences come next; with vLLM, which runs many more at once, `tunery up` sets 512. An eighth of them is
    reserved for projects with little or nothing running. A request with more choices than this runs alone."""
    max_waiting_choices: int = Field(default=256, ge=0)
    """Maximum number of choices of one project that may wait for their turn in one API process. A request
    that would exceed the limit is answered with 429. With 0, every request that cannot start at once is
    refused."""
    max_waiting_choices_total: int = Field(default=1024, ge=0)
    """Maximum number of choices of all projects that may wait in one API process. A request that would exceed
    the limit is answered with 429. The default lets four projects fill their own queues."""
    queue_timeout_seconds: float = Field(default=300.0, gt=0)
    """How long a request may wait for its turn, in seconds, before it is answered with 503."""
    load_timeout_seconds: float = Field(default=300.0, gt=0)
    """How long a request may wait for its model to be loaded, in seconds, before it is answered with 503; the
    response says how long loading has taken so far. If a replica must be started first, the wait may be
    `queue_timeout_seconds` longer, because no progress is known until the replica is up. Nothing is sent
    while a request waits, so read time-outs of proxies in front of the API must be longer than this and twice
    `queue_timeout_seconds`: 15 minutes by default."""
    project_requests_per_minute: int | None = Field(default=None, ge=0)
    """Requests per minute that each project may send to each base model and the models tuned from it. Unset
    means no limit, here and below. Projects and keys can have limits of their own, which apply instead."""
    project_tokens_per_minute: int | None = Field(default=None, ge=0)
    """Tokens per minute, prompts and answers combined, that each project may use with each base model and the
    models tuned from it."""
    project_concurrent_jobs: int | None = Field(default=None, ge=0)
    """Maximum number of a project's fine-tuning jobs in progress at once. Paused jobs, and jobs that are only
    waiting to be published, do not count."""
    project_jobs_per_day: int | None = Field(default=None, ge=0)
    """Maximum number of fine-tuning jobs that a project may create within 24 hours."""
    project_stored_bytes: int | None = Field(default=None, ge=0)
    """Maximum total size of a project's files and exports, in bytes."""
    project_device_hours_per_month: int | None = Field(default=None, ge=0)
    """Hours of training that a project may use in a calendar month (UTC), calculated as the duration of each
    attempt times its number of training processes. Once they are used up, no job can be created or resumed;
    running jobs continue."""

    key_requests_per_minute: int = Field(default=6000, ge=0)
    """Requests per minute that one API process answers for each key, not counting requests to models, so that
    one program in a loop does not slow down all others. For requests to models, the number of refused
    requests is limited in the same way. 0: no limit."""

    metrics_port: int | None = Field(default=None, ge=1, le=65535)
    """Port on which each API process serves its metrics for Prometheus, at `/metrics`. If unset, no metrics
    are served. The port requires no key, so make it reachable for Prometheus only."""
    scheduler_metrics_port: int | None = Field(default=None, ge=1, le=65535)
    """The same for the scheduler. If both run on one machine, it must differ from the API's port."""
    metrics_host: str = "127.0.0.1"
    """Address on which metrics are served. The default is only reachable from this machine."""
    usage_flush_seconds: float = Field(default=5.0, gt=0)
    """Interval at which the token counts of API keys are written to the database, in seconds. An API process
    that is killed loses at most this much usage."""
    usage_minutes_seconds: float = Field(default=31 * 86_400.0, ge=86_400.0)
    """How long per-minute usage is kept, in seconds; hourly usage is kept forever. The default is 31 days."""
    drain_seconds: int = Field(default=5, ge=0)
    """How long requests and streams may continue after the API is asked to stop, in seconds, before they are
    cut off. The default fits into the 8 seconds that `tunery up` takes to stop. For rolling restarts, set it
    longer than the longest stream. 0 cuts everything off at once."""
    drain_notice_seconds: float = Field(default=0.0, ge=0)
    """How long, in seconds, the API keeps answering as usual but reports "not ready" at /readyz after it is
    asked to stop. Behind a load balancer, set it longer than the interval of its health checks. With 0, the
    default, the API stops accepting requests at once."""

    price_per_million_tokens: dict[str, Annotated[float, Field(ge=0)]] = {}
    """Prices per million trained tokens by base model, as JSON: `{"tunery-tiny-1": 0.5, "*": 3}`. `*` is the
    price for every other base. Job estimates and `/v1/organization/costs` show the prices; nothing is
    billed."""
    price_per_million_input_tokens: dict[str, Annotated[float, Field(ge=0)]] = {}
    """Prices per million input tokens by base model, in the same form. They also apply to the models tuned
    from it."""
    price_per_million_output_tokens: dict[str, Annotated[float, Field(ge=0)]] = {}
    """The same for output tokens."""
    price_per_device_hour: float | None = Field(default=None, ge=0)
    """Price per hour of one training process with its device, for estimates and costs. If both are set, it is
    added to the price of the tokens."""
    price_currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    """Currency of these prices: three letters (ISO 4217)."""
    training_device: Device = "cpu"
    """The devices that jobs train on: `cuda` for NVIDIA GPUs, one per training process, or `cpu`. There is no
    fallback: a GPU job waits until the cluster has enough free GPUs. `tunery up` uses `cuda` by default on a
    machine with NVIDIA GPUs."""
    training_pools: Annotated[tuple[Pool, ...], NoDecode] = ()
    """The devices that jobs may be trained on, as JSON: `[{"name": "h100", "kind": "cuda", "nodes": 4,
    "devices": 8, "device_bytes": "80GB", "host_bytes": "1.5TB", "accelerator_type": "H100"}]`, or `[{"kind":
    "cpu", "devices": 2, "host_bytes": "32GiB"}]`; or the path of a TOML or JSON file that lists them as
    `pools`. `nodes` (1 by default) is the maximum number of nodes in the pool, `devices` the number of
    devices on each node, `device_bytes` the memory of one GPU, and `host_bytes` the memory of one node;
    docs/pools.md describes the other fields. The kind of every pool must be `training_device`. Jobs are
    planned for every pool that they fit in and take the cheapest (in the order given, if prices are equal);
    they are refused if they fit in none. Without pools, no job is refused for its size, and `auto` takes one
    worker. `tunery up` detects this machine's devices."""
    training_slots: int = Field(default=1, ge=1)
    """Maximum number of training processes at once, across all jobs, if there are no pools. A job takes
    `training.num_workers` of them. With `training_pools`, each pool has as many slots as devices, and this
    setting is ignored. `tunery up` makes a pool of this machine with this many of its processors, or this
    many of its GPUs if the variable is set; by default, the pool has all GPUs that are not kept for
    serving."""
    queue_ageing_seconds: float = Field(default=24 * 3600.0, gt=0)
    """How long a job may wait, in seconds, before it moves ahead of all jobs that have waited less,
    regardless of priority and project. For a job that needs a whole node or more, it is a quarter of this
    time. The default is a day."""
    fair_share_half_life_seconds: float = Field(default=3600.0, gt=0)
    """Half-life of a project's past device usage in fair sharing, in seconds: after this time, only half of
    it still counts against the project's queued jobs. The default is an hour; with a longer one, projects
    that use a lot wait longer."""
    preemption: bool = True
    """Whether running jobs are paused for queued jobs of a higher priority. A paused job saves a checkpoint,
    returns to the queue, and continues from there. Without preemption, running elastic jobs do not change
    their number of workers either."""
    elastic_settle_seconds: float = Field(default=120.0, ge=0)
    """How long devices must be idle before an elastic job grows onto them, and how long such a job must run
    before its number of workers changes, in seconds."""
    organizations_may_prioritize: bool = False
    """Whether administrators of organizations other than the operator's may give their projects the priority
    `high`, and more than one share of the devices. Jobs of all other organizations may then have to wait, or
    pause, for theirs."""
    queue_report_seconds: float = Field(default=5.0, ge=0)
    """Interval at which queued jobs' positions, and what they are waiting for, are updated, in seconds."""
    gpu_sharing: GpuSharing = "off"
    """Whether jobs and models that vLLM serves take turns on the same GPUs. `training_first`: as soon as a
    job is ready, its GPUs are taken from models, once the answers in progress have ended or after
    TUNERY_ENGINE_DRAIN_SECONDS. `serving_first`: a job waits until models have received no requests for two
    minutes, and then runs to completion. `by_load`: like `serving_first`, but running jobs also pause for
    models that are requested and have no GPUs; they continue once those models are idle. Meanwhile, requests
    for models without GPUs are answered with 503. The `floor` of a pool is never given away. Newly trained
    models are published before the next job starts. `off`: training and serving use different GPUs. `tunery
    up` uses `training_first` on a machine with one GPU."""
    serving_gpus: int | None = Field(default=None, ge=0)
    """How many of this machine's GPUs `tunery up` keeps for serving. If unset, it keeps one if there are
    several. The others are for training."""
    max_attempts: int = Field(default=3, ge=1)
    """Number of consecutive platform faults after which a job fails. A new checkpoint, or any other progress,
    resets the count, so long jobs survive more interruptions than this."""
    retry_seconds: float = Field(default=2.0, ge=0)
    """Delay before the first retry after a platform fault, in seconds. Each further fault doubles it, up to
    `max_retry_seconds`."""
    max_retry_seconds: float = Field(default=60.0, ge=0)
    """Maximum delay before a retry, in seconds."""
    heartbeat_timeout_seconds: float = Field(default=45.0, gt=0)
    """How long a training attempt may go without a heartbeat, in seconds. If Ray reports its process alive,
    the attempt then has another `heartbeat_grace_seconds` before it counts as lost and is retried. If its
    process is gone, it is lost at once. Silence does not count while the API is down, which means that the
    API itself has been silent for as long."""
    heartbeat_grace_seconds: float = Field(default=300.0, ge=0)
    """How much longer, in seconds, an attempt may go without a heartbeat while Ray reports its process alive,
    because its host may be overloaded or unable to reach the API."""
    start_timeout_seconds: float = Field(default=300.0, gt=0)
    """`heartbeat_timeout_seconds` for an attempt that has not reported yet, in seconds. It is longer because
    the processes are still being started."""
    leader_lease_seconds: float = Field(default=10.0, gt=0)
    """Duration of the leading scheduler's lease, in seconds. Another scheduler takes over when the leader has
    been silent for this long; the leader renews its lease after a third of this time."""
    validation_timeout_seconds: float = Field(default=1800.0, gt=0)
    """How long a new job waits for the cluster, storage or its base model during validation, in seconds,
    before it fails. Time during which other files are checked first does not count. The default leaves time
    to download a base model."""
    publish_timeout_seconds: float = Field(default=7 * 86_400.0, gt=0)
    """How long publishing a trained model is retried while serving or storage does not respond, in seconds,
    before its job fails; the weights are kept. The delay between attempts starts at `retry_seconds` and
    doubles each time. The default is a week."""
    max_publish_retry_seconds: float = Field(default=900.0, ge=0)
    """Maximum delay between two attempts to publish a model, in seconds."""
    stop_grace_seconds: float = Field(default=3.0, ge=0)
    """How long an attempt that has ended or been cancelled may take to exit by itself, in seconds, before Ray
    is asked to stop it."""
    tick_seconds: float = Field(default=0.5, gt=0)
    """Interval between two rounds of the scheduler, in seconds."""

    export_seconds: float = Field(default=7 * 86_400.0, gt=0)
    """How long an export of a model, such as a GGUF file, is kept, in seconds. Requesting the export again
    restarts this time. The default is a week."""

    sweep_interval_seconds: float = Field(default=3600.0, ge=0)
    """Interval between two sweeps, in seconds, for the whole installation. A sweep deletes objects from
    storage that nothing refers to any more. With 0, only `tunery sweep` does."""
    sweep_grace_seconds: float = Field(default=24 * 3600.0, ge=0)
    """Minimum age of an object before a sweep deletes it, in seconds. The default of a day gives the operator
    time to notice that something is wrong."""
    superseded_seconds: float = Field(default=600.0, ge=0)
    """How long checkpoints and resume states stay in storage after newer ones have superseded them, in
    seconds. A database that is restored, or that takes over without its last few seconds of data, may still
    refer to them, so set it longer than a backup of the database and storage takes."""
    resume_state_seconds: float = Field(default=24 * 3600.0, ge=0)
    """How long the optimizer state of a job's checkpoints is kept after the job has ended, in seconds. Jobs
    that continue with `training.restore_optimizer` need it. The weights stay until they are deleted."""

    retention_days: dict[RetentionKind, Annotated[float, Field(gt=0)]] = {}
    """How long projects keep their data, in days, unless they or their organization have set it, as JSON:
    `{"files": 365, "events": 90}`. The kinds are `files`, `results`, `events`, `usage`, `checkpoints`,
    `resume_states`, `data_reports` and `exports`. Kinds that are left out are kept forever, except resume
    states, which are kept for `resume_state_seconds`, and exports, which are kept for `export_seconds`."""
    min_retention_days: dict[RetentionKind, Annotated[float, Field(gt=0)]] = {"usage": 400}
    """Shortest retention that organizations and projects may set, in the same form. By default, usage is kept
    for a year plus a month to bill it, because costs are computed from it."""
    max_retention_days: dict[RetentionKind, Annotated[float, Field(gt=0)]] = {}
    """Longest retention, in the same form, regardless of what organizations and projects have set."""

    checkpoints_kept: int = Field(default=3, ge=1)
    """How many of a job's newest checkpoints with weights, one per epoch, are kept and usable, as with
    OpenAI. The best one is also kept, and so are those that are shared or that an alias refers to. The others
    are deleted as soon as newer ones are stored. Only the newest resume state is kept."""

    webhook_allowed_destinations: Annotated[tuple[str, ...], NoDecode] = ()
    """Destinations that webhooks may be sent to in addition to public hosts over https, separated by commas:
    host names and addresses (`localhost`, `hooks.internal`), also over http and on any port, and networks
    (`10.1.0.0/16`), whose addresses may be called. None by default. The API and the scheduler must use the
    same value."""
    webhook_disable_after_seconds: float = Field(default=5 * 86_400.0, gt=0)
    """How long all deliveries to a webhook endpoint must have failed before the endpoint is disabled, in
    seconds."""
    webhook_retention_seconds: float = Field(default=7 * 86_400.0, ge=86_400.0)
    """How long completed webhook deliveries are kept for inspection, in seconds."""

    integrations: Annotated[tuple[IntegrationType, ...], NoDecode] = ()
    """Integrations that jobs may use, separated by commas: `wandb`, `mlflow`, `trackio`, `tensorboard`. None
    by default. The trackers' keys are environment variables of the cluster, where Ray runs the drivers of
    jobs: `WANDB_API_KEY`; `MLFLOW_TRACKING_TOKEN`, or `MLFLOW_TRACKING_USERNAME` and
    `MLFLOW_TRACKING_PASSWORD`; `TRACKIO_WRITE_TOKEN` or `HF_TOKEN`."""
    wandb_url: str = "https://api.wandb.ai"
    """Root URL of the API of Weights & Biases, for `integrations`. The default is the public service."""
    wandb_entity: str | None = None
    """The only Weights & Biases team or user that jobs may write to. If unset, they may name any that the key
    can write to."""
    mlflow_url: str | None = None
    """Root URL of the MLflow tracking server, for `integrations`."""
    trackio_url: str | None = None
    """Where trackio stores its runs, for `integrations`: `file:///absolute/folder` on the node where Ray runs
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
