from typing import Literal

ApiKeyExtensionScopesItem = Literal["admin", "infer", "read", "write"]

API_KEY_EXTENSION_SCOPES_ITEM_VALUES: set[ApiKeyExtensionScopesItem] = {
    "admin",
    "infer",
    "read",
    "write",
}


def check_api_key_extension_scopes_item(value: str) -> ApiKeyExtensionScopesItem:
    if value in API_KEY_EXTENSION_SCOPES_ITEM_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {API_KEY_EXTENSION_SCOPES_ITEM_VALUES!r}")
