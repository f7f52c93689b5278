"""Sessions on SQLite or PostgreSQL, and their schema."""

import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    ExceptionContext,
    create_engine,
    event,
    func,
    literal_column,
    make_url,
    select,
    text,
)
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import ORMExecuteState, Session
from sqlalchemy.pool import QueuePool

from cluster.contracts.errors import InsufficientStorage, InvalidConfiguration, Unavailable
from service.db.migrating import migration_lock, migration_transaction, upgrade
from service.db.reserved_space import ReservedSpace

_CHANGED_JOBS = "changed jobs"
_DISK_FULL = "53100"
"""PostgreSQL's SQLSTATE disk_full."""
_READ_ONLY = "25006"
"""PostgreSQL's SQLSTATE read_only_sql_transaction."""
_POOL_SIZE = 10
"""Connections that stay open."""
_OVERFLOW = {"sqlite": 40, "postgresql": 20}
"""Further connections, which are closed after use."""


@dataclass(frozen=True, slots=True)
class Connections:
    """Number of connections that one process has to the database."""

    busy: int
    idle: int
    limit: int
    """The most that the process may open."""


class Database:
    """A thread-safe pool of connections. Use one per process, and `close` it."""

    def __init__(self, url: str, *, busy_seconds: float = 10.0) -> None:
        """`url` is `sqlite:///…` or `postgresql://…`. A writer waits `busy_seconds` for another's
        lock."""
        engine = _engine(_checked(url), busy_seconds)
        self._engine = engine
        self._reserved_space = _reserved_space(engine.url)
        self._listeners: list[Callable[[Collection[str]], None]] = []
        self.dialect = engine.dialect.name
        # SQLite's "begin" listener and psycopg turn these options into the right kind of transaction.
        self._writing: Engine = engine.execution_options(is_write=True)
        self._reading: Engine = (
            engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            if self.dialect == "postgresql"
            else engine
        )

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A read transaction with a consistent view. Raises Unavailable if the database does not answer."""
        with _unavailable_if_down(), Session(self._reading, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def snapshot(self) -> Iterator[Session]:
        """A read transaction that may take hours without blocking writers: on SQLite, it reads a copy of the
        file, made beside it. Raises Unavailable if the database does not answer."""
        if self.dialect == "postgresql":
            with self.read() as session:
                session.execute(text("SET LOCAL statement_timeout = 0"))
                session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
                yield session
            return
        assert self._engine.url.database is not None
        source = Path(self._engine.url.database)
        with TemporaryDirectory(prefix=f"{source.name}-copy-", dir=source.parent) as folder:
            copy = Path(folder) / source.name
            with _unavailable_if_down(), self._engine.connect() as connection:
                _copy_sqlite(connection, copy)
            with closing(Database(f"sqlite:///{copy}")) as copied, copied.read() as session:
                yield session

    @contextmanager
    def write(self, *, frees_space: bool = False) -> Iterator[Session]:
        """A write transaction, committed at the end and rolled back on any error. On SQLite, only one runs at
        a time. With `frees_space` it also succeeds on a full disk, using space that is reserved for it.

        Raises InsufficientStorage if the disk is full, and Unavailable if the database does not answer. Then
        nothing was written, unless the connection broke during the commit: repeat only idempotent writes."""
        with (
            self._reserved_space.released()
            if frees_space and self._reserved_space is not None
            else nullcontext(),
            _unavailable_if_down(),
            WriteSession(self._writing, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session
        if changed := session.info.get(_CHANGED_JOBS):
            for listener in self._listeners:
                listener(changed)

    @contextmanager
    def on_job_change(self, listener: Callable[[Collection[str]], None]) -> Iterator[None]:
        """Within the context, calls `listener` after each write that changed jobs (`note_change`), with their
        ids and in the writer's thread."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    def connections(self) -> Connections:
        pool = self._engine.pool  # another one after `close`
        assert isinstance(pool, QueuePool)
        return Connections(
            busy=pool.checkedout(),
            idle=pool.checkedin(),
            limit=_POOL_SIZE + _OVERFLOW[self.dialect],
        )

    def migrate(self, *, lock_seconds: float = 5.0) -> None:
        """Brings the schema up to date; safe if several processes start at once. See `upgrade`."""
        with _unavailable_if_down():
            upgrade(self._writing, lock_seconds=lock_seconds)
        if self._reserved_space is not None:
            self._reserved_space.allocate()

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """The only transaction that changes the schema; it may take as long as it needs. Raises RuntimeError,
        with nothing written, if rows would refer to rows that do not exist."""
        with (
            _unavailable_if_down(),
            migration_lock(self._writing),
            migration_transaction(self._writing) as connection,
        ):
            yield connection

    def close(self) -> None:
        self._engine.dispose()


class WriteSession(Session):
    """Reads a row again when it locks it: an earlier read, before the lock, may be out of date."""


@event.listens_for(WriteSession, "do_orm_execute")
def _refresh_locked_rows(state: ORMExecuteState) -> None:
    if state.is_select and getattr(state.statement, "_for_update_arg", None) is not None:
        state.update_execution_options(populate_existing=True)


def note_change(session: Session, job_id: str) -> None:
    """Notifies listeners, once this transaction is committed, that the job's status or log has changed."""
    session.info.setdefault(_CHANGED_JOBS, set()).add(job_id)


def now(session: Session) -> float:
    """Unix seconds by the database's clock, which all processes share. It advances within a transaction."""
    if session.get_bind().dialect.name == "postgresql":
        return float(session.scalars(select(func.extract("epoch", func.clock_timestamp()))).one())
    return float(session.scalars(select(literal_column("(julianday('now') - 2440587.5) * 86400.0"))).one())


def _checked(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise InvalidConfiguration("The database URL cannot be read.") from error
    backend = parsed.get_backend_name()
    if backend == "sqlite" and parsed.database not in (None, "", ":memory:"):
        return parsed.set(drivername="sqlite")
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    raise InvalidConfiguration(
        "The database URL must be sqlite:///path or postgresql://user:password@host/name."
    )


def _reserved_space(url: URL) -> ReservedSpace | None:
    """Reserves space next to SQLite's file. The disk of a database server is not ours to reserve."""
    return ReservedSpace(Path(f"{url.database}-reserve")) if url.get_backend_name() == "sqlite" else None


def _engine(url: URL, busy_seconds: float) -> Engine:
    try:
        if url.get_backend_name() == "sqlite":
            return _sqlite_engine(url, busy_seconds)
        return _postgresql_engine(url, busy_seconds)
    except NoSuchModuleError as error:
        raise InvalidConfiguration(f"No database driver for {url.drivername}.") from error


def _sqlite_engine(url: URL, busy_seconds: float) -> Engine:
    engine = create_engine(
        url,
        connect_args={"timeout": busy_seconds},
        pool_size=_POOL_SIZE,
        max_overflow=_OVERFLOW["sqlite"],
        # Errors are logged, and row values must not end up in logs.
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        connection.execute(f"PRAGMA journal_mode = {sqlite_journal_mode(sqlite3.sqlite_version_info)}")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        is_write = connection.get_execution_options().get("is_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_write else "BEGIN")

    return engine


def _copy_sqlite(connection: Connection, copy: Path) -> None:
    source = connection.connection.driver_connection
    assert isinstance(source, sqlite3.Connection)
    with closing(sqlite3.connect(copy)) as target:
        try:
            source.backup(target)
        except sqlite3.OperationalError as error:
            raise Unavailable(f"The database cannot be copied: {error}.") from error


def sqlite_journal_mode(version: tuple[int, ...]) -> str:
    """WAL where it is safe. Versions 3.7.0 to 3.51.2 can corrupt a database when the log is reset while
    another connection writes (https://sqlite.org/wal.html#walresetbug); the fix was backported to 3.44.6 and
    3.50.7."""
    is_fixed = version >= (3, 51, 3) or (3, 44, 6) <= version < (3, 45) or (3, 50, 7) <= version < (3, 51)
    return "WAL" if is_fixed else "DELETE"


def _postgresql_engine(url: URL, busy_seconds: float) -> Engine:
    engine = create_engine(
        url,
        pool_pre_ping=True,
        pool_size=_POOL_SIZE,
        max_overflow=_OVERFLOW["postgresql"],
        pool_timeout=10,
        hide_parameters=True,
        connect_args={
            # Notices a vanished host within seconds instead of the kernel's quarter of an hour.
            "connect_timeout": 5,
            "tcp_user_timeout": 10_000,
            # If there are several hosts, or a failover is under way, pick the host that accepts writes.
            "target_session_attrs": "read-write",
        }
        | dict(url.query),
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _: Any) -> None:
        connection.autocommit = True
        connection.execute(f"SET lock_timeout = {int(busy_seconds * 1000)}")
        connection.execute("SET statement_timeout = 30000")
        connection.autocommit = False

    @event.listens_for(engine, "handle_error")
    def _leave_standby(context: ExceptionContext) -> None:
        """A server that became a standby in a failover keeps its connections, and refuses only writes."""
        connection = context.connection
        is_write = connection is not None and connection.get_execution_options().get("is_write", False)
        if is_write and getattr(context.original_exception, "sqlstate", None) == _READ_ONLY:
            context.is_disconnect = True

    return engine


@contextmanager
def _unavailable_if_down() -> Iterator[None]:
    try:
        yield
    except PoolTimeout as error:
        raise Unavailable("The database is overloaded.", retry_after_seconds=1.0) from error
    except DBAPIError as error:
        if not _is_down(error):
            raise
        if _is_full(error):
            raise InsufficientStorage from error
        raise Unavailable("The database does not answer.", retry_after_seconds=2.0) from error


def _is_full(error: DBAPIError) -> bool:
    if isinstance(error.orig, sqlite3.OperationalError):
        return error.orig.sqlite_errorcode == sqlite3.SQLITE_FULL
    return getattr(error.orig, "sqlstate", None) == _DISK_FULL


def _is_down(error: DBAPIError) -> bool:
    """Whether a retry may help: the problem is a connection, a lock or the disk, not a wrong statement."""
    if error.connection_invalidated:
        return True
    if isinstance(error.orig, sqlite3.OperationalError):
        return error.orig.sqlite_errorcode != sqlite3.SQLITE_ERROR
    return type(error).__name__ in ("OperationalError", "InterfaceError")
