-- locks: {river}.river_job
DROP TRIGGER tidemill_1_fence ON {river}.river_job;
CREATE TRIGGER tidemill_1_fence BEFORE UPDATE ON {river}.river_job
    FOR EACH STATEMENT EXECUTE FUNCTION {tidemill}.fence();
