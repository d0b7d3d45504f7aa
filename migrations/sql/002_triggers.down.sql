-- locks: {river}.river_job
DROP TRIGGER IF EXISTS tidemill_3_delete ON {river}.river_job;
DROP TRIGGER IF EXISTS tidemill_2_run ON {river}.river_job;
DROP TRIGGER IF EXISTS tidemill_1_fence ON {river}.river_job;
DROP FUNCTION {tidemill}.lead;
DROP FUNCTION {tidemill}.settle_cancels;
DROP FUNCTION {tidemill}.settle_ends;
DROP FUNCTION {tidemill}.store_end;
DROP FUNCTION {tidemill}.cancel;
DROP FUNCTION {tidemill}.run_loses_job;
DROP FUNCTION {tidemill}.run_follows_job;
DROP FUNCTION {tidemill}.fence;
