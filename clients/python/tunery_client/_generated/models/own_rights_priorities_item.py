from typing import Literal

OwnRightsPrioritiesItem = Literal["high", "low", "normal"]

OWN_RIGHTS_PRIORITIES_ITEM_VALUES: set[OwnRightsPrioritiesItem] = {
    "high",
    "low",
    "normal",
}


def check_own_rights_priorities_item(value: str) -> OwnRightsPrioritiesItem:
    if value in OWN_RIGHTS_PRIORITIES_ITEM_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {OWN_RIGHTS_PRIORITIES_ITEM_VALUES!r}")
