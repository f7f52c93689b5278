from typing import Literal

OrganizationProjectStatus = Literal["active", "archived"]

ORGANIZATION_PROJECT_STATUS_VALUES: set[OrganizationProjectStatus] = {
    "active",
    "archived",
}


def check_organization_project_status(value: str) -> OrganizationProjectStatus:
    if value in ORGANIZATION_PROJECT_STATUS_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {ORGANIZATION_PROJECT_STATUS_VALUES!r}")
