"""The formats in which a tuned model's weights are available."""

from cluster.contracts.errors import Conflict, InvalidRequest
from cluster.contracts.exports import ExportFormat, Quantization
from service.db.models.exports import ModelExport
from service.db.models.models import TunedModel

_HOW_TO = "POST /v1/models/{model}/exports"


def quantization_of(format: ExportFormat, wanted: Quantization | None) -> Quantization | None:
    """Raises InvalidRequest (`invalid_parameter_combination`)."""
    if format == "gguf":
        return wanted or "f16"
    if wanted is not None:
        raise InvalidRequest(
            "Only `gguf` has a `quantization`; a merged model has its base's own type.",
            code="invalid_parameter_combination",
            param="quantization",
        )
    return None


def is_original(found: TunedModel, format: str) -> bool:
    """Whether the stored weights have this format already."""
    return format == "original" or (format == "merged" and found.adapter.form == "full")


def check_exportable(found: TunedModel, format: ExportFormat) -> None:
    """Raises InvalidRequest (`format_not_available`)."""
    if is_original(found, format):
        reason = "It is a full model already: download it without a format."
    elif found.adapter.form == "prefix":
        reason = "A tuned prefix is no part of the weights. Download it as it is."
    else:
        return
    raise InvalidRequest(
        f"'{found.name}' cannot be exported as {format}. {reason}",
        code="format_not_available",
        param="format",
    )


def not_ready(found: TunedModel, format: ExportFormat, export: ModelExport | None) -> Conflict:
    """The error that says why there is nothing to download yet, and what to do. `export` is the newest one,
    if any."""
    if export is None:
        state = f"There is no export of '{found.name}' as {format}. Make one with {_HOW_TO}."
    elif export.status == "failed":
        reason = (export.error or {}).get("message", "")
        state = f"The export {export.id} of '{found.name}' as {format} failed: {reason}"
    else:
        share = f" ({export.done_bytes} of {export.total_bytes} bytes)" if export.total_bytes else ""
        state = (
            f"The export {export.id} of '{found.name}' as {format} is {export.status}{share}. "
            f"GET /v1/exports/{export.id} says when it has succeeded."
        )
    return Conflict(state, code="export_not_ready", param="format")
