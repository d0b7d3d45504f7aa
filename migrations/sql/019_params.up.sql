-- As before, and params that are NULL are none.
CREATE OR REPLACE FUNCTION {tidemill}.start(
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

-- try_params is resolve_params for one row of many: it returns what is wrong with the params instead of raising it.
CREATE FUNCTION {tidemill}.try_params(job text, declared jsonb, given jsonb, due timestamptz, OUT resolved jsonb, OUT problem text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    resolved := {tidemill}.resolve_params(job, declared, given, due);
EXCEPTION WHEN invalid_parameter_value THEN
    problem := SQLERRM;
END $$;
REVOKE ALL ON FUNCTION {tidemill}.try_params FROM PUBLIC;
