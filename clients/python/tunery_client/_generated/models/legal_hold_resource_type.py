from typing import Literal

LegalHoldResourceType = Literal["file", "job", "model", "project"]

LEGAL_HOLD_RESOURCE_TYPE_VALUES: set[LegalHoldResourceType] = {
    "file",
    "job",
    "model",
    "project",
}


def check_legal_hold_resource_type(value: str) -> LegalHoldResourceType:
    if value in LEGAL_HOLD_RESOURCE_TYPE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {LEGAL_HOLD_RESOURCE_TYPE_VALUES!r}")
