from typing import Literal

CheckpointPermissionsListOrder = Literal["ascending", "descending"]

CHECKPOINT_PERMISSIONS_LIST_ORDER_VALUES: set[CheckpointPermissionsListOrder] = {
    "ascending",
    "descending",
}


def check_checkpoint_permissions_list_order(value: str) -> CheckpointPermissionsListOrder:
    if value in CHECKPOINT_PERMISSIONS_LIST_ORDER_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {CHECKPOINT_PERMISSIONS_LIST_ORDER_VALUES!r}"
    )
