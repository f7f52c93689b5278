"""Waits for the export of a model, and shows how far it is."""

import sys
import time
from typing import Any, Literal

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from service.cli.remote import Api, CommandFailed

Format = Literal["merged", "gguf"]
Quantization = Literal["f16", "bf16", "q8_0"]

_POLL_SECONDS = 1.0


def export_model(api: Api, path: str, format: Format, quantization: Quantization | None) -> dict[str, Any]:
    """Makes the export with a POST to `path`, unless it exists, and returns it once it has succeeded. Raises
    CommandFailed if it fails. Interrupted, it goes on by itself."""
    body = {"format": format, "quantization": quantization}
    export: dict[str, Any] = api.post(
        path, {name: value for name, value in body.items() if value is not None}
    )
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as shown:
        task = shown.add_task("", total=None)
        while True:
            done, total = export["bytes"]["done"], export["bytes"]["total"]
            shown.update(task, description=f"export {export['status']}", completed=done, total=total)
            if export["status"] not in ("queued", "running"):
                break
            time.sleep(_POLL_SECONDS)
            export = api.get(f"/exports/{export['id']}")
    if export["error"] is not None:
        raise CommandFailed(f"{export['error']['message']} ({export['error']['code']})")
    return export
