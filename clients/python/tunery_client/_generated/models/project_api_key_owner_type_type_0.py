from typing import Literal

ProjectApiKeyOwnerTypeType0 = Literal["service_account"]

PROJECT_API_KEY_OWNER_TYPE_TYPE_0_VALUES: set[ProjectApiKeyOwnerTypeType0] = {
    "service_account",
}


def check_project_api_key_owner_type_type_0(value: str) -> ProjectApiKeyOwnerTypeType0:
    if value in PROJECT_API_KEY_OWNER_TYPE_TYPE_0_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {PROJECT_API_KEY_OWNER_TYPE_TYPE_0_VALUES!r}"
    )
