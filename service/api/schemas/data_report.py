"""The data report of a file: the public object."""

from typing import Literal

from cluster.contracts.data_report import Finding, LabelBalance, Lengths, Overlength, SampledCheck
from cluster.contracts.datasets import DatasetFormat
from service.api.schemas.base import Answer


class FileReport(Answer):
    """Problems and statistics of a training file. It quotes nothing of the file but labels and short answers,
    and of those none that looks like a secret or personal data."""

    object: Literal["file.report"] = "file.report"
    file_id: str
    validation_file: str | None
    model: str | None
    status: Literal["in_progress", "completed"]
    """While the report is being made, the lists are empty and all values are null."""
    rules_version: int | None = None
    format: DatasetFormat | None = None
    """Null if no line is a valid row."""
    n_lines: int | None = None
    """Lines up to the last one that is not blank."""
    n_examples: int | None = None
    """Lines that are valid rows."""
    errors: list[Finding] = []
    """Broken rules that keep the file from being trained on."""
    warnings: list[Finding] = []
    """What may make the model worse. It never blocks a job."""
    lengths: Lengths | None = None
    """Lengths in tokens of `model`; in characters without one, or if it cannot be trained on such rows."""
    overlength: Overlength | None = None
    """Null without `model`."""
    labels: LabelBalance | None = None
    """Null if the file has neither labels nor short repeated answers."""
    sampled: list[SampledCheck] = []
    """Checks that looked at a part of a large file only."""
