from typing import Literal

FileReportStatus = Literal["completed", "in_progress"]

FILE_REPORT_STATUS_VALUES: set[FileReportStatus] = {
    "completed",
    "in_progress",
}


def check_file_report_status(value: str) -> FileReportStatus:
    if value in FILE_REPORT_STATUS_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {FILE_REPORT_STATUS_VALUES!r}")
