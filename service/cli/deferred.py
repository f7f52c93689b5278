"""Commands whose modules are imported only when they run, so that `tunery --help` stays quick."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup


@dataclass(frozen=True)
class Deferred:
    """A command, or a group of commands, before its module is imported."""

    module: str
    """Name of the module. Its `app` has either one command of this name, or the group's commands."""
    help: str
    """The start of the command's own help text."""
    panel: str | None = None
    """The heading under which `tunery --help` lists it."""

    def load(self, name: str) -> Any:
        app = import_module(self.module).app
        is_group = [command.name for command in app.registered_commands] != [name]
        parent = typer.Typer()
        parent.add_typer(app, name=name if is_group else None)
        return typer.main.get_group(parent).commands[name]


def deferring(commands: dict[str, Deferred]) -> type[TyperGroup]:
    """Returns the class of a group that has these commands before its own."""

    class Group(TyperGroup):
        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings)
            listed = {
                name: TyperCommand(name, help=command.help, rich_help_panel=command.panel)
                for name, command in commands.items()
            }
            self.commands = {**listed, **self.commands}

        def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
            name, command, rest = super().resolve_command(ctx, args)
            if name is not None and name in commands:
                command = commands[name].load(name)
            return name, command, rest

    return Group
