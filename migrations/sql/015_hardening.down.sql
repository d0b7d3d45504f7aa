-- locks: {tidemill}.run, {tidemill}.leader, {tidemill}.process
CREATE OR REPLACE FUNCTION {tidemill}.start_tick(s {tidemill}.schedule, work jsonb, held boolean)
RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    due timestamptz := work->>'scheduled_for';
    caught_up boolean := coalesce((work->>'caught_up')::boolean, false);
    full_args jsonb := s.args || work;
    live bigint;
    id bigint;
    result text;
    why text;
BEGIN
    IF s.declared IS NOT NULL THEN
        full_args := s.args || {tidemill}.resolve_params(s.job, s.declared, s.params, due, s.spec->>'timezone') || work;
    END IF;
    IF s.overlap <> 'allow' THEN
        -- Two schedules of one job must not both find nothing live. Whoever is second comes back a moment later.
        IF NOT pg_try_advisory_xact_lock(hashtextextended({tidemill:text} || ' job ' || s.job, 0)) THEN
            RAISE 'job % is being started', s.job USING ERRCODE = '55P03';
        END IF;
        SELECT r.id INTO live FROM {tidemill}.run r WHERE r.job = s.job AND r.finished_at IS NULL ORDER BY r.id LIMIT 1;
    END IF;
    IF live IS NOT NULL THEN
        why := format('run %s of the job is live', live);
        IF held THEN
            RETURN 'waiting';
        ELSIF s.overlap = 'queue' AND NOT EXISTS (SELECT FROM {tidemill}.tick t JOIN {tidemill}.schedule o ON o.name = t.schedule
                WHERE t.outcome = 'waiting' AND o.job = s.job) THEN
            result := 'waiting';
        ELSE
            result := 'overlap';
        END IF;
        INSERT INTO {tidemill}.tick (schedule, due_at, outcome, reason, work)
        VALUES (s.name, due, result, why, CASE WHEN result = 'waiting' THEN start_tick.work END);
        RETURN result;
    END IF;
    result := CASE WHEN caught_up THEN 'caught_up' ELSE 'enqueued' END;
    id := {tidemill}.insert_job(s.kind, full_args, s.queue, s.priority, s.max_attempts,
        CASE WHEN s.jitter > '0' THEN clock_timestamp() + random() * s.jitter END,
        jsonb_build_object('tidemill', jsonb_build_object('job', s.job, 'schedule', s.name)), '{}', NULL, true);
    INSERT INTO {tidemill}.run (id, job, kind, trigger, args, params, alone, metadata)
    VALUES (id, s.job, s.kind, 'schedule', full_args, s.params, s.alone, jsonb_build_object('schedule', s.name) || work);
    INSERT INTO {tidemill}.tick (schedule, due_at, outcome, run) VALUES (s.name, due, result, id)
    ON CONFLICT (schedule, due_at) DO UPDATE SET outcome = excluded.outcome, run = excluded.run, work = NULL, at = clock_timestamp()
        WHERE tick.outcome = 'waiting';
    IF NOT FOUND THEN
        RAISE 'tick % of schedule % was enqueued before', due, s.name USING ERRCODE = '23505';
    END IF;
    RETURN result;
END $$;

CREATE OR REPLACE FUNCTION {tidemill}.trigger_schedule(name text, by text, scheduled_for text)
RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    s {tidemill}.schedule%ROWTYPE;
    work jsonb := jsonb_build_object('scheduled_for', trigger_schedule.scheduled_for);
    full_args jsonb;
    id bigint;
BEGIN
    SELECT x.* INTO s FROM {tidemill}.schedule x WHERE x.name = trigger_schedule.name;
    IF NOT FOUND THEN
        RAISE 'there is no schedule %', quote_literal(name) USING ERRCODE = '22023', HINT = 'tidemill schedules list';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended({tidemill:text} || ' trigger ' || name, 0));
    SELECT r.id INTO id FROM {tidemill}.run r
     WHERE r.job = s.job AND r.trigger = by AND r.metadata->>'schedule' = s.name AND r.metadata ? 'triggered'
       AND r.enqueued_at > clock_timestamp() - interval '1 minute' ORDER BY r.id DESC LIMIT 1;
    IF FOUND THEN
        RETURN id;
    END IF;
    IF s.alone THEN
        SELECT r.id INTO id FROM {tidemill}.run r WHERE r.job = s.job AND r.alone AND r.finished_at IS NULL;
        IF FOUND THEN
            RETURN id;
        END IF;
    END IF;
    full_args := s.args || work;
    IF s.declared IS NOT NULL THEN
        full_args := s.args || {tidemill}.resolve_params(s.job, s.declared, s.params, trigger_schedule.scheduled_for::timestamptz, s.spec->>'timezone') || work;
    END IF;
    id := {tidemill}.insert_job(s.kind, full_args, s.queue, s.priority, s.max_attempts, NULL,
        jsonb_build_object('tidemill', jsonb_build_object('job', s.job, 'schedule', s.name)), '{}', NULL, true);
    INSERT INTO {tidemill}.run (id, job, kind, trigger, args, params, alone, metadata, enqueued_at)
    VALUES (id, s.job, s.kind, by, full_args, s.params, s.alone, jsonb_build_object('schedule', s.name, 'triggered', true) || work, clock_timestamp());
    RETURN id;
END $$;

CREATE OR REPLACE FUNCTION {tidemill}.run_begin(name text, metadata jsonb DEFAULT '{}', timeout interval DEFAULT '1 day')
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

CREATE OR REPLACE FUNCTION {tidemill}.end_run(id bigint, status text, result jsonb, error text)
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

DROP FUNCTION {tidemill}.may_end(text);
DROP FUNCTION {tidemill}.caller();
DROP FUNCTION {tidemill}.lead(text);
DROP TABLE {tidemill}.leader;
ALTER TABLE {tidemill}.run DROP COLUMN begun_by;
ALTER TABLE {tidemill}.process DROP COLUMN role;
