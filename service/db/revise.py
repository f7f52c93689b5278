"""`python -m service.db.revise "Add a column"` writes the migration to the current `tables.py`.

Read the result before you commit it: a renamed column, for example, looks like a dropped one and a new one.
"""

import sys
import tempfile
from pathlib import Path

from alembic import command
from sqlalchemy import create_engine

from service.db.database import Database
from service.db.migrating import migration_config


def revise(message: str) -> None:
    """Compares the tables with a database that has all existing migrations."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'scratch.db'}"
        database = Database(url)
        database.migrate()
        database.close()
        engine = create_engine(url)
        with engine.connect() as connection:
            command.revision(
                migration_config(connection), message, autogenerate=True, rev_id=_next_revision()
            )
        engine.dispose()


def _next_revision() -> str:
    versions = Path(__file__).with_name("migrations") / "versions"
    return f"{len(list(versions.glob('*.py'))) + 1:04d}"


if __name__ == "__main__":
    revise(sys.argv[1])
