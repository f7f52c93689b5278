"""The API reference, from the committed OpenAPI document."""

import json
from typing import Any

from tests.docs.markdown import code, sentence, table
from tests.documents import ROOT

_DESCRIBED_INLINE = {"Auto"}
"""Schemas too small for a table of their own."""


def load_document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((ROOT / "openapi/openapi.json").read_text())
    return document


def reference() -> str:
    document = load_document()
    parts = []
    for tag in _tags(document):
        parts.append(f"## {tag}")
        parts += [
            _route(document, method, path, route)
            for path, routes in document["paths"].items()
            for method, route in routes.items()
            if route["tags"] == [tag]
        ]
    parts.append("## Objects")
    parts += [
        _object(document, name, schema)
        for name, schema in sorted(document["components"]["schemas"].items())
        if name not in _DESCRIBED_INLINE
    ]
    return "\n\n".join(parts)


def fields(document: dict[str, Any], schema: dict[str, Any]) -> str:
    """A table of an object's fields."""
    required = set(schema.get("required", []))
    rows = []
    for name, field in schema.get("properties", {}).items():
        kind = kind_of(document, field)
        text = sentence(field.get("description", ""))
        if field.get("deprecated"):
            text = f"Deprecated. {text}".strip()
        default = "required" if name in required else _default(field)
        rows.append((code(name), kind, default, text))
    return table(("Field", "Type", "Default", "Meaning"), rows)


def kind_of(document: dict[str, Any], schema: dict[str, Any]) -> str:
    """A schema as a few words, with links to the objects it names."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        if name == "Auto":
            return "`auto`"
        return f"[{name}](api.md#{name.lower()})"
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return " or ".join(dict.fromkeys(kind_of(document, one) for one in schema[union]))
    if "const" in schema:
        return code(schema["const"])
    if "enum" in schema:
        return ", ".join(code(one) for one in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {kind_of(document, schema.get('items', {}))}"
    kind = str(schema.get("type", "any"))
    return f"{kind}{_limits(schema)}"


def _tags(document: dict[str, Any]) -> list[str]:
    tags = (route["tags"][0] for routes in document["paths"].values() for route in routes.values())
    return list(dict.fromkeys(tags))


def _route(document: dict[str, Any], method: str, path: str, route: dict[str, Any]) -> str:
    parts = [f"### {route['summary']}", f"`{method.upper()} {path}`"]
    if route.get("description"):
        parts.append(sentence(route["description"]))
    if parameters := route.get("parameters"):
        rows = [
            (
                code(one["name"]),
                one["in"],
                kind_of(document, one["schema"]),
                "required" if one.get("required") else _default(one["schema"]),
                sentence(one.get("description", "")),
            )
            for one in parameters
        ]
        parts.append(table(("Parameter", "In", "Type", "Default", "Meaning"), rows))
    if body := route.get("requestBody"):
        for media, content in body["content"].items():
            parts.append(f"Body ({code(media)}): {kind_of(document, content['schema'])}")
    for status, answer in route["responses"].items():
        if status == "default":
            continue
        for media, content in answer.get("content", {}).items():
            parts.append(f"Answer {status} ({code(media)}): {kind_of(document, content['schema'])}")
    return "\n\n".join(parts)


def _object(document: dict[str, Any], name: str, schema: dict[str, Any]) -> str:
    parts = [f"### {name}"]
    if schema.get("description"):
        parts.append(sentence(schema["description"]))
    if schema.get("properties"):
        parts.append(fields(document, schema))
    elif "enum" in schema or "anyOf" in schema or schema.get("type") != "object":
        parts.append(kind_of(document, {key: schema[key] for key in schema if key != "description"}))
    elif (values := schema.get("additionalProperties")) and isinstance(values, dict):
        parts.append(f"Any names; values are {kind_of(document, values)}.")
    else:
        parts.append("Any JSON object.")
    return "\n\n".join(parts)


def _default(schema: dict[str, Any]) -> str:
    default = schema.get("default")
    return "—" if default is None else code(json.dumps(default).strip('"'))


def _limits(schema: dict[str, Any]) -> str:
    said = []
    for key, words in (
        ("minimum", "≥ {}"),
        ("exclusiveMinimum", "> {}"),
        ("maximum", "≤ {}"),
        ("exclusiveMaximum", "< {}"),
        ("minLength", "≥ {} characters"),
        ("maxLength", "≤ {} characters"),
    ):
        if key in schema:
            said.append(words.format(f"{schema[key]:g}" if schema[key] < 1e6 else f"{schema[key]:.0f}"))
    return f" ({', '.join(said)})" if said else ""
