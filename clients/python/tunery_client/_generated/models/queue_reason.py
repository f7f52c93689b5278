from typing import Literal

QueueReason = Literal[
    "backing_off",
    "behind_reservation",
    "cluster_unavailable",
    "gpu_serving",
    "maintenance",
    "no_pool",
    "pending",
    "pool_full",
    "pool_growing",
    "pool_limited",
    "preempting",
    "project_quota",
]

QUEUE_REASON_VALUES: set[QueueReason] = {
    "backing_off",
    "behind_reservation",
    "cluster_unavailable",
    "gpu_serving",
    "maintenance",
    "no_pool",
    "pending",
    "pool_full",
    "pool_growing",
    "pool_limited",
    "preempting",
    "project_quota",
}


def check_queue_reason(value: str) -> QueueReason:
    if value in QUEUE_REASON_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {QUEUE_REASON_VALUES!r}")
