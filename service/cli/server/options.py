"""Options of commands that work on an installation directly instead of through its API."""

from pathlib import Path
from typing import Annotated

import typer

DataFolder = Annotated[
    Path,
    typer.Option(
        "--data",
        help="Data folder of the installation, unless the environment names its database and storage.",
    ),
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key-file", help="File with the key of the backup: 16 bytes or more, of which you keep a copy."
    ),
]
