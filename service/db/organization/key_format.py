"""What API keys look like: 256 random bits, shown once, stored as SHA-256.

A generated key is `tk-<id>-<secret>-<checksum>`: the id finds its row, and the checksum exposes a mistyped
key without a query. An operator may also set a key of any other form, whose row is found by a part of its
hash."""

import hashlib
import re
import secrets
import zlib

from cluster.contracts.errors import AuthenticationFailed
from service.db.ids import random_characters

_GENERATED = re.compile(r"(?P<body>tk-(?P<id>[0-9a-z]{12})-[0-9a-f]{64})-(?P<checksum>[0-9a-f]{8})")
_GIVEN = "given-"


def generate_key() -> str:
    body = f"tk-{random_characters(12)}-{secrets.token_hex(32)}"
    return f"{body}-{_checksum(body)}"


def key_id(plaintext: str) -> str:
    """The id of the row that the key would have. Raises AuthenticationFailed for a mistyped generated key."""
    generated = _GENERATED.fullmatch(plaintext)
    if generated is None:
        return _GIVEN + sha256(plaintext)[:16]
    if generated["checksum"] != _checksum(generated["body"]):
        raise AuthenticationFailed("Incorrect API key provided: it is mistyped.")
    return generated["id"]


def redacted(id: str) -> str:
    """The key with this id as it may be shown."""
    return "…" if id.startswith(_GIVEN) else f"tk-{id}-…"


def sha256(plaintext: str) -> str:
    return hashlib.sha256(plaintext.encode("utf-8", "surrogatepass")).hexdigest()


def _checksum(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"
