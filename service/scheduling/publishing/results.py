"""A job's result file."""

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

CSV_HEADER = ("step", "train_loss", "train_accuracy", "valid_loss", "valid_mean_token_accuracy")


def result_csv(steps: Iterable[Mapping[str, Any]]) -> bytes:
    """Returns the steps' metrics in OpenAI's columns, blank where nothing was measured. If a step measured
    only the full validation set, its values are in the validation columns."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_HEADER)
    for step in steps:
        validation = "valid" if "valid_loss" in step else "full_valid"
        names = ["step", "train_loss", "train_mean_token_accuracy"]
        names += [f"{validation}_loss", f"{validation}_mean_token_accuracy"]
        writer.writerow([step.get(name) for name in names])
    return text.getvalue().encode()
