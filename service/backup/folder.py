"""A backup on disk: a folder that only its owner can read.

    manifest.json        what the backup is, and the SHA-256 of the files below. Written last: without it
                         there is no backup
    tables/NAME.jsonl    the rows of a table, a JSON object each
    objects.jsonl        the objects that the rows need: key, size and SHA-256
    objects/KEY          the bytes of such an object

With a key, all files but the manifest are encrypted (`service.backup.sealing`), and the manifest is signed.
Sizes and hashes are those of the plain content.
"""

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Annotated, BinaryIO

import orjson
from pydantic import Field, ValidationError

from cluster.contracts.errors import Conflict, CorruptArtefact, InvalidRequest
from cluster.contracts.frozen import FrozenModel
from cluster.storage.files import as_domain_error
from service.backup.sealing import CHUNK_BYTES, SALT_BYTES, BackupKey, SealingWriter, unsealed
from service.permissions import make_private_folder, write_private_file

FORMAT = 1
MANIFEST = "manifest.json"
OBJECT_LIST = "objects.jsonl"


class StoredFile(FrozenModel):
    bytes: int
    sha256: str


class Encryption(FrozenModel):
    cipher: str = "AES-256-GCM"
    kdf: str = "scrypt"
    salt: str = Field(pattern=r"^([0-9a-f]{2})+$")
    """Salt of the key, in hex."""
    key_check: str
    """BackupKey.check."""


class ObjectTotals(FrozenModel):
    are_copied: bool
    """Whether the backup has the objects' bytes."""
    objects: int
    bytes: int
    missing: int
    """Objects that rows name but that were not in storage, or no longer were when they were to be copied."""


class BackupManifest(FrozenModel):
    format: int = FORMAT
    tunery: str
    """The version that made the backup."""
    revision: str
    """Revision of the database's schema."""
    created_at: int
    """The moment of which the rows are a snapshot."""
    rows: Mapping[Annotated[str, Field(pattern="^[a-z_]+$")], int]
    """Number of rows by table."""
    objects: ObjectTotals
    encryption: Encryption | None
    files: Mapping[str, StoredFile]
    """The backup's files by name, without objects' files, which are in `objects.jsonl`."""
    signature: str = ""
    """Signature of all other fields, if the backup is encrypted."""

    def signed_text(self) -> bytes:
        fields = self.model_dump(mode="json", exclude={"signature"})
        return orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)


class HashedFile:
    """A file that is being written."""

    def __init__(self, target: BinaryIO, sealing: SealingWriter | None) -> None:
        self._sink = sealing or target
        self._sha256 = sha256()
        self._bytes = 0

    def write(self, data: bytes) -> None:
        self._sha256.update(data)
        self._bytes += len(data)
        self._sink.write(data)

    def stored(self) -> StoredFile:
        return StoredFile(bytes=self._bytes, sha256=self._sha256.hexdigest())


class BackupWriter:
    """Writes a new backup. Files may be written from several threads."""

    def __init__(self, folder: Path, secret: bytes | None) -> None:
        """Raises Conflict if the folder is not empty."""
        if folder.exists() and any(folder.iterdir()):
            raise Conflict(f"{folder} is not empty. Give a folder that does not exist yet.")
        make_private_folder(folder)
        self.folder = folder
        self._key: BackupKey | None = None
        self.encryption: Encryption | None = None
        if secret is not None:
            salt = secrets.token_bytes(SALT_BYTES)
            self._key = BackupKey(secret, salt)
            self.encryption = Encryption(salt=salt.hex(), key_check=self._key.check)

    @contextmanager
    def file(self, name: str) -> Iterator[HashedFile]:
        path = self.folder / name
        try:
            for parent in reversed(Path(name).parents):
                (self.folder / parent).mkdir(mode=0o700, exist_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as target:
                sealing = SealingWriter(target, self._key, name) if self._key else None
                yield HashedFile(target, sealing)
                if sealing is not None:
                    sealing.finish()
        except OSError as error:
            raise as_domain_error(error, path) from error

    def finish(self, manifest: BackupManifest) -> None:
        """Writes the manifest, which makes the folder a backup."""
        if self._key is not None:
            signature = self._key.sign(manifest.signed_text())
            manifest = manifest.model_copy(update={"signature": signature})
        # Everything must be on disk before the manifest says so.
        os.sync()
        write_private_file(self.folder / MANIFEST, manifest.model_dump_json(indent=2))


class BackupReader:
    """Reads a complete backup."""

    def __init__(self, folder: Path, secret: bytes | None) -> None:
        """Raises InvalidRequest if there is no backup, if it needs a later version or another key, or if a
        key is given but the backup is not encrypted: it may have been substituted for an encrypted one."""
        self.folder = folder
        self.manifest = _read_manifest(folder)
        self._key = _key_of(self.manifest, secret)

    def open(self, name: str) -> BinaryIO:
        path = self.folder / name
        try:
            source = path.open("rb")
        except FileNotFoundError as error:
            raise CorruptArtefact(f"{name} of the backup is missing.") from error
        return source if self._key is None else unsealed(source, self._key, name)

    def check(self, name: str, expected: StoredFile) -> None:
        """Reads the file, and raises CorruptArtefact if its content has changed."""
        digest = sha256()
        with self.open(name) as source:
            while chunk := source.read(CHUNK_BYTES):
                digest.update(chunk)
        if digest.hexdigest() != expected.sha256:
            raise CorruptArtefact(f"{name} of the backup was changed: its SHA-256 is another one.")


def table_name(table: str) -> str:
    """The file with a table's rows."""
    return f"tables/{table}.jsonl"


def object_name(key: str) -> str:
    """The file with an object's bytes."""
    return f"objects/{key}"


def _read_manifest(folder: Path) -> BackupManifest:
    try:
        document = orjson.loads((folder / MANIFEST).read_bytes())
    except FileNotFoundError as error:
        raise InvalidRequest(
            f"{folder} is no whole backup: it has no {MANIFEST}, which is written last."
        ) from error
    except orjson.JSONDecodeError as error:
        raise CorruptArtefact(f"{MANIFEST} of the backup cannot be read.") from error
    if isinstance(document, dict) and document.get("format", FORMAT) != FORMAT:
        raise InvalidRequest(
            f"The backup has format {document['format']}; this version of Tunery reads format {FORMAT}."
        )
    try:
        manifest = BackupManifest.model_validate(document)
    except ValidationError as error:
        raise CorruptArtefact(f"{MANIFEST} of the backup cannot be read.") from error
    if manifest.files.keys() != {OBJECT_LIST, *map(table_name, manifest.rows)}:
        raise CorruptArtefact(f"{MANIFEST} of the backup does not list the files of its tables.")
    return manifest


def _key_of(manifest: BackupManifest, secret: bytes | None) -> BackupKey | None:
    if manifest.encryption is None:
        if secret is not None:
            raise InvalidRequest(
                "The backup is not encrypted, and so nothing shows who made it. If you expected that, leave "
                "out --key-file."
            )
        return None
    if secret is None:
        raise InvalidRequest("The backup is encrypted: give its key with --key-file.")
    key = BackupKey(secret, bytes.fromhex(manifest.encryption.salt))
    if key.check != manifest.encryption.key_check:
        raise InvalidRequest("The backup was encrypted with another key.")
    if not secrets.compare_digest(key.sign(manifest.signed_text()), manifest.signature):
        raise CorruptArtefact(f"{MANIFEST} of the backup was changed after it was written.")
    return key
