"""What is read of an old job's result files, and of prompts."""

import base64
import json
from pathlib import Path

import pytest

from service.cli.failures import CommandFailed
from service.cli.import_openai.archive.archive import Archive
from service.cli.import_openai.archive.metrics import last_metrics, old_metrics
from service.cli.import_openai.compare.markdown import block, cell
from service.cli.import_openai.harvest.prompts import Prompt, read_prompts, text_of
from tests.service.cli.import_openai.archive.test_fetching import fetched
from tests.service.cli.import_openai.old_account import RESULTS, OldAccount

LAST = {
    "step": 3.0, "train_loss": 0.75, "train_accuracy": 0.8, "valid_loss": 1.75,
    "valid_mean_token_accuracy": 0.55,
}  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [
        RESULTS.encode(),
        base64.b64encode(RESULTS.encode()),
        base64.encodebytes(RESULTS.encode()),
        b"\xef\xbb\xbf" + RESULTS.replace("\n", "\r\n").encode(),
    ],
)
def test_results_are_read_plain_or_encoded(content: bytes) -> None:
    assert last_metrics(content) == LAST


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"<html>,</html>", b"step,train_loss\nNaN,inf\nx,\n", b"Zm9v" * 9]
)
def test_other_files_have_no_results(content: bytes) -> None:
    assert last_metrics(content) == {}


def test_the_last_checkpoint_adds_what_a_result_file_lacks(tmp_path: Path) -> None:
    account = OldAccount()
    job = account.add_job(1)
    found = old_metrics(fetched(account, tmp_path), job)
    assert found == LAST | {"full_valid_loss": 1.25, "full_valid_mean_token_accuracy": 0.7}
    assert old_metrics(Archive.open(tmp_path), job | {"id": "ftjob-2", "result_files": [None, "../x"]}) == {}


def test_prompts_are_rows_without_their_last_answer(tmp_path: Path) -> None:
    hi, said = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello", "weight": 1}
    call = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}],
    }
    rows = [
        {"messages": [hi, said]},
        {"messages": [hi]},
        {"messages": [hi, call], "tools": [{"type": "function"}]},
        {"input": {"messages": [hi]}, "preferred_output": [said], "non_preferred_output": [said]},
        {"prompt": "Once", "completion": " upon"},
        {"prompt": "Once"},
    ]
    file = tmp_path / "prompts.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    once = [{"role": "user", "content": "Once"}]
    assert list(read_prompts(file)) == [
        Prompt([hi], reference="hello"),
        Prompt([hi]),
        Prompt(
            [hi], options={"tools": [{"type": "function"}]}, reference='[{"arguments": "{}", "name": "f"}]'
        ),
        Prompt([hi], reference="hello"),
        Prompt(once, "Once", reference=" upon"),
        Prompt(once, "Once"),
    ]
    for wrong in ('{"messages": []}', '{"text": "x"}', "[]", "{"):
        file.write_text(wrong)
        with pytest.raises(CommandFailed):
            list(read_prompts(file))


def test_a_message_of_any_shape_has_a_text() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image_url"}, 3]
    assert text_of({"content": parts}) == "a"
    assert [text_of(odd) for odd in (None, [], {}, {"content": 3}, {"tool_calls": "x"})] == [""] * 5


def test_texts_never_leave_their_place_in_a_report() -> None:
    assert block("a\n```\n# b") == "````text\na\n```\n# b\n````"
    assert block("x" * 5000).endswith("xxx… (1,000 characters more)\n```")
    assert cell("a|b\n<script>\\") == "a\\|b &lt;script>\\\\"
