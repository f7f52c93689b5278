from typing import Literal

RetentionTermSetBy = Literal["organization", "project", "server"]

RETENTION_TERM_SET_BY_VALUES: set[RetentionTermSetBy] = {
    "organization",
    "project",
    "server",
}


def check_retention_term_set_by(value: str) -> RetentionTermSetBy:
    if value in RETENTION_TERM_SET_BY_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {RETENTION_TERM_SET_BY_VALUES!r}")
