from typing import Literal

WebhookEndpointExtensionStatus = Literal["disabled", "enabled"]

WEBHOOK_ENDPOINT_EXTENSION_STATUS_VALUES: set[WebhookEndpointExtensionStatus] = {
    "disabled",
    "enabled",
}


def check_webhook_endpoint_extension_status(value: str) -> WebhookEndpointExtensionStatus:
    if value in WEBHOOK_ENDPOINT_EXTENSION_STATUS_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {WEBHOOK_ENDPOINT_EXTENSION_STATUS_VALUES!r}"
    )
