"""Options of commands that work on an installation directly instead of through its API."""

from pathlib import Path
from typing import Annotated

import typer

DataFolder = Annotated[
    Path,
    typer.Option(
        "--data",
        help="Data folder of the installation; ignored if the environment names its database and storage.",
    ),
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key-file", help="File with the backup's encryption key, at least 16 bytes. Keep a copy of it."
    ),
]
