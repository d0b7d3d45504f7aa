-- locks: {tidemill}.artifact_part
-- A run ends with its last chunk, which sets status and finished_at. River hears of it up to a quarter of a second later;
-- whatever becomes of the job from then on says nothing about the run any more.
CREATE OR REPLACE FUNCTION {tidemill}.run_follows_job() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    failed boolean := coalesce(array_length(NEW.errors, 1), 0) > coalesce(array_length(OLD.errors, 1), 0);
    was_final boolean := OLD.finalized_at IS NOT NULL;
    is_final boolean := NEW.finalized_at IS NOT NULL;
    -- A pause is a snooze into the far future.
    far boolean := NEW.state = 'scheduled' AND NEW.scheduled_at > now() + interval '50 years';
    children bigint;
    children_failed bigint := 0;
    due boolean := NEW.state <> 'cancelled';
    ended_well boolean;
BEGIN
    -- If nobody asks for a pause any more, it is turned round; the update comes back here.
    IF far AND NOT EXISTS (SELECT FROM {tidemill}.run_intent WHERE run = NEW.id AND intent = 'pause') THEN
        UPDATE {river}.river_job SET state = 'available', scheduled_at = now() WHERE id = NEW.id;
        RETURN NULL;
    END IF;

    UPDATE {tidemill}.run r SET
        status = CASE
            WHEN outcome IS NOT NULL THEN outcome
            WHEN far THEN 'paused'
            WHEN NEW.state = 'running' THEN 'running'
            WHEN NEW.state = 'completed' THEN 'succeeded'
            WHEN NEW.state = 'discarded' THEN 'failed'
            WHEN NEW.state = 'cancelled' THEN 'cancelled'
            WHEN NEW.state = 'retryable' OR failed OR OLD.state = 'retryable' THEN 'retrying'
            ELSE 'enqueued' END,
        error = CASE
            WHEN outcome IS NOT NULL THEN NULL
            -- River's word for a cancellation that somebody asked for says no more than the status does.
            WHEN failed THEN nullif(regexp_replace(NEW.errors[array_upper(NEW.errors, 1)]->>'error', '^JobCancelError: ', ''),
                'job cancelled remotely')
            WHEN NEW.state IN ('completed', 'cancelled') OR was_final THEN NULL
            ELSE error END,
        result = CASE WHEN NEW.metadata ? 'output' THEN NEW.metadata->'output' ELSE result END,
        failures = CASE WHEN was_final THEN 0 ELSE failures END,
        started_at = CASE WHEN NEW.state = 'running' THEN coalesce(started_at, now()) ELSE started_at END,
        finished_at = CASE WHEN outcome IS NOT NULL THEN coalesce(finished_at, now()) WHEN is_final THEN now() END,
        updated_at = now()
    WHERE id = NEW.id
    RETURNING r.children, r.outcome IS NOT NULL INTO children, ended_well;

    IF is_final THEN
        DELETE FROM {tidemill}.run_intent WHERE run = NEW.id;
        IF children IS NOT NULL THEN
            UPDATE {tidemill}.run r SET children_settled = true
             WHERE r.id = NEW.id AND NOT r.children_settled
               AND (NEW.state = 'cancelled' OR NEW.state = 'discarded' AND NOT ended_well OR r.children_done + r.children_failed >= r.children)
            RETURNING r.children_failed INTO children_failed;
            due := due AND FOUND;
            IF NEW.state = 'cancelled' AND children > 0 THEN
                INSERT INTO {tidemill}.child_cancel (run) VALUES (NEW.id) ON CONFLICT DO NOTHING;
            END IF;
        END IF;
        IF due THEN
            INSERT INTO {tidemill}.event (run, job, outcome)
            SELECT NEW.id, j.name, CASE WHEN (NEW.state = 'completed' OR ended_well) AND children_failed = 0 THEN 'success' ELSE 'failure' END
              FROM {tidemill}.job j WHERE j.name = NEW.metadata->'tidemill'->>'job' AND j.follows IS NOT NULL;
        END IF;
    ELSIF was_final AND children IS NOT NULL THEN
        -- Somebody lets it go on. What follows it follows its next end, unless all there was to enqueue is enqueued.
        UPDATE {tidemill}.run r SET children_settled = false WHERE r.id = NEW.id AND r.outcome IS NULL;
        DELETE FROM {tidemill}.child_cancel WHERE run = NEW.id;
    END IF;
    RETURN NULL;
END $$;

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
            RETURN {tidemill}.give_up_children(cancel.id);
        END IF;
        RAISE 'there is no job %', id USING ERRCODE = '22023';
    ELSIF job.state IN ('cancelled', 'completed', 'discarded')
        OR EXISTS (SELECT FROM {tidemill}.run r WHERE r.id = cancel.id AND r.outcome IS NOT NULL) THEN
        RETURN {tidemill}.give_up_children(cancel.id);
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

ALTER TABLE {tidemill}.artifact_part ADD COLUMN ends_span boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN {tidemill}.artifact_part.ends_span IS 'whether no part of the span follows; with consistency keyset never said';
