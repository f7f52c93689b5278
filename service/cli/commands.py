"""Declares commands.

    app = typer.Typer(help="…", no_args_is_help=True)

    @api_command(app, "ls")
    def ls(api: Api, output: Output, limit: Annotated[int, typer.Option()] = 20) -> None: …

The function's first two parameters are replaced by the options --base-url, --project, --data and --json. A
command that has a parameter `project` of its own has that one instead."""

import functools
import inspect
import io
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, Concatenate

import typer

from service.cli.failures import DETACHED, FAILED, CommandFailed, reason_of
from service.cli.output import Output, printable
from service.cli.remote import Api, find_target

_BaseUrl = Annotated[
    str | None,
    typer.Option(
        "--base-url",
        help="URL of the API, ending in /v1; TUNERY_BASE_URL, OPENAI_BASE_URL or this machine's server by "
        "default.",
    ),
]
PROJECT_HELP = (
    "Id of the project to act in, with an admin key; TUNERY_PROJECT or the key's own project by default."
)
_Project = Annotated[str | None, typer.Option("--project", help=PROJECT_HELP)]
_Data = Annotated[
    Path,
    typer.Option(
        "--data",
        help="Data folder of this machine's server, to read its URL and admin.key from if neither is set.",
    ),
]
_Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
_API_OPTIONS = {
    "base_url": (_BaseUrl, None),
    "project": (_Project, None),
    "data": (_Data, Path(".tunery")),
    "as_json": (_Json, False),
}
_LOCAL_OPTIONS = {"as_json": (_Json, False)}
_Values = dict[str, Any]
_Register = Callable[[Callable[..., None]], Callable[..., None]]


def api_command(
    app: typer.Typer, name: str
) -> Callable[[Callable[Concatenate[Api, Output, ...], None]], Callable[..., None]]:
    """Adds the command to `app`. CommandFailed ends it with a message on stderr and its exit code; files that
    cannot be read or written end it in the same way."""

    def call(function: Callable[..., None], options: _Values, arguments: _Values) -> None:
        target = find_target(options["base_url"], options["data"], os.environ, project=options.get("project"))
        with closing(Api(target)) as api:
            function(api, Output(options["as_json"]), **arguments)

    return registering(app, name, _API_OPTIONS, call, num_replaced=2)


def local_command(
    app: typer.Typer, name: str
) -> Callable[[Callable[Concatenate[Output, ...], None]], Callable[..., None]]:
    """The same for a command that calls no API: its first parameter is replaced by the option --json."""

    def call(function: Callable[..., None], options: _Values, arguments: _Values) -> None:
        function(Output(options["as_json"]), **arguments)

    return registering(app, name, _LOCAL_OPTIONS, call, num_replaced=1)


def registering(
    app: typer.Typer,
    name: str,
    options: Mapping[str, tuple[Any, Any]],
    call: Callable[[Callable[..., None], _Values, _Values], None],
    *,
    num_replaced: int,
) -> _Register:
    """The same for any options: annotations and defaults, by name. An option that the function has itself is
    left out. `call` gets the function, the values of these options, and those of the function's own
    parameters; it replaces the function's first `num_replaced` ones."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(function, eval_str=True).parameters.values())[num_replaced:]
        added = options.keys() - {parameter.name for parameter in own}

        @functools.wraps(function)
        def command(**arguments: Any) -> None:
            if isinstance(sys.stdout, io.TextIOWrapper):
                # Characters that the terminal's encoding lacks are escaped, and do not end the command.
                sys.stdout.reconfigure(errors="backslashreplace")
            try:
                values = {option: arguments.pop(option) for option in added}
                call(function, values, arguments)
                sys.stdout.flush()
            except CommandFailed as error:
                raise _ended(str(error), error.exit_code) from None
            except KeyboardInterrupt:
                raise typer.Exit(DETACHED) from None
            except BrokenPipeError:
                # The reader of the output, `head` for example, has read enough.
                _drop_output()
                raise typer.Exit(FAILED) from None
            except OSError as error:
                raise _ended(reason_of(error)) from None
            except UnicodeDecodeError as error:
                raise _ended(f"What was read is not {error.encoding.upper()}: {error.reason}.") from None

        shared = [
            inspect.Parameter(option, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
            for option, (annotation, default) in options.items()
            if option in added
        ]
        keyword_only = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
        command.__signature__ = inspect.Signature([*keyword_only, *shared])  # type: ignore[attr-defined]
        command.__annotations__ = {
            parameter.name: parameter.annotation for parameter in [*keyword_only, *shared]
        }
        app.command(name)(command)
        return command

    return register


def _ended(message: str, exit_code: int = FAILED) -> typer.Exit:
    print(f"tunery: {printable(message)}", file=sys.stderr)
    try:
        sys.stdout.flush()
    except OSError:
        _drop_output()
    return typer.Exit(exit_code)


def _drop_output() -> None:
    """Discards stdout: otherwise Python would complain again at exit about output that nobody read."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
