from typing import Literal

CreatedProjectApiKeyOwnerProjectAccess = Literal["active", "inactive"]

CREATED_PROJECT_API_KEY_OWNER_PROJECT_ACCESS_VALUES: set[CreatedProjectApiKeyOwnerProjectAccess] = {
    "active",
    "inactive",
}


def check_created_project_api_key_owner_project_access(value: str) -> CreatedProjectApiKeyOwnerProjectAccess:
    if value in CREATED_PROJECT_API_KEY_OWNER_PROJECT_ACCESS_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CREATED_PROJECT_API_KEY_OWNER_PROJECT_ACCESS_VALUES!r}"
    )
