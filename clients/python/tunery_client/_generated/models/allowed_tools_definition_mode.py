from typing import Literal

AllowedToolsDefinitionMode = Literal["auto", "required"]

ALLOWED_TOOLS_DEFINITION_MODE_VALUES: set[AllowedToolsDefinitionMode] = {
    "auto",
    "required",
}


def check_allowed_tools_definition_mode(value: str) -> AllowedToolsDefinitionMode:
    if value in ALLOWED_TOOLS_DEFINITION_MODE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {ALLOWED_TOOLS_DEFINITION_MODE_VALUES!r}")
