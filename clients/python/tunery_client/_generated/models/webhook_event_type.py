from typing import Literal

WebhookEventType = Literal["fine_tuning.job.cancelled", "fine_tuning.job.failed", "fine_tuning.job.succeeded"]

WEBHOOK_EVENT_TYPE_VALUES: set[WebhookEventType] = {
    "fine_tuning.job.cancelled",
    "fine_tuning.job.failed",
    "fine_tuning.job.succeeded",
}


def check_webhook_event_type(value: str) -> WebhookEventType:
    if value in WEBHOOK_EVENT_TYPE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {WEBHOOK_EVENT_TYPE_VALUES!r}")
