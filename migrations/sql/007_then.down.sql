-- locks: {tidemill}.event, {tidemill}.job
DROP FUNCTION {tidemill}.follow_events;
DROP TABLE {tidemill}.event;
ALTER TABLE {tidemill}.job DROP COLUMN follows;

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
    END IF;
    RETURN NULL;
END $$;
