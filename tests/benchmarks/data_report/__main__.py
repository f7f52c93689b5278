"""Measure how fast a data report is made, and how much memory it takes:

python -m tests.benchmarks.data_report --rows 100000

The rows are made up, about 100 words long, and a tenth of them are copies of others with a few other words.
Prints one line of JSON on stdout: rows and megabytes a second, the peak of memory above that of an idle
process, and precision and recall of the near duplicates. Seconds are of CPU time, on one core."""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

from cluster.contracts.jsonl import check_jsonl, parse_row
from cluster.data_checks.check import check_data
from cluster.data_checks.near_duplicates import THRESHOLD, NearDuplicates
from cluster.data_checks.texts import texts_of
from tests.cluster.data_checks.made_up import made_up_rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--words", type=int, default=100)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-data-report-") as folder:
        path = Path(folder) / "data.jsonl"
        with path.open("wb") as file:
            file.writelines(made.line for made in made_up_rows(arguments.rows, words=arguments.words))
        began = time.process_time()
        with path.open("rb") as file:
            check_jsonl(file)
        validated = time.process_time() - began
        before = _peak_mib()
        began = time.process_time()
        with path.open("rb") as file:
            report = check_data(file)
        seconds = time.process_time() - began
        mib = path.stat().st_size / 2**20
    result = {
        "rows": arguments.rows,
        "mib": round(mib, 1),
        "seconds": round(seconds, 1),
        "seconds_of_validation_alone": round(validated, 1),
        "rows_per_second": round(arguments.rows / seconds),
        "mib_per_second": round(mib / seconds, 1),
        "peak_memory_mib": round(_peak_mib() - before),
        "findings": {finding.code: finding.count for finding in report.findings},
        **_quality(min(arguments.rows, 20_000), arguments.words),
    }
    print(json.dumps(result))


def _quality(num_rows: int, words: int) -> dict[str, float]:
    """Copies within 0.05 of the threshold count neither as found nor as missed."""
    near = NearDuplicates(num_rows)
    alike, unlike = set(), set()
    for number, made in enumerate(made_up_rows(num_rows, words=words), start=1):
        near.add(number, texts_of(parse_row(made.line.strip())).content)
        if made.similarity >= THRESHOLD + 0.05:
            alike.add(number)
        elif made.similarity < THRESHOLD - 0.05:
            unlike.add(number)
    found = set(near.find()[0])
    return {
        "near_duplicates_recall": round(len(found & alike) / max(1, len(alike)), 4),
        "near_duplicates_precision": round(1 - len(found & unlike) / max(1, len(found)), 4),
    }


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
