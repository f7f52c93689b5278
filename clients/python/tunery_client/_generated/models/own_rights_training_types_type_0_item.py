from typing import Literal

OwnRightsTrainingTypesType0Item = Literal["full", "lora", "peft", "qlora"]

OWN_RIGHTS_TRAINING_TYPES_TYPE_0_ITEM_VALUES: set[OwnRightsTrainingTypesType0Item] = {
    "full",
    "lora",
    "peft",
    "qlora",
}


def check_own_rights_training_types_type_0_item(value: str) -> OwnRightsTrainingTypesType0Item:
    if value in OWN_RIGHTS_TRAINING_TYPES_TYPE_0_ITEM_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {OWN_RIGHTS_TRAINING_TYPES_TYPE_0_ITEM_VALUES!r}"
    )
