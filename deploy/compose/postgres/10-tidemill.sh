#!/bin/sh
# The postgres image runs this once, when it has made its data folder. Tidemill's functions run with the rights of the owner of
# its schema, so that owner is a role of its own, not the superuser.
set -eu
psql -X -q -v ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
\getenv password TIDEMILL_PASSWORD
CREATE ROLE tidemill LOGIN PASSWORD :'password';
CREATE DATABASE tidemill OWNER tidemill;
SQL
