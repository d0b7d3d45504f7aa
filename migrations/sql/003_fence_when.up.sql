-- locks: {river}.river_job
-- River's insert is INSERT ... ON CONFLICT DO UPDATE, for which the server fires statement triggers of UPDATE as well. The
-- condition stands in the trigger, so that an application's insert pays no call of a function.
DROP TRIGGER tidemill_1_fence ON {river}.river_job;
CREATE TRIGGER tidemill_1_fence BEFORE UPDATE ON {river}.river_job
    FOR EACH STATEMENT WHEN (pg_catalog.current_setting('tidemill.client', true) <> '')
    EXECUTE FUNCTION {tidemill}.fence();
