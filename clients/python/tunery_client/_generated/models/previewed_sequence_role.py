from typing import Literal

PreviewedSequenceRole = Literal["example", "non_preferred", "preferred"]

PREVIEWED_SEQUENCE_ROLE_VALUES: set[PreviewedSequenceRole] = {
    "example",
    "non_preferred",
    "preferred",
}


def check_previewed_sequence_role(value: str) -> PreviewedSequenceRole:
    if value in PREVIEWED_SEQUENCE_ROLE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {PREVIEWED_SEQUENCE_ROLE_VALUES!r}")
