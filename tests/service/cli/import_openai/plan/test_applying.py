"""`tunery import-openai plan` and `apply`: old jobs become new ones, and old names answer."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from service.cli.failures import CommandFailed, Refused, Unavailable
from service.cli.import_openai.archive.archive import Archive
from service.cli.import_openai.archive.fetching import fetch
from service.cli.import_openai.plan.applying import Applied, apply_plan
from service.cli.import_openai.plan.plan_file import read_plan
from service.cli.import_openai.plan.planning import generating_bases, propose_and_estimate
from service.cli.import_openai.plan.proposing import propose
from service.cli.import_openai.plan.uploading import Uploads
from service.cli.lookups import quoted
from service.cli.remote import Api, Target
from service.db import tables
from service.db.limits.limits import Limits
from tests.api import BASE, LiveApi, add_tuned_model
from tests.service.api.test_availability import refresh
from tests.service.cli.import_openai.archive.test_fetching import source_of
from tests.service.cli.import_openai.old_account import BASE as OLD_BASE
from tests.service.cli.import_openai.old_account import OldAccount
from tests.service.cli.running import run_tunery


@pytest.fixture
def account() -> OldAccount:
    return OldAccount()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "archive"


@pytest.fixture
def api(live: LiveApi) -> Iterator[Api]:
    opened = Api(Target(f"{live.url}/v1", live.project.key))
    yield opened
    opened.close()


def planned(live: LiveApi, account: OldAccount, folder: Path, *options: str) -> Result:
    fetch(source_of(account), Archive.create(folder), workers=2, remark=lambda _: None)
    done = run_tunery(live, "import-openai", "plan", "--archive", folder, *options)
    assert done.exit_code == 0, done.stderr
    return done


def applied(live: LiveApi, folder: Path, *options: str, exit_code: int = 0) -> list[dict[str, Any]]:
    command = ["import-openai", "apply", "--archive", str(folder), "--no-wait", "--json", *options]
    done = run_tunery(live, *command)
    assert done.exit_code == exit_code, done.stderr
    return json.loads(done.stdout)


def test_an_unmodified_client_is_answered_under_the_old_name(
    live: LiveApi, account: OldAccount, folder: Path
) -> None:
    old = account.add_job(1)["fine_tuned_model"]
    planned(live, account, folder)
    (first,) = applied(live, folder, "--retrain")
    assert (first["status"], first["is_named"]) == ("validating_files", False)
    client = live.openai()
    job = client.fine_tuning.jobs.retrieve(first["new_job"])
    assert (job.seed, job.metadata) == (42, {"team": "care", "imported_from": "ftjob-000001"})
    model, _ = add_tuned_model(live.state.database, job.id)
    (second,) = applied(live, folder, "--retrain")
    assert (second["new_job"], second["model"], second["is_named"]) == (job.id, model, True)
    answer = client.chat.completions.create(model=old, messages=[{"role": "user", "content": "hi"}])
    assert (answer.model, bool(answer.choices[0].message.content)) == (model, True)
    assert old in [each.id for each in client.models.list()]
    assert client.models.retrieve(old).id == old
    (checkpoint,) = client.fine_tuning.jobs.checkpoints.list(job.id)
    assert second["checkpoints"] == {f"{old}:ckpt-step-3": checkpoint.fine_tuned_model_checkpoint}
    answer = client.completions.create(model=f"{old}:ckpt-step-3", prompt="hi")
    assert answer.model == checkpoint.fine_tuned_model_checkpoint
    assert [file.filename for file in client.files.list()] == ["passwd.jsonl"]
    assert applied(live, folder) == [second]


def test_contents_are_uploaded_once_under_however_many_ids(
    live: LiveApi, account: OldAccount, folder: Path
) -> None:
    for number in range(3):
        job = account.add_job(number)
        account.contents[job["training_file"]] = account.contents["file-train0"]
        account.jobs[job["id"]]["validation_file"] = "file-train0"
    planned(live, account, folder)
    found = applied(live, folder)
    assert [each["status"] for each in found] == ["uploaded"] * 3
    applied(live, folder, "--retrain")
    assert len(list(live.openai().files.list())) == 1
    jobs = list(live.openai().fine_tuning.jobs.list())
    assert len(jobs) == 3
    assert len({job.training_file for job in jobs} | {job.validation_file for job in jobs}) == 1


def test_an_interrupted_run_creates_each_job_once(
    live: LiveApi, account: OldAccount, folder: Path, api: Api
) -> None:
    for number in range(4):
        account.add_job(number)
    planned(live, account, folder)
    archive = Archive.open(folder)
    said: list[str] = []

    def interrupt(sentence: str) -> None:
        said.append(sentence)
        if len(said) == 2:
            raise KeyboardInterrupt

    def run(remark: Any) -> list[Applied]:
        plan, uploads = read_plan(archive), Uploads(api, archive)
        return apply_plan(api, uploads, plan, is_retrained=True, is_awaited=False, remark=remark)

    with pytest.raises(KeyboardInterrupt):
        run(interrupt)
    found = run(said.append)
    jobs = {job.metadata["imported_from"] for job in live.openai().fine_tuning.jobs.list()}
    assert len(jobs) == len(found) == 4
    assert len(list(live.openai().fine_tuning.jobs.list())) == 4
    assert len(list(live.openai().files.list())) == 4


def test_a_child_waits_for_its_parent_and_continues_from_its_replacement(
    live: LiveApi, account: OldAccount, folder: Path, api: Api
) -> None:
    parent = account.add_job(1)
    account.add_job(2, model=parent["fine_tuned_model"])
    planned(live, account, folder)
    archive = Archive.open(folder)
    ended: list[str] = []

    def train(seconds: float) -> None:
        """As the scheduler does meanwhile."""
        with live.state.database.read() as session:
            running = [job.id for job in session.query(tables.Job) if job.id not in ended]
        for job in running:
            ended.append(job)
            add_tuned_model(live.state.database, job)

    found = apply_plan(
        api, Uploads(api, archive), read_plan(archive), is_retrained=True, is_awaited=True,
        remark=lambda _: None, wait=train,
    )  # fmt: skip
    assert [each.is_named for each in found] == [True, True]
    child = api.get(f"/fine_tuning/jobs/{found[1].new_job}")
    assert child["tunery"]["training"]["from_checkpoint"] == found[0].model


def test_a_limit_on_jobs_is_waited_for(live: LiveApi, account: OldAccount, folder: Path, api: Api) -> None:
    for number in range(3):
        account.add_job(number)
    planned(live, account, folder)
    archive = Archive.open(folder)
    with live.state.database.write() as session:
        Limits(session).change(live.project.tenant.project_id, {"concurrent_jobs": 1})
    under_way: list[int] = []

    def train(seconds: float) -> None:
        with live.state.database.read() as session:
            running = [job.id for job in session.query(tables.Job) if job.status != "succeeded"]
        under_way.append(len(running))
        for job in running:
            add_tuned_model(live.state.database, job)

    found = apply_plan(
        api, Uploads(api, archive), read_plan(archive), is_retrained=True, is_awaited=True,
        remark=lambda _: None, wait=train,
    )  # fmt: skip
    assert [(each.is_named, each.problem) for each in found] == [(True, None)] * 3
    assert max(under_way) == 1


def test_a_quota_that_is_used_up_is_not_waited_for(
    live: LiveApi, account: OldAccount, folder: Path, api: Api
) -> None:
    account.add_job(1)
    planned(live, account, folder)
    archive = Archive.open(folder)
    with live.state.database.write() as session:
        Limits(session).change(live.project.tenant.project_id, {"device_hours_per_month": 0})
    (found,) = apply_plan(
        api, Uploads(api, archive), read_plan(archive), is_retrained=True, is_awaited=True,
        remark=lambda _: None, wait=lambda _: pytest.fail("it waits"),
    )  # fmt: skip
    assert (found.status, "exceeded_quota" in str(found.problem)) == ("refused", True)


def test_a_failed_job_is_tried_again_only_by_another_run(
    live: LiveApi, account: OldAccount, folder: Path, api: Api
) -> None:
    account.add_job(1)
    planned(live, account, folder)
    archive = Archive.open(folder)

    def fail(seconds: float) -> None:
        with live.state.database.write() as session:
            for job in session.query(tables.Job):
                job.status = "failed"

    def run() -> Applied:
        return apply_plan(
            api, Uploads(api, archive), read_plan(archive), is_retrained=True, is_awaited=True,
            remark=lambda _: None, wait=fail,
        )[0]  # fmt: skip

    first, second = run(), run()
    assert (first.status, second.status) == ("failed", "failed")
    assert first.new_job != second.new_job


def test_what_goes_wrong_with_one_job_leaves_the_others(
    live: LiveApi, account: OldAccount, folder: Path
) -> None:
    account.add_job(1, training_file="file-gone")
    account.add_job(2)
    account.add_file("file-train2", b"no training data\n" * 20)
    account.add_job(3)
    account.add_job(4, status="failed")
    planned(live, account, folder)
    found = applied(live, folder, "--retrain", exit_code=1)
    assert [each["status"] for each in found] == ["skipped", "refused", "validating_files", "skipped"]
    assert "cannot be used" in found[1]["problem"]
    account_files = [file.status for file in live.openai().files.list()]
    again = applied(live, folder, "--retrain", exit_code=1)
    assert "cannot be used" in again[1]["problem"]
    assert [file.status for file in live.openai().files.list()] == account_files


def test_an_old_name_that_its_owner_moved_is_left_alone(
    live: LiveApi, account: OldAccount, folder: Path, api: Api
) -> None:
    old = account.add_job(1)["fine_tuned_model"]
    planned(live, account, folder)
    (first,) = applied(live, folder, "--retrain")
    model, _ = add_tuned_model(live.state.database, first["new_job"])
    api.post("/models/base-1/aliases", {"alias": old})
    (second,) = applied(live, folder, exit_code=1)
    assert f"tunery models alias {model} {old}" in second["problem"]
    assert api.get(f"/aliases/{old}")["model"] == "base-1"


@pytest.mark.parametrize("has_alias", [False, True])
def test_a_child_of_a_job_that_failed_continues_from_what_its_owner_gave_the_old_name(
    live: LiveApi, account: OldAccount, folder: Path, api: Api, has_alias: bool
) -> None:
    parent = account.add_job(1)["fine_tuned_model"]
    account.add_job(2, model=parent)
    planned(live, account, folder)
    archive = Archive.open(folder)
    own = live.openai().fine_tuning.jobs.create(model="base-1", training_file=live.upload()).id
    model, _ = add_tuned_model(live.state.database, own)
    if has_alias:
        api.post(f"/models/{quoted(model)}/aliases", {"alias": parent})

    def fail(seconds: float) -> None:
        with live.state.database.write() as session:
            for job in session.query(tables.Job):
                job.status = "failed"

    child = apply_plan(
        api, Uploads(api, archive), read_plan(archive), is_retrained=True, is_awaited=True,
        remark=lambda _: None, wait=fail,
    )[1]  # fmt: skip
    if has_alias:
        job = api.get(f"/fine_tuning/jobs/{child.new_job}")
        assert job["tunery"]["training"]["from_checkpoint"] == model
        assert api.get(f"/fine_tuning/jobs/{child.new_job}")["model"] == "base-1"
    else:
        assert (child.new_job, child.problem) == (
            None, f"It continues from {parent}, which has no new model.",
        )  # fmt: skip


@pytest.mark.parametrize("status", [404, 503])
def test_results_are_kept_when_new_checkpoints_cannot_be_listed(
    live: LiveApi, account: OldAccount, folder: Path, api: Api, status: int
) -> None:
    account.add_job(1)
    planned(live, account, folder)
    archive = Archive.open(folder)
    (first,) = applied(live, folder, "--retrain")
    model, _ = add_tuned_model(live.state.database, first["new_job"])

    class Failing:
        get, post = api.get, api.post

        def list(self, path: str, **query: object) -> Iterator[dict[str, Any]]:
            if path.endswith("/checkpoints"):
                raise Refused("No.", status=404) if status == 404 else Unavailable("Later.")
            return api.list(path, **query)

    failing: Any = Failing()
    (found,) = apply_plan(
        failing, Uploads(api, archive), read_plan(archive), is_retrained=True, is_awaited=False,
        old_checkpoints=lambda job: archive.lines("checkpoints", job), remark=lambda _: None,
    )  # fmt: skip
    assert (found.model, found.is_named) == (model, True)
    assert "Not all of its checkpoints" in str(found.problem)


def test_a_plan_can_be_read_changed_and_chosen_from(live: LiveApi, account: OldAccount, folder: Path) -> None:
    account.add_job(1)
    account.add_job(2)
    done = planned(live, account, folder)
    row = done.stdout.splitlines()[0].split("\t")
    assert row[:4] == [
        "ftjob-000001",
        account.jobs["ftjob-000001"]["fine_tuned_model"],
        "base-1",
        "n_epochs=3 batch_size=4",
    ]
    path = folder / "plan.json"
    plan = json.loads(path.read_text())
    plan["jobs"][1]["request"]["suffix"] = "changed"
    path.write_text(json.dumps(plan))
    (found,) = applied(live, folder, "--retrain", "--job", "ftjob-000002")
    assert (
        live.openai().fine_tuning.jobs.retrieve(found["new_job"]).to_dict()["user_provided_suffix"]
        == "changed"
    )
    assert run_tunery(live, "import-openai", "apply", "--archive", folder, "--job", "ftjob-9").exit_code == 4
    path.write_text('{"jobs": [{"job": "../x", "request": null}]}')
    assert run_tunery(live, "import-openai", "apply", "--archive", folder).exit_code == 2


def test_a_changed_plan_is_replaced_only_by_force(live: LiveApi, account: OldAccount, folder: Path) -> None:
    account.add_job(1)
    planned(live, account, folder)
    planned(live, account, folder, "--estimate")
    path = folder / "plan.json"
    proposed = path.read_text()
    plan = json.loads(proposed)
    plan["jobs"][0]["request"]["seed"] = 7
    for changed in (json.dumps(plan), '{"format": 1, "jobs": []}', proposed[:-3]):
        path.write_text(changed)
        for option in ("--estimate", "--json"):
            refused = run_tunery(live, "import-openai", "plan", "--archive", folder, option)
            assert (refused.exit_code, "--force replaces it" in refused.stderr) == (1, True)
        assert path.read_text() == changed
    planned(live, account, folder, "--force")
    assert path.read_text() == proposed


def test_a_plan_is_estimated(live: LiveApi, account: OldAccount, folder: Path) -> None:
    parent = account.add_job(1)
    account.add_job(2, model=parent["fine_tuned_model"])
    account.add_job(3, training_file="file-gone")
    done = planned(live, account, folder, "--estimate", "--json")
    first, second, third = (entry["estimate"] for entry in json.loads(done.stdout))
    assert first["tokens"] > 0
    assert (first["problem"], second["problem"], second["tokens"]) == (None, None, first["tokens"])
    assert third is None


def test_a_base_that_turns_out_to_be_unavailable_is_not_proposed(
    live: LiveApi, account: OldAccount, folder: Path, api: Api
) -> None:
    account.add_job(1)
    archive = Archive.create(folder)
    fetch(source_of(account), archive, workers=2, remark=lambda _: None)
    assert isinstance(live.state.catalogue, dict)
    live.state.catalogue["base-2"] = BASE.model_copy(update={"alias": "base-2"})
    bases = generating_bases(api)
    assert bases == {"base-1": None, "base-2": None}

    def lose_the_first() -> None:
        refresh(live.state, lambda _: {"base-1": "It does not load."})

    jobs = archive.jobs()
    plan, estimates = propose_and_estimate(
        api, Uploads(api, archive), lambda names: propose(jobs, names), bases, lose_the_first
    )
    assert plan[0].request is not None
    assert (plan[0].request["model"], estimates[0].problem) == ("base-2", None)

    done = planned(live, account, folder)
    assert done.stdout.split("\t")[2] == "base-2"
    assert f"base-2 is proposed for {OLD_BASE}" in done.stderr
    assert "base-1 is not proposed, because it is unavailable: It does not load." in done.stderr
    chosen = run_tunery(live, "import-openai", "plan", "--archive", folder, "--base", "base-1")
    assert (chosen.exit_code, "It does not load." in chosen.stderr) == (1, True)


def test_a_choice_for_a_model_that_no_job_has_is_remarked(
    live: LiveApi, account: OldAccount, folder: Path
) -> None:
    account.add_job(1)
    done = planned(live, account, folder, "--base-for", "gpt-4=base-1", "--base-for", "gpt-4o-mini=base-1")
    assert f"No job was tuned from gpt-4: they were from {OLD_BASE}." in done.stderr
    assert "from gpt-4o-mini:" not in done.stderr


def test_a_base_that_the_server_does_not_have_is_refused(live: LiveApi, folder: Path) -> None:
    Archive.create(folder)
    for option in (["--base", "absent"], ["--base-for", "gpt-4o=absent"]):
        done = run_tunery(live, "import-openai", "plan", "--archive", folder, *option)
        assert (done.exit_code, "base-1" in done.stderr) == (4, True)
    assert run_tunery(live, "import-openai", "plan", "--archive", folder, "--base-for", "x").exit_code == 2
    with pytest.raises(CommandFailed):
        Archive.open(folder / "absent")
