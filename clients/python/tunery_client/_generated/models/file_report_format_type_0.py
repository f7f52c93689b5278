from typing import Literal

FileReportFormatType0 = Literal["chat", "classification", "completion", "preference", "token_classification"]

FILE_REPORT_FORMAT_TYPE_0_VALUES: set[FileReportFormatType0] = {
    "chat",
    "classification",
    "completion",
    "preference",
    "token_classification",
}


def check_file_report_format_type_0(value: str) -> FileReportFormatType0:
    if value in FILE_REPORT_FORMAT_TYPE_0_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {FILE_REPORT_FORMAT_TYPE_0_VALUES!r}")
