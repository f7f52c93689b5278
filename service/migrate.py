"""`python -m service.migrate`: migrates the database and sets the operator's key to TUNERY_API_KEY. Without
that, an installation keeps the key that it has.

Run it in every deployment before the API and the scheduler start. It is safe to repeat, even concurrently.
With `--grant-to ROLE` it runs as the owner of the tables, and grants ROLE what the API and the scheduler
need.
"""

import argparse
import os
import sys

from cluster.contracts.errors import InvalidConfiguration
from service.db.database import Database
from service.db.organization.api_keys import ApiKeys
from service.db.roles import grant
from service.settings import Settings


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m service.migrate")
    parser.add_argument(
        "--grant-to",
        metavar="ROLE",
        help="PostgreSQL's role of the API and the scheduler, which owns nothing",
    )
    role: str | None = parser.parse_args().grant_to
    key = os.environ.get("TUNERY_API_KEY")
    settings = Settings()
    database = Database(settings.database_url)
    try:
        database.migrate()
        with database.write() as session:
            keys = ApiKeys(session)
            if key:
                keys.ensure_admin(key, organization=settings.organization)
            elif not keys.has_operators_key():
                sys.exit(
                    "TUNERY_API_KEY is not set, and a new installation needs it: give the operator's key, 32 "
                    "random characters or more, and keep it."
                )
        if role is not None:
            grant(database, role)
    except InvalidConfiguration as error:
        sys.exit(error.message)
    finally:
        database.close()


if __name__ == "__main__":
    main()
