from typing import Literal

ProjectRightsTrainingTypesType0Item = Literal["full", "lora", "peft", "qlora"]

PROJECT_RIGHTS_TRAINING_TYPES_TYPE_0_ITEM_VALUES: set[ProjectRightsTrainingTypesType0Item] = {
    "full",
    "lora",
    "peft",
    "qlora",
}


def check_project_rights_training_types_type_0_item(value: str) -> ProjectRightsTrainingTypesType0Item:
    if value in PROJECT_RIGHTS_TRAINING_TYPES_TYPE_0_ITEM_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {PROJECT_RIGHTS_TRAINING_TYPES_TYPE_0_ITEM_VALUES!r}"
    )
