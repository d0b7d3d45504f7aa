-- What any session may call in its own transaction, and how a job starts. The functions run with their owner's rights, so that a
-- role needs nothing but USAGE on the schema and EXECUTE on what it shall call.

-- Whoever runs a job reads its arguments, many jobs at once: more than max_args bytes of them are refused.
CREATE FUNCTION {tidemill}.check_size(what text, bytes bigint)
RETURNS void LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    most integer := (SELECT max_args FROM {tidemill}.setting);
BEGIN
    IF bytes > most THEN
        RAISE '%: % bytes, and max_args is %', what, bytes, most USING ERRCODE = '22023',
            HINT = 'store them, in a table or a file, and pass their key';
    END IF;
END $$;

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
    PERFORM {tidemill}.check_size(format('the arguments of a job of kind %s', kind), octet_length(args::text)
        + octet_length(metadata::text) + coalesce((SELECT sum(octet_length(tag)) FROM unnest(tags) t (tag)), 0));
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

-- try_params is resolve_params for one row of many: it returns what is wrong with the params instead of raising it.
CREATE FUNCTION {tidemill}.try_params(job text, declared jsonb, given jsonb, due timestamptz, OUT resolved jsonb, OUT problem text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    resolved := {tidemill}.resolve_params(job, declared, given, due);
EXCEPTION WHEN invalid_parameter_value THEN
    problem := SQLERRM;
END $$;

-- join_args puts the arguments of a River job together: what each start has, the params, and what a start by the clock tells besides
-- (work). A worker of ours resolves params itself, as its own configuration says at that time. It agrees with startArgs of the Go package.
-- Its form lets the server put it into the statement that calls it, which each does for thousands of rows.
CREATE FUNCTION {tidemill}.join_args(args jsonb, args_nested boolean, params jsonb, resolved jsonb, work jsonb)
RETURNS jsonb LANGUAGE sql STABLE
RETURN args || CASE WHEN NOT args_nested THEN resolved WHEN params = '{}' THEN params ELSE jsonb_build_object('params', params) END || work;

-- start_args are the arguments of the River job that starts def, at the time for which it is started. What is wrong with the params is
-- raised.
CREATE FUNCTION {tidemill}.start_args(def {tidemill}.job, params jsonb, at timestamptz, zone text, work jsonb)
RETURNS jsonb LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE -- not an argument of join_args, which does not look at it where params nest
    resolved jsonb := {tidemill}.resolve_params(def.name, def.param_types, params, at, zone);
BEGIN
    RETURN {tidemill}.join_args(def.args, def.args_nested, params, resolved, work);
END $$;

-- start_run is how SQL starts a run, whoever asks: it inserts River's job and the run's row, and returns their id. A second live run
-- of a job that has one at a time violates run_live_unique_key; what that means, the caller knows.
CREATE FUNCTION {tidemill}.start_run(
    def {tidemill}.job, trigger text, params jsonb, args jsonb, due timestamptz, schedule text, note jsonb, notify boolean, at timestamptz)
RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    id bigint := {tidemill}.insert_job(def.kind, args, def.queue, def.priority, def.max_attempts, due,
        jsonb_build_object('tidemill', jsonb_strip_nulls(jsonb_build_object('job', def.name, 'schedule', schedule))), '{}', NULL, notify);
BEGIN
    INSERT INTO {tidemill}.run (id, job, kind, trigger, args, params, is_unique, metadata, enqueued_at)
    VALUES (id, def.name, def.kind, trigger, args, params, def.is_unique, note, at);
    RETURN id;
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
    -- Libraries send NULL, or JSON's null, where the caller gave nothing.
    params := coalesce(nullif(params, 'null'), '{}');
    SELECT d.* INTO def FROM {tidemill}.job d WHERE d.name = start.job;
    IF NOT FOUND THEN
        RAISE 'job % is unknown', coalesce(quote_literal(job), 'NULL') USING ERRCODE = '22023', HINT = coalesce(
            (SELECT 'known jobs: ' || string_agg(k.name, ', ' ORDER BY k.name) FROM (SELECT name FROM {tidemill}.job ORDER BY name LIMIT 50) k),
            'no job is known yet') || '; jobs become known when their configuration is applied: tidemill migrate up';
    ELSIF def.start_error IS NOT NULL THEN
        RAISE 'job % cannot be started by SQL', job USING ERRCODE = '0A000', HINT = def.start_error;
    END IF;
    full_args := {tidemill}.start_args(def, params, coalesce(scheduled_at, now()), NULL,
        CASE WHEN def.args_nested AND scheduled_at > now() THEN jsonb_build_object('scheduled_for', scheduled_at) ELSE '{}' END);
    def.queue := coalesce(queue, def.queue);
    def.priority := coalesce(priority, def.priority);
    FOR i IN 1..5 LOOP
        IF def.is_unique THEN
            SELECT r.id INTO id FROM {tidemill}.run r WHERE r.job = start.job AND r.is_unique AND r.finished_at IS NULL;
            IF FOUND THEN
                RETURN id;
            END IF;
        END IF;
        BEGIN
            RETURN {tidemill}.start_run(def, 'sql', params, full_args, scheduled_at, NULL, '{}', notify, now());
        EXCEPTION WHEN unique_violation THEN
            GET STACKED DIAGNOSTICS violated = CONSTRAINT_NAME;
            IF violated <> 'run_live_unique_key' THEN
                RAISE;
            END IF;
        END;
    END LOOP;
    RAISE 'runs of job % come and go', job USING ERRCODE = '40001', HINT = 'try the transaction again';
END $$;
COMMENT ON FUNCTION {tidemill}.start IS
'Starts a configured job in the caller''s transaction and returns the id of its run; of a job that is unique, the live run''s.';

-- caller is who calls a function that runs with its owner's rights: the role that the session has set, or that has logged in.
CREATE FUNCTION {tidemill}.caller() RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT coalesce(nullif(current_setting('role'), 'none'), session_user) $$;

-- may_end reports whether the caller may end what a role has begun. It is called with the rights of the functions' owner.
CREATE FUNCTION {tidemill}.may_end(begun_by text) RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT begun_by IS NULL OR begun_by = {tidemill}.caller() OR pg_has_role({tidemill}.caller(), current_user, 'MEMBER')
        OR coalesce((SELECT pg_has_role({tidemill}.caller(), r.oid, 'MEMBER') FROM pg_roles r WHERE r.rolname = begun_by), false)
$$;

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
    INSERT INTO {tidemill}.run (id, job, kind, trigger, metadata, status, started_at, expires_at, begun_by)
    VALUES (id, name, 'outside', 'outside', metadata, 'running', clock_timestamp(), clock_timestamp() + timeout,
        {tidemill}.caller());
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
    SELECT r.trigger, r.status, r.begun_by INTO run FROM {tidemill}.run r WHERE r.id = end_run.id FOR UPDATE;
    IF NOT FOUND THEN
        RAISE 'there is no run %', id USING ERRCODE = '22023';
    ELSIF run.trigger <> 'outside' THEN
        RAISE 'run % is worked by Tidemill', id USING ERRCODE = '22023', HINT = 'only what run_begin began is ended from outside';
    ELSIF NOT {tidemill}.may_end(run.begun_by) THEN
        RAISE 'run % was begun by role %', id, run.begun_by USING ERRCODE = '42501', HINT = 'only that role, its members and the owner of the functions end it';
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
    {tidemill}.check_size, {tidemill}.insert_job, {tidemill}.enqueue, {tidemill}.resolve_params, {tidemill}.try_params,
    {tidemill}.join_args, {tidemill}.start_args, {tidemill}.start_run, {tidemill}.start, {tidemill}.caller, {tidemill}.may_end, {tidemill}.run_begin, {tidemill}.end_run, {tidemill}.run_finish,
    {tidemill}.run_fail
FROM PUBLIC;
