"""Results of the checks of a job's files, and the events that report them to its owner."""

from collections.abc import Sequence
from typing import NamedTuple

from cluster.contracts.datasets import DatasetCheck
from cluster.contracts.hyperparameters import OnOverlength, TrainingConfig
from service.db.transitions import NewEvent


class CheckedFile(NamedTuple):
    param: str
    """Parameter of the request that names the file, e.g. `training_file`."""
    on_overlength: OnOverlength
    found: DatasetCheck


def check_events(checks: Sequence[CheckedFile], config: TrainingConfig) -> list[NewEvent]:
    """The warnings: first about examples that are too long, then the notes of all checks, each only once."""
    events = [event for check in checks for event in _overlength_events(check, config)]
    notes = dict.fromkeys(note for check in checks for note in check.found.notes)
    return events + [NewEvent(note, level="warn") for note in notes]


def _overlength_events(check: CheckedFile, config: TrainingConfig) -> list[NewEvent]:
    """One event for the examples that are left out, and one for the examples that are cut."""
    param, policy, found = check
    ways = (
        ("left out", found.n_dropped, found.dropped_lines),
        ("cut at the end", found.n_truncated, found.truncated_lines),
    )
    return [
        NewEvent(
            f"{count} example(s) of {param} with more than {config.max_length} tokens were {done}: lines "
            + ", ".join(map(str, lines[:20]))
            + (", …" if len(lines) > 20 else ""),
            level="warn",
            data={"file": param, "lines": lines, "count": count, "policy": policy},
        )
        for done, count, lines in ways
        if count
    ]
