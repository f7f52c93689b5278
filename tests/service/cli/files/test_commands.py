"""`tunery data stats` and `preview`."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli.main import app
from tests.api import BASE, LiveApi, jsonl, labels, preferences
from tests.service.cli.running import run_tunery
from tests.service.cli.terminal import on_terminal


def stats(path: Path, *options: str) -> str:
    result = CliRunner().invoke(app, ["data", "stats", str(path), *options])
    assert result.exit_code == 0
    return result.stdout


def test_statistics_have_turns_lengths_and_labels(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(jsonl(11) + b'{"messages": [{"role": "system", "content": "\\u001b[31m"}]}\n')
    found = json.loads(stats(path, "--json"))
    assert (found["examples"], found["errors"], found["roles"]) == (11, 1, {"user": 11, "assistant": 11})
    assert (found["messages"], found["characters"]["longest"]) == ({"2": 11}, 7)
    assert "messages     2: 11\n" in stats(path)
    assert "≤         8       11 ████" in stats(path)
    path.write_bytes(labels(12) + b'{"text": "x", "label": "\\u001b[31mred"}\n')
    assert "labels             12 polite\nlabels              1  [31mred\n" in stats(path)
    path.write_bytes(preferences())
    assert json.loads(stats(path, "--json"))["roles"] == {"user": 12}


@pytest.mark.slow
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_preview_marks_what_is_learned_and_leaves_no_file_behind(live: LiveApi, tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(jsonl())
    done = run_tunery(live, "data", "preview", path, "--model", BASE.alias, "-n", 2, "--training", "r=4")
    assert (done.exit_code, done.stdout) == (0, "— line 1, 2 tokens\n�«a»\n"), done.stderr
    assert live.engine.previewed[-1].n_rows == 2
    assert live.openai().files.list().data == []
    stored = live.upload()
    options = ("--line", 3, "--line", 5, "--json")
    shown = json.loads(run_tunery(live, "data", "preview", stored, "-m", BASE.alias, *options).stdout)
    assert (shown["object"], live.engine.previewed[-1].lines) == ("fine_tuning.job.preview", [3, 5])
    assert len(live.openai().files.list().data) == 1
    with on_terminal(live, tmp_path, "data", "preview", stored, "-m", BASE.alias) as terminal:
        assert terminal.wait() == 0
    assert "\x1b[1;32ma" in terminal.raw
    with on_terminal(live, tmp_path, "data", "preview", stored, "-m", BASE.alias, NO_COLOR="1") as terminal:
        assert terminal.wait() == 0
    assert "32m" not in terminal.raw
