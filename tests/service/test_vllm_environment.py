"""vLLM's environment in a data folder."""

import subprocess
import sysconfig
from collections.abc import Sequence
from importlib.metadata import requires, version
from pathlib import Path

import pytest
from typer.testing import CliRunner

import cluster
from service import vllm_environment
from service.cli.main import app
from service.vllm_environment import InstallationFailed, install_vllm, vllm_python


class Commands:
    """Runs nothing, and makes the folders that `venv` would."""

    def __init__(self) -> None:
        self.ran: list[list[str]] = []
        self.constraints = ""
        self.fails_at = 99

    def __call__(self, command: Sequence[str]) -> None:
        self.ran.append(list(command))
        if len(self.ran) == self.fails_at:
            raise subprocess.CalledProcessError(1, command)
        if "venv" in command:
            Path(sysconfig.get_path("purelib", vars={"base": command[-1]})).mkdir(parents=True)
        else:
            self.constraints = Path(command[command.index("--constraint") + 1]).read_text()


def test_it_has_vllm_with_the_clusters_ray_and_finds_tunery_alone(tmp_path: Path) -> None:
    commands = Commands()
    python = install_vllm(tmp_path, package="vllm==0.29.0", run=commands)
    assert python == vllm_python(tmp_path)
    (_, install) = commands.ran
    assert install[0] == str(python)
    assert install[-1] == "vllm==0.29.0"
    assert any(requirement.startswith("ray[") for requirement in install)
    # What both halves of Tunery need has no marker.
    base = [line for line in requires("tunery") or () if ";" not in line]
    assert "orjson>=3.13" in base
    assert set(base) <= set(install)
    assert not any(requirement.startswith("fastapi") for requirement in install)
    assert f"ray=={version('ray')}" in commands.constraints.splitlines()
    assert "+" not in commands.constraints
    (linked,) = (tmp_path / "vllm").rglob("site-packages/*")
    assert linked.resolve() == Path(cluster.__path__[0]).resolve()
    assert [path.name for path in tmp_path.iterdir()] == ["vllm"]


def test_it_has_no_older_vllm_than_tunery_works_with(tmp_path: Path) -> None:
    commands = Commands()
    install_vllm(tmp_path, run=commands)
    (least,) = (
        line.partition(";")[0].strip() for line in requires("tunery") or () if line.startswith("vllm")
    )
    assert least.startswith("vllm>=")
    assert commands.ran[-1][-1] == least


def test_it_can_be_made_anew(tmp_path: Path) -> None:
    for _ in range(2):
        install_vllm(tmp_path, run=Commands())


@pytest.mark.parametrize("step", [1, 2])
def test_nothing_is_left_of_a_failed_one(tmp_path: Path, step: int) -> None:
    commands = Commands()
    commands.fails_at = step
    with pytest.raises(InstallationFailed):
        install_vllm(tmp_path, run=commands)
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_where_it_is_or_what_went_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = Commands()
    monkeypatch.setattr(vllm_environment, "_run", commands)
    done = CliRunner().invoke(app, ["vllm", "install", "--data", str(tmp_path)])
    assert (done.exit_code, str(tmp_path / "vllm") in done.stdout) == (0, True)
    commands.fails_at = 3
    failed = CliRunner().invoke(app, ["vllm", "install", "--data", str(tmp_path)])
    assert failed.exit_code == 1
    assert "could not be made" in failed.stderr
