"""The format of API keys and their ids: 256 random bits, shown once, stored as SHA-256.

A generated key is `tk-<id>-<secret>-<checksum>`: its row is found by the id, and the checksum exposes a
mistyped key without a query. An operator may also set a key in any other format; its row is found by a part
of the key's hash.
"""

import hashlib
import json
import re
import secrets
import zlib

from cluster.contracts.errors import AuthenticationFailed
from service.db.ids import random_characters

_GENERATED = re.compile(r"(?P<body>tk-(?P<id>[0-9a-z]{12})-[0-9a-f]{64})-(?P<checksum>[0-9a-f]{8})")
_GIVEN = "given-"
_HOLDER = "oidc-"


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


def holder_id(issuer: str, subject: str, project_id: str) -> str:
    """The id of the row for a holder's tokens in a project. No key has this id."""
    named = json.dumps([issuer, subject, project_id])
    return _HOLDER + sha256(named)[:24]


def redacted(id: str) -> str:
    """How the key with this id may be shown."""
    return "…" if id.startswith((_GIVEN, _HOLDER)) else f"tk-{id}-…"


def logged_id(id: str) -> str:
    """How the key with this id is named in logs. The id of a key that the operator chose is a part of its
    hash, from which a weak key could be guessed."""
    return _GIVEN.rstrip("-") if id.startswith(_GIVEN) else id


def sha256(plaintext: str) -> str:
    return hashlib.sha256(plaintext.encode("utf-8", "surrogatepass")).hexdigest()


def _checksum(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"
