-- locks: {tidemill}.event
-- The files of sources that imports were started for. A row stands as long as nobody removes it: the ledger forgets its runs,
-- and a file must not be imported again for that. It is made in the transaction that starts the run.
CREATE TABLE {tidemill}.source_file (
    job     text NOT NULL,
    url     text NOT NULL,
    version text NOT NULL,
    sha256  text NOT NULL,
    scan    bigint NOT NULL,
    run     bigint,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (job, url, version)
);
COMMENT ON COLUMN {tidemill}.source_file.version IS 'tells this content of the file from the next';
COMMENT ON COLUMN {tidemill}.source_file.scan IS 'run that found the file';
COMMENT ON COLUMN {tidemill}.source_file.run IS 'run that imports it, or one that had the same content before';

-- What follows an import follows the runs that import, not the one that looks for files; but that it failed may be told.
CREATE FUNCTION {tidemill}.scan_is_no_end() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM {tidemill}.run r WHERE r.id = NEW.run AND r.kind = 'tidemill.import_scan') THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER scan_is_no_end BEFORE INSERT ON {tidemill}.event
    FOR EACH ROW WHEN (NEW.outcome = 'success') EXECUTE FUNCTION {tidemill}.scan_is_no_end();
REVOKE ALL ON FUNCTION {tidemill}.scan_is_no_end FROM PUBLIC;
