"""`tunery data check` prints one line a place, and fails for errors only."""

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from service.api.schemas.data_report import FileReport
from service.cli.main import app
from tests.cluster.data_checks.test_planted import API_KEY, clean_rows
from tests.documents import ROOT

ORDERS = ROOT / "service/cli/data/orders.train.jsonl"


def check(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["data", "check", *map(str, arguments)])


def written(folder: Path, *broken: str) -> Path:
    path = folder / "data.jsonl"
    rows = clean_rows(70)
    for row in rows[:60]:
        row["messages"][1]["content"] += f" {API_KEY}"
    path.write_text("\n".join([*map(json.dumps, rows), *broken]))
    return path


def test_warnings_are_printed_with_line_and_column_and_do_not_fail(tmp_path: Path) -> None:
    path = written(tmp_path)
    result = check(path)
    assert result.exit_code == 0
    first, *_, more, summary = result.stdout.splitlines()
    assert first.startswith(f"{path}:1:")
    assert " warning api_key The text has an API key" in first
    assert more == f"{path}: 60 warning api_key, 10 of them not listed"
    assert summary == f"{path}: 70 example(s), 0 error(s), 60 warning(s)"
    assert API_KEY[:12] not in result.output


def test_errors_fail(tmp_path: Path) -> None:
    path = written(tmp_path, '{"messages": [}')
    result = check(path)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith(f"{path}:71:15 error"))
    assert "error invalid_json The line is not valid JSON." in lines[place]
    assert lines[place + 1 : place + 3] == ['    {"messages": [}', "                  ^"]
    assert f"{path}: 1 error invalid_json" in lines
    assert '{"messages": [}' not in check(path, "--no-lines").stdout


def test_json_has_the_form_of_the_apis_answer(tmp_path: Path) -> None:
    path = written(tmp_path)
    printed = json.loads(check(path, "--validation", ORDERS, "--json").stdout)
    report = FileReport.model_validate(printed)
    assert list(printed) == list(FileReport.model_fields)
    assert (report.file_id, report.validation_file) == (str(path), str(ORDERS))
    assert report.warnings[0].count == 60


def test_the_shipped_file_is_clean() -> None:
    assert check(ORDERS).stdout == f"{ORDERS}: 250 example(s), 0 error(s), 0 warning(s)\n"


def test_a_file_that_is_not_there_is_a_usage_error() -> None:
    assert check("nowhere.jsonl").exit_code == 2
