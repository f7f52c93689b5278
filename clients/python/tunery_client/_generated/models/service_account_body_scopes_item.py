from typing import Literal

ServiceAccountBodyScopesItem = Literal["admin", "infer", "read", "write"]

SERVICE_ACCOUNT_BODY_SCOPES_ITEM_VALUES: set[ServiceAccountBodyScopesItem] = {
    "admin",
    "infer",
    "read",
    "write",
}


def check_service_account_body_scopes_item(value: str) -> ServiceAccountBodyScopesItem:
    if value in SERVICE_ACCOUNT_BODY_SCOPES_ITEM_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {SERVICE_ACCOUNT_BODY_SCOPES_ITEM_VALUES!r}"
    )
