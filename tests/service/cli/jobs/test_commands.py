"""`tunery jobs` against a live API whose cluster the test plays."""

import json
import os
import subprocess
from pathlib import Path
from typing import get_args

import pytest

from cluster.contracts.hyperparameters import resolve
from cluster.contracts.jobs import JobStatus
from service.api.state import AppState
from service.cli.jobs.commands import State
from service.db import tables
from service.db.jobs.jobs import job_of
from tests.api import BASE, LiveApi, add_admin_key, add_project, jsonl, with_settings
from tests.service.cli.running import run_tunery
from tests.service.cli.terminal import COMMAND, environment_of, on_terminal
from tests.service.cli.training import begin, report_steps, succeed
from tests.service.db.rows import move

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]


@pytest.fixture
def state(state: AppState) -> AppState:
    return with_settings(state, integrations=("wandb", "mlflow", "tensorboard"))


def create(live: LiveApi, **options: object) -> str:
    job = live.openai().fine_tuning.jobs.create(
        model=BASE.alias, training_file=live.upload(jsonl()), **options
    )
    return job.id


def test_jobs_are_listed_shown_and_filtered(live: LiveApi) -> None:
    first, second = create(live, metadata={"team": "shop"}), create(live)
    begin(live, second)
    report_steps(live, second, 1, 3)
    rows = [line.split("\t") for line in run_tunery(live, "jobs", "ls").stdout.splitlines()]
    assert [row[:5] for row in rows] == [
        [second, "running", "3/10", BASE.alias, ""],
        [first, "validating_files", "", BASE.alias, ""],
    ]
    for options, expected in (
        (("--status", "running"), [second]),
        (("--metadata", "team=shop"), [first]),
        (("--limit", 1), [second]),
    ):
        shown = json.loads(run_tunery(live, "jobs", "ls", *options, "--json").stdout)
        assert [job["id"] for job in shown] == expected
    shown = dict(line.split("\t") for line in run_tunery(live, "jobs", "get", second).stdout.splitlines())
    assert (shown["JOB"], shown["STEP"], shown["METHOD"]) == (second, "3/10", "supervised")
    assert json.loads(run_tunery(live, "jobs", "get", first, "--json").stdout)["metadata"] == {"team": "shop"}


def test_a_list_that_is_cut_says_so(live: LiveApi) -> None:
    jobs = [create(live) for _ in range(3)]
    for options, number, is_cut in (
        (("--limit", 2), 2, True),
        (("--limit", 2, "--status", "validating_files"), 2, True),
        (("--limit", 2, "--all"), 3, False),
        (("--limit", 3), 3, False),
        ((), 3, False),
    ):
        done = run_tunery(live, "jobs", "ls", "--json", *options)
        assert [job["id"] for job in json.loads(done.stdout)] == jobs[::-1][:number]
        assert done.stderr == ("There are more; --limit or --all shows them.\n" if is_cut else "")


def test_a_status_that_there_is_not_is_refused_with_those_that_there_are(live: LiveApi) -> None:
    done = run_tunery(live, "jobs", "ls", "--status", "runing")
    assert (done.exit_code, done.stdout) == (2, "")
    assert all(f"'{state}'" in done.stderr for state in get_args(State))
    assert set(get_args(State)) == set(JobStatus)


def test_a_job_that_waits_has_no_speed_and_no_time_left(live: LiveApi) -> None:
    job = create(live)
    begin(live, job)
    report_steps(live, job, 1, 3)
    shown = json.loads(run_tunery(live, "jobs", "get", job, "--json").stdout)["tunery"]["progress"]
    assert (shown["step"], shown["tokens_per_second"], shown["eta_seconds"]) == (3, 1000.0, 60.0)
    move(live.state.database, job, JobStatus.PAUSING, JobStatus.PAUSED)
    shown = json.loads(run_tunery(live, "jobs", "get", job, "--json").stdout)["tunery"]["progress"]
    assert (shown["step"], shown["tokens_per_second"], shown["eta_seconds"]) == (3, None, None)


def test_a_misspelt_id_is_not_found_and_similar_ids_are_named(live: LiveApi) -> None:
    job = create(live)
    answer = run_tunery(live, "jobs", "get", job[:-1])
    assert (answer.exit_code, answer.stdout) == (4, "")
    assert f"Did you mean {job}?" in answer.stderr


def test_a_job_is_paused_resumed_and_cancelled(live: LiveApi) -> None:
    job = create(live)
    move(live.state.database, job, JobStatus.QUEUED)
    steered = ((["pause"], "paused"), (["resume"], "queued"), (["cancel", "--yes"], "cancelled"))
    for verb, state in steered:
        done = run_tunery(live, "jobs", *verb, job)
        assert (done.exit_code, done.stdout) == (0, f"{job} is {state}.\n"), done.stderr
    refused = run_tunery(live, "jobs", "resume", job)
    assert (refused.exit_code, refused.stdout) == (1, "")


def test_an_admin_key_acts_in_the_project_that_is_named(live: LiveApi) -> None:
    organization = live.project.tenant.organization_id
    admin = add_admin_key(live.state.database, live.project.tenant)
    other = add_project(live.state.database, organization_id=organization)
    job = create(LiveApi(live.url, live.state, other))
    place = other.tenant.project_id
    assert run_tunery(live, "jobs", "get", job, key=admin).exit_code == 4
    assert run_tunery(live, "jobs", "get", job, key=admin, TUNERY_PROJECT=place).exit_code == 0
    changed = run_tunery(live, "jobs", "priority", job, "low", "--project", place, key=admin)
    assert changed.exit_code == 0, changed.stderr
    cancelled = run_tunery(live, "jobs", "cancel", job, "--yes", "--project", place, key=admin)
    assert cancelled.stdout == f"{job} is cancelled.\n", cancelled.stderr
    refused = run_tunery(live, "jobs", "get", job, "--project", "proj-absent", key=admin)
    assert (refused.exit_code, "proj-absent" in refused.stderr) == (3, True)


def test_events_are_printed_oldest_first_and_followed_to_the_end(live: LiveApi) -> None:
    job = create(live)
    begin(live, job)
    report_steps(live, job, 1, 10)
    lines = run_tunery(live, "jobs", "logs", job).stdout.splitlines()
    assert [line.split("\t")[1].split("  ")[0] for line in lines][-10:] == [
        f"step {number}/10" for number in range(1, 11)
    ]
    succeed(live, job)
    followed = run_tunery(live, "jobs", "logs", job, "-f", "--json").stdout.splitlines()
    whole = json.loads(run_tunery(live, "jobs", "logs", job, "--json").stdout)
    assert [json.loads(line) for line in followed] == whole
    assert run_tunery(live, "jobs", "logs", job, "--follow").stdout.splitlines() == lines
    for option in ([], ["--follow"]):
        assert run_tunery(live, "jobs", "logs", job, "--tail", 2, *option).stdout.splitlines() == lines[-2:]


def test_a_job_is_repeated_with_one_thing_changed_and_compared(live: LiveApi) -> None:
    former = create(live, seed=5, suffix="orders")
    begin(live, former)
    refused = run_tunery(live, "jobs", "rerun", former, "--detach")
    assert refused.exit_code == 1
    assert "source_job_not_resolved" in refused.stderr
    other = create(live)
    compared = json.loads(run_tunery(live, "jobs", "compare", former, other, "--json").stdout)
    assert [job["job"] for job in compared] == [former, other]
    assert compared[0]["seed"] == 5
    succeed(live, former)
    rows = run_tunery(live, "jobs", "compare", former, other).stdout.splitlines()
    found = dict(row.split("\t", 1) for row in rows)
    assert found["held_out_loss_before"] == "2.0\t"
    assert found["regression"] == "0.25\t"
    assert run_tunery(live, "jobs", "compare", former).exit_code == 2


def resolve_files(live: LiveApi, job: str) -> None:
    """What validating the job's files writes."""
    with live.state.database.write() as session:
        row = session.get_one(tables.Job, job)
        seen = job_of(row)
        resolved = resolve(seen.hyperparameters, seen.training, BASE, n_examples=12, seed=seen.seed)
        row.hyperparameters, row.config = (each.model_dump(mode="json") for each in resolved)


def rerun(live: LiveApi, job: str, *options: object) -> tuple[dict[str, object], str]:
    """The new job, and what was said."""
    done = run_tunery(live, "jobs", "rerun", job, *options, "--detach", "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_a_repeated_job_keeps_its_priority_notes_and_trackers(live: LiveApi) -> None:
    wandb = {"type": "wandb", "wandb": {"project": "orders", "tags": ["first"]}}
    others = [{"type": "tensorboard"}, {"type": "mlflow", "mlflow": {"experiment": "orders"}}]
    former = create(
        live,
        metadata={"team": "shop", "try": "1"},
        integrations=[wandb],
        extra_body={"tunery": {"priority": "low", "integrations": others}},
    )
    resolve_files(live, former)
    again, said = rerun(live, former)
    assert (again["metadata"], again["tunery"]["priority"]) == ({"team": "shop", "try": "1"}, "low")
    assert again["integrations"][0]["wandb"] | wandb["wandb"] == again["integrations"][0]["wandb"]
    assert [each["type"] for each in again["tunery"]["integrations"]] == ["wandb", "tensorboard"]
    assert "Without mlflow: the API does not show their options." in said
    changes = ("--metadata", "try=2", "--priority", "normal", "--no-integrations")
    again, said = rerun(live, former, *changes)
    assert (again["metadata"], again["tunery"]["priority"]) == ({"team": "shop", "try": "2"}, "normal")
    assert again["tunery"]["integrations"] == []
    assert "mlflow" not in said


def test_a_repeated_job_without_notes_and_trackers_has_none_either(live: LiveApi) -> None:
    former = create(live)
    resolve_files(live, former)
    again, _ = rerun(live, former)
    assert (again["metadata"], again["tunery"]["integrations"]) == (None, [])
    assert again["tunery"]["priority"] == "normal"


def test_a_terminal_gets_a_table_and_a_closed_pipe_is_no_error_message(live: LiveApi, tmp_path: Path) -> None:
    job = create(live)
    with on_terminal(live, tmp_path, "jobs", "ls", COLUMNS="140") as terminal:
        assert terminal.wait() == 0
    heading, row = terminal.screen
    assert heading.split()[:5] == ["JOB", "STATUS", "STEP", "MODEL", "TUNED"]
    assert row.split()[:3] == [job, "validating_files", BASE.alias]
    assert row.index(BASE.alias) == heading.index("MODEL")
    reader, writer = os.pipe()
    os.close(reader)
    command = [*COMMAND, "jobs", "ls"]
    environment = environment_of(live, tmp_path)
    done = subprocess.run(command, env=environment, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")
