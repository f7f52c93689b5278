from typing import Literal

ServiceAccountKeyBodyScopesItem = Literal["admin", "infer", "read", "write"]

SERVICE_ACCOUNT_KEY_BODY_SCOPES_ITEM_VALUES: set[ServiceAccountKeyBodyScopesItem] = {
    "admin",
    "infer",
    "read",
    "write",
}


def check_service_account_key_body_scopes_item(value: str) -> ServiceAccountKeyBodyScopesItem:
    if value in SERVICE_ACCOUNT_KEY_BODY_SCOPES_ITEM_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {SERVICE_ACCOUNT_KEY_BODY_SCOPES_ITEM_VALUES!r}"
    )
