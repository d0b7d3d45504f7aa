-- locks: {tidemill}.run, {tidemill}.schedule, {tidemill}.tick
DROP FUNCTION {tidemill}.trigger_schedule;
DROP FUNCTION {tidemill}.release_ticks;
DROP FUNCTION {tidemill}.fire;
DROP FUNCTION {tidemill}.start_tick;
DROP INDEX {tidemill}.run_live_job_idx;
DROP TABLE {tidemill}.tick;
DROP TABLE {tidemill}.schedule;
