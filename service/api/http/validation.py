"""Turns pydantic's validation errors into the one message, parameter and code that OpenAI's clients
expect."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic_core import PydanticCustomError

from cluster.contracts.errors import InvalidRequest
from service.api.http.wording import invalid_value


def cross_field_error(param: str, message: str, *, code: str | None = None) -> PydanticCustomError:
    """An error for validators of a whole body that concerns one parameter. `message` is a complete
    sentence."""
    return PydanticCustomError("cross_field", "{message}", {"message": message, "param": param, "code": code})


def invalid_request(error: RequestValidationError) -> InvalidRequest:
    """Reports the first invalid parameter."""
    findings = error.errors()
    first = _most_telling(findings, error.body)
    kind = first["type"]
    param = _param(first, error.body)
    if kind == "json_invalid":
        return InvalidRequest("The body is not valid JSON.", code="invalid_json")
    if kind == "cross_field":
        return InvalidRequest(first["msg"], param=first["ctx"]["param"], code=first["ctx"]["code"])
    if param is None:
        return InvalidRequest("The body must be a JSON object, sent with content-type: application/json.")
    match kind:
        case "missing" | "union_tag_not_found":
            return InvalidRequest(
                f"Missing required parameter: '{param}'.", code="missing_required_parameter", param=param
            )
        case "extra_forbidden":
            return InvalidRequest(f"Unknown parameter: '{param}'.", code="unknown_parameter", param=param)
        case "unsupported":
            message = f"Unsupported parameter: '{param}'. {first['msg']}."
            return InvalidRequest(message, code="unsupported_parameter", param=param)
    return invalid_value(param, [finding for finding in findings if _param(finding, error.body) == param])


def _most_telling(findings: Sequence[Any], body: Any) -> Any:
    """Returns the first error or, if that error is about a value that contains an invalid part, the error
    with the deepest path."""
    start = _param(findings[0], body)
    within = [finding for finding in findings if start and (_param(finding, body) or "").startswith(start)]
    return max(within or findings[:1], key=lambda finding: len(_path(finding, body)))


def _param(finding: Any, body: Any) -> str | None:
    """Returns `messages[2].role` for ("body", "messages", 2, "user", "role")."""
    name = ""
    for segment in _path(finding, body):
        name += f"[{segment}]" if isinstance(segment, int) else f".{segment}"
    return name.removeprefix(".") or None


def _path(finding: Any, body: Any) -> list[str | int]:
    """Returns the keys that lead to the value.

    pydantic inserts the names of union branches; segments that lead nowhere in the body are skipped. The last
    segment of a missing parameter is kept, and so is the first one of a query, header or path parameter. If
    an object names no known type, the path leads to the member with the type."""
    source, *segments = finding["loc"]
    kept: list[str | int] = []
    if source != "body":
        kept += segments[:1]
        return kept
    if finding["type"] == "string_too_long" and segments[-1] == "[key]":
        # This is the name of a property, and would appear in full in the message.
        segments = segments[:-2]
    here = body
    for segment in segments:
        is_index = isinstance(here, list) and isinstance(segment, int) and segment < len(here)
        if is_index or (isinstance(here, Mapping) and segment in here):
            here = here[segment]
            kept.append(segment)
    if finding["type"] == "missing" and segments and (not kept or kept[-1] != segments[-1]):
        kept.append(segments[-1])
    elif finding["type"] in ("union_tag_invalid", "union_tag_not_found"):
        kept.append(finding["ctx"]["discriminator"].strip("'"))
    return kept
