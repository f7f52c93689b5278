from typing import Literal

ProjectApiKeyUpdateBodyScopesType0Item = Literal["admin", "infer", "read", "write"]

PROJECT_API_KEY_UPDATE_BODY_SCOPES_TYPE_0_ITEM_VALUES: set[ProjectApiKeyUpdateBodyScopesType0Item] = {
    "admin",
    "infer",
    "read",
    "write",
}


def check_project_api_key_update_body_scopes_type_0_item(
    value: str,
) -> ProjectApiKeyUpdateBodyScopesType0Item:
    if value in PROJECT_API_KEY_UPDATE_BODY_SCOPES_TYPE_0_ITEM_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {PROJECT_API_KEY_UPDATE_BODY_SCOPES_TYPE_0_ITEM_VALUES!r}"
    )
