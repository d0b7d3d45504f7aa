-- locks: {tidemill}.process
-- How an attempt ended, while its job's row cannot be written: somebody holds the row, or the server refuses what is to be
-- stored. Whoever looks after dead processes leaves such a job alone, and settle_ends stores the end as soon as that is possible.
-- error and metadata are text: the server shall look into them only when they are stored.
CREATE TABLE {tidemill}.job_end (
    job          bigint PRIMARY KEY,
    attempt      integer NOT NULL,
    attempted_at timestamptz NOT NULL,
    state        text NOT NULL,
    new_attempt  integer,
    error        text,
    finalized_at timestamptz,
    metadata     text,
    scheduled_at timestamptz,
    ended_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    tries        integer NOT NULL DEFAULT 0,
    next_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    problem      text
);
COMMENT ON COLUMN {tidemill}.job_end.new_attempt IS 'the attempt number that the job is given back with; NULL: as it is';
COMMENT ON COLUMN {tidemill}.job_end.problem IS 'why the end is not stored yet';

-- store_end stores one end. It returns what holds it up, or NULL if nothing is left to do.
CREATE FUNCTION {tidemill}.store_end(e {tidemill}.job_end, with_metadata boolean)
RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    j record;
    cancelled boolean;
    merged jsonb;
BEGIN
    SELECT r.state, r.attempt, r.attempted_at, r.metadata INTO j FROM {river}.river_job r WHERE r.id = e.job FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN CASE WHEN EXISTS (SELECT FROM {river}.river_job r WHERE r.id = e.job) THEN 'another session holds the row of the job' END;
    ELSIF j.state <> 'running' OR j.attempt <> e.attempt OR j.attempted_at <> e.attempted_at THEN
        RETURN NULL; -- somebody has ended it otherwise
    END IF;
    cancelled := e.state IN ('available', 'retryable', 'scheduled') AND (j.metadata ? 'cancel_attempted_at'
        OR EXISTS (SELECT FROM {tidemill}.run_intent i WHERE i.run = e.job AND i.intent = 'cancel'));
    merged := CASE
        WHEN e.metadata IS NULL THEN j.metadata
        WHEN with_metadata THEN j.metadata || e.metadata::jsonb
        ELSE j.metadata || jsonb_build_object('output', jsonb_build_object('tidemill_error', 'the output was refused by the database: ' || e.problem)) END;
    UPDATE {river}.river_job r SET
        state = CASE WHEN cancelled THEN 'cancelled' ELSE e.state END::{river}.river_job_state,
        finalized_at = CASE WHEN cancelled THEN clock_timestamp() ELSE e.finalized_at END,
        attempt = CASE WHEN cancelled THEN r.attempt ELSE coalesce(e.new_attempt, r.attempt) END,
        scheduled_at = CASE WHEN cancelled THEN r.scheduled_at ELSE coalesce(e.scheduled_at, r.scheduled_at) END,
        errors = CASE WHEN e.error IS NULL THEN r.errors ELSE array_append(r.errors, e.error::jsonb) END,
        metadata = merged
     WHERE r.id = e.job;
    RETURN NULL;
END $$;

-- settle_ends stores the ends that can be stored now, each by itself, and waits for nobody. It returns those that it could
-- not store, with the reason; they are tried again.
CREATE FUNCTION {tidemill}.settle_ends(most integer DEFAULT 1000)
RETURNS TABLE (job bigint, tries integer, problem text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '50ms' AS $$
#variable_conflict use_column
DECLARE
    e {tidemill}.job_end%ROWTYPE;
    until timestamptz := clock_timestamp() + interval '1 second';
    why text;
BEGIN
    FOR e IN SELECT * FROM {tidemill}.job_end x WHERE x.next_at <= clock_timestamp() ORDER BY x.next_at LIMIT most FOR UPDATE SKIP LOCKED LOOP
        EXIT WHEN clock_timestamp() > until;
        BEGIN
            why := {tidemill}.store_end(e, true);
        EXCEPTION
            WHEN data_exception OR program_limit_exceeded OR statement_too_complex THEN
                why := SQLERRM;
                e.problem := why;
                BEGIN -- the end is worth more than what it says
                    why := {tidemill}.store_end(e, false);
                EXCEPTION WHEN OTHERS THEN
                    why := SQLERRM;
                END;
            WHEN OTHERS THEN
                why := SQLERRM;
        END;
        IF why IS NULL THEN
            DELETE FROM {tidemill}.job_end x WHERE x.job = e.job;
            CONTINUE;
        END IF;
        UPDATE {tidemill}.job_end x SET tries = x.tries + 1, problem = why,
            next_at = clock_timestamp() + least(interval '100 milliseconds' * (x.tries + 1), interval '1 second')
         WHERE x.job = e.job;
        job := e.job; tries := e.tries + 1; problem := why;
        RETURN NEXT;
    END LOOP;
END $$;

-- settle_cancels is for cancellations that were asked for while the job ran, and that its worker had no occasion to follow.
CREATE FUNCTION {tidemill}.settle_cancels()
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    i record;
    j record;
BEGIN
    FOR i IN SELECT x.run, x.at FROM {tidemill}.run_intent x WHERE x.intent = 'cancel' FOR UPDATE SKIP LOCKED LOOP
        SELECT r.state, r.attempted_at INTO j FROM {river}.river_job r WHERE r.id = i.run;
        CONTINUE WHEN FOUND AND j.state = 'running' AND i.at >= j.attempted_at;
        IF FOUND AND j.state IN ('available', 'pending', 'retryable', 'scheduled') THEN
            PERFORM FROM {river}.river_job r WHERE r.id = i.run FOR NO KEY UPDATE SKIP LOCKED;
            CONTINUE WHEN NOT FOUND;
            UPDATE {river}.river_job r SET state = 'cancelled', finalized_at = clock_timestamp(),
                metadata = jsonb_set(r.metadata, '{cancel_attempted_at}', to_jsonb(i.at), true)
             WHERE r.id = i.run AND r.state IN ('available', 'pending', 'retryable', 'scheduled');
            CONTINUE WHEN NOT FOUND;
        END IF;
        DELETE FROM {tidemill}.run_intent x WHERE x.run = i.run AND x.intent = 'cancel';
    END LOOP;
END $$;

REVOKE ALL ON FUNCTION {tidemill}.store_end, {tidemill}.settle_ends, {tidemill}.settle_cancels FROM PUBLIC;

-- cancel never keeps the row of a running job: its worker could not store how it ended for as long as the caller's
-- transaction is open. It asks, by a row of its own, and whoever works the job follows.
CREATE OR REPLACE FUNCTION {tidemill}.cancel(id bigint)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    job record;
BEGIN
    BEGIN
        UPDATE {river}.river_job j SET state = 'cancelled', finalized_at = now(),
            metadata = jsonb_set(j.metadata, '{cancel_attempted_at}', to_jsonb(now()), true)
         WHERE j.id = (SELECT w.id FROM {river}.river_job w WHERE w.id = cancel.id
            AND w.state IN ('available', 'pending', 'retryable', 'scheduled') FOR NO KEY UPDATE SKIP LOCKED)
            AND NOT EXISTS (SELECT FROM {tidemill}.run r WHERE r.id = cancel.id AND r.outcome IS NOT NULL);
        IF FOUND THEN
            RETURN true;
        END IF;
        -- A row that began to run in this moment may be locked by now. The end of the block gives it back.
        RAISE 'not waiting' USING ERRCODE = 'TM002';
    EXCEPTION WHEN SQLSTATE 'TM002' THEN
        NULL;
    END;
    SELECT j.state, j.queue INTO job FROM {river}.river_job j WHERE j.id = cancel.id;
    IF NOT FOUND THEN
        UPDATE {tidemill}.run r SET status = 'cancelled', finished_at = now(), updated_at = now()
         WHERE r.id = cancel.id AND r.trigger = 'outside' AND r.finished_at IS NULL;
        IF FOUND THEN
            RETURN true;
        ELSIF EXISTS (SELECT FROM {tidemill}.run r WHERE r.id = cancel.id) THEN
            RETURN {tidemill}.give_up_children(cancel.id);
        END IF;
        RAISE 'there is no job %', id USING ERRCODE = '22023';
    ELSIF job.state IN ('cancelled', 'completed', 'discarded')
        OR EXISTS (SELECT FROM {tidemill}.run r WHERE r.id = cancel.id AND r.outcome IS NOT NULL) THEN
        RETURN {tidemill}.give_up_children(cancel.id);
    END IF;
    INSERT INTO {tidemill}.run_intent (run, intent) VALUES (cancel.id, 'cancel')
    ON CONFLICT (run, intent) DO NOTHING;
    PERFORM pg_notify({river:text} || '.river_control',
        json_build_object('action', 'cancel', 'job_id', cancel.id, 'queue', job.queue)::text);
    RETURN true;
END $$;

-- The session that beats for a process. Its end shows at once that the process is gone or cut off; no other session can have
-- its number and its beginning, while anybody could take an advisory lock.
ALTER TABLE {tidemill}.process ADD COLUMN session_pid integer, ADD COLUMN session_since timestamptz;
