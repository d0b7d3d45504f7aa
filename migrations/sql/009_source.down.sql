-- locks: {tidemill}.event, {tidemill}.source_file
DROP TRIGGER scan_is_no_end ON {tidemill}.event;
DROP FUNCTION {tidemill}.scan_is_no_end;
DROP TABLE {tidemill}.source_file;
