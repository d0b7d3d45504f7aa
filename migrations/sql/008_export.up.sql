-- A file in the storage that a run writes part by part, and that is deleted some time after the run's end.
CREATE TABLE {tidemill}.artifact (
    id         bigint PRIMARY KEY,
    run        bigint NOT NULL,
    prefix     text NOT NULL,
    keep       interval NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN {tidemill}.artifact.id IS 'the run that began it';
COMMENT ON COLUMN {tidemill}.artifact.run IS 'the run that writes it now; only that one may';
COMMENT ON COLUMN {tidemill}.artifact.prefix IS 'begins the keys of all its objects, and of no others';
CREATE INDEX artifact_run_idx ON {tidemill}.artifact (run);

-- The parts that are committed; one behind the other, in the order of the key, they are the file. An object that is in no
-- row was left by an attempt that died before its commit.
CREATE TABLE {tidemill}.artifact_part (
    artifact bigint NOT NULL REFERENCES {tidemill}.artifact (id) ON DELETE CASCADE,
    span     integer NOT NULL,
    no       integer NOT NULL,
    object   text NOT NULL,
    rows     bigint NOT NULL,
    bytes    bigint NOT NULL,
    crc32c   bigint NOT NULL,
    PRIMARY KEY (artifact, span, no)
);
COMMENT ON COLUMN {tidemill}.artifact_part.span IS 'which of the ranges that were read at once; 0 if there is one';
