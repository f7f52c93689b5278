"""Matches checkpoints of an old job with those of a new one. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

_MARK = ":ckpt-step-"


def matching_checkpoints(
    old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]
) -> dict[str, str]:
    """Maps names of old checkpoints to the new checkpoints with the nearest relative progress, and to the
    later one if two are equally near. The jobs' steps differ, because batches and token counts do. Both lists
    come from the API, and the last checkpoint of each is at the end of its training."""
    steps = {name: step for name, step in map(_name_and_step, new) if name and step}
    last_old = max((step for _, step in map(_name_and_step, old)), default=0)
    last_new = max(steps.values(), default=0)
    found = {}
    for name, step in map(_name_and_step, old):
        if _MARK in name and step and steps:
            far = step / last_old
            found[name] = min(steps, key=lambda one: (abs(steps[one] / last_new - far), -steps[one]))
    return found


def _name_and_step(checkpoint: Mapping[str, Any]) -> tuple[str, int]:
    name, step = checkpoint.get("fine_tuned_model_checkpoint"), checkpoint.get("step_number")
    is_sound = isinstance(name, str) and isinstance(step, int) and step > 0
    return (str(name), int(str(step))) if is_sound else ("", 0)
