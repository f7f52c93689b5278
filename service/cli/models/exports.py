"""Waits for the export of a model, and shows its progress."""

from typing import Any, Literal

from service.cli.failures import CommandFailed
from service.cli.models.polling import next_state
from service.cli.progress import bar
from service.cli.remote import Api

Format = Literal["merged", "gguf"]
Quantization = Literal["f16", "bf16", "q8_0"]


def export_model(api: Api, path: str, format: Format, quantization: Quantization | None) -> dict[str, Any]:
    """Creates the export with a POST to `path`, unless it exists, and returns it once it has succeeded.
    Raises CommandFailed if it fails. If interrupted, the export continues on the server."""
    body = {"format": format, "quantization": quantization}
    export: dict[str, Any] = api.post(
        path, {name: value for name, value in body.items() if value is not None}
    )
    with bar("export", None, "bytes") as shown:
        while True:
            shown.update(export["bytes"]["done"], export["bytes"]["total"], f"export {export['status']}")
            if export["status"] not in ("queued", "running"):
                break
            export = next_state(api, f"/exports/{export['id']}")
    if export["error"] is not None:
        raise CommandFailed(f"{export['error']['message']} ({export['error']['code']})")
    return export
