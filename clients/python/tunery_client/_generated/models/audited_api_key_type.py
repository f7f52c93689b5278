from typing import Literal

AuditedApiKeyType = Literal["service_account", "user"]

AUDITED_API_KEY_TYPE_VALUES: set[AuditedApiKeyType] = {
    "service_account",
    "user",
}


def check_audited_api_key_type(value: str) -> AuditedApiKeyType:
    if value in AUDITED_API_KEY_TYPE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {AUDITED_API_KEY_TYPE_VALUES!r}")
