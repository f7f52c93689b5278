from typing import Literal

ChatDeltaRoleType0 = Literal["assistant"]

CHAT_DELTA_ROLE_TYPE_0_VALUES: set[ChatDeltaRoleType0] = {
    "assistant",
}


def check_chat_delta_role_type_0(value: str) -> ChatDeltaRoleType0:
    if value in CHAT_DELTA_ROLE_TYPE_0_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {CHAT_DELTA_ROLE_TYPE_0_VALUES!r}")
