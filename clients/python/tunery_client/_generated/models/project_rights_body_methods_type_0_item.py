from typing import Literal

ProjectRightsBodyMethodsType0Item = Literal["dpo", "supervised"]

PROJECT_RIGHTS_BODY_METHODS_TYPE_0_ITEM_VALUES: set[ProjectRightsBodyMethodsType0Item] = {
    "dpo",
    "supervised",
}


def check_project_rights_body_methods_type_0_item(value: str) -> ProjectRightsBodyMethodsType0Item:
    if value in PROJECT_RIGHTS_BODY_METHODS_TYPE_0_ITEM_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {PROJECT_RIGHTS_BODY_METHODS_TYPE_0_ITEM_VALUES!r}"
    )
