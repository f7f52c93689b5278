"""Lengths in a base's tokens are those that training would have, and so is what happens to long examples."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cluster.contracts.bases import BaseSpec
from cluster.contracts.data_report import DataReportRequest, OverlengthOutcome, StoredFile
from cluster.contracts.datasets import DatasetCheckRequest, DatasetFormat
from cluster.storage.local import LocalStore
from cluster.training.data.compiled import check_dataset
from cluster.training.data.compiler import compile_file
from cluster.training.data.measured import Measured, measure
from cluster.training.data.recipe import Recipe
from cluster.training.data.reported import kept_report, make_report
from cluster.training.data.tokenizer import load_tokenizer
from tests.chat_templates import real_tokenizer

Rows = list[dict[str, Any]]
Put = Callable[[str, Rows], tuple[str, str]]


def measured(rows: Rows, base: BaseSpec, format: DatasetFormat = "chat") -> Measured:
    stream = io.BytesIO("\n".join(map(json.dumps, rows)).encode())
    return measure(stream, format, load_tokenizer(base), base)


@pytest.fixture
def small(base: BaseSpec) -> BaseSpec:
    return base.model_copy(update={"context_length": 64})


@pytest.fixture
def uneven_rows(chat_rows: Rows) -> Rows:
    """Line 3 is cut inside its answer, and line 8 inside its question."""
    rows = json.loads(json.dumps(chat_rows))
    rows[2]["messages"][1]["content"] = "the invoice " * 80
    rows[7]["messages"][0]["content"] = "message " * 200
    return rows


def test_outcomes_are_those_of_the_compiler(
    uneven_rows: Rows, small: BaseSpec, store: LocalStore, put_rows: Put
) -> None:
    found = measured(uneven_rows, small)
    assert found.overlength is not None
    key, sha256 = put_rows("file-uneven", uneven_rows)
    for outcome in found.overlength.outcomes:
        request = DatasetCheckRequest(base=small, key=key, sha256=sha256, on_overlength=outcome.on_overlength)
        check = check_dataset(request, store)
        assert outcome == OverlengthOutcome(
            on_overlength=outcome.on_overlength,
            is_accepted=not check.problems,
            n_trained=0 if check.problems else check.n_examples,
            n_dropped=check.n_dropped,
            n_truncated=check.n_truncated,
        )
        assert found.lengths is not None
        assert found.lengths.longest == check.longest
    assert found.overlength.lines == [3, 8]
    assert [(finding.code, finding.severity) for finding in found.findings] == [("over_length", "warning")]


def test_the_histogram_counts_every_example_and_token(
    chat_rows: Rows, base: BaseSpec, store: LocalStore, put_rows: Put
) -> None:
    lengths = measured(chat_rows, base).lengths
    key, sha256 = put_rows("file-chats", chat_rows)
    check = check_dataset(DatasetCheckRequest(base=base, key=key, sha256=sha256), store)
    assert lengths is not None
    assert (lengths.unit, lengths.total, lengths.longest) == ("tokens", check.n_tokens, check.longest)
    assert sum(bucket.count for bucket in lengths.histogram) == len(chat_rows)
    assert lengths.shortest <= lengths.p50 <= lengths.p90 <= lengths.p99 <= lengths.longest


def test_rows_that_the_base_is_not_trained_on_are_an_error(chat_rows: Rows, base: BaseSpec) -> None:
    encoder = base.model_copy(update={"architecture": "encoder"})
    found = measured(chat_rows, encoder)
    assert [(finding.code, finding.severity) for finding in found.findings] == [("wrong_format", "error")]
    assert found.lengths is found.overlength is None


def test_a_report_with_a_base_has_its_tokens_and_is_kept_by_base(
    uneven_rows: Rows, base: BaseSpec, small: BaseSpec, store: LocalStore, put_rows: Put
) -> None:
    key, sha256 = put_rows("file-uneven", uneven_rows)
    file = StoredFile(key=key, sha256=sha256)
    requests = [DataReportRequest(file=file, base=one) for one in (None, base, small)]
    reports = [make_report(request, store) for request in requests]
    assert [report.lengths.unit for report in reports if report.lengths] == ["characters", "tokens", "tokens"]
    limits = [report.overlength and report.overlength.limit for report in reports]
    assert limits == [None, base.context_length, small.context_length]
    assert [kept_report(request, store) for request in requests] == reports


def test_the_process_that_reads_a_large_file_for_a_report_imports_neither_torch_nor_ray() -> None:
    """One is started for each such report, and must not take seconds to begin."""
    code = "import sys, cluster.training.data.report_process as _; print({'torch', 'ray'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True)
    assert done.stdout == "set()\n"


def test_outcomes_count_the_examples_of_a_row_as_the_compiler_does(base: BaseSpec, tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}]
    rows: Rows = [{"messages": [*turns, *turns]}, {"messages": [*turns, *turns, *turns, *turns, *turns]}]
    small = base.model_copy(update={"context_length": 60})
    tokenizer, text = real_tokenizer("qwen3"), "\n".join(map(json.dumps, rows))
    path = tmp_path / "rows.jsonl"
    path.write_text(text)
    found = measure(io.BytesIO(text.encode()), "chat", tokenizer, small).overlength
    assert found is not None
    for outcome in found.outcomes:
        recipe = Recipe(small, "supervised", small.context_length, outcome.on_overlength)
        compiled = compile_file(path, tokenizer, recipe)
        n_examples = 0 if compiled.problems or compiled.dataset is None else len(compiled.dataset)
        assert outcome.n_trained == n_examples
        if compiled.dataset is not None and not compiled.problems:
            counts = len(compiled.dataset.dropped_lines), len(compiled.dataset.truncated_lines)
            assert (outcome.n_dropped, outcome.n_truncated) == counts
