-- One row for each recipient that a mail was offered for: it is what keeps a mail from being sent twice.
-- 'sending' is committed before the server has any of the mail. A row that an attempt finds in that state was left by one
-- that died there, and means the same as 'unknown': the server had, or may have had, the mail, and nobody knows its answer.
CREATE TABLE {tidemill}.message_claim (
    key        text NOT NULL,
    recipient  text NOT NULL,
    run        bigint NOT NULL,
    state      text NOT NULL CHECK (state IN ('sending', 'sent', 'refused', 'deferred', 'unknown')),
    tries      integer NOT NULL DEFAULT 0,
    ended      integer,
    message_id text NOT NULL,
    detail     text,
    first_at   timestamptz NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (key, recipient)
);
COMMENT ON COLUMN {tidemill}.message_claim.key IS 'which mail; the id of the first run of a chain of retries';
COMMENT ON COLUMN {tidemill}.message_claim.run IS 'the run that touched it last';
COMMENT ON COLUMN {tidemill}.message_claim.tries IS 'how often the server was given the mail; whoever gave it may only write while this is his count';
COMMENT ON COLUMN {tidemill}.message_claim.ended IS 'the attempt with which the run failed for good; a later one was asked for by a person';

CREATE INDEX message_claim_updated_idx ON {tidemill}.message_claim (updated_at);
