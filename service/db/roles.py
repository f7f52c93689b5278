"""The rights of the service's own role in PostgreSQL, if another role owns the tables."""

from sqlalchemy import Connection, inspect, text

from cluster.contracts.errors import InvalidConfiguration
from service.db.database import Database
from service.db.tables import AuditEntry

_SCHEMA_VERSION = "alembic_version"
_POWERS = text(
    "SELECT rolsuper, pg_has_role(rolname, current_user, 'MEMBER') FROM pg_roles WHERE rolname = :role"
)


def grant(database: Database, role: str) -> None:
    """Grants `role` what the API and the scheduler need: to read and write rows, but not to change tables,
    and only to add to the audit log. Run it as the owner, after every migration. Any further rights of `role`
    on these tables are revoked.

    Raises InvalidConfiguration if this database has no roles, or if the role does not exist or could change
    tables anyway."""
    if database.dialect != "postgresql":
        raise InvalidConfiguration("SQLite has no roles: grant to one in PostgreSQL.")
    with database.migrating() as connection:
        _check(connection, role)
        preparer = connection.dialect.identifier_preparer
        grantee = preparer.quote(role)
        schema = preparer.quote(connection.scalar(text("SELECT current_schema()")) or "public")
        connection.execute(text(f"REVOKE CREATE ON SCHEMA {schema} FROM {grantee}"))
        connection.execute(text(f"GRANT USAGE ON SCHEMA {schema} TO {grantee}"))
        connection.execute(text(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {grantee}"))
        for table in inspect(connection).get_table_names():
            name = f"{schema}.{preparer.quote(table)}"
            connection.execute(text(f"REVOKE ALL ON {name} FROM {grantee}"))
            connection.execute(text(f"GRANT {_rights(table)} ON {name} TO {grantee}"))


def _rights(table: str) -> str:
    if table == AuditEntry.__tablename__:
        return "SELECT, INSERT"
    return "SELECT" if table == _SCHEMA_VERSION else "SELECT, INSERT, UPDATE, DELETE"


def _check(connection: Connection, role: str) -> None:
    found = connection.execute(_POWERS, {"role": role}).first()
    if found is None:
        raise InvalidConfiguration(f"PostgreSQL has no role '{role}': CREATE ROLE {role} LOGIN PASSWORD '…'.")
    if any(found):
        raise InvalidConfiguration(
            f"The role '{role}' is a superuser, or is or may become the owner of the tables, so that nothing "
            "can be kept from it."
        )
