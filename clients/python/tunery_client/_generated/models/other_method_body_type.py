from typing import Literal

OtherMethodBodyType = Literal["dpo", "reinforcement"]

OTHER_METHOD_BODY_TYPE_VALUES: set[OtherMethodBodyType] = {
    "dpo",
    "reinforcement",
}


def check_other_method_body_type(value: str) -> OtherMethodBodyType:
    if value in OTHER_METHOD_BODY_TYPE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {OTHER_METHOD_BODY_TYPE_VALUES!r}")
