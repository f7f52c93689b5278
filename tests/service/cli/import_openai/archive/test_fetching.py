"""`tunery import-openai fetch`: everything arrives in the archive, once."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx2
import pytest
from typer.testing import CliRunner, Result

from service.cli.failures import CommandFailed, Refused
from service.cli.import_openai.archive.archive import Archive
from service.cli.import_openai.archive.export_folder import read_export
from service.cli.import_openai.archive.fetching import fetch
from service.cli.import_openai.source.account import find_account
from service.cli.import_openai.source.client import Source
from service.cli.main import app
from tests.api import listening
from tests.service.cli.half_deaf import half_deaf
from tests.service.cli.import_openai.old_account import KEY, RESULTS, OldAccount, refusing, rows

ENVIRONMENT = {"TUNERY_SOURCE_API_KEY": KEY}


def source_of(
    account: OldAccount, *, transport: httpx2.BaseTransport | None = None, **options: object
) -> Source:
    found = find_account(options.pop("base_url", "https://old.example/v1"), None, ENVIRONMENT, **options)
    return Source(found, transport=transport or account.transport(), sleep=lambda _: None)


def fetched(account: OldAccount, folder: Path, **options: object) -> Archive:
    archive = Archive.create(folder)
    found = fetch(source_of(account, **options), archive, workers=4, remark=lambda _: None)
    assert not found.problems
    return archive


def run(url: str, folder: Path, *arguments: str, **environment: str) -> Result:
    command = ["import-openai", "fetch", "--archive", str(folder), "--from-base-url", f"{url}/v1", *arguments]
    return CliRunner().invoke(app, command, env=ENVIRONMENT | environment)


@pytest.mark.slow
def test_two_thousand_jobs_arrive_once_though_the_api_limits_and_breaks(tmp_path: Path) -> None:
    account = OldAccount()
    for number in range(2000):
        # Ten jobs share their files.
        shared = number // 10
        account.add_job(number, training_file=f"file-train{shared}", result_files=[f"file-result{shared}"])
        if number >= 200:
            for unused in (f"file-train{number}", f"file-result{number}"):
                del account.files[unused], account.contents[unused]
    account.refuse = refusing(every=50)
    archive = fetched(account, tmp_path)
    assert [job["id"] for job in archive.jobs()] == list(account.jobs)
    assert set(account.counts.values()) == {1}
    assert all(len(archive.lines("events", id)) == 3 for id in account.jobs)
    assert {path.stem for path in (tmp_path / "contents").iterdir()} == account.contents.keys()
    before = account.counts.total()
    fetched(account, tmp_path)
    lists = {"/fine_tuning/jobs", "/files", "/models"}
    assert account.counts.total() - before == sum(
        1 for path in account.counts if path.partition("?")[0] in lists
    )


def test_oddities_of_the_old_api_are_read_as_they_are(tmp_path: Path) -> None:
    account = OldAccount()
    account.add_job(1, metadata=..., method=..., seed=..., hyperparameters={}, error={})
    account.add_job(2, result_files=[{"id": "file-result2", "object": "file"}], training_file="file-gone")
    account.add_job(3, status="running", result_files=None, fine_tuned_model=None, created_at=None)
    account.jobs["ftjob-000002"]["created_at"] = 10**400
    account.jobs["ftjob-000002"]["user_provided_suffix"] = "\ud800"
    account.jobs["bad"] = {"object": "fine_tuning.job", "id": "../../evil", "status": "succeeded"}
    archive = fetched(account, tmp_path)
    assert [job["id"] for job in archive.jobs()] == ["ftjob-000002", "ftjob-000003", "ftjob-000001"]
    assert archive.jobs()[0]["user_provided_suffix"] == "\ud800"
    assert archive.content("file-gone") is None
    gone = json.loads((tmp_path / "contents/file-gone.missing.json").read_text())
    assert gone["status"] == 404
    assert archive.lines("events", "ftjob-000001")[0]["message"] == "Step 0"
    assert not list(tmp_path.parent.glob("**/evil*"))


def test_a_job_that_ran_is_fetched_again_and_one_that_ended_is_not(tmp_path: Path) -> None:
    account = OldAccount()
    account.add_job(1, status="running")
    account.add_job(2)
    fetched(account, tmp_path)
    account.jobs["ftjob-000001"]["status"] = "succeeded"
    archive = fetched(account, tmp_path)
    assert [job["status"] for job in archive.jobs()] == ["succeeded", "succeeded"]
    events = {path: count for path, count in account.counts.items() if "/events" in path}
    assert sorted(events.values()) == [1, 2]


def test_projects_add_up_in_one_archive(tmp_path: Path) -> None:
    first, second = OldAccount(), OldAccount()
    first.add_job(1)
    second.add_job(2)
    first.refuse = lambda path, count: httpx2.Response(400) if path.endswith("train1/content") else None
    interrupted = fetch(source_of(first), Archive.create(tmp_path), workers=1, remark=lambda _: None)
    assert interrupted.problems
    archive = fetched(second, tmp_path)
    assert [job["id"] for job in archive.jobs()] == ["ftjob-000001", "ftjob-000002"]
    assert (archive.is_settled("file-train1"), archive.is_settled("file-train2")) == (False, True)
    first.refuse = lambda path, count: None
    assert fetched(first, tmp_path).content("file-train1") is not None


@pytest.mark.slow
def test_a_killed_fetch_is_resumed_where_it_ended(tmp_path: Path) -> None:
    account, reached, is_over = OldAccount(), threading.Event(), threading.Event()
    for number in range(30):
        account.add_job(number)

    def hang(path: str, count: int) -> None:
        if path == "/fine_tuning/jobs/ftjob-000015/events":
            reached.set()
            is_over.wait()

    account.refuse = hang
    tunery = [sys.executable, "-c", "from service.cli.main import app; app()"]
    command = [*tunery, "import-openai", "fetch", "--concurrency", "1"]
    with listening(account) as url:
        try:
            process = subprocess.Popen(
                [*command, "--archive", str(tmp_path), "--from-base-url", f"{url}/v1"],
                env=os.environ | ENVIRONMENT,
            )
            assert reached.wait(300)
            process.kill()
            process.wait()
        finally:
            is_over.set()
        there = len(list((tmp_path / "events").glob("*.jsonl")))
        assert 0 < there < 30
        done = run(url, tmp_path, "--json")
    assert json.loads(done.stdout) == {
        "jobs": 30, "files": 60, "missing": 0, "problems": [], "archive": str(tmp_path),
    }  # fmt: skip
    # The answer to the killed process counts too.
    again = [path for path, count in account.counts.items() if count > 1 and "ftjob-" in path]
    assert again in ([], ["/fine_tuning/jobs/ftjob-000015/events?limit=100"])


def test_the_key_is_the_old_accounts_own_and_is_never_shown(tmp_path: Path) -> None:
    with listening(OldAccount()) as url:
        without = run(url, tmp_path, TUNERY_SOURCE_API_KEY="", OPENAI_API_KEY=KEY, TUNERY_API_KEY=KEY)
        assert (without.exit_code, "TUNERY_SOURCE_API_KEY" in without.stderr) == (3, True)
        wrong = run(url, tmp_path, TUNERY_SOURCE_API_KEY="sk-wrong")
        assert (wrong.exit_code, "Incorrect API key" in wrong.stderr) == (3, True)
        file = tmp_path / "key"
        file.write_text(f"{KEY}\n")
        given = run(url, tmp_path, "--from-key-file", str(file), TUNERY_SOURCE_API_KEY="")
        assert given.exit_code == 0, given.stderr
        file.write_bytes(b"sk-\xff")
        torn = run(url, tmp_path, "--from-key-file", str(file))
        assert (torn.exit_code, "Cannot read the key" in torn.stderr) == (2, True)
    assert "sk-" not in without.stderr + wrong.stderr + given.stderr + given.stdout
    assert KEY not in repr(find_account(None, None, ENVIRONMENT))
    assert all(KEY.encode() not in path.read_bytes() for path in tmp_path.glob("*.json"))


def test_a_redirect_is_not_followed_with_the_key(tmp_path: Path) -> None:
    elsewhere = OldAccount()
    account = OldAccount()
    with listening(elsewhere) as other:
        account.refuse = lambda path, count: httpx2.Response(302, headers={"location": f"{other}/v1/files"})
        with listening(account) as url:
            done = run(url, tmp_path)
    assert (done.exit_code, "redirects" in done.stderr, elsewhere.seen) == (1, True, [])


@pytest.mark.parametrize(
    "answer",
    [
        httpx2.Response(200, content=b"<html>"),
        httpx2.Response(200, content=b"[" * 100_000),
        httpx2.Response(200, json=["jobs"]),
        httpx2.Response(200, json={"data": [{"id": "ftjob-1"}], "has_more": True}),
        httpx2.Response(200, content=b"\x00", headers={"content-encoding": "gzip"}),
        httpx2.Response(429, json={"error": {}}, headers={"retry-after": "86400"}),
        httpx2.Response(429, json={"error": {"code": "insufficient_quota", "message": "No money."}}),
        httpx2.Response(500, content=b"\xff"),
    ],
)
def test_a_hostile_or_broken_answer_ends_the_command_and_never_hangs_it(
    tmp_path: Path, answer: httpx2.Response
) -> None:
    account = OldAccount(refuse=lambda path, count: answer)
    with pytest.raises(CommandFailed):
        fetched(account, tmp_path)
    assert len(account.seen) <= 8


@pytest.mark.parametrize(("seconds", "tries"), [("120", 2), (None, 1)])
def test_what_should_not_be_retried_is_tried_again_only_if_it_says_when(
    tmp_path: Path, seconds: str | None, tries: int
) -> None:
    headers = {"x-should-retry": "false"} | ({} if seconds is None else {"retry-after": seconds})
    limited = httpx2.Response(429, json={"error": {}}, headers=headers)
    account = OldAccount(refuse=lambda path, count: limited if count == 0 and path == "/models" else None)
    fetched(account, tmp_path)
    assert sum(request.url.path == "/v1/models" for request in account.seen) == tries


def test_a_key_that_may_not_read_files_is_no_reason_to_give_them_up(tmp_path: Path) -> None:
    account = OldAccount()
    account.add_job(1)
    refused = httpx2.Response(403, json={"error": {"message": "Missing scopes: api.files.read"}})
    account.refuse = lambda path, count: refused if path.endswith("/content") else None
    with pytest.raises(Refused, match="Missing scopes"):
        fetched(account, tmp_path)
    account.refuse = lambda path, count: None
    assert fetched(account, tmp_path).content("file-train1") is not None


def test_a_refused_key_ends_what_the_account_does_not_answer(tmp_path: Path) -> None:
    account = OldAccount()
    for number in (1, 2):
        account.add_job(number)

    def answer(method: str, path: str) -> tuple[int, object] | None:
        if path.startswith("/v1/fine_tuning/jobs?"):
            return 200, {"data": list(account.jobs.values())}
        if "ftjob-000002" in path:
            return None
        if "ftjob-000001/events" in path:
            server.wait_for(2)
            return 401, {"error": {"message": "Revoked."}}
        return 200, {"data": []}

    with half_deaf(answer) as server:
        source = Source(find_account(f"{server.url}/v1", None, ENVIRONMENT))
        began = time.monotonic()
        with pytest.raises(CommandFailed, match="Revoked"):
            fetch(source, Archive.create(tmp_path), workers=4, remark=lambda _: None)
        assert time.monotonic() - began < 30
        source.close()


def test_a_refused_content_is_asked_for_again_and_a_deleted_one_is_not(tmp_path: Path) -> None:
    account = OldAccount()
    account.add_file("file-refused", rows("x"))
    account.add_file("file-deleted", rows("x"))
    del account.contents["file-deleted"]
    refused = httpx2.Response(400, json={"error": {"message": "Not now."}})
    account.refuse = lambda path, count: refused if path == "/files/file-refused/content" else None
    archive = Archive.create(tmp_path)
    first = fetch(source_of(account), archive, workers=2, remark=lambda _: None)
    assert ["file-refused" in problem for problem in first.problems] == [True]
    account.refuse = lambda path, count: None
    assert fetched(account, tmp_path).content("file-refused") is not None
    asked = [request.url.path for request in account.seen]
    assert asked.count("/v1/files/file-deleted/content") == 1


@pytest.mark.parametrize("status", [["succeeded"], {"is": "succeeded"}, None, 7])
def test_a_status_of_any_type_leaves_the_archive_usable(tmp_path: Path, status: object) -> None:
    account = OldAccount()
    job = account.add_job(1)
    job["status"] = account.jobs[job["id"]]["status"] = status
    for _ in range(2):
        assert fetched(account, tmp_path).jobs()[0]["status"] == status


@pytest.mark.parametrize("is_azure", [False, True])
def test_a_key_that_a_servers_error_repeats_is_struck_out(tmp_path: Path, is_azure: bool) -> None:
    account = OldAccount(prefix="/openai/v1")
    account.add_file("file-a", rows("x"))
    message = {"error": {"message": "x" * 490 + f" Not yours, Bearer {KEY}", "code": KEY}}
    echo = httpx2.Response(404, json=message)
    account.refuse = lambda path, count: echo if path == "/files/file-a/content" else None
    source = source_of(account, base_url="https://old.example/openai/v1", is_azure=is_azure)
    with pytest.raises(Refused) as refused:
        source.get("/files/file-a/content")
    archive = Archive.create(tmp_path)
    fetch(source, archive, workers=1, remark=lambda _: None)
    kept = (tmp_path / "contents/file-a.missing.json").read_text()
    for shown in (str(refused.value), kept):
        assert (KEY[:6] in shown, "[key]" in shown) == (False, True)


@pytest.mark.parametrize(
    "url",
    [
        "https://me:secret@old.example/v1",
        "https://secret@old.example",
        "https://[",
        "https://a/v1?key=secret",
    ],
)
def test_a_url_with_more_than_an_address_is_refused(tmp_path: Path, url: str) -> None:
    command = ["import-openai", "fetch", "--archive", str(tmp_path / "a"), "--from-base-url", url]
    done = CliRunner().invoke(app, command, env=ENVIRONMENT)
    assert (done.exit_code, "--from-base-url" in done.stderr, "secret" in done.stderr) == (2, True, False)
    assert not (tmp_path / "a").exists()


def test_an_answer_has_a_limit(tmp_path: Path) -> None:
    account = OldAccount()
    account.add_file("file-large", b"x" * 5000)
    with pytest.raises(CommandFailed, match="larger than 4,096 bytes"):
        source_of(account).download("/files/file-large/content", tmp_path / "large", limit=4096)
    with pytest.raises(Refused):
        source_of(account).get("/files/absent")


@pytest.mark.parametrize(
    ("base_url", "prefix", "api_version"),
    [
        ("https://old.openai.azure.com", "/openai", "2024-10-21"),
        ("https://old.openai.azure.com/openai/v1/", "/openai/v1", None),
    ],
)
def test_azures_api_has_its_own_paths_header_and_version(
    tmp_path: Path, base_url: str, prefix: str, api_version: str | None
) -> None:
    account = OldAccount(prefix=prefix)
    account.add_job(1)
    archive = fetched(account, tmp_path, base_url=base_url, is_azure=True)
    assert len(archive.jobs()) == 1
    for request in account.seen:
        assert (request.headers["api-key"], "authorization" in request.headers) == (KEY, False)
        assert request.url.params.get("api-version") == api_version


def test_an_export_folder_is_read_like_the_api(tmp_path: Path) -> None:
    account = OldAccount()
    account.add_job(1)
    account.add_job(2)
    export, nested = tmp_path / "export", tmp_path / "export/by hand/ftjob-000001"
    nested.mkdir(parents=True)
    page = {"object": "list", "data": list(account.jobs.values()), "has_more": False}
    (export / "jobs.json").write_text(json.dumps(page))
    event = {"object": "fine_tuning.job.event", "id": "ftevent-1", "created_at": 1, "message": "Hello"}
    (nested / "events.jsonl").write_text(json.dumps(event) + "\n")
    (export / "file-train1.jsonl").write_bytes(rows("x"))
    (export / "file-result1.csv").write_text(RESULTS)
    (export / "broken.json").write_text("{")
    (export / f"file-{'x' * 200}.jsonl").write_bytes(rows("x"))
    (export / "link.json").symlink_to("/etc/passwd")
    done = CliRunner().invoke(
        app,
        ["import-openai", "fetch", "--archive", str(tmp_path / "a"), "--from-folder", str(export), "--json"],
    )
    found = json.loads(done.stdout)
    assert (done.exit_code, found["jobs"], found["missing"], len(found["problems"])) == (1, 2, 2, 2)
    assert "longer than any id" in found["problems"][1]
    archive = Archive.open(tmp_path / "a")
    assert [job["id"] for job in archive.jobs()] == ["ftjob-000001", "ftjob-000002"]
    assert archive.lines("events", "ftjob-000001")[0]["message"] == "Hello"
    assert [path.name for path in (tmp_path / "a/events").iterdir()] == ["ftjob-000001.jsonl"]
    assert not list((tmp_path / "a/checkpoints").iterdir())
    content = archive.content("file-train1")
    assert content is not None
    assert content.read_bytes() == rows("x")


def test_an_export_leaves_what_the_archive_has_beyond_it(tmp_path: Path) -> None:
    account = OldAccount()
    job = account.add_job(1)
    archive = fetched(account, tmp_path / "a")
    kept = {kind: archive.lines(kind, job["id"]) for kind in ("events", "checkpoints")}
    (tmp_path / "export").mkdir()
    (tmp_path / "export/job.json").write_text(json.dumps(job))
    read_export(tmp_path / "export", archive)
    assert all(kept.values())
    assert {kind: archive.lines(kind, job["id"]) for kind in ("events", "checkpoints")} == kept
