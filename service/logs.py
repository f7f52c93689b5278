"""Logs of the service's processes."""

from typing import TextIO

from cluster.logs import configure_logs
from service.log_rate_limit import LoggingRateLimit, StructlogRateLimit


def configure_service_logs(stream: TextIO) -> None:
    """Logs as JSON, and the same warning at most once a minute."""
    configure_logs(stream, limits=[StructlogRateLimit()], filters=[LoggingRateLimit()])
