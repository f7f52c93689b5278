"""A folder store that reports the key with which each of its objects would be encrypted in S3."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Self

from cluster.contracts.errors import Unavailable
from cluster.storage.files import unobserved
from cluster.storage.local import LocalStore
from cluster.storage.store import ObjectInfo

KEY = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
OTHER_KEY = "arn:aws:kms:eu-central-1:111122223333:key/0987dcba-09fe-87dc-65ba-ab0987654321"


class KeyedStore(LocalStore):
    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.refused: set[str] = set()
        """Keys with which no object can be stored."""
        self.keys: dict[str, str | None] = {}
        """Key by object, including objects that were deleted since."""

    def encrypted_with(self, key: str | None) -> Self:
        bound = copy.copy(self)
        bound.encryption_key = key
        return bound

    def put(self, key: str, source: bytes | BinaryIO) -> ObjectInfo:
        self._note(key)
        return super().put(key, source)

    def upload(self, key: str, path: Path, *, on_progress: Callable[[], None] = unobserved) -> ObjectInfo:
        self._note(key)
        return super().upload(key, path, on_progress=on_progress)

    def _note(self, key: str) -> None:
        if self.encryption_key in self.refused:
            raise Unavailable(f"Storage refuses PutObject of {key!r}: KMS.NotFoundException.")
        self.keys[key] = self.encryption_key

    def encryption_key_of(self, key: str) -> str | None:
        self.stat(key)
        return self.keys[key]

    def reencrypt(self, key: str) -> None:
        self.stat(key)
        self._note(key)
