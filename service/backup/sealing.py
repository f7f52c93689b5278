"""Encrypts the files of a backup with a key, chunk by chunk, so that memory does not grow with a file.

A sealed file consists of 32 random bytes and chunks of AES-256-GCM. Its key is derived from the backup's key,
those bytes and the file's name (HKDF). The nonce of a chunk consists of its number and whether it is the last
one, and its associated data are the file's name and the chunk's number: chunks and files cannot be exchanged,
cut off or added without being noticed (the STREAM construction, https://eprint.iacr.org/2015/189).
"""

import hmac
import io
import os
from hashlib import sha256
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from cluster.contracts.errors import CorruptArtefact

CHUNK_BYTES = 1 << 20
SALT_BYTES = 32
_TAG_BYTES = 16


class BackupKey:
    """The key of one backup, derived from a secret and the backup's own salt (with scrypt, which slows down
    guessing a passphrase)."""

    def __init__(self, secret: bytes, salt: bytes) -> None:
        self._key = Scrypt(salt=salt, length=32, n=2**15, r=8, p=1).derive(secret)

    @property
    def check(self) -> str:
        """A value that shows whether a key is the right one, and nothing else about it."""
        return self._derived(b"", b"check").hex()

    def sign(self, text: bytes) -> str:
        """HMAC-SHA-256 in hex."""
        return hmac.new(self._derived(b"", b"manifest"), text, sha256).hexdigest()

    def cipher(self, name: str, salt: bytes) -> AESGCM:
        return AESGCM(self._derived(salt, b"file\0" + name.encode()))

    def _derived(self, salt: bytes, info: bytes) -> bytes:
        return HKDF(SHA256(), 32, salt, b"tunery backup\0" + info).derive(self._key)


class SealingWriter:
    """Encrypts the data written to it into `target`, which stays open. Without `finish`, the file is
    incomplete."""

    def __init__(self, target: BinaryIO, key: BackupKey, name: str) -> None:
        salt = os.urandom(SALT_BYTES)
        target.write(salt)
        self._target = target
        self._cipher = key.cipher(name, salt)
        self._name = name
        self._number = 0
        self._waiting = bytearray()

    def write(self, data: bytes) -> None:
        self._waiting += data
        # The last chunk, whose nonce differs, waits for `finish`.
        while len(self._waiting) > CHUNK_BYTES:
            self._seal(bytes(self._waiting[:CHUNK_BYTES]), is_last=False)
            del self._waiting[:CHUNK_BYTES]

    def finish(self) -> None:
        self._seal(bytes(self._waiting), is_last=True)

    def _seal(self, chunk: bytes, *, is_last: bool) -> None:
        nonce, data = _place(self._name, self._number, is_last)
        self._target.write(self._cipher.encrypt(nonce, chunk, data))
        self._number += 1


def unsealed(source: BinaryIO, key: BackupKey, name: str) -> BinaryIO:
    """Returns a reader of the sealed content, which closes `source`. It raises CorruptArtefact where the file
    was changed or cut off."""
    return io.BufferedReader(_UnsealingReader(source, key, name), CHUNK_BYTES)


class _UnsealingReader(io.RawIOBase):
    def __init__(self, source: BinaryIO, key: BackupKey, name: str) -> None:
        self._source = source
        self._cipher = key.cipher(name, source.read(SALT_BYTES))
        self._name = name
        self._number = 0
        self._next = source.read(CHUNK_BYTES + _TAG_BYTES)
        self._is_over = False
        self._plain = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._plain and not self._is_over:
            self._plain = memoryview(self._unseal())
        taken = self._plain[: len(buffer)]
        buffer[: len(taken)] = taken
        self._plain = self._plain[len(taken) :]
        return len(taken)

    def close(self) -> None:
        self._source.close()
        super().close()

    def _unseal(self) -> bytes:
        chunk, self._next = self._next, self._source.read(CHUNK_BYTES + _TAG_BYTES)
        self._is_over = not self._next
        nonce, data = _place(self._name, self._number, self._is_over)
        self._number += 1
        try:
            return self._cipher.decrypt(nonce, chunk, data)
        except (InvalidTag, ValueError) as error:
            raise CorruptArtefact(
                f"{self._name} of the backup was changed or cut off: its chunk {self._number} cannot be "
                "decrypted."
            ) from error


def _place(name: str, number: int, is_last: bool) -> tuple[bytes, bytes]:
    """The nonce and the associated data of a chunk."""
    return number.to_bytes(11, "big") + bytes([is_last]), f"{name}\0{number}".encode()
