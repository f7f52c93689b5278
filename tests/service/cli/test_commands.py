"""Every command that calls the API has the same options, output and exit codes."""

import json
import subprocess
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner, Result

from service.cli.commands import api_command, local_command
from service.cli.output import Output
from service.cli.remote import Api
from tests.api import BASE, LiveApi
from tests.service.cli.terminal import COMMAND

app = typer.Typer()
COLUMNS = {"MODEL": "id", "OWNER": lambda model: f"by {model['owned_by']}"}


@api_command(app, "ls")
def ls(api: Api, output: Output) -> None:
    """List models."""
    output.items(api.get("/models")["data"], COLUMNS)


@api_command(app, "get")
def get(
    api: Api, output: Output, model: str, mark: Annotated[str, typer.Option(help="A mark.")] = "*"
) -> None:
    output.item(api.get(f"/models/{model}"), {"MODEL": "id", "MARK": lambda _: mark})


@api_command(app, "keys")
def keys(api: Api, output: Output, project: Annotated[str, typer.Option(help="Whose keys.")] = "") -> None:
    output.done({}, f"{project} {api.target.project}")


@local_command(app, "read")
def read(output: Output, file: Path) -> None:
    print(file.read_text(encoding="utf-8"))


def run(live: LiveApi, *arguments: str, key: str | None = None) -> Result:
    environment = {"TUNERY_API_KEY": key or live.project.key}
    return CliRunner().invoke(app, [*arguments, "--base-url", f"{live.url}/v1"], env=environment)


@pytest.mark.slow
def test_a_pipe_gets_lines_with_tabs_and_json_gets_everything(live: LiveApi) -> None:
    assert run(live, "ls").stdout == f"{BASE.alias}\tby tunery\n"
    (model,) = json.loads(run(live, "ls", "--json").stdout)
    assert model["id"] == BASE.alias
    assert (
        run(live, "get", BASE.alias, "--mark", "a\x1b[31mb").stdout == f"MODEL\t{BASE.alias}\nMARK\ta [31mb\n"
    )


@pytest.mark.slow
def test_exit_codes_tell_failures_apart(live: LiveApi) -> None:
    absent = run(live, "get", "absent")
    assert (absent.exit_code, absent.stdout) == (4, "")
    assert absent.stderr.startswith("tunery: The model 'absent' does not exist")
    assert run(live, "ls", key="no-such-key").exit_code == 3
    assert run(live, "get").exit_code == 2


def test_a_command_with_a_project_of_its_own_leaves_the_shared_one_to_the_variable() -> None:
    environment = {"TUNERY_API_KEY": "key", "TUNERY_PROJECT": "proj_a"}
    arguments = ["keys", "--project", "support", "--base-url", "http://127.0.0.1:9"]
    assert CliRunner().invoke(app, arguments, env=environment).stdout == "support proj_a\n"


def test_help_shows_a_commands_own_options_before_the_shared_ones() -> None:
    text = CliRunner().invoke(app, ["get", "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).stdout
    places = [text.index(option) for option in ("--mark", "--base-url", "--project", "--data", "--json")]
    assert places == sorted(places)
    assert "api" not in text.split("Options")[0].lower()


def test_a_file_that_cannot_be_read_ends_a_command_with_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "absent"
    absent = CliRunner().invoke(app, ["read", str(file)])
    assert (absent.exit_code, absent.stderr) == (1, f"tunery: {file}: No such file or directory\n")
    file.write_bytes("wörld".encode("latin-1"))
    latin = CliRunner().invoke(app, ["read", str(file)])
    assert (latin.exit_code, latin.stderr[:32]) == (1, "tunery: What was read is not UTF")


@pytest.mark.slow
def test_output_that_finds_no_room_ends_a_command_with_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "data.jsonl"
    file.write_text('{"prompt": "a", "completion": "b"}\n')
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*COMMAND, "data", "stats", file], stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (1, b"tunery: No space left on device\n")
