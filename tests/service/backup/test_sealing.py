"""Encrypted files: whole, or refused."""

import io

import pytest

from cluster.contracts.errors import CorruptArtefact
from service.backup.sealing import CHUNK_BYTES, SALT_BYTES, BackupKey, SealingWriter, unsealed

KEY = BackupKey(b"a secret of the operator", b"salt" * 8)
BLOCK = CHUNK_BYTES + 16


def sealed(content: bytes, name: str = "a") -> bytes:
    target = io.BytesIO()
    writer = SealingWriter(target, KEY, name)
    writer.write(content[:100])
    writer.write(content[100:])
    writer.finish()
    return target.getvalue()


def opened(stored: bytes, name: str = "a", key: BackupKey = KEY) -> bytes:
    with unsealed(io.BytesIO(stored), key, name) as reader:
        return reader.read()


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES])
def test_what_was_sealed_can_be_read_again(size: int) -> None:
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    stored = sealed(content)
    assert opened(stored) == content
    # One byte is among random ones by chance.
    assert content[:64] not in stored or size <= 1


def test_no_file_can_be_changed_cut_off_or_exchanged() -> None:
    stored = sealed(b"x" * (2 * CHUNK_BYTES + 5))
    first, second = SALT_BYTES, SALT_BYTES + BLOCK
    changes = {
        "a bit": stored[:500] + bytes([stored[500] ^ 1]) + stored[501:],
        "its end": stored[:-1],
        "its last chunk": stored[: SALT_BYTES + 2 * BLOCK],
        "all chunks": stored[:SALT_BYTES],
        "nothing left": b"",
        "the order": stored[:first] + stored[second : second + BLOCK] + stored[first:second] + stored[-21:],
        "more": stored + stored[-21:],
    }
    for what, changed in changes.items():
        with pytest.raises(CorruptArtefact, match="changed or cut off"):
            pytest.fail(f"{what}: {opened(changed)[:9]!r}")
    with pytest.raises(CorruptArtefact):
        opened(stored, name="another file")


def test_another_key_opens_nothing() -> None:
    other = BackupKey(b"another secret", b"salt" * 8)
    assert other.check != KEY.check
    with pytest.raises(CorruptArtefact):
        opened(sealed(b"text"), key=other)
