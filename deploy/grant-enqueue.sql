-- Lets a role insert jobs, start configured jobs, cancel them, and record runs of its own; and do nothing else in the schema.
--
--   psql "$DATABASE_URL" -v role=app -v schema=tidemill -f deploy/grant-enqueue.sql
--
-- Run it as the owner of the schema, after tidemill migrate up. The functions run with their owner's rights, so that owner
-- should not be a superuser.
\set ON_ERROR_STOP on
BEGIN;
GRANT USAGE ON SCHEMA :"schema" TO :"role";
GRANT EXECUTE ON FUNCTION
    :"schema".enqueue, :"schema".start, :"schema".cancel,
    :"schema".run_begin, :"schema".run_finish, :"schema".run_fail
TO :"role";
COMMIT;
