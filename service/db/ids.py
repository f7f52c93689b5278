"""Ids of new rows."""

import hashlib
import secrets
import string
import time

_ALPHABET = string.digits + string.ascii_lowercase
"""These characters sort in this order under every collation, so that SQLite and PostgreSQL order ids
alike."""
_TIME_CHARACTERS = 10
_RANDOM_CHARACTERS = 14


def new_id(prefix: str) -> str:
    """`prefix` and 24 characters: microseconds, then 72 random bits.

    Ids of the same second thus sort by creation: lists break ties of `created_at` by id. Nothing else relies
    on it.
    """
    return prefix + _base36(time.time_ns() // 1000, _TIME_CHARACTERS) + random_characters(_RANDOM_CHARACTERS)


def result_file_id(job_id: str) -> str:
    """Id of the job's result file. It depends only on the job, so that a repeated publish writes the same
    object."""
    return "file-" + hashlib.sha256(f"results of {job_id}".encode()).hexdigest()[:24]


def event_file_id(job_id: str) -> str:
    """The same for the job's TensorBoard event file."""
    return "file-" + hashlib.sha256(f"events of {job_id}".encode()).hexdigest()[:24]


def measured_file_id(job_id: str) -> str:
    """The same for serving's measurements of the job's model before it is published. No row has this id."""
    return "file-" + hashlib.sha256(f"measurements of {job_id}".encode()).hexdigest()[:24]


def random_characters(count: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(count))


def _base36(number: int, width: int) -> str:
    digits = ""
    for _ in range(width):
        number, digit = divmod(number, 36)
        digits = _ALPHABET[digit] + digits
    return digits
