from typing import Literal

OwnRightsMethodsType0Item = Literal["dpo", "supervised"]

OWN_RIGHTS_METHODS_TYPE_0_ITEM_VALUES: set[OwnRightsMethodsType0Item] = {
    "dpo",
    "supervised",
}


def check_own_rights_methods_type_0_item(value: str) -> OwnRightsMethodsType0Item:
    if value in OWN_RIGHTS_METHODS_TYPE_0_ITEM_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {OWN_RIGHTS_METHODS_TYPE_0_ITEM_VALUES!r}")
