"""Names in paths."""

from urllib.parse import quote


def segment(name: str) -> str:
    """A name as one segment of a path. Raises ValueError for `.` and `..`, which would lead elsewhere."""
    if name in ("", ".", ".."):
        raise ValueError(f"{name!r} cannot be the id of anything.")
    return quote(name, safe="")
