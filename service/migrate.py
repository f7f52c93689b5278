"""`python -m service.migrate`: migrates the database and sets the operator's key to TUNERY_API_KEY.

Run it in every deployment before the API and the scheduler start. It is safe to repeat, even concurrently.
"""

import os
import sys

from service.db.database import Database
from service.db.organization.api_keys import ApiKeys
from service.settings import Settings


def main() -> None:
    key = os.environ.get("TUNERY_API_KEY")
    if not key:
        sys.exit("TUNERY_API_KEY is not set: give the first admin key, 32 random characters or more.")
    settings = Settings()
    database = Database(settings.database_url)
    try:
        database.migrate()
        with database.write() as session:
            ApiKeys(session).ensure_admin(key, organization=settings.organization)
    finally:
        database.close()


if __name__ == "__main__":
    main()
