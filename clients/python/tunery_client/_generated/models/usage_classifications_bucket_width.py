from typing import Literal

UsageClassificationsBucketWidth = Literal["1d", "1h", "1m"]

USAGE_CLASSIFICATIONS_BUCKET_WIDTH_VALUES: set[UsageClassificationsBucketWidth] = {
    "1d",
    "1h",
    "1m",
}


def check_usage_classifications_bucket_width(value: str) -> UsageClassificationsBucketWidth:
    if value in USAGE_CLASSIFICATIONS_BUCKET_WIDTH_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {USAGE_CLASSIFICATIONS_BUCKET_WIDTH_VALUES!r}"
    )
