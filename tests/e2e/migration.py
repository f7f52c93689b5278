"""Migrates from an account at an OpenAI-compatible API to one's own models, which answer under the old
names."""

import json
from pathlib import Path

from typer.testing import CliRunner

from service.cli.main import app
from tests.api import listening
from tests.e2e.server import BASE, Tunery, jsonl
from tests.service.cli.import_openai.old_account import KEY, OldAccount


def check_migration(tunery: Tunery, folder: Path) -> None:
    account = OldAccount()
    job = account.add_job(1)
    account.contents[job["training_file"]] = jsonl(40)
    archive = ["--archive", str(folder / "archive"), "--json"]
    there = {"TUNERY_BASE_URL": f"{tunery.url}/v1", "TUNERY_API_KEY": tunery.key}

    def run(*arguments: str, **environment: str) -> list[dict[str, str]]:
        done = CliRunner().invoke(app, ["import-openai", *arguments, *archive], env=environment)
        assert done.exit_code == 0, done.stderr
        found = json.loads(done.stdout)
        return found if isinstance(found, list) else [found]

    with listening(account) as url:
        run("fetch", "--from-base-url", f"{url}/v1", TUNERY_SOURCE_API_KEY=KEY)
    # From here on, the old account does not exist.
    run("plan", "--base", BASE, **there)
    (applied,) = run("apply", "--retrain", **there)
    (again,) = run("apply", "--retrain", **there)
    assert again["new_job"] == applied["new_job"], "everything arrives once"

    client, old = tunery.client(), job["fine_tuned_model"]
    trained = client.fine_tuning.jobs.retrieve(applied["new_job"])
    assert (trained.status, trained.seed, trained.error) == ("succeeded", 42, None)
    asked = {"messages": [{"role": "user", "content": "order 3 qty 4"}], "max_tokens": 24, "temperature": 0}
    by_old, by_new = (
        client.chat.completions.create(model=name, **asked)  # type: ignore[call-overload]
        for name in (old, trained.fine_tuned_model)
    )
    assert by_old.model == trained.fine_tuned_model
    assert by_old.choices[0].message.content == by_new.choices[0].message.content
