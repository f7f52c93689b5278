"""The licences of what an SBOM lists, as Markdown: `python -m tests.deploy.licences build/sbom.cdx.json`."""

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

UNKNOWN = "unknown"


def licences_of(component: Mapping[str, Any]) -> str:
    """SPDX ids or expressions, or the names that the package gives. A text instead of a name is left out."""
    found = []
    for one in component.get("licenses", ()):
        name = one.get("expression") or one["license"].get("id") or one["license"].get("name", "")
        if name and "\n" not in name and name not in found:
            found.append(name.removeprefix("License :: OSI Approved :: "))
    return ", ".join(found) or UNKNOWN


def table(components: Iterable[Mapping[str, Any]]) -> str:
    """Packages by name, with their versions and licences."""
    rows = [f"| {one['name']} | {one.get('version', '')} | {licences_of(one)} |" for one in components]
    return "\n".join(["| Package | Version | Licence |", "| --- | --- | --- |", *sorted(rows, key=str.lower)])


if __name__ == "__main__":
    print(table(json.loads(Path(sys.argv[1]).read_text())["components"]))
