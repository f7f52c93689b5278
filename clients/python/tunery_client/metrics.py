"""The metrics that a job's events carry. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tunery_client._generated.models.fine_tuning_job_event import FineTuningJobEvent

if TYPE_CHECKING:
    import pandas


def metrics_of(events: Iterable[FineTuningJobEvent]) -> Sequence[dict[str, Any]]:
    """In the order of their steps. A step that was repeated after a fault counts once, as its last time."""
    by_step: dict[int, dict[str, Any]] = {}
    for event in sorted(events, key=lambda event: event.created_at):
        data = event.data.to_dict()
        if event.type_ == "metrics" and "step" in data:
            by_step[data["step"]] = {**by_step.get(data["step"], {}), **data}
    return [by_step[step] for step in sorted(by_step)]


def as_dataframe(metrics: Sequence[dict[str, Any]]) -> pandas.DataFrame:
    """Converts metrics to a data frame with `step` as the index."""
    try:
        import pandas
    except ImportError as error:
        raise ImportError("to_dataframe needs pandas: pip install 'tunery-client[pandas]'") from error
    frame = pandas.DataFrame(list(metrics), columns=None if metrics else ["step"])
    return frame.set_index("step")
