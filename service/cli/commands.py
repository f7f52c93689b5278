"""How a command that calls the API is declared.

    app = typer.Typer(help="…", no_args_is_help=True)

    @api_command(app, "ls")
    def ls(api: Api, output: Output, limit: Annotated[int, typer.Option()] = 20) -> None: …

The function's first two parameters are replaced by the options --base-url, --data and --json."""

import functools
import inspect
import os
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, Concatenate

import typer

from service.cli.output import Output, printable
from service.cli.remote import Api, CommandFailed, find_target

_BaseUrl = Annotated[
    str | None,
    typer.Option(
        "--base-url",
        help="The API, ending in /v1; TUNERY_BASE_URL, OPENAI_BASE_URL or this machine's by default.",
    ),
]
_Data = Annotated[Path, typer.Option("--data", help="Data folder whose admin.key is used if no key is set.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_OPTIONS = {"base_url": (_BaseUrl, None), "data": (_Data, Path(".tunery")), "as_json": (_Json, False)}


def api_command(
    app: typer.Typer, name: str
) -> Callable[[Callable[Concatenate[Api, Output, ...], None]], Callable[..., None]]:
    """Adds the command to `app`. CommandFailed ends it with a message on stderr and its exit code."""

    def register(function: Callable[Concatenate[Api, Output, ...], None]) -> Callable[..., None]:
        @functools.wraps(function)
        def command(*, base_url: str | None, data: Path, as_json: bool, **arguments: Any) -> None:
            try:
                with closing(Api(find_target(base_url, data, os.environ))) as api:
                    function(api, Output(as_json), **arguments)
            except CommandFailed as error:
                print(f"tunery: {printable(str(error))}", file=sys.stderr)
                raise typer.Exit(error.exit_code) from None
            except KeyboardInterrupt:
                raise typer.Exit(130) from None

        _, _, *own = inspect.signature(function, eval_str=True).parameters.values()
        shared = [
            inspect.Parameter(option, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
            for option, (annotation, default) in _OPTIONS.items()
        ]
        keyword_only = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
        command.__signature__ = inspect.Signature([*keyword_only, *shared])  # type: ignore[attr-defined]
        command.__annotations__ = {
            parameter.name: parameter.annotation for parameter in [*keyword_only, *shared]
        }
        app.command(name)(command)
        return command

    return register
