-- locks: {tidemill}.run
DROP INDEX {tidemill}.run_live_alone_key;
ALTER TABLE {tidemill}.run DROP COLUMN alone;
