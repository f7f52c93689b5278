"""Makes the data report of files on this machine. Large files are read in separate processes: the checks are
Python code, and threads would compete for the GIL."""

import subprocess
import sys
from pathlib import Path

from cluster.contracts.bases import BaseSpec
from cluster.contracts.data_report import DataReport, Finding
from cluster.contracts.errors import Unavailable
from cluster.contracts.frozen import FrozenModel
from cluster.data_checks.check import check_data
from cluster.data_checks.findings import by_severity
from cluster.training.data.measured import Measured, measure
from cluster.training.data.tokenizer import load_tokenizer

_LARGE_BYTES = 8 << 20
"""Smaller files are read in this process: starting an interpreter would take longer than reading them."""


class LocalFiles(FrozenModel):
    training: Path
    validation: Path | None = None
    base: BaseSpec | None = None
    """Base in whose tokens lengths are measured."""


def report_on(files: LocalFiles, *, large_bytes: int = _LARGE_BYTES) -> DataReport:
    """Makes the report. Raises Unavailable if the process ends without one."""
    sizes = [path.stat().st_size for path in (files.training, files.validation) if path is not None]
    return _report(files) if sum(sizes) < large_bytes else _report_of_process(files)


def _report_of_process(files: LocalFiles) -> DataReport:
    answer = files.training.with_name("report.json")
    # Not through standard output, because libraries may write to it.
    command = [sys.executable, "-m", "cluster.training.data.report_process", str(answer)]
    done = subprocess.run(command, input=files.model_dump_json().encode(), check=False)
    if done.returncode != 0:
        raise Unavailable(f"The process that makes the data report ended with {done.returncode}.")
    return DataReport.model_validate_json(answer.read_bytes())


def _report(files: LocalFiles) -> DataReport:
    with files.training.open("rb") as training:
        if files.validation is None:
            report = check_data(training)
        else:
            with files.validation.open("rb") as validation:
                report = check_data(training, validation=validation)
    if files.base is None or report.format is None:
        return report
    with files.training.open("rb") as training:
        measured = measure(training, report.format, load_tokenizer(files.base), files.base)
    return _with_tokens(report, measured)


def _with_tokens(report: DataReport, measured: Measured) -> DataReport:
    by_code: dict[str, Finding] = {found.code: found for found in [*report.findings, *measured.findings]}
    return report.model_copy(
        update={
            **by_severity(by_code.values()),
            "lengths": measured.lengths or report.lengths,
            "overlength": measured.overlength,
        }
    )


if __name__ == "__main__":
    given = LocalFiles.model_validate_json(sys.stdin.buffer.read())
    Path(sys.argv[1]).write_text(_report(given).model_dump_json())
