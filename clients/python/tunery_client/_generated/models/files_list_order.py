from typing import Literal

FilesListOrder = Literal["asc", "desc"]

FILES_LIST_ORDER_VALUES: set[FilesListOrder] = {
    "asc",
    "desc",
}


def check_files_list_order(value: str) -> FilesListOrder:
    if value in FILES_LIST_ORDER_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {FILES_LIST_ORDER_VALUES!r}")
