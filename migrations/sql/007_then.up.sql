-- locks: {tidemill}.job
-- What follows the runs of a job; NULL: nothing. {success, failure, always}, each a list of {job, params}.
ALTER TABLE {tidemill}.job ADD COLUMN follows jsonb;

-- An end of a run that something follows. The row is deleted in the transaction that starts it, so that it is started once.
CREATE TABLE {tidemill}.event (
    id      bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    run     bigint NOT NULL,
    job     text NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('success', 'failure')),
    at      timestamptz NOT NULL DEFAULT now(),
    tries   integer NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL DEFAULT now(),
    problem text
);
CREATE INDEX event_next_idx ON {tidemill}.event (next_at);

-- follow_events starts what follows. It returns what could not be started; that is tried again, twenty times in all.
CREATE FUNCTION {tidemill}.follow_events()
RETURNS TABLE (run bigint, problem text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '500ms' AS $$
#variable_conflict use_column
DECLARE
    e {tidemill}.event%ROWTYPE;
    follows jsonb;
    n jsonb;
    started bigint;
BEGIN
    FOR e IN SELECT * FROM {tidemill}.event WHERE next_at <= now() ORDER BY id LIMIT 100 FOR UPDATE SKIP LOCKED LOOP
        BEGIN
            SELECT j.follows INTO follows FROM {tidemill}.job j WHERE j.name = e.job;
            FOR n IN SELECT * FROM jsonb_array_elements(coalesce(follows->e.outcome, '[]') || coalesce(follows->'always', '[]')) LOOP
                started := {tidemill}.start(n->>'job', coalesce(n->'params', '{}'));
                -- Not that of a unique job that was live before.
                UPDATE {tidemill}.run r SET trigger = 'then', metadata = r.metadata || jsonb_build_object('after', e.run)
                 WHERE r.id = started AND r.enqueued_at = now();
            END LOOP;
            DELETE FROM {tidemill}.event x WHERE x.id = e.id;
        EXCEPTION WHEN OTHERS THEN
            run := e.run; problem := SQLERRM;
            IF e.tries >= 19 THEN
                UPDATE {tidemill}.run r SET metadata = r.metadata || jsonb_build_object('then_failed', SQLERRM) WHERE r.id = e.run;
                DELETE FROM {tidemill}.event x WHERE x.id = e.id;
            ELSE
                UPDATE {tidemill}.event x SET tries = x.tries + 1, problem = follow_events.problem,
                       next_at = now() + least(interval '1 minute', interval '1 second' * 2 ^ least(e.tries, 10)) WHERE x.id = e.id;
            END IF;
            RETURN NEXT;
        END;
    END LOOP;
END $$;
REVOKE ALL ON FUNCTION {tidemill}.follow_events FROM PUBLIC;

-- As before, and an end that something follows becomes an event, in River's own transaction.
CREATE OR REPLACE FUNCTION {tidemill}.run_follows_job() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    failed boolean := coalesce(array_length(NEW.errors, 1), 0) > coalesce(array_length(OLD.errors, 1), 0);
    was_final boolean := OLD.finalized_at IS NOT NULL;
    is_final boolean := NEW.finalized_at IS NOT NULL;
    -- A pause is a snooze into the far future.
    far boolean := NEW.state = 'scheduled' AND NEW.scheduled_at > now() + interval '50 years';
BEGIN
    -- If nobody asks for a pause any more, it is turned round; the update comes back here.
    IF far AND NOT EXISTS (SELECT FROM {tidemill}.run_intent WHERE run = NEW.id AND intent = 'pause') THEN
        UPDATE {river}.river_job SET state = 'available', scheduled_at = now() WHERE id = NEW.id;
        RETURN NULL;
    END IF;

    UPDATE {tidemill}.run SET
        status = CASE
            WHEN far THEN 'paused'
            WHEN NEW.state = 'running' THEN 'running'
            WHEN NEW.state = 'completed' THEN coalesce(outcome, 'succeeded')
            WHEN NEW.state = 'discarded' THEN 'failed'
            WHEN NEW.state = 'cancelled' THEN 'cancelled'
            WHEN NEW.state = 'retryable' OR failed OR OLD.state = 'retryable' THEN 'retrying'
            ELSE 'enqueued' END,
        error = CASE
            -- River's word for a cancellation that somebody asked for says no more than the status does.
            WHEN failed THEN nullif(regexp_replace(NEW.errors[array_upper(NEW.errors, 1)]->>'error', '^JobCancelError: ', ''),
                'job cancelled remotely')
            WHEN NEW.state IN ('completed', 'cancelled') OR was_final THEN NULL
            ELSE error END,
        result = CASE WHEN NEW.metadata ? 'output' THEN NEW.metadata->'output' ELSE result END,
        failures = CASE WHEN was_final THEN 0 ELSE failures END,
        started_at = CASE WHEN NEW.state = 'running' THEN coalesce(started_at, now()) ELSE started_at END,
        finished_at = CASE WHEN is_final THEN now() END,
        updated_at = now()
    WHERE id = NEW.id;

    IF is_final THEN
        DELETE FROM {tidemill}.run_intent WHERE run = NEW.id;
        IF NEW.state <> 'cancelled' THEN
            INSERT INTO {tidemill}.event (run, job, outcome)
            SELECT NEW.id, j.name, CASE NEW.state WHEN 'completed' THEN 'success' ELSE 'failure' END
              FROM {tidemill}.job j WHERE j.name = NEW.metadata->'tidemill'->>'job' AND j.follows IS NOT NULL;
        END IF;
    END IF;
    RETURN NULL;
END $$;
