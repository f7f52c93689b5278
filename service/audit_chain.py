"""Chains the entries of the audit log by hashes, and checks the chain."""

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

NO_ENTRY = "0" * 64
"""The value of `previous_sha256` in an organization's first entry."""


def canonical(entry: Mapping[str, Any]) -> str:
    """JSON with sorted keys and without spaces, in ASCII."""
    return json.dumps(entry, sort_keys=True, separators=(",", ":"))


def entry_sha256(entry: Mapping[str, Any]) -> str:
    """The hash that an entry must have: SHA-256 of the canonical JSON of all its other fields."""
    return sha256(canonical({key: entry[key] for key in entry if key != "sha256"}).encode()).hexdigest()


def chain_fault(entries: Iterable[Mapping[str, Any]]) -> str | None:
    """Returns evidence that the log was changed after it was written; None if there is none. `entries` are
    all entries of an organization, newest first."""
    wanted, place = None, None
    for entry in entries:
        number = entry["sequence"]
        if place is not None and number != place - 1:
            return f"entry {place - 1} is missing: entry {number} precedes entry {place}"
        if entry_sha256(entry) != entry["sha256"]:
            return f"entry {number} ({entry['id']}) was changed: its hash is not {entry['sha256']}"
        if wanted not in (None, entry["sha256"]):
            return f"entry {number} ({entry['id']}) is not the one that entry {place} was written after"
        wanted, place = entry["previous_sha256"], number
    if place is not None and (place, wanted) != (1, NO_ENTRY):
        return f"the log begins with entry {place}; those before it are missing"
    return None
