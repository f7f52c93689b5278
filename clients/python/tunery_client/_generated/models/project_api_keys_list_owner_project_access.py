from typing import Literal

ProjectApiKeysListOwnerProjectAccess = Literal["active", "any", "inactive"]

PROJECT_API_KEYS_LIST_OWNER_PROJECT_ACCESS_VALUES: set[ProjectApiKeysListOwnerProjectAccess] = {
    "active",
    "any",
    "inactive",
}


def check_project_api_keys_list_owner_project_access(value: str) -> ProjectApiKeysListOwnerProjectAccess:
    if value in PROJECT_API_KEYS_LIST_OWNER_PROJECT_ACCESS_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {PROJECT_API_KEYS_LIST_OWNER_PROJECT_ACCESS_VALUES!r}"
    )
