"""Declares commands that read the old account.

    @source_command("fetch")
    def fetch(open_source: OpenSource, output: Output, …) -> None: …

The options for the account, and --json, replace the function's first two parameters."""

import functools
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Annotated, Any, Concatenate

import typer

from service.cli.commands import registering
from service.cli.import_openai.source.account import KEY_VARIABLE, find_account
from service.cli.import_openai.source.client import Source
from service.cli.output import Output

app = typer.Typer(help="Migrate fine-tuning from OpenAI to Tunery.", no_args_is_help=True)

OpenSource = Callable[[], AbstractContextManager[Source]]
"""Opens the account. Raises CommandFailed if the options and the environment name none."""
ArchiveFolder = Annotated[Path, typer.Option("--archive", help="Folder of the archive.")]
Workers = Annotated[int, typer.Option("--concurrency", help="Number of concurrent requests.", min=1, max=64)]
DEFAULT_ARCHIVE = Path("openai-archive")

_FromUrl = Annotated[
    str | None, typer.Option("--from-base-url", help="URL of the API to migrate from; OpenAI's by default.")
]
_KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--from-key-file", help=f"File with that API's key; the variable {KEY_VARIABLE} by default."
    ),
]
_Azure = Annotated[
    bool, typer.Option("--azure", help="Migrate from Azure OpenAI; --from-base-url is the resource's URL.")
]
_ApiVersion = Annotated[str | None, typer.Option("--api-version", help="Azure's API version.")]
_Organization = Annotated[
    str | None, typer.Option("--from-organization", help="Value of the OpenAI-Organization header.")
]
_Project = Annotated[str | None, typer.Option("--from-project", help="Value of the OpenAI-Project header.")]
_Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
_OPTIONS = {
    "from_base_url": (_FromUrl, None),
    "from_key_file": (_KeyFile, None),
    "azure": (_Azure, False),
    "api_version": (_ApiVersion, None),
    "from_organization": (_Organization, None),
    "from_project": (_Project, None),
    "as_json": (_Json, False),
}


def source_command(
    name: str,
) -> Callable[[Callable[Concatenate[OpenSource, Output, ...], None]], Callable[..., None]]:
    """Adds the command to `app`. CommandFailed ends it with a message on stderr and its exit code."""

    def call(function: Callable[..., None], given: dict[str, Any], arguments: dict[str, Any]) -> None:
        output = Output(given["as_json"])
        try:
            function(functools.partial(_open, given), output, **arguments)
        except KeyboardInterrupt:
            output.remark("What has arrived is kept. Run the command again to continue.")
            raise

    return registering(app, name, _OPTIONS, call, num_replaced=2)


def _open(given: dict[str, Any]) -> AbstractContextManager[Source]:
    account = find_account(
        given["from_base_url"],
        given["from_key_file"],
        os.environ,
        is_azure=given["azure"],
        api_version=given["api_version"],
        organization=given["from_organization"],
        project=given["from_project"],
    )
    return closing(Source(account))
