#!/bin/sh
# Runs when the database is created. The API and the scheduler use this role, which owns nothing: the migration, which runs as
# the owner, lets it read and write rows.
set -e
psql --set ON_ERROR_STOP=1 --set password="$SERVICE_PASSWORD" --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
CREATE ROLE tunery_service LOGIN PASSWORD :'password';
SQL
