-- locks: {river}.river_job, {tidemill}.run, {tidemill}.child_cancel, {tidemill}.child_delta
DROP TRIGGER IF EXISTS tidemill_5_child_delete ON {river}.river_job;
DROP TRIGGER IF EXISTS tidemill_4_child ON {river}.river_job;
DROP TRIGGER tidemill_3_delete ON {river}.river_job;
DROP TRIGGER tidemill_2_run ON {river}.river_job;
CREATE TRIGGER tidemill_2_run AFTER UPDATE ON {river}.river_job
    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state AND NEW.metadata ? 'tidemill')
    EXECUTE FUNCTION {tidemill}.run_follows_job();
CREATE TRIGGER tidemill_3_delete AFTER DELETE ON {river}.river_job
    FOR EACH ROW WHEN (OLD.finalized_at IS NULL AND OLD.metadata ? 'tidemill')
    EXECUTE FUNCTION {tidemill}.run_loses_job();

CREATE OR REPLACE FUNCTION {tidemill}.cancel(id bigint)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    job record;
BEGIN
    SELECT j.state, j.queue, j.metadata ? 'tidemill' AS is_run INTO job FROM {river}.river_job j WHERE j.id = cancel.id FOR UPDATE;
    IF NOT FOUND THEN
        UPDATE {tidemill}.run r SET status = 'cancelled', finished_at = now(), updated_at = now()
         WHERE r.id = cancel.id AND r.trigger = 'outside' AND r.finished_at IS NULL;
        IF FOUND THEN
            RETURN true;
        ELSIF EXISTS (SELECT FROM {tidemill}.run r WHERE r.id = cancel.id) THEN
            RETURN false;
        END IF;
        RAISE 'there is no job %', id USING ERRCODE = '22023';
    ELSIF job.state IN ('cancelled', 'completed', 'discarded') THEN
        RETURN false;
    END IF;
    IF job.state = 'running' AND job.is_run THEN
        INSERT INTO {tidemill}.run_intent (run, intent) VALUES (cancel.id, 'cancel') ON CONFLICT DO NOTHING;
    END IF;
    UPDATE {river}.river_job j SET
        state = CASE WHEN j.state = 'running' THEN j.state ELSE 'cancelled' END,
        finalized_at = CASE WHEN j.state = 'running' THEN j.finalized_at ELSE now() END,
        metadata = jsonb_set(j.metadata, '{cancel_attempted_at}', to_jsonb(now()), true)
     WHERE j.id = cancel.id;
    PERFORM pg_notify({river:text} || '.river_control',
        json_build_object('action', 'cancel', 'job_id', cancel.id, 'queue', job.queue)::text);
    RETURN true;
END $$;

CREATE OR REPLACE FUNCTION {tidemill}.run_loses_job() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE {tidemill}.run SET status = 'cancelled', error = 'its River job was deleted', finished_at = now(), updated_at = now()
     WHERE id = OLD.id AND finished_at IS NULL;
    DELETE FROM {tidemill}.run_intent WHERE run = OLD.id;
    RETURN NULL;
END $$;

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

DROP FUNCTION {tidemill}.give_up_children;
DROP FUNCTION {tidemill}.cancel_waiting_children;
DROP FUNCTION {tidemill}.cancel_children;
DROP FUNCTION {tidemill}.fold_children;
DROP FUNCTION {tidemill}.child_is_lost;
DROP FUNCTION {tidemill}.child_moves;
DROP TABLE {tidemill}.child_cancel;
DROP TABLE {tidemill}.child_delta;

-- The privileges that a role was given on the view go with it, as its new columns do.
DROP VIEW {tidemill}.runs;
CREATE VIEW {tidemill}.runs AS
SELECT r.id, r.job, r.kind, r.trigger,
       CASE WHEN r.status = 'running' AND i.cancel THEN 'cancelling'
            WHEN r.status = 'running' AND i.pause THEN 'pausing'
            ELSE r.status END AS status,
       r.params, r.metadata, r.retry_of, r.counters, r.unit, r.total, r.done, r.rate,
       r.error, r.result, r.seq, r.enqueued_at, r.started_at, r.finished_at, r.updated_at
  FROM {tidemill}.run r
  LEFT JOIN LATERAL (
       SELECT bool_or(intent = 'cancel') AS cancel, bool_or(intent = 'pause') AS pause
         FROM {tidemill}.run_intent WHERE run = r.id) i ON r.finished_at IS NULL;
ALTER TABLE {tidemill}.run DROP COLUMN children, DROP COLUMN children_done, DROP COLUMN children_failed, DROP COLUMN children_settled;
