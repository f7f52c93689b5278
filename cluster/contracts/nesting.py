"""How deep the JSON of users may nest: much of what reads it later is recursive."""

MAX_DEPTH = 64


def is_too_deep(text: str | bytes, data: object) -> bool:
    """Whether `data`, which is what the JSON `text` says, nests deeper than MAX_DEPTH levels."""
    # The number of brackets is an upper bound of the depth, and is counted in C. Few texts have enough
    # brackets to need a walk.
    if isinstance(text, str):
        num_brackets = text.count("{") + text.count("[")
    else:
        num_brackets = text.count(b"{") + text.count(b"[")
    return num_brackets > MAX_DEPTH and _is_deeper(data)


def _is_deeper(data: object) -> bool:
    layer = [data]
    for _ in range(MAX_DEPTH + 1):
        containers = [value for value in layer if isinstance(value, dict | list)]
        if not containers:
            return False
        layer = [
            inner for value in containers for inner in (value.values() if isinstance(value, dict) else value)
        ]
    return True
