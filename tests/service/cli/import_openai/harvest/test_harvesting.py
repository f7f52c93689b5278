"""`tunery import-openai harvest`, `compare` and `report`: the old model's answers outlive it."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from typer.testing import CliRunner, Result

from cluster.grading.templates import MAX_TEXT
from service.cli.import_openai.archive.archive import Archive, read_lines
from service.cli.import_openai.archive.fetching import fetch
from service.cli.import_openai.harvest.answers_file import AnswersFile
from service.cli.import_openai.harvest.harvests import harvest_path
from service.cli.main import app
from tests.api import LiveApi, add_tuned_model, listening
from tests.service.cli.import_openai.archive.test_fetching import ENVIRONMENT, source_of
from tests.service.cli.import_openai.old_account import BASE, KEY, OldAccount, rows
from tests.service.cli.running import run_tunery

MODEL = f"ft:{BASE}:acme:support:00000001"


@pytest.fixture
def account() -> OldAccount:
    account = OldAccount()
    account.add_job(1, validation_file=account.add_file("file-valid", rows("held out", 6)))
    return account


@pytest.fixture
def url(account: OldAccount) -> Iterator[str]:
    with listening(account) as url:
        yield f"{url}/v1"


@pytest.fixture
def folder(account: OldAccount, tmp_path: Path) -> Path:
    fetch(source_of(account), Archive.create(tmp_path / "a"), workers=2, remark=lambda _: None)
    account.counts.clear()
    return tmp_path / "a"


def harvest(url: str, folder: Path, *options: object, model: str = MODEL, exit_code: int = 0) -> Any:
    command = ["import-openai", "harvest", "--model", model, "--archive", folder, "--from-base-url", url]
    arguments = [str(each) for each in (*command, "--json", *options)]
    done: Result = CliRunner().invoke(app, arguments, env=ENVIRONMENT)
    assert done.exit_code == exit_code, done.stderr
    return json.loads(done.stdout) if done.stdout else done.stderr


def kept(folder: Path, model: str = MODEL) -> list[dict[str, Any]]:
    return list(read_lines(harvest_path(Archive.open(folder), model)))


def asked(account: OldAccount) -> int:
    return sum(count for path, count in account.counts.items() if "completions" in path)


def test_answers_are_kept_with_their_requests_and_asked_once(
    url: str, account: OldAccount, folder: Path
) -> None:
    account.refuse = lambda path, count: (
        None if count % 2 else httpx2.Response(429, headers={"retry-after": "0"})
    )
    found = harvest(url, folder)
    assert (found["answers"], found["refused"], found["tokens"]) == (6, 0, 60)
    row = next(row for row in kept(folder) if row["reference"] == "answer 0")
    assert row["answer"] == "old: held out 0"
    assert row["model"] == row["answered_by"] == MODEL
    assert row["request"] == {
        "messages": [{"role": "user", "content": "held out 0"}], "temperature": 0, "max_tokens": 1024,
    }  # fmt: skip
    assert row["created_at"] > 1_700_000_000
    assert harvest(url, folder)["answers"] == 6
    assert asked(account) == 6


def test_an_interrupted_harvest_goes_on_where_it_ended(url: str, account: OldAccount, folder: Path) -> None:
    account.refuse = lambda path, count: httpx2.Response(403) if asked(account) >= 3 else None
    harvest(url, folder, "--concurrency", 1, exit_code=3)
    path = harvest_path(Archive.open(folder), MODEL)
    assert len(kept(folder)) == 3
    # As if the machine had stopped in the middle of a line.
    path.write_bytes(path.read_bytes() + b'{"id": "half')
    account.refuse = lambda path, count: None
    assert harvest(url, folder)["answers"] == 6
    assert asked(account) == 6


def test_budgets_count_all_runs(url: str, account: OldAccount, folder: Path) -> None:
    assert harvest(url, folder, "--max-requests", 2)["answers"] == 2
    assert harvest(url, folder, "--max-requests", 3)["answers"] == 3
    assert harvest(url, folder, "--max-total-tokens", 30)["answers"] == 3
    assert harvest(url, folder, "--max-total-tokens", 35, "--concurrency", 1)["answers"] == 4
    assert asked(account) == 4


def test_a_repeated_prompt_counts_once(url: str, account: OldAccount, folder: Path) -> None:
    prompts = folder / "prompts.jsonl"
    prompts.write_text('{"prompt": "same"}\n' * 3 + '{"prompt": "other"}\n')
    assert harvest(url, folder, "--prompts", prompts, "--max-requests", 2)["answers"] == 2
    assert asked(account) == 2


def test_a_model_that_is_gone_ends_the_harvest_and_a_refused_prompt_does_not(
    url: str, account: OldAccount, folder: Path
) -> None:
    refused = httpx2.Response(400, json={"error": {"message": "Content.", "code": "content_filter"}})
    account.refuse = lambda path, count: refused if asked(account) == 2 and len(account.seen) % 2 else None
    found = harvest(url, folder, "--concurrency", 1)
    assert found["answers"] + found["refused"] == 6
    account.refuse = lambda path, count: httpx2.Response(410, json={"error": {"message": "Retired."}})
    said = harvest(url, folder, model=f"{MODEL}:ckpt-step-3", exit_code=1)
    assert "stopped answering" in said


def test_a_model_without_a_validation_file_can_be_asked_what_it_was_trained_on(
    url: str, account: OldAccount, folder: Path
) -> None:
    other = account.add_job(2)["fine_tuned_model"]
    fetch(source_of(account), Archive.create(folder), workers=2, remark=lambda _: None)
    training = folder / "contents/file-train2.jsonl"
    without = harvest(url, folder, model=other, exit_code=2)
    assert f"Give --prompts FILE, such as its training file {training}." in without
    found = harvest(url, folder, "--prompts", training, "--max-requests", 3, model=other)
    assert found["answers"] == 3


def test_stored_completions_are_kept_without_asking(url: str, account: OldAccount, folder: Path) -> None:
    asked = {"id": "m", "role": "user", "content": None, "content_parts": [{"text": "hi"}]}
    for number in range(3):
        account.stored.append(
            {
                "id": f"chatcmpl-{number}", "object": "chat.completion", "created": 5, "model": MODEL,
                "temperature": 0.5, "tools": None, "usage": {"total_tokens": 4},
                "choices": [{"message": {"role": "assistant", "content": f"said {number}"}}],
                "_messages": [asked],
            }
        )  # fmt: skip
    assert harvest(url, folder, "--stored")["answers"] == 3
    first = min(kept(folder), key=lambda row: row["id"])
    assert (first["id"], first["answer"]) == ("chatcmpl-0", "said 0")
    assert first["request"] == {
        "messages": [{"role": "user", "content": [{"text": "hi"}]}], "temperature": 0.5,
    }  # fmt: skip
    posts = [request for request in account.seen if request.method == "POST"]
    assert harvest(url, folder, "--stored")["answers"] == 3
    assert not posts


def test_azures_deployments_and_models_without_chat_are_asked_their_own_way(tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"prompt": "Once"}\n')
    account = OldAccount(prefix="/openai")
    with listening(account) as url:
        harvest(url, tmp_path, "--azure", "--prompts", prompts, model="my-deployment")
    assert account.seen[-1].url.path == "/openai/deployments/my-deployment/chat/completions"
    account = OldAccount(reply=lambda body: body["prompt"])
    with listening(account) as url:
        harvest(f"{url}/v1", tmp_path, "--prompts", prompts, model="ft:davinci-002:acme::AbCd1234")
    assert account.seen[-1].url.path == "/v1/completions"


def test_a_prompt_that_cannot_be_sent_is_noted(url: str, account: OldAccount, folder: Path) -> None:
    prompts = folder / "prompts.jsonl"
    prompts.write_text('{"prompt": "half: \\ud800"}\n{"prompt": "whole"}\n')
    found = harvest(url, folder, "--prompts", prompts)
    assert (found["answers"], found["refused"], asked(account)) == (1, 1, 1)
    assert harvest(url, folder, "--prompts", prompts)["refused"] == 1


def test_only_so_many_requests_are_under_way(tmp_path: Path) -> None:
    lock, most, now = threading.Lock(), 0, 0
    barrier = threading.Barrier(3)

    def task() -> dict[str, Any]:
        nonlocal most, now
        with lock:
            now += 1
            most = max(most, now)
        barrier.wait(300)
        with lock:
            now -= 1
        return {}

    file = AnswersFile(tmp_path / "x.jsonl")
    file.fill([(str(number), task) for number in range(9)], workers=3)
    assert (most, len(file.rows)) == (3, 9)


def replaced(live: LiveApi, folder: Path) -> str:
    """Trains the archive's job again. Returns the new model."""
    assert run_tunery(live, "import-openai", "plan", "--archive", folder).exit_code == 0
    apply = ("import-openai", "apply", "--archive", folder, "--no-wait", "--json")
    (first,) = json.loads(run_tunery(live, *apply, "--retrain").stdout)
    model, _ = add_tuned_model(live.state.database, first["new_job"])
    assert json.loads(run_tunery(live, *apply).stdout)[0]["is_named"]
    return model


def test_a_replacement_is_compared_when_the_old_model_is_gone(
    live: LiveApi, url: str, account: OldAccount, folder: Path
) -> None:
    account.reply = lambda body: "Hello wörld" if "0" in body["messages"][-1]["content"] else "Something else"
    harvest(url, folder)
    model = replaced(live, folder)
    compare = ("import-openai", "compare", "--model", MODEL, "--archive", folder, "--json")
    found = json.loads(run_tunery(live, *compare).stdout)
    assert found["model"] == model
    assert (found["with_old"]["n"], found["refused"]) == (6, 0)
    assert found["with_old"]["exact"] == pytest.approx(1 / 6)
    assert found["with_old"]["similarity"] > 1 / 6
    assert found["new_with_reference"]["exact"] == 0
    report = Path(found["report"]).read_text()
    assert report.index("Something else") < report.rindex("Hello wörld")
    before = len(live.engine.requests)
    assert json.loads(run_tunery(live, *compare).stdout)["with_old"] == found["with_old"]
    assert len(live.engine.requests) == before
    base = json.loads(run_tunery(live, *compare, "--with", "base-1").stdout)
    assert (base["model"], len(live.engine.requests)) == ("base-1", before + 6)
    absent = run_tunery(live, *compare[:2], "--model", "ft:x:y", "--archive", folder)
    assert absent.exit_code == 4
    assert run_tunery(live, *compare, "--metric", "vibes").exit_code == 2


def test_answers_with_halves_of_characters_are_graded(
    live: LiveApi, url: str, account: OldAccount, folder: Path
) -> None:
    replaced(live, folder)
    content = rows("held out", 2).replace(b"answer", b"answer \\ud83d")
    (folder / "contents/file-valid.jsonl").write_bytes(content)
    account.reply = lambda body: "cut \ud83d"
    harvest(url, folder)
    compare = ("import-openai", "compare", "--model", MODEL, "--archive", folder, "--json")
    done = run_tunery(live, *compare)
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["with_old"]["n"], found["old_with_reference"]["n"]) == (2, 2)
    report = run_tunery(live, "import-openai", "report", "--archive", folder)
    assert report.exit_code == 0, report.stderr


def test_long_answers_are_graded_by_their_beginning_and_are_the_same_only_if_whole(
    live: LiveApi, url: str, account: OldAccount, folder: Path
) -> None:
    long = "word " * MAX_TEXT
    account.reply = lambda body: long + ("" if "0" in body["messages"][-1]["content"] else "and more")
    live.engine.pieces = [long]
    harvest(url, folder)
    replaced(live, folder)
    compare = ("import-openai", "compare", "--model", MODEL, "--archive", folder, "--json")
    found = json.loads(run_tunery(live, *compare).stdout)
    assert (found["with_old"]["n"], found["ungraded"]) == (6, 0)
    assert (found["with_old"]["exact"], found["with_old"]["similarity"]) == (pytest.approx(1 / 6), 1)


def test_what_the_server_cannot_grade_is_counted_apart_and_listed_nowhere(
    live: LiveApi, url: str, account: OldAccount, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    harvest(url, folder)
    replaced(live, folder)
    # An older server may take less than this command sends.
    monkeypatch.setattr("cluster.grading.templates.MAX_TEXT", len("old: held out 0") - 1)
    compare = ("import-openai", "compare", "--model", MODEL, "--archive", folder)
    nothing = run_tunery(live, *compare)
    assert nothing.exit_code == 1
    assert "the server could not grade 6 answers by fuzzy_match" in nothing.stderr
    report = run_tunery(live, "import-openai", "report", "--archive", folder, "--rows", 2, "--json")
    (found,) = json.loads(report.stdout)
    assert (found["ungraded"], found["exact"]["old"], found["similarity"]["old"]) == (2, None, None)
    assert found["similarity"]["new"] is not None
    assert "2 answers could not be graded" in Path(found["report"]).read_text()


def test_a_report_shows_before_and_after_side_by_side(
    live: LiveApi, url: str, account: OldAccount, folder: Path
) -> None:
    harvest(url, folder, "--max-requests", 2, "--concurrency", 1)
    nothing = run_tunery(live, "import-openai", "report", "--archive", folder)
    assert (nothing.exit_code, nothing.stdout) == (0, "")
    model = replaced(live, folder)
    done = run_tunery(live, "import-openai", "report", "--archive", folder, "--rows", 3, "--json")
    (found,) = json.loads(done.stdout)
    assert (found["model"], found["base"], found["rows"]) == (model, "base-1", 3)
    assert found["old_metrics"]["full_valid_loss"] == 1.25
    assert (found["held_out"]["base_loss"], found["held_out"]["tuned_loss"]) == (2.0, 0.5)
    text = Path(found["report"]).read_text()
    assert "| loss on the validation file | 1.25 | 2 | 0.5 |" in text
    assert text.count("**Old model**") == 2
    assert text.count("**New model**") == text.count("**Base**") == text.count("## Row") == 3
    assert "old: held out 0" in text
    assert "Hello wörld" in text
    table = run_tunery(live, "import-openai", "report", "--archive", folder, "--rows", 0).stdout
    assert table.startswith(f"ftjob-000001\t{model}\told loss 1.750\tbase loss 2.000\tnew loss 0.500\t")


def test_a_report_lets_answers_be_as_long_as_the_old_models(
    live: LiveApi, url: str, account: OldAccount, folder: Path
) -> None:
    harvest(url, folder, "--max-tokens", 77, "--max-requests", 1, "--concurrency", 1)
    replaced(live, folder)
    report = ("import-openai", "report", "--archive", folder, "--rows", 2, "--concurrency", 1)
    assert run_tunery(live, *report).exit_code == 0
    # The base and the new model are asked each row, and the second was not harvested.
    assert [each.sampling.max_tokens for each in live.engine.requests] == [77, 77, 1024, 1024]
    assert run_tunery(live, *report, "--max-tokens", 7).exit_code == 0
    assert {each.sampling.max_tokens for each in live.engine.requests[4:]} == {7}


def test_a_replacement_that_was_deleted_is_left_out_of_the_report(
    live: LiveApi, url: str, account: OldAccount, folder: Path
) -> None:
    account.add_job(2)
    fetch(source_of(account), Archive.create(folder), workers=2, remark=lambda _: None)
    assert run_tunery(live, "import-openai", "plan", "--archive", folder).exit_code == 0
    apply = ("import-openai", "apply", "--archive", folder, "--no-wait", "--json", "--retrain")
    first, second = json.loads(run_tunery(live, *apply).stdout)
    gone, model = (add_tuned_model(live.state.database, each["new_job"])[0] for each in (first, second))
    live.openai().models.delete(gone)
    done = run_tunery(live, "import-openai", "report", "--archive", folder, "--json")
    assert done.exit_code == 0, done.stderr
    assert [each["model"] for each in json.loads(done.stdout)] == [model]
    assert f"{first['job']} is left out" in done.stderr


def test_an_answer_is_only_asked_to_be_as_long_as_the_replacements_context_allows(
    live: LiveApi, url: str, account: OldAccount, folder: Path
) -> None:
    harvest(url, folder)
    replaced(live, folder)
    compare = ("import-openai", "compare", "--model", MODEL, "--archive", folder)
    live.engine.room = 0
    nothing = run_tunery(live, *compare)
    assert (nothing.exit_code, nothing.stdout) == (1, "")
    assert "Nothing could be compared" in nothing.stderr
    assert "The context is too short. (context_length_exceeded)" in nothing.stderr
    report = ("import-openai", "report", "--archive", folder, "--rows", 1)
    unanswered = run_tunery(live, *report)
    assert unanswered.exit_code == 1
    assert "The context is too short." in unanswered.stderr
    live.engine.room = 20
    again = json.loads(run_tunery(live, *compare, "--json").stdout)
    assert (again["with_old"]["n"], again["refused"]) == (6, 0)
    assert run_tunery(live, *report).exit_code == 0
    assert live.engine.requests[-1].sampling.max_tokens is None
    assert run_tunery(live, *compare, "--max-tokens", 7).exit_code == 0
    assert live.engine.requests[-1].sampling.max_tokens == 7


def test_a_completion_is_asked_to_be_shorter_until_it_fits(
    live: LiveApi, account: OldAccount, tmp_path: Path
) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"prompt": "Once"}\n')
    account.reply = lambda body: body["prompt"]
    old = "ft:davinci-002:acme::AbCd1234"
    with listening(account) as url:
        harvest(f"{url}/v1", tmp_path, "--prompts", prompts, model=old)
    live.engine.room = 300
    compare = ("import-openai", "compare", "--model", old, "--archive", tmp_path, "--with", "base-1")
    done = run_tunery(live, *compare)
    assert done.exit_code == 0, done.stderr
    assert live.engine.requests[-1].sampling.max_tokens == 256


def test_the_old_key_never_reaches_tunery_and_tunerys_never_the_old_account(
    live: LiveApi, url: str, account: OldAccount, folder: Path
) -> None:
    harvest(url, folder)
    replaced(live, folder)
    run_tunery(live, "import-openai", "compare", "--model", MODEL, "--archive", folder)
    sent = {value for request in account.seen for value in request.headers.values()}
    assert not any(live.project.key in value for value in sent)
    texts = (path.read_text() for path in folder.rglob("*") if path.is_file())
    assert not any(KEY in text or live.project.key in text for text in texts)
