from typing import Literal

RepublishBodyRegression = Literal["allow", "check"]

REPUBLISH_BODY_REGRESSION_VALUES: set[RepublishBodyRegression] = {
    "allow",
    "check",
}


def check_republish_body_regression(value: str) -> RepublishBodyRegression:
    if value in REPUBLISH_BODY_REGRESSION_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {REPUBLISH_BODY_REGRESSION_VALUES!r}")
