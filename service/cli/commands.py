"""How a command is declared.

    app = typer.Typer(help="…", no_args_is_help=True)

    @api_command(app, "ls")
    def ls(api: Api, output: Output, limit: Annotated[int, typer.Option()] = 20) -> None: …

The function's first two parameters are replaced by the options --base-url, --data and --json."""

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
        help="The API, ending in /v1; TUNERY_BASE_URL, OPENAI_BASE_URL or this machine's by default.",
    ),
]
_Data = Annotated[
    Path,
    typer.Option(
        "--data", help="Data folder of this machine's server: its URL and admin.key, if none are set."
    ),
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_API_OPTIONS = {"base_url": (_BaseUrl, None), "data": (_Data, Path(".tunery")), "as_json": (_Json, False)}
_LOCAL_OPTIONS = {"as_json": (_Json, False)}
_Register = Callable[[Callable[..., None]], Callable[..., None]]


def api_command(
    app: typer.Typer, name: str
) -> Callable[[Callable[Concatenate[Api, Output, ...], None]], Callable[..., None]]:
    """Adds the command to `app`. CommandFailed ends it with a message on stderr and its exit code, and so do
    files that cannot be read or written."""

    def call(function: Callable[..., None], arguments: dict[str, Any]) -> None:
        base_url, data, as_json = (arguments.pop(option) for option in _API_OPTIONS)
        with closing(Api(find_target(base_url, data, os.environ))) as api:
            function(api, Output(as_json), **arguments)

    return registering(app, name, _API_OPTIONS, call, num_replaced=2)


def local_command(
    app: typer.Typer, name: str
) -> Callable[[Callable[Concatenate[Output, ...], None]], Callable[..., None]]:
    """The same for a command that calls no API: its first parameter is replaced by the option --json."""

    def call(function: Callable[..., None], arguments: dict[str, Any]) -> None:
        function(Output(arguments.pop("as_json")), **arguments)

    return registering(app, name, _LOCAL_OPTIONS, call, num_replaced=1)


def registering(
    app: typer.Typer,
    name: str,
    options: Mapping[str, tuple[Any, Any]],
    call: Callable[[Callable[..., None], dict[str, Any]], None],
    *,
    num_replaced: int,
) -> _Register:
    """The same for any options: annotations and defaults, by name. `call` gets the function and the options'
    values, and replaces the function's first `num_replaced` parameters."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def command(**arguments: Any) -> None:
            if isinstance(sys.stdout, io.TextIOWrapper):
                # What the terminal's encoding lacks is escaped, and does not end the command.
                sys.stdout.reconfigure(errors="backslashreplace")
            try:
                call(function, arguments)
                sys.stdout.flush()
            except CommandFailed as error:
                raise _ended(str(error), error.exit_code) from None
            except KeyboardInterrupt:
                raise typer.Exit(DETACHED) from None
            except BrokenPipeError:
                # Whoever reads the output, `head` for example, has enough.
                _drop_output()
                raise typer.Exit(FAILED) from None
            except OSError as error:
                raise _ended(reason_of(error)) from None
            except UnicodeDecodeError as error:
                raise _ended(f"What was read is not {error.encoding.upper()}: {error.reason}.") from None

        own = list(inspect.signature(function, eval_str=True).parameters.values())[num_replaced:]
        shared = [
            inspect.Parameter(option, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
            for option, (annotation, default) in options.items()
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
    """Discards stdout: otherwise Python would complain again at exit about output that was not accepted."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
