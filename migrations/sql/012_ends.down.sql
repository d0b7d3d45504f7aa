-- locks: {tidemill}.job_end, {tidemill}.process
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

DROP FUNCTION {tidemill}.settle_cancels, {tidemill}.settle_ends, {tidemill}.store_end;
DROP TABLE {tidemill}.job_end;
ALTER TABLE {tidemill}.process DROP COLUMN session_pid, DROP COLUMN session_since;
