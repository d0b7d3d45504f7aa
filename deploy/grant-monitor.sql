-- Lets a role read the ledger of runs, their params, errors and results included, and nothing else in the schema.
--
--   psql "$DATABASE_URL" -v role=dashboards -v schema=tidemill -f deploy/grant-monitor.sql
\set ON_ERROR_STOP on
BEGIN;
GRANT USAGE ON SCHEMA :"schema" TO :"role";
GRANT SELECT ON :"schema".runs TO :"role";
COMMIT;
