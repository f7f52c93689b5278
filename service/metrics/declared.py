"""Every metric of the API and of the scheduler. `docs/metrics.md` lists them from here."""

from cluster.contracts.metrics import MINUTES, SECONDS, TOKEN_SECONDS, Metric

HTTP_REQUESTS = Metric(
    "tunery_http_requests_total",
    "counter",
    "Answered requests. `route` is the path in the API reference, and `none` for what was refused before it "
    "was routed: unknown paths, wrong keys, and the dashboard's files. A stream counts when it has ended.",
    ("method", "route", "status"),
)
HTTP_SECONDS = Metric(
    "tunery_http_request_seconds",
    "histogram",
    "Time from a request's headers to the last byte of its answer.",
    ("method", "route"),
    SECONDS,
)
HTTP_RUNNING = Metric("tunery_http_requests_running", "gauge", "Requests that are being answered now.")
INFERENCE_RUNNING = Metric(
    "tunery_inference_choices_running", "gauge", "Choices of inference requests at the engines now."
)
INFERENCE_WAITING = Metric(
    "tunery_inference_choices_waiting", "gauge", "Choices that wait for their turn at the engines now."
)
INFERENCE_QUEUE = Metric(
    "tunery_inference_queue_seconds",
    "histogram",
    "Time that generation requests waited for their turn.",
    ("base",),
    SECONDS,
)
INFERENCE_FIRST_TOKEN = Metric(
    "tunery_inference_first_token_seconds",
    "histogram",
    "Time to first token of generation requests, their wait for a turn included.",
    ("base",),
    SECONDS,
)
INFERENCE_TOKEN = Metric(
    "tunery_inference_token_seconds",
    "histogram",
    "Mean time between two tokens of a choice, after the first.",
    ("base",),
    TOKEN_SECONDS,
)
INFERENCE_TOKENS = Metric(
    "tunery_inference_tokens_total",
    "counter",
    "Tokens of prompts (`kind` is `prompt`) and of answers (`completion`). Their rate is the throughput.",
    ("base", "kind"),
)
INFERENCE_FAILURES = Metric(
    "tunery_inference_failures_total",
    "counter",
    "Generation requests that ended with an error, streams whose status was 200 already among them. `code` "
    "is one of the error codes.",
    ("base", "code"),
)
CHECKPOINTS = Metric(
    "tunery_checkpoints_total",
    "counter",
    "Checkpoints that runners have reported: weights for serving (`kind` is `weights`), or a state to resume "
    "from (`resume_state`).",
    ("kind",),
)
DATABASE_CONNECTIONS = Metric(
    "tunery_database_connections",
    "gauge",
    "Connections of this process to the database: in use (`state` is `busy`), and open and unused (`idle`).",
    ("state",),
)
DATABASE_CONNECTIONS_LIMIT = Metric(
    "tunery_database_connections_limit", "gauge", "The most connections that this process may open."
)

DATABASE_UP = Metric(
    "tunery_database_up",
    "gauge",
    "1 if the database answers, else 0; what is read from it is absent then.",
)
JOBS = Metric(
    "tunery_jobs",
    "gauge",
    "Fine-tuning jobs that have not ended, by status, internal ones included.",
    ("status",),
)
OLDEST_JOB = Metric(
    "tunery_job_oldest_seconds",
    "gauge",
    "For how long the job that has waited longest has waited in this status: since its creation or since it "
    "was resumed, without the time that its attempts had devices; for `publishing`, since its training was "
    "complete or since it was asked to be published again. Absent without one.",
    ("status", "priority"),
)
ATTEMPTS = Metric(
    "tunery_attempts",
    "gauge",
    "Attempts whose devices are not free yet, by state; `ended` ones are still being cleaned up.",
    ("state",),
)
ATTEMPTS_ENDED = Metric(
    "tunery_attempts_ended_last_hour",
    "gauge",
    "Attempts that ended in the last hour. `result` is finished, stopped or failed; `code` says why they "
    "failed; `fault` is `job` if the job itself is to blame, else `platform`.",
    ("result", "code", "fault"),
)
SYNC_AGE = Metric(
    "tunery_attempt_sync_age_seconds",
    "gauge",
    "Time since the last sync of the running attempt that has been silent longest. Absent without one.",
)
CHECKPOINT_AGE = Metric(
    "tunery_checkpoint_age_seconds",
    "gauge",
    "Time since the newest checkpoint with weights, or since the start of training, of the running job where "
    "it is longest. Absent without one.",
)
SLOTS = Metric("tunery_training_slots", "gauge", "Training processes that may run at once.")
SLOTS_HELD = Metric(
    "tunery_training_slots_held",
    "gauge",
    "Training processes of attempts that hold devices, or did until they are cleaned up.",
)
POOL_DEVICES = Metric(
    "tunery_pool_devices", "gauge", "Devices that a pool of `TUNERY_TRAINING_POOLS` can have.", ("pool",)
)
POOL_HELD = Metric(
    "tunery_pool_devices_held",
    "gauge",
    "Devices of a pool that attempts hold. The others are free if their nodes stand and nothing else is on "
    "them. A pool without a name has attempts that were placed in none.",
    ("pool",),
)
POOL_FREE = Metric(
    "tunery_pool_devices_free",
    "gauge",
    "Devices of a pool that jobs could take when the scheduler last saw its nodes. Absent if it has seen "
    "none for three minutes.",
    ("pool",),
)
POOL_NODES = Metric(
    "tunery_pool_nodes",
    "gauge",
    "Nodes of a pool when the scheduler last saw them. Jobs start on those whose `state` is standing; those "
    "that are draining are about to be taken away, and on those that are avoided attempts keep failing. "
    "Absent if it has seen none for three minutes.",
    ("pool", "state"),
)
TRAINING_SPEED = Metric(
    "tunery_training_tokens_per_second",
    "gauge",
    "Tokens per second that running jobs train on, by their newest step, over all of a base.",
    ("base",),
)
LEASE_LEFT = Metric(
    "tunery_lease_remaining_seconds",
    "gauge",
    "Time until a lease expires. Those of `scheduler` and `api` are renewed all the time: if they are "
    "negative, no scheduler leads, and runners cannot report. That of `sweep` lasts until the next sweep is "
    "due.",
    ("lease",),
)
OUTBOX_AGE = Metric(
    "tunery_outbox_oldest_seconds",
    "gauge",
    "Age of the oldest event for which no webhook deliveries are written yet. 0 without one.",
)
WEBHOOKS_PENDING = Metric("tunery_webhook_deliveries_pending", "gauge", "Webhook deliveries to be made.")
WEBHOOK_AGE = Metric(
    "tunery_webhook_oldest_due_seconds",
    "gauge",
    "For how long the webhook delivery that is due longest has been due. One to a receiver that failed is "
    "not due during the pause after the failure. 0 without one.",
)
SWEEP_AGE = Metric(
    "tunery_sweep_age_seconds",
    "gauge",
    "Time since a sweep last came to its end, with what retention deletes; before the first one, since the "
    "first file was stored. Absent before that.",
)
SWEEP_INTERVAL = Metric(
    "tunery_sweep_interval_seconds", "gauge", "`TUNERY_SWEEP_INTERVAL_SECONDS`; 0 if schedulers do not sweep."
)
STORED_BYTES = Metric(
    "tunery_stored_bytes",
    "gauge",
    "Bytes in storage when the last sweep counted them, by kind of object.",
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
    "Duration of tries to publish a model. `outcome` is published, refused or postponed.",
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
    "Files, checkpoints, and rows of events and usage that retention has deleted, by kind.",
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
    "Webhooks that were sent. `outcome` is delivered, refused (another status than 2xx) or unanswered.",
    ("outcome",),
)
BACKGROUND_FAILURES = Metric(
    "tunery_background_failures_total",
    "counter",
    "Rounds of work in the background that ended with an error other than that the database or storage does "
    "not answer. `work` is `sweep`, `deletion of superseded checkpoints`, `deletion of usage by the minute`, "
    "`imports`, `exports` or `webhooks` in a scheduler, and what could not be written in an API process, "
    "such as `usage`.",
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
