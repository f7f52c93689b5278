"""From pydantic's list of findings to the one sentence, parameter and code that OpenAI's clients expect."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError

from cluster.contracts.errors import InvalidRequest

_CODES = {
    "missing": "missing_required_parameter",
    "extra_forbidden": "unknown_parameter",
    "json_invalid": "invalid_json",
}


def invalid_request(error: RequestValidationError) -> InvalidRequest:
    """Tells the first parameter that is wrong, with everything that was found wrong with it."""
    findings = error.errors()
    first = findings[0]
    if first["type"] == "json_invalid":
        return InvalidRequest("The body is not valid JSON.", code="invalid_json")
    param = _param(first, error.body)
    if first["type"] == "missing":
        message = f"Missing required parameter: '{param}'." if param else "The request needs a JSON body."
    elif first["type"] == "extra_forbidden":
        message = f"Unknown parameter: '{param}'."
    else:
        reasons = [finding["msg"] for finding in findings if _param(finding, error.body) == param]
        message = f"Invalid value for '{param}': {'; or '.join(dict.fromkeys(reasons))}."
    return InvalidRequest(message, code=_CODES.get(first["type"]), param=param)


def _param(finding: dict[str, Any], body: Any) -> str | None:
    """`messages[2].role` from ("body", "messages", 2, "user", "role").

    pydantic puts the names of union branches among the keys, so a segment that leads nowhere in the body is
    skipped; of a missing parameter the last segment is kept."""
    source, *segments = finding["loc"]
    if source != "body":
        return ".".join(str(segment) for segment in segments) or None
    kept = _present(segments, body)
    if finding["type"] == "missing" and segments and (not kept or kept[-1] != segments[-1]):
        kept.append(segments[-1])
    name = ""
    for segment in kept:
        name += f"[{segment}]" if isinstance(segment, int) else f".{segment}"
    return name.removeprefix(".") or None


def _present(segments: Sequence[str | int], body: Any) -> list[str | int]:
    kept: list[str | int] = []
    here = body
    for segment in segments:
        is_index = isinstance(here, list) and isinstance(segment, int) and segment < len(here)
        if is_index or (isinstance(here, Mapping) and segment in here):
            here = here[segment]
            kept.append(segment)
    return kept
