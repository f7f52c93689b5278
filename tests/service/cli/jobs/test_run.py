"""`tunery run` on a terminal and in pipes, against a live API whose cluster the test plays."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.api import BASE, LiveApi, add_admin_key, jsonl, preferences
from tests.service.cli.running import run_tunery
from tests.service.cli.terminal import on_terminal, piped
from tests.service.cli.training import begin, fail, only_job, report_steps, succeed

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]

CTRL_D = "\x04"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "train.jsonl"
    path.write_bytes(jsonl())
    return path


@contextmanager
def cluster(live: LiveApi, *, fails: bool = False) -> Iterator[None]:
    """Trains the first job that is created."""

    def train() -> None:
        while not is_over.wait(0.05):
            jobs = live.openai().fine_tuning.jobs.list().data
            if jobs:
                begin(live, jobs[0].id)
                report_steps(live, jobs[0].id, 1, 10)
                fail(live, jobs[0].id) if fails else succeed(live, jobs[0].id)
                return

    is_over = threading.Event()
    thread = threading.Thread(target=train)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def without_ids(text: str) -> str:
    text = re.sub(r"\b(file|ftjob|proj|org)-[A-Za-z0-9]+", r"\1-…", text)
    return re.sub(r"(ft:base-1:[^\s\"]*:)[A-Za-z0-9]+", r"\1…", text)


def test_in_a_pipe_the_models_name_is_the_output_and_progress_is_plain_lines(
    live: LiveApi, file: Path, tmp_path: Path
) -> None:
    with cluster(live):
        done = piped(
            live, tmp_path, "run", file, "--model", BASE.alias, "--suffix", "orders", "--epochs", 2,
            "--seed", 7, "--metadata", "team=shop", "--rank", 4, "--training", "max_seq_length=256", "--yes",
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    job = live.openai().fine_tuning.jobs.retrieve(only_job(live))
    assert done.stdout == f"{job.fine_tuned_model}\n"
    said = without_ids(done.stderr).replace(str(tmp_path) + "/", "").splitlines()
    assert said[:8] == [
        "train.jsonl: 11 warning exact_duplicate",
        "train.jsonl: 12 example(s), 0 error(s), 11 warning(s)",
        "Uploaded train.jsonl as file-….",
        "     base  base-1",
        " examples  12 trained on",
        "   tokens  240 trained, 120 an epoch, 60 of them learned",
        "    steps  6 (batch_size 4, learning_rate_multiplier 1.0, n_epochs 2)",
        "     time  unknown: No job of this base, method, training type and number of workers has finished "
        "on this server yet.",
    ]
    assert "Created ftjob-…. Ctrl-C leaves it running." in said
    assert "step 1/10  loss 1.000  1 min 00 s left  1,000 tokens/s  ▁" in said
    assert f'client.chat.completions.create(model="{job.fine_tuned_model}"' in done.stderr
    assert f"{live.url}/v1/chat/completions" in done.stderr
    assert live.project.key not in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert ((job.fine_tuned_model or "").split(":")[3], job.seed, job.metadata) == (
        "orders",
        7,
        {"team": "shop"},
    )
    training = job.to_dict()["tunery"]["training"]
    assert (training["r"], training["max_seq_length"], job.hyperparameters.n_epochs) == (4, 256, 2)


def test_json_is_the_ended_job_and_nothing_else(live: LiveApi, file: Path, tmp_path: Path) -> None:
    with cluster(live):
        done = piped(live, tmp_path, "run", file, "--model", BASE.alias, "--yes", "--json")
    job = json.loads(done.stdout)
    assert (done.returncode, job["status"], job["id"]) == (0, "succeeded", only_job(live))


def test_on_a_terminal_it_asks_first_and_shows_one_changing_line(
    live: LiveApi, file: Path, tmp_path: Path
) -> None:
    with on_terminal(live, tmp_path, "run", file.name, "--model", BASE.alias) as terminal:
        terminal.until("Start? [Y/n]")
        assert live.openai().fine_tuning.jobs.list().data == []
        terminal.send("y\n")
        terminal.until("Ctrl-C leaves it running.")
        job_id = only_job(live)
        begin(live, job_id)
        report_steps(live, job_id, 1, 4)
        terminal.until("step 4/10  loss 0.250 ↓")
        report_steps(live, job_id, 5, 10)
        terminal.until("step 10/10  loss 0.100 ↓")
        model = succeed(live, job_id)
        assert terminal.wait() == 0
    assert "\x1b[2K" in terminal.raw, "the line was written over"
    shown = [without_ids(line).strip() for line in terminal.screen]
    asked = shown.index("Ask it:")
    assert shown[: asked + 3] == [
        "train.jsonl: 11 warning exact_duplicate",
        "train.jsonl: 12 example(s), 0 error(s), 11 warning(s)",
        "Uploaded train.jsonl as file-….",
        "base  base-1",
        "examples  12 trained on",
        "tokens  960 trained, 120 an epoch, 60 of them learned",
        "steps  24 (batch_size 4, learning_rate_multiplier 1.0, n_epochs 8)",
        "time  unknown: No job of this base, method, training type and number of workers has finished on "
        "this server yet.",
        "memory  unknown, on 1 device(s)",
        "queue  0 job(s) ahead, 0 s to wait",
        "Start? [Y/n] y",
        "Created ftjob-…. Ctrl-C leaves it running.",
        "Created fine-tuning job: ftjob-…",
        "Validating training file: file-…",
        "Fine-tuning job started",
        "step 10/10  loss 0.100 ↓0.011  1 min 00 s left  1,000 tokens/s  █▄▃▂▂▂▁▁▁▁",
        without_ids(model),
        "",
        "Ask it:",
        "",
        f"tunery chat {without_ids(model)}",
    ]


def test_no_is_respected_and_no_terminal_needs_yes(live: LiveApi, file: Path, tmp_path: Path) -> None:
    for answer in ("n\n", CTRL_D):
        with on_terminal(live, tmp_path, "run", file, "--model", BASE.alias) as terminal:
            terminal.until("Start? [Y/n]")
            terminal.send(answer)
            assert terminal.wait() == 1
        assert "\ntunery: Nothing was started." in terminal.text
    unasked = piped(live, tmp_path, "run", file, "--model", BASE.alias)
    assert (unasked.returncode, unasked.stdout) == (2, "")
    assert "--yes" in unasked.stderr
    assert live.openai().fine_tuning.jobs.list().data == []


def test_ctrl_c_detaches_and_wait_attaches_again(live: LiveApi, file: Path, tmp_path: Path) -> None:
    with on_terminal(live, tmp_path, "run", file, "--model", BASE.alias, "--yes", NO_COLOR="1") as terminal:
        terminal.until("Ctrl-C leaves it running.")
        job_id = only_job(live)
        begin(live, job_id)
        report_steps(live, job_id, 1, 2)
        terminal.until("step 2/10")
        terminal.interrupt()
        assert terminal.wait() == 130
    assert (
        f"Detached: {job_id} continues. Follow it again with `tunery jobs wait {job_id}`"
        in terminal.text.replace("\n", " ")
    )
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", terminal.raw), "NO_COLOR"
    assert live.openai().fine_tuning.jobs.retrieve(job_id).status == "running"
    with on_terminal(live, tmp_path, "jobs", "wait", job_id) as terminal:
        terminal.until("step 2/10")
        report_steps(live, job_id, 3, 10)
        terminal.until("step 10/10")
        model = succeed(live, job_id)
        assert terminal.wait() == 0
    assert model in terminal.text


def test_detached_from_the_start_prints_the_jobs_id(live: LiveApi, file: Path, tmp_path: Path) -> None:
    done = run_tunery(live, "run", file, "--model", BASE.alias, "--yes", "--detach")
    assert (done.exit_code, done.stdout) == (0, f"{only_job(live)}\n")


def test_a_failed_job_ends_with_5_and_its_reason(live: LiveApi, file: Path, tmp_path: Path) -> None:
    with cluster(live, fails=True):
        done = run_tunery(live, "run", file, "--model", BASE.alias, "--yes")
    assert (done.exit_code, done.stdout) == (5, "")
    assert "is failed: The GPU has too little memory. (out_of_memory)" in done.stderr
    assert run_tunery(live, "jobs", "wait", only_job(live)).exit_code == 5


def test_nothing_is_uploaded_if_the_file_the_model_the_key_or_a_right_is_wrong(
    live: LiveApi, file: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"messages": []}\n')
    refused = run_tunery(live, "run", broken, "--model", BASE.alias, "--yes")
    few = tmp_path / "few.jsonl"
    few.write_bytes(jsonl(9))
    too_few = run_tunery(live, "run", few, "--model", BASE.alias, "--yes")
    assert too_few.exit_code == 1
    assert "Training file has 9 example(s), but must have at least 10 examples" in too_few.stderr
    assert refused.exit_code == 1
    assert f"{broken}:1:14 error invalid_value" in refused.stderr
    misspelt = run_tunery(live, "run", file, "--model", "bsae-1", "--yes")
    assert misspelt.exit_code == 4
    assert "Did you mean base-1?" in misspelt.stderr
    assert run_tunery(live, "run", file, "--model", BASE.alias, "--yes", key="wrong").exit_code == 3
    assert run_tunery(live, "run", tmp_path / "absent", "--model", BASE.alias, "--yes").exit_code == 2
    assert run_tunery(live, "run", file, "--model", BASE.alias, "--metadata", "x", "--yes").exit_code == 2
    admin, project = add_admin_key(live.state.database, live.project.tenant), live.project.tenant.project_id
    run_tunery(live, "projects", "rights", project, "--method", "dpo", "--training-type", "lora", key=admin)
    for option, value, why in (
        ("--priority", "high", "the priority 'high', only low or normal."),
        ("--method", "supervised", "the method 'supervised', only dpo."),
        ("--type", "full", "the training type 'full', only lora."),
    ):
        forbidden = run_tunery(live, "run", file, "--model", BASE.alias, option, value, "--yes")
        assert (forbidden.exit_code, why in forbidden.stderr) == (3, True), forbidden.stderr
    assert live.openai().files.list().data == []


def test_preferences_are_trained_with_dpo_and_a_stored_file_is_not_uploaded_again(
    live: LiveApi, tmp_path: Path
) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(preferences())
    assert run_tunery(live, "run", path, "-m", BASE.alias, "-y", "-d").exit_code == 0
    stored = live.openai().files.list().data[0].id
    again = run_tunery(
        live, "run", stored, "-m", BASE.alias, "-y", "-d", "--beta", "0.2", "--validation", stored, "--json"
    )
    assert again.exit_code == 0, again.stderr
    job = json.loads(again.stdout)
    assert (job["training_file"], job["validation_file"]) == (stored, stored)
    assert job["method"]["dpo"]["hyperparameters"]["beta"] == 0.2
    assert [one.method.type for one in live.openai().fine_tuning.jobs.list().data] == ["dpo", "dpo"]
    assert len(live.openai().files.list().data) == 1
