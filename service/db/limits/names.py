"""The names of limits, and the value that means "unlimited"."""

from collections.abc import Mapping
from typing import Literal, get_args

RateName = Literal["requests_per_minute", "tokens_per_minute"]
QuotaName = Literal["concurrent_jobs", "jobs_per_day", "stored_bytes", "device_hours_per_month"]
ShareName = Literal["max_priority", "device_share", "soft_max_devices", "max_devices"]
"""Names of the shares, which apply to a project's jobs in the queue. A priority is stored as its index in
PRIORITIES."""
LimitName = Literal[RateName, QuotaName, ShareName, "projects"]
"""`projects` applies only to organizations."""

RATES: tuple[RateName, ...] = get_args(RateName)
UNLIMITED = 2**53 - 1
"""The value that stands for no limit: the largest integer that JSON carries exactly everywhere."""

Defaults = Mapping[LimitName, int]
"""Limits from the settings, for every project."""
