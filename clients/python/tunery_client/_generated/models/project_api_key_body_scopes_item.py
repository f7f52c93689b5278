from typing import Literal

ProjectApiKeyBodyScopesItem = Literal["admin", "infer", "read", "write"]

PROJECT_API_KEY_BODY_SCOPES_ITEM_VALUES: set[ProjectApiKeyBodyScopesItem] = {
    "admin",
    "infer",
    "read",
    "write",
}


def check_project_api_key_body_scopes_item(value: str) -> ProjectApiKeyBodyScopesItem:
    if value in PROJECT_API_KEY_BODY_SCOPES_ITEM_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {PROJECT_API_KEY_BODY_SCOPES_ITEM_VALUES!r}"
    )
