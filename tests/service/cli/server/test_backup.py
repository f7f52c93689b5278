"""`tunery backup` and `tunery restore` of data folders, as their operator uses them."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cluster.storage.local import LocalStore
from service.cli.main import app
from tests.service.cli.test_sweep import make_installation


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def installation(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    make_installation(folder, folder / "tunery.db")
    return folder


def test_a_data_folder_is_backed_up_checked_and_restored(installation: Path, tmp_path: Path) -> None:
    key = tmp_path / "backup.key"
    key.write_text("a passphrase of the operator\n")
    backup, options = tmp_path / "backup", ("--key-file", key)
    made = run("backup", backup, "--data", installation, *options, "--json")
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["rows"]["files"] == 1
    assert "is intact" in run("restore", backup, "--check", *options).stdout
    done = run("restore", backup, "--data", tmp_path / "new", *options)
    assert done.exit_code == 0, done.output
    assert "is restored" in done.stdout
    assert "once the scheduler runs" in done.stdout
    assert list(LocalStore(tmp_path / "new" / "objects").list()) == [], "the file was deleted"
    drill = run("restore", backup, "--data", tmp_path / "drill", *options, "--maintenance")
    assert "after `tunery maintenance off`" in drill.stdout
    again = run("restore", backup, "--data", tmp_path / "new", *options)
    assert (again.exit_code, "The database is not empty: it has" in again.stderr) == (1, True)


def test_what_the_operator_did_wrong_is_said_in_one_line(installation: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.key"
    short.write_text("short\n")
    for arguments, said in (
        (("backup", tmp_path / "b", "--data", tmp_path / "typo"), "There is no installation in"),
        (("backup", tmp_path / "b", "--data", installation, "--key-file", short), "at least 16"),
        (("backup", tmp_path / "b", "--data", installation, "--key-file", tmp_path / "no"), "cannot be read"),
        (("backup", installation, "--data", installation), "is not empty"),
        (("restore", tmp_path / "no", "--data", tmp_path / "new"), "no whole backup"),
    ):
        done = run(*arguments)
        assert (done.exit_code, done.stdout) == (1, "")
        assert said in done.stderr.replace("\n", " ")
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "b").exists()


def test_it_keeps_the_newest_backups_and_nothing_of_interrupted_ones(
    installation: Path, tmp_path: Path
) -> None:
    backups = tmp_path / "backups"
    (backups / "lost+found").mkdir(parents=True)
    (backups / "notes").mkdir()
    (backups / "notes" / "tables").write_text("mine")
    for path in (backups / "notes", backups / "notes" / "tables", backups / "lost+found"):
        os.utime(path, (0, 0))
    for day in (1, 2, 3):
        run("backup", backups / f"day-{day}", "--data", installation)
        manifest = backups / f"day-{day}" / "manifest.json"
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"created_at": day}))
    for name, age in (("interrupted", 7200), ("under-way", 60)):
        shutil.copytree(backups / "day-1", backups / name)
        (backups / name / "manifest.json").unlink()
        for path in (*(backups / name).rglob("*"), backups / name):
            os.utime(path, (time.time() - age,) * 2)
    done = run("backup", backups / "now", "--data", installation, "--keep", 2)
    assert sorted(one.name for one in backups.iterdir()) == [
        "day-3",
        "lost+found",
        "notes",
        "now",
        "under-way",
    ]
    assert "day-1 is deleted" in done.stderr
    assert "interrupted was no whole backup" in done.stderr
    assert "is intact" in run("restore", backups / "now", "--check").stdout


def test_a_backup_that_fails_deletes_no_other(installation: Path, tmp_path: Path) -> None:
    backups = tmp_path / "backups"
    run("backup", backups / "first", "--data", installation)
    refused = run("backup", backups / "first", "--data", installation, "--keep", 1)
    assert "is not empty" in refused.stderr
    assert (backups / "first" / "manifest.json").exists()
