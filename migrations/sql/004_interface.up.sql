-- locks: {tidemill}.run, {tidemill}.process
-- What any session may call in its own transaction. The functions run with their owner's rights, so that a role needs
-- nothing but USAGE on the schema and EXECUTE on what it shall call.

-- What a job without run and the configuration of this database need to know; one row.
CREATE TABLE {tidemill}.setting (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    notify   boolean NOT NULL DEFAULT true,
    queues   text[] NOT NULL DEFAULT '{}',
    timezone text NOT NULL DEFAULT 'UTC',
    config   text NOT NULL DEFAULT ''
);
INSERT INTO {tidemill}.setting DEFAULT VALUES;

-- The River kinds of users' programs, with the defaults of their jobs. A kind is never deleted: another program may have it.
CREATE TABLE {tidemill}.kind (
    kind         text PRIMARY KEY,
    queue        text NOT NULL,
    priority     smallint NOT NULL,
    max_attempts smallint NOT NULL,
    updated_at   timestamptz NOT NULL DEFAULT now()
);

-- The jobs of the applied configuration.
CREATE TABLE {tidemill}.job (
    name         text PRIMARY KEY,
    kind         text NOT NULL,
    args         jsonb NOT NULL,
    nests        boolean NOT NULL,
    queue        text NOT NULL,
    priority     smallint NOT NULL,
    max_attempts smallint NOT NULL,
    alone        boolean NOT NULL,
    params       jsonb,
    refusal      text,
    updated_at   timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN {tidemill}.job.nests IS 'params stand in a field of args of their own; otherwise they are fields of args';
COMMENT ON COLUMN {tidemill}.job.params IS 'declared params, a list of {name, type, default}; NULL: any are taken';
COMMENT ON COLUMN {tidemill}.job.refusal IS 'why SQL cannot start it, and what can';

ALTER TABLE {tidemill}.run ADD COLUMN expires_at timestamptz;
COMMENT ON COLUMN {tidemill}.run.expires_at IS 'when a run of outside code that has not ended is taken for lost';
CREATE INDEX run_expires_idx ON {tidemill}.run (expires_at) WHERE expires_at IS NOT NULL AND finished_at IS NULL;

ALTER TABLE {tidemill}.run ADD COLUMN resume_at timestamptz;
COMMENT ON COLUMN {tidemill}.run.resume_at IS 'when a paused run was due';

ALTER TABLE {tidemill}.process ADD COLUMN config text NOT NULL DEFAULT '';

-- insert_job is for the functions below only. It returns NULL if a live job has the unique key.
CREATE FUNCTION {tidemill}.insert_job(
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

CREATE FUNCTION {tidemill}.enqueue(
    kind text, args jsonb DEFAULT '{}', queue text DEFAULT NULL, priority integer DEFAULT NULL,
    max_attempts integer DEFAULT NULL, scheduled_at timestamptz DEFAULT NULL, unique_key text DEFAULT NULL,
    tags text[] DEFAULT '{}', notify boolean DEFAULT NULL)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    known {tidemill}.kind%ROWTYPE;
    key bytea;
    id bigint;
BEGIN
    IF kind LIKE 'tidemill.%' THEN
        RAISE 'kind % is built in', kind USING ERRCODE = '22023',
            HINT = format('start a configured job: SELECT %I.start(''name'')', {tidemill:text});
    END IF;
    SELECT k.* INTO known FROM {tidemill}.kind k WHERE k.kind = enqueue.kind;
    IF NOT FOUND THEN
        RAISE 'kind % is unknown', coalesce(quote_literal(kind), 'NULL') USING ERRCODE = '22023', HINT = coalesce(
            (SELECT 'known kinds: ' || string_agg(k.kind, ', ' ORDER BY k.kind) FROM (SELECT kind FROM {tidemill}.kind ORDER BY kind LIMIT 50) k),
            'no kind is known yet') || '; a kind becomes known when a program that has its worker migrates or works';
    END IF;
    IF unique_key IS NOT NULL THEN
        key := sha256(convert_to(format('tidemill&%s:%s&%s', length(kind), kind, unique_key), 'UTF8'));
    END IF;
    -- Whoever held the key may have ended between the two statements; then the key is free.
    FOR i IN 1..100 LOOP
        id := {tidemill}.insert_job(kind, args, coalesce(queue, known.queue), coalesce(priority, known.priority),
            coalesce(max_attempts, known.max_attempts), scheduled_at, '{}', tags, key, notify);
        EXIT WHEN id IS NOT NULL;
        SELECT j.id INTO id FROM {river}.river_job j
         WHERE j.unique_key = key AND j.unique_states IS NOT NULL AND {river}.river_job_state_in_bitmask(j.unique_states, j.state);
        EXIT WHEN id IS NOT NULL;
    END LOOP;
    IF id IS NULL THEN
        RAISE 'jobs of unique key % come and go', quote_literal(unique_key) USING ERRCODE = '40001', HINT = 'try the transaction again';
    END IF;
    RETURN id;
END $$;
COMMENT ON FUNCTION {tidemill}.enqueue IS
'Inserts a job of a kind that a program registered, in the caller''s transaction, and returns its id. What is NULL is as the
kind has it. With unique_key, the id of the live job of that kind and key is returned, if there is one.';

-- resolve_params raises what is wrong with the params of a start, and returns them with the defaults filled in. It agrees
-- with ResolveParams of package config; TestParamsInSQL holds the two against each other.
CREATE FUNCTION {tidemill}.resolve_params(job text, declared jsonb, given jsonb, due timestamptz, zone text DEFAULT NULL)
RETURNS jsonb LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    param jsonb;
    name text;
    type text;
    value jsonb;
    word text;
    resolved jsonb := '{}';
BEGIN
    IF jsonb_typeof(given) IS DISTINCT FROM 'object' THEN
        RAISE 'job %: params are not a JSON object', job USING ERRCODE = '22023';
    ELSIF declared IS NULL THEN
        RETURN given;
    END IF;
    SELECT k INTO name FROM jsonb_object_keys(given) k
     WHERE NOT EXISTS (SELECT FROM jsonb_array_elements(declared) d WHERE d->>'name' = k) LIMIT 1;
    IF FOUND THEN
        RAISE 'job % has no param %', job, quote_ident(name) USING ERRCODE = '22023', HINT = coalesce(
            (SELECT 'its params: ' || string_agg(d->>'name', ', ') FROM jsonb_array_elements(declared) d), 'it has none');
    END IF;
    FOR param IN SELECT * FROM jsonb_array_elements(declared) LOOP
        name := param->>'name';
        type := param->>'type';
        value := nullif(given->name, 'null');
        IF value IS NULL AND NOT param ? 'default' THEN
            RAISE 'job % needs param %', job, name USING ERRCODE = '22023', HINT = format('it is of type %s', type);
        ELSIF value IS NULL THEN
            value := param->'default';
            IF value = '"scheduled_for"' AND type = 'date' THEN
                value := to_jsonb((due AT TIME ZONE coalesce(zone, (SELECT timezone FROM {tidemill}.setting)))::date);
            ELSIF value = '"scheduled_for"' AND type = 'timestamp' THEN
                value := to_jsonb(due);
            END IF;
        ELSIF type <> 'json' THEN
            word := CASE WHEN jsonb_typeof(value) IN ('string', 'number', 'boolean') THEN value #>> '{}' END;
            BEGIN
                value := CASE
                    WHEN type = 'text' AND jsonb_typeof(value) = 'string' THEN value
                    WHEN type = 'integer' AND word ~ '^-?(0|[1-9][0-9]*)$' THEN to_jsonb(word::bigint)
                    WHEN type = 'number' AND word ~ '^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$' THEN to_jsonb(word::numeric)
                    WHEN type = 'boolean' AND word IN ('true', 'false') THEN to_jsonb(word::boolean)
                    WHEN type = 'date' AND word ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}$' THEN to_jsonb(word::date)
                    WHEN type = 'timestamp' AND word ~* '^[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$'
                        AND word::timestamptz IS NOT NULL THEN value
                    WHEN type = 'uuid' AND word ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN to_jsonb(lower(word))
                    END;
            EXCEPTION WHEN data_exception THEN
                value := NULL;
            END;
            IF value IS NULL THEN
                RAISE 'job %, param %: % is not of type %', job, name, left((given->name)::text, 100), type USING ERRCODE = '22023';
            END IF;
        END IF;
        resolved := resolved || jsonb_build_object(name, value);
    END LOOP;
    RETURN resolved;
END $$;

CREATE FUNCTION {tidemill}.start(
    job text, params jsonb DEFAULT '{}', scheduled_at timestamptz DEFAULT NULL, queue text DEFAULT NULL,
    priority integer DEFAULT NULL, notify boolean DEFAULT NULL)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    def {tidemill}.job%ROWTYPE;
    full_args jsonb;
    id bigint;
    violated text;
BEGIN
    SELECT d.* INTO def FROM {tidemill}.job d WHERE d.name = start.job;
    IF NOT FOUND THEN
        RAISE 'job % is unknown', coalesce(quote_literal(job), 'NULL') USING ERRCODE = '22023', HINT = coalesce(
            (SELECT 'known jobs: ' || string_agg(k.name, ', ' ORDER BY k.name) FROM (SELECT name FROM {tidemill}.job ORDER BY name LIMIT 50) k),
            'no job is known yet') || '; jobs become known when their configuration is applied: tidemill migrate up';
    ELSIF def.refusal IS NOT NULL THEN
        RAISE 'job % cannot be started by SQL', job USING ERRCODE = '0A000', HINT = def.refusal;
    END IF;
    -- A worker of ours resolves the params itself, as its own configuration says at that time.
    full_args := {tidemill}.resolve_params(job, def.params, params, coalesce(scheduled_at, now()));
    IF def.nests THEN
        full_args := CASE WHEN params = '{}' THEN '{}'::jsonb ELSE jsonb_build_object('params', params) END
            || CASE WHEN scheduled_at > now() THEN jsonb_build_object('scheduled_for', scheduled_at) ELSE '{}'::jsonb END;
    END IF;
    full_args := def.args || full_args;
    FOR i IN 1..5 LOOP
        IF def.alone THEN
            SELECT r.id INTO id FROM {tidemill}.run r WHERE r.job = start.job AND r.alone AND r.finished_at IS NULL;
            IF FOUND THEN
                RETURN id;
            END IF;
        END IF;
        BEGIN
            id := {tidemill}.insert_job(def.kind, full_args, coalesce(queue, def.queue), coalesce(priority, def.priority),
                def.max_attempts, scheduled_at, jsonb_build_object('tidemill', jsonb_build_object('job', job)), '{}', NULL, notify);
            INSERT INTO {tidemill}.run (id, job, kind, trigger, args, params, alone)
            VALUES (id, start.job, def.kind, 'sql', full_args, start.params, def.alone);
            RETURN id;
        EXCEPTION WHEN unique_violation THEN
            GET STACKED DIAGNOSTICS violated = CONSTRAINT_NAME;
            IF violated <> 'run_live_alone_key' THEN
                RAISE;
            END IF;
        END;
    END LOOP;
    RAISE 'runs of job % come and go', job USING ERRCODE = '40001', HINT = 'try the transaction again';
END $$;
COMMENT ON FUNCTION {tidemill}.start IS
'Starts a configured job in the caller''s transaction and returns the id of its run; of a job that is unique, the live run''s.';

CREATE FUNCTION {tidemill}.cancel(id bigint)
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
COMMENT ON FUNCTION {tidemill}.cancel IS
'Cancels a job or run, when the caller commits: at once if it is not running, otherwise as soon as its worker notices.
Returns false if it had ended.';

CREATE FUNCTION {tidemill}.run_begin(name text, metadata jsonb DEFAULT '{}', timeout interval DEFAULT '1 day')
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    id bigint := nextval(pg_get_serial_sequence({river_job:text}, 'id'));
BEGIN
    IF name IS NULL OR name !~ '^[[:alnum:]][^[:cntrl:]]{0,127}$' THEN
        RAISE 'the name of a run is of 1 to 128 characters, a letter or digit first' USING ERRCODE = '22023';
    ELSIF jsonb_typeof(metadata) IS DISTINCT FROM 'object' THEN
        RAISE 'metadata is not a JSON object' USING ERRCODE = '22023';
    ELSIF timeout IS NULL OR timeout <= '0' THEN
        RAISE 'timeout is not positive' USING ERRCODE = '22023';
    END IF;
    INSERT INTO {tidemill}.run (id, job, kind, trigger, metadata, status, started_at, expires_at)
    VALUES (id, name, 'outside', 'outside', metadata, 'running', clock_timestamp(), clock_timestamp() + timeout);
    RETURN id;
END $$;
COMMENT ON FUNCTION {tidemill}.run_begin IS
'Enters a run of code that runs elsewhere into the ledger and returns its id. It is taken for lost when it has not ended
after timeout. Commit before the work, so that others see the run.';

-- end_run ends a run of outside code. To say the same end twice is no mistake: the first answer may have been lost.
CREATE FUNCTION {tidemill}.end_run(id bigint, status text, result jsonb, error text)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    run record;
BEGIN
    SELECT r.trigger, r.status INTO run FROM {tidemill}.run r WHERE r.id = end_run.id FOR UPDATE;
    IF NOT FOUND THEN
        RAISE 'there is no run %', id USING ERRCODE = '22023';
    ELSIF run.trigger <> 'outside' THEN
        RAISE 'run % is worked by Tidemill', id USING ERRCODE = '22023', HINT = 'only what run_begin began is ended from outside';
    ELSIF run.status NOT IN ('running', end_run.status) THEN
        RAISE 'run % has ended: it is %', id, run.status USING ERRCODE = '55000';
    END IF;
    UPDATE {tidemill}.run r SET status = end_run.status, result = end_run.result, error = end_run.error,
        finished_at = coalesce(r.finished_at, clock_timestamp()), updated_at = clock_timestamp()
     WHERE r.id = end_run.id;
END $$;

CREATE FUNCTION {tidemill}.run_finish(id bigint, result jsonb DEFAULT NULL)
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT {tidemill}.end_run(id, 'succeeded', result, NULL) $$;
COMMENT ON FUNCTION {tidemill}.run_finish IS 'Says that a run that run_begin began has succeeded.';

CREATE FUNCTION {tidemill}.run_fail(id bigint, error text, result jsonb DEFAULT NULL)
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT {tidemill}.end_run(id, 'failed', result, coalesce(nullif(error, ''), 'no reason was given')) $$;
COMMENT ON FUNCTION {tidemill}.run_fail IS 'Says that a run that run_begin began has failed, and why.';

REVOKE ALL ON FUNCTION
    {tidemill}.insert_job, {tidemill}.enqueue, {tidemill}.resolve_params, {tidemill}.start, {tidemill}.cancel,
    {tidemill}.run_begin, {tidemill}.end_run, {tidemill}.run_finish, {tidemill}.run_fail
FROM PUBLIC;

-- As before, and the output that a worker recorded becomes the run's result, in River's own transaction.
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
