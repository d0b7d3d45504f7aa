-- locks: {tidemill}.run
-- A run that says so is the only live one of its job; identity tells which work it does, and one run can have both.
-- Neither column changes after the insert, so that a chunk's update stays HOT.
ALTER TABLE {tidemill}.run ADD COLUMN alone boolean NOT NULL DEFAULT false;

CREATE UNIQUE INDEX run_live_alone_key ON {tidemill}.run (job) WHERE alone AND finished_at IS NULL;
