"""What `tunery jobs rerun` takes from the former job by itself: the API takes over how it was trained, and
neither its priority, its notes nor its integrations."""

from collections.abc import Mapping
from typing import Any

from service.cli.output import Item

_SHOWN = ("wandb", "tensorboard")
"""Integrations that a job shows with all their options: of the others it shows only the type."""


def taken_over(source: Item, body: Mapping[str, Any], *, with_integrations: bool) -> dict[str, Any]:
    """The body of a create request, completed with what it leaves out. Notes that it gives are added to the
    former ones."""
    extension: dict[str, Any] = {"priority": source["tunery"]["priority"]}
    notes = (source["metadata"] or {}) | body.get("metadata", {})
    integrations: dict[str, Any] = {}
    if with_integrations:
        if source["integrations"]:
            integrations = {"integrations": source["integrations"]}
        if "tensorboard" in _types(source):
            extension["integrations"] = [{"type": "tensorboard"}]
    return {
        **body,
        **integrations,
        **({"metadata": notes} if notes else {}),
        "tunery": extension | body.get("tunery", {}),
    }


def unknown_integrations(source: Item) -> list[str]:
    """Types of the integrations that cannot be taken over, because the API does not show their options."""
    return [type for type in _types(source) if type not in _SHOWN]


def _types(source: Item) -> list[str]:
    return [each["type"] for each in source["tunery"]["integrations"]]
