"""The files from which a model's processor of images and sound is made."""

import json
from pathlib import Path

_FILES = ("processor_config.json", "preprocessor_config.json", "video_preprocessor_config.json")


def processor_files(folder: Path) -> dict[str, bytes]:
    """Returns these files of the model in `folder` by name; none for a model of text alone. Serving programs
    do not start a model of text and images without them. They do not name code of the model's own to run."""
    found = {}
    for name in _FILES:
        if (folder / name).is_file():
            fields = json.loads((folder / name).read_bytes())
            fields.pop("auto_map", None)
            found[name] = json.dumps(fields, indent=2).encode()
    return found
