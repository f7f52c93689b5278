"""The findings of a reconciliation."""

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Finding:
    check: Literal["objects", "storage", "encryption", "attempts"]
    verdict: Literal["ok", "warning", "failed", "fixed"]
    """failed: something is lost, or wastes devices. warning: it resolves by itself, or cannot be determined
    here."""
    subject: str
    """The key or the id that it is about; empty for all."""
    found: str

    def as_item(self) -> dict[str, Any]:
        return asdict(self)
