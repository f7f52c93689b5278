"""Logs of our processes: one JSON object per line, without secrets.

Every line has `timestamp`, `level` and `event` (what happened), and says what it is about: `request`,
`project` and `key` in the API, `job` and `attempt` wherever a job is worked on. Both `structlog` and the
standard library's `logging` end up here.
"""

import logging
import re
from collections.abc import Sequence
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor

_SECRETS = (
    (re.compile(r"\b(tk-[0-9a-z]{12}-)[0-9a-f]{64}(-[0-9a-f]{8})?"), r"\1***"),
    (re.compile(r"(?i)\b(bearer\s+)[^\s\"'\\,}]+"), r"\1***"),
    (re.compile(r"\bwhsec_[\w+/=-]+"), "whsec_***"),
    (re.compile(r"(://)[^\s/@\"'\\]+@"), r"\1***@"),
    (
        re.compile(r"(?i)((?:token|secret|password|api_key)\\?[\"']?\s*[:=]\s*\\?[\"']?)[^\s\"'\\,;})]+"),
        r"\1***",
    ),
)
"""Patterns of secrets, and their replacements. None of our own code logs a secret: this is for what errors of
libraries quote."""


def configure_logs(
    stream: TextIO, *, limits: Sequence[Processor] = (), filters: Sequence[logging.Filter] = (), **always: Any
) -> None:
    """Sends all logs of this process to `stream`. `always` is in every line. `limits` and `filters` may drop
    lines: the former those of structlog, the latter those of logging."""
    shared: list[Processor] = [_Always(always), structlog.contextvars.merge_contextvars]
    ends: list[Processor] = [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(default=repr),
        hide_secrets,
    ]
    stamps: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, *limits, *stamps, *ends],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(stream),
    )
    names = structlog.stdlib.add_logger_name
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, names, *stamps, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ends],
        )
    )
    for one in filters:
        handler.addFilter(one)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # These libraries log each of their requests.
    for chatty in ("httpx", "httpx2", "urllib3", "botocore", "boto3"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def hide_secrets(_logger: Any, _method: str, rendered: Any) -> str:
    """Removes secrets; a processor that runs after the rendering."""
    line = str(rendered)
    for secret, shown in _SECRETS:
        line = secret.sub(shown, line)
    return line


class _Always:
    def __init__(self, fields: EventDict) -> None:
        self._fields = fields

    def __call__(self, _logger: Any, _method: str, event: EventDict) -> EventDict:
        return {**self._fields, **event}
