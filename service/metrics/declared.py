"""Every metric of the API and of the scheduler. `docs/metrics.md` lists them from here."""

from cluster.contracts.metrics import MINUTES, SECONDS, TOKEN_SECONDS, Metric

HTTP_REQUESTS = Metric(
    "tunery_http_requests_total",
    "counter",
    "Requests answered. `route` is the path in the API reference, or `none` for requests that were "
    "handled before routing: unknown paths, wrong keys, and the dashboard's files. A stream is counted "
    "when it ends.",
    ("method", "route", "status"),
)
HTTP_SECONDS = Metric(
    "tunery_http_request_seconds",
    "histogram",
    "Time from receiving a request's headers to sending the last byte of its response.",
    ("method", "route"),
    SECONDS,
)
HTTP_RUNNING = Metric("tunery_http_requests_running", "gauge", "Requests currently in progress.")
INFERENCE_RUNNING = Metric(
    "tunery_inference_choices_running",
    "gauge",
    "Choices of inference requests that are currently at the engines.",
)
INFERENCE_WAITING = Metric(
    "tunery_inference_choices_waiting",
    "gauge",
    "Choices of inference requests currently waiting for their turn.",
)
INFERENCE_QUEUE = Metric(
    "tunery_inference_queue_seconds",
    "histogram",
    "Time that generation requests spent waiting for their turn.",
    ("base",),
    SECONDS,
)
INFERENCE_FIRST_TOKEN = Metric(
    "tunery_inference_first_token_seconds",
    "histogram",
    "Time to first token of generation requests, including the time spent waiting for their turn.",
    ("base",),
    SECONDS,
)
INFERENCE_TOKEN = Metric(
    "tunery_inference_token_seconds",
    "histogram",
    "Mean time between tokens of a choice, after the first token.",
    ("base",),
    TOKEN_SECONDS,
)
INFERENCE_TOKENS = Metric(
    "tunery_inference_tokens_total",
    "counter",
    "Tokens of prompts (`kind` is `prompt`) and of answers (`kind` is `completion`). The rate of this "
    "metric is the throughput.",
    ("base", "kind"),
)
INFERENCE_FAILURES = Metric(
    "tunery_inference_failures_total",
    "counter",
    "Generation requests that ended with an error, including streams whose status of 200 was already "
    "sent. `code` is one of the error codes.",
    ("base", "code"),
)
CHECKPOINTS = Metric(
    "tunery_checkpoints_total",
    "counter",
    "Checkpoints reported by runners: weights for serving (`kind` is `weights`), or a state to resume "
    "from (`kind` is `resume_state`).",
    ("kind",),
)
DATABASE_CONNECTIONS = Metric(
    "tunery_database_connections",
    "gauge",
    "Connections of this process to the database: in use (`state` is `busy`), or open but unused "
    "(`state` is `idle`).",
    ("state",),
)
DATABASE_CONNECTIONS_LIMIT = Metric(
    "tunery_database_connections_limit",
    "gauge",
    "Maximum number of database connections that this process may open.",
)

DATABASE_UP = Metric(
    "tunery_database_up",
    "gauge",
    "1 if the database responds, otherwise 0; the metrics that are read from it are then absent.",
)
JOBS = Metric(
    "tunery_jobs",
    "gauge",
    "Fine-tuning jobs that have not ended, by status, including internal statuses.",
    ("status",),
)
OLDEST_JOB = Metric(
    "tunery_job_oldest_seconds",
    "gauge",
    "How long the job that has been waiting longest in this status has waited: since it was created or "
    "resumed, excluding the time during which its attempts held devices; for `publishing`, since its "
    "training was complete or publishing it again was requested. Absent if there is no such job.",
    ("status", "priority"),
)
ATTEMPTS = Metric(
    "tunery_attempts",
    "gauge",
    "Attempts that still hold devices, by state; those in state `ended` are being cleaned up.",
    ("state",),
)
ATTEMPTS_ENDED = Metric(
    "tunery_attempts_ended_last_hour",
    "gauge",
    "Attempts that ended in the last hour. `result` is finished, stopped or failed; `code` is the "
    "reason for a failure; `fault` is `job` if the job itself caused it, otherwise `platform`.",
    ("result", "code", "fault"),
)
SYNC_AGE = Metric(
    "tunery_attempt_sync_age_seconds",
    "gauge",
    "Time since the last sync of the running attempt that has been silent the longest. Absent if no "
    "attempt is running.",
)
CHECKPOINT_AGE = Metric(
    "tunery_checkpoint_age_seconds",
    "gauge",
    "Time since the newest checkpoint with weights, or since the start of training, of the running job "
    "for which it is longest. Absent if no job is running.",
)
SLOTS = Metric("tunery_training_slots", "gauge", "Maximum number of training processes at once.")
SLOTS_HELD = Metric(
    "tunery_training_slots_held",
    "gauge",
    "Training processes of attempts that hold devices, including attempts that are being cleaned up.",
)
POOL_DEVICES = Metric(
    "tunery_pool_devices",
    "gauge",
    "Maximum number of devices of a pool in `TUNERY_TRAINING_POOLS`.",
    ("pool",),
)
POOL_HELD = Metric(
    "tunery_pool_devices_held",
    "gauge",
    "Devices of a pool that attempts hold. The others are free if their nodes are up and nothing else "
    "is using them. The pool with an empty name stands for attempts that were placed in no pool.",
    ("pool",),
)
POOL_FREE = Metric(
    "tunery_pool_devices_free",
    "gauge",
    "Devices of a pool that were available to jobs when the scheduler last saw its nodes. Absent if it "
    "has seen none for three minutes.",
    ("pool",),
)
POOL_NODES = Metric(
    "tunery_pool_nodes",
    "gauge",
    "Nodes of a pool when the scheduler last saw them. Jobs start on nodes whose `state` is standing; "
    "nodes that are draining are about to be removed, and nodes are avoided if attempts keep failing "
    "on them. Absent if the scheduler has seen none for three minutes.",
    ("pool", "state"),
)
TRAINING_SPEED = Metric(
    "tunery_training_tokens_per_second",
    "gauge",
    "Training throughput of all running jobs of a base, in tokens per second, according to their "
    "newest steps.",
    ("base",),
)
LEASE_LEFT = Metric(
    "tunery_lease_remaining_seconds",
    "gauge",
    "Time until a lease expires. The leases `scheduler` and `api` are renewed continuously: a negative "
    "value means that no scheduler is leading, or that runners cannot report. The lease `sweep` lasts "
    "until the next sweep is due.",
    ("lease",),
)
OUTBOX_AGE = Metric(
    "tunery_outbox_oldest_seconds",
    "gauge",
    "Age of the oldest event for which webhook deliveries have not been created yet. 0 if there is none.",
)
WEBHOOKS_PENDING = Metric(
    "tunery_webhook_deliveries_pending", "gauge", "Webhook deliveries that are pending."
)
WEBHOOK_AGE = Metric(
    "tunery_webhook_oldest_due_seconds",
    "gauge",
    "How long the most overdue webhook delivery has been due. After a failure, a delivery is not due "
    "until the delay before its retry is over. 0 if none is due.",
)
SWEEP_AGE = Metric(
    "tunery_sweep_age_seconds",
    "gauge",
    "Time since a sweep, including deletion by retention, last completed; before the first sweep, "
    "since the first file was stored. Absent before that.",
)
SWEEP_INTERVAL = Metric(
    "tunery_sweep_interval_seconds",
    "gauge",
    "Value of `TUNERY_SWEEP_INTERVAL_SECONDS`; 0 if schedulers do not sweep.",
)
STORED_BYTES = Metric(
    "tunery_stored_bytes",
    "gauge",
    "Bytes in storage as counted by the last sweep, by kind of object.",
    ("kind",),
)

TICK_SECONDS = Metric(
    "tunery_scheduler_tick_seconds", "histogram", "Duration of the scheduler's rounds.", (), SECONDS
)
TICK_FAILURES = Metric(
    "tunery_scheduler_tick_failures_total", "counter", "Rounds of the scheduler that ended with an error."
)
PUBLISH_SECONDS = Metric(
    "tunery_publish_seconds",
    "histogram",
    "Duration of attempts to publish a model. `outcome` is published, refused or postponed.",
    ("outcome",),
    MINUTES,
)
SWEPT_BYTES = Metric(
    "tunery_sweep_removed_bytes_total",
    "counter",
    "Bytes that sweeps have removed from storage, by kind of object.",
    ("kind",),
)
SWEPT_OBJECTS = Metric(
    "tunery_sweep_removed_objects_total",
    "counter",
    "Objects that sweeps have removed from storage, by kind.",
    ("kind",),
)
RETENTION_DELETED = Metric(
    "tunery_retention_deleted_total",
    "counter",
    "Files, checkpoints, event rows and usage rows that retention has deleted, by kind.",
    ("kind",),
)
SUPERSEDED_BYTES = Metric(
    "tunery_superseded_removed_bytes_total",
    "counter",
    "Bytes of superseded checkpoints that were removed from storage between sweeps.",
)
WEBHOOK_TRIES = Metric(
    "tunery_webhook_tries_total",
    "counter",
    "Attempts to deliver webhooks. `outcome` is delivered, refused (a status other than 2xx) or unanswered.",
    ("outcome",),
)
BACKGROUND_FAILURES = Metric(
    "tunery_background_failures_total",
    "counter",
    "Rounds of background work that ended with an error, other than an unavailable database or "
    "storage. In a scheduler, `work` is `sweep`, `deletion of superseded checkpoints`, `deletion of "
    "usage by the minute`, `imports`, `exports` or `webhooks`; in an API process, it is what could not "
    "be written, such as `usage`.",
    ("work",),
)

API = (
    HTTP_REQUESTS,
    HTTP_SECONDS,
    HTTP_RUNNING,
    INFERENCE_RUNNING,
    INFERENCE_WAITING,
    INFERENCE_QUEUE,
    INFERENCE_FIRST_TOKEN,
    INFERENCE_TOKEN,
    INFERENCE_TOKENS,
    INFERENCE_FAILURES,
    CHECKPOINTS,
    BACKGROUND_FAILURES,
    DATABASE_CONNECTIONS,
    DATABASE_CONNECTIONS_LIMIT,
)
"""What an API process counts about itself."""
INSTALLATION = (
    DATABASE_UP,
    JOBS,
    OLDEST_JOB,
    ATTEMPTS,
    ATTEMPTS_ENDED,
    SYNC_AGE,
    CHECKPOINT_AGE,
    SLOTS,
    SLOTS_HELD,
    POOL_DEVICES,
    POOL_HELD,
    POOL_FREE,
    POOL_NODES,
    TRAINING_SPEED,
    LEASE_LEFT,
    OUTBOX_AGE,
    WEBHOOKS_PENDING,
    WEBHOOK_AGE,
    SWEEP_AGE,
    SWEEP_INTERVAL,
    STORED_BYTES,
)
"""What every API process reads from the database: all of them say the same, so that queries take `max`."""
SCHEDULER = (
    TICK_SECONDS,
    TICK_FAILURES,
    PUBLISH_SECONDS,
    SWEPT_BYTES,
    SWEPT_OBJECTS,
    RETENTION_DELETED,
    SUPERSEDED_BYTES,
    WEBHOOK_TRIES,
    BACKGROUND_FAILURES,
    DATABASE_CONNECTIONS,
    DATABASE_CONNECTIONS_LIMIT,
)
"""What a scheduler counts about itself."""
