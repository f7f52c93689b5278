"""Where an installation on one machine keeps rows and objects, unless the environment names other places."""

import os
from collections.abc import Mapping
from pathlib import Path


def database_url(folder: Path, environment: Mapping[str, str] = os.environ) -> str:
    return environment.get("TUNERY_DATABASE_URL") or f"sqlite:///{folder.absolute() / 'tunery.db'}"


def storage_url(folder: Path, environment: Mapping[str, str] = os.environ) -> str:
    return environment.get("TUNERY_STORAGE_URL") or f"file://{folder.absolute() / 'objects'}"
