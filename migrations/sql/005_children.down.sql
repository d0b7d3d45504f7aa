-- locks: {river}.river_job, {tidemill}.event
DROP TRIGGER IF EXISTS tidemill_5_child_delete ON {river}.river_job;
DROP TRIGGER IF EXISTS tidemill_4_child ON {river}.river_job;
DROP TRIGGER scan_is_no_end ON {tidemill}.event;
DROP FUNCTION {tidemill}.scan_is_no_end;
DROP FUNCTION {tidemill}.follow_events;
DROP FUNCTION {tidemill}.failure_params;
DROP FUNCTION {tidemill}.give_up_children;
DROP FUNCTION {tidemill}.cancel_waiting_children;
DROP FUNCTION {tidemill}.cancel_children;
DROP FUNCTION {tidemill}.fold_children;
DROP FUNCTION {tidemill}.child_is_lost;
DROP FUNCTION {tidemill}.child_moves;
