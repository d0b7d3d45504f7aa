DROP FUNCTION {tidemill}.trigger_schedule;
DROP FUNCTION {tidemill}.release_ticks;
DROP FUNCTION {tidemill}.fire;
DROP FUNCTION {tidemill}.start_tick;
DROP FUNCTION {tidemill}.schedule_args;
DROP FUNCTION {tidemill}.job_of;
