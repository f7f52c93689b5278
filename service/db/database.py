"""Sessions on SQLite or PostgreSQL, and their schema."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.orm import Session


class Database:
    """A pool of connections, safe for threads. Make one a process; `close` it."""

    def __init__(self, url: str, *, busy_seconds: float = 10.0) -> None:
        """`sqlite:///…` or `postgresql://…`. `busy_seconds`: how long a SQLite writer waits for another."""
        raise NotImplementedError

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A consistent view, rolled back at the end. Raises Unavailable if the database does not answer."""
        raise NotImplementedError

    @contextmanager
    def write(self) -> Iterator[Session]:
        """One transaction, committed at the end, rolled back on any error. SQLite: the only writer meanwhile.

        Raises Unavailable if the database does not answer; then nothing of it was written, unless the commit
        itself was cut off: repeat only what is idempotent.
        """
        raise NotImplementedError

    def migrate(self) -> None:
        """Brings the schema up to date; safe when several processes start at once."""
        raise NotImplementedError

    def ping(self) -> None:
        """Raises Unavailable if the database does not answer."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


def now(session: Session) -> float:
    """Unix seconds by the database's clock, which all processes share."""
    raise NotImplementedError
