"""Logs of the service's processes."""

from typing import TextIO

from cluster.logs import configure_logs
from service.log_rate_limit import LoggingRateLimit, StructlogRateLimit


def configure_service_logs(stream: TextIO) -> None:
    """As JSON, and the same warning once a minute."""
    configure_logs(stream, limits=[StructlogRateLimit()], filters=[LoggingRateLimit()])
