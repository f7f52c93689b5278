from typing import Literal

DueForDeletionKind = Literal[
    "checkpoints", "data_reports", "events", "exports", "files", "results", "resume_states", "usage"
]

DUE_FOR_DELETION_KIND_VALUES: set[DueForDeletionKind] = {
    "checkpoints",
    "data_reports",
    "events",
    "exports",
    "files",
    "results",
    "resume_states",
    "usage",
}


def check_due_for_deletion_kind(value: str) -> DueForDeletionKind:
    if value in DUE_FOR_DELETION_KIND_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {DUE_FOR_DELETION_KIND_VALUES!r}")
