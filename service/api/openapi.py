"""Writes the API's OpenAPI document, or checks that the committed one is current:

python -m service.api.openapi > openapi/openapi.json
python -m service.api.openapi --check"""

import sys
from pathlib import Path
from typing import Any

import orjson

from service.api.app import create_app
from service.settings import Settings

COMMITTED = Path(__file__).parents[2] / "openapi" / "openapi.json"


def as_text(document: dict[str, Any]) -> str:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n"


def main() -> int:
    text = as_text(create_app(Settings()).openapi())
    if "--check" not in sys.argv[1:]:
        sys.stdout.write(text)
        return 0
    if COMMITTED.read_text() == text:
        return 0
    sys.stderr.write(f"{COMMITTED} differs: run python -m service.api.openapi > openapi/openapi.json\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
