"""The command as a whole: what it lists, what it suggests, and how little it loads."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from service.cli.main import COMMANDS, app
from tests.documents import ROOT


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
    return result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_each_commands_own_help_says(name: str) -> None:
    command = COMMANDS[name].load(name)
    assert (command.name, command.help.split("\n\n")[0].replace("\n", " ")) == (name, COMMANDS[name].help)
    assert COMMANDS[name].help in run("--help")
    assert COMMANDS[name].help in " ".join(run(name, "--help").split())


@pytest.mark.parametrize(
    ("given", "meant"), [(("jbos",), "jobs"), (("rnu",), "run"), (("jobs", "cancle"), "cancel")]
)
def test_a_misspelt_command_is_recognized(given: tuple[str, ...], meant: str) -> None:
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 2
    assert f"Did you mean '{meant}'?" in result.output


def loaded_by(*arguments: str) -> set[str]:
    code = "import sys, atexit; atexit.register(lambda: print(*sys.modules))"
    code += "; from service.cli.main import app; app()"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


def test_help_loads_almost_nothing() -> None:
    heavy = {"torch", "ray", "sqlalchemy", "fastapi", "transformers", "openai", "httpx2", "pydantic", "boto3"}
    loaded = loaded_by("--help")
    assert loaded & heavy == set()
    assert not {name for name in loaded if name.startswith("cluster.")}


@pytest.mark.parametrize("command", ["run", "jobs", "data", "chat", "models", "usage", "doctor"])
def test_commands_of_the_api_load_no_part_of_the_server(command: str) -> None:
    heavy = {"torch", "ray", "sqlalchemy", "fastapi", "transformers", "openai", "boto3"}
    assert loaded_by(command, "--help") & heavy == set()


def test_a_shell_completes_commands_of_deferred_groups() -> None:
    environment = {"_TUNERY_COMPLETE": "complete_bash", "COMP_WORDS": "tunery jobs re", "COMP_CWORD": "2"}
    result = CliRunner().invoke(app, [], prog_name="tunery", env=environment)
    assert result.stdout.split() == ["resume", "rerun"]
