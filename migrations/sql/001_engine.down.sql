-- locks: {river}.river_job, {tidemill}.run, {tidemill}.process, {tidemill}.run_intent, {tidemill}.run_reject
DROP TRIGGER IF EXISTS tidemill_3_delete ON {river}.river_job;
DROP TRIGGER IF EXISTS tidemill_2_run ON {river}.river_job;
DROP TRIGGER IF EXISTS tidemill_1_fence ON {river}.river_job;
DROP FUNCTION {tidemill}.run_loses_job();
DROP FUNCTION {tidemill}.run_follows_job();
DROP FUNCTION {tidemill}.fence();
DROP VIEW {tidemill}.runs;
DROP TABLE {tidemill}.run_reject;
DROP TABLE {tidemill}.run_intent;
DROP TABLE {tidemill}.run;
DROP TABLE {tidemill}.process;
