"""Asks for confirmation before irreversible actions."""

import sys
from typing import Annotated

import typer

from service.cli.failures import USAGE, CommandFailed
from service.cli.output import printable

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]


def confirm(question: str, *, yes: bool) -> None:
    """Asks on the terminal, unless `yes`. Raises CommandFailed if the answer is not yes, or if there is no
    terminal on which to ask."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandFailed("This cannot be undone. Add --yes to do it without being asked.", USAGE)
    if answer_to(f"{printable(question)} [y/N]") not in ("y", "yes"):
        raise CommandFailed("Nothing was changed.")


def answer_to(question: str) -> str | None:
    """Returns what is typed, in lower case; empty for Enter alone, and None for Ctrl-D, which is no
    answer."""
    print(f"{question} ", end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    if not line:
        print(file=sys.stderr)
        return None
    return line.strip().lower()
