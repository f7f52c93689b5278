"""URLs of the database and the storage in the data folder, unless the environment sets others."""

import os
from collections.abc import Mapping
from pathlib import Path


def database_url(folder: Path, environment: Mapping[str, str] = os.environ) -> str:
    return environment.get("TUNERY_DATABASE_URL") or f"sqlite:///{folder.absolute() / 'tunery.db'}"


def storage_url(folder: Path, environment: Mapping[str, str] = os.environ) -> str:
    return environment.get("TUNERY_STORAGE_URL") or f"file://{folder.absolute() / 'objects'}"
