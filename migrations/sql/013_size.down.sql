-- locks: {tidemill}.setting, {tidemill}.suspect
DROP TABLE {tidemill}.suspect;

-- insert_job is for the functions below only. It returns NULL if a live job has the unique key.
CREATE OR REPLACE FUNCTION {tidemill}.insert_job(
    kind text, args jsonb, queue text, priority integer, max_attempts integer, due timestamptz, metadata jsonb, tags text[],
    unique_key bytea, notify boolean)
RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    id bigint;
    late boolean := due IS NOT NULL AND due > clock_timestamp();
    setting {tidemill}.setting%ROWTYPE;
BEGIN
    IF priority NOT BETWEEN 1 AND 4 THEN
        RAISE 'priority % is not from 1 to 4', priority USING ERRCODE = '22023', HINT = '1 is first';
    ELSIF max_attempts NOT BETWEEN 1 AND 32767 THEN
        RAISE 'max_attempts % is not from 1 to 32767', max_attempts USING ERRCODE = '22023';
    ELSIF due > now() + interval '40 years' THEN -- a paused run waits a century, and is known by that
        RAISE 'scheduled_at % is more than 40 years ahead', due USING ERRCODE = '22023';
    ELSIF jsonb_typeof(args) IS DISTINCT FROM 'object' THEN
        RAISE 'the arguments are not a JSON object' USING ERRCODE = '22023';
    ELSIF EXISTS (SELECT FROM unnest(tags) t (tag) WHERE tag IS NULL OR tag !~ '^\w[\w-]+\w$' OR length(tag) > 255) THEN
        RAISE 'a tag is not of 3 to 255 letters, digits, _ and -' USING ERRCODE = '22023';
    END IF;
    SELECT s.* INTO setting FROM {tidemill}.setting s;
    IF setting.queues <> '{}' AND NOT (queue = ANY (setting.queues) OR EXISTS (SELECT FROM {river}.river_queue q WHERE q.name = insert_job.queue)) THEN
        RAISE 'queue % is unknown', queue USING ERRCODE = '22023',
            HINT = 'known queues: ' || array_to_string(setting.queues, ', ') || '; a queue is in the applied configuration, or has a worker';
    END IF;

    INSERT INTO {river}.river_job AS j
        (kind, args, queue, priority, max_attempts, state, scheduled_at, metadata, tags, unique_key, unique_states)
    VALUES (insert_job.kind, insert_job.args, insert_job.queue, insert_job.priority, insert_job.max_attempts,
        CASE WHEN late THEN 'scheduled' ELSE 'available' END::{river}.river_job_state,
        CASE WHEN late THEN due ELSE now() END,
        insert_job.metadata, coalesce(insert_job.tags, '{}'), insert_job.unique_key,
        -- From the left: scheduled, running, retryable, pending, discarded, completed, cancelled, available.
        CASE WHEN insert_job.unique_key IS NOT NULL THEN B'11110001' END)
    -- Not DO UPDATE, as River has it: that locks the live job's row, and a worker could not end it as long as this
    -- transaction is open.
    ON CONFLICT (unique_key) WHERE unique_key IS NOT NULL AND unique_states IS NOT NULL
        AND {river}.river_job_state_in_bitmask(unique_states, state) DO NOTHING
    RETURNING j.id INTO id;

    IF id IS NOT NULL AND NOT late AND setting.notify AND coalesce(insert_job.notify, true) THEN
        PERFORM pg_notify({river:text} || '.river_insert', json_build_object('queue', insert_job.queue)::text);
    END IF;
    RETURN id;
END $$;

DROP FUNCTION {tidemill}.check_size(text, bigint);
ALTER TABLE {tidemill}.setting DROP COLUMN max_args;
