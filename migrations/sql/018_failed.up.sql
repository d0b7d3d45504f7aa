-- What comes after a run that has failed.
CREATE OR REPLACE FUNCTION {tidemill}.trigger_schedule(name text, by text, scheduled_for text)
RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    s {tidemill}.schedule%ROWTYPE;
    work jsonb := jsonb_build_object('scheduled_for', trigger_schedule.scheduled_for);
    full_args jsonb;
    id bigint;
BEGIN
    -- The row is locked so that two calls at once start one run. One that has failed is no answer to who asks again.
    SELECT x.* INTO s FROM {tidemill}.schedule x WHERE x.name = trigger_schedule.name FOR UPDATE;
    IF NOT FOUND THEN
        RAISE 'there is no schedule %', quote_literal(name) USING ERRCODE = '22023', HINT = 'tidemill schedules list';
    END IF;
    SELECT r.id INTO id FROM {tidemill}.run r
     WHERE r.job = s.job AND r.trigger = by AND r.metadata->>'schedule' = s.name AND r.metadata ? 'triggered'
       AND r.enqueued_at > clock_timestamp() - interval '1 minute' AND r.status NOT IN ('failed', 'cancelled') ORDER BY r.id DESC LIMIT 1;
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

-- failure_params are what a job that follows a failure learns of it: what it declares, or all if it is of a built-in kind that
-- declares no params. The arguments of a program's own kind may mean something else by these names.
CREATE FUNCTION {tidemill}.failure_params(failed bigint, failed_job text, follower text)
RETURNS jsonb LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(jsonb_object_agg(f.name, CASE WHEN d.type = 'text' THEN to_jsonb(f.value #>> '{}') ELSE f.value END), '{}')
      FROM {tidemill}.job j
     CROSS JOIN (VALUES
            ('run', to_jsonb(failed), '{integer,number,text,json}'::text[]),
            ('job', to_jsonb(failed_job), '{text,json}'),
            ('error', to_jsonb(coalesce((SELECT r.error FROM {tidemill}.run r WHERE r.id = failed), 'it has failed')), '{text,json}')
        ) f (name, value, types)
      LEFT JOIN jsonb_to_recordset(coalesce(j.params, '[]')) d (name text, type text) ON d.name = f.name
     WHERE j.name = follower AND CASE WHEN j.params IS NULL THEN j.nests ELSE d.type = ANY (f.types) END;
$$;
REVOKE ALL ON FUNCTION {tidemill}.failure_params FROM PUBLIC;

CREATE OR REPLACE FUNCTION {tidemill}.follow_events()
RETURNS TABLE (run bigint, problem text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '500ms' AS $$
#variable_conflict use_column
DECLARE
    e {tidemill}.event%ROWTYPE;
    follows jsonb;
    n jsonb;
    after_failure boolean;
    started bigint;
BEGIN
    FOR e IN SELECT * FROM {tidemill}.event WHERE next_at <= now() ORDER BY id LIMIT 100 FOR UPDATE SKIP LOCKED LOOP
        BEGIN
            SELECT j.follows INTO follows FROM {tidemill}.job j WHERE j.name = e.job;
            FOR n, after_failure IN
                SELECT x, e.outcome = 'failure' FROM jsonb_array_elements(coalesce(follows->e.outcome, '[]')) x
                UNION ALL SELECT x, false FROM jsonb_array_elements(coalesce(follows->'always', '[]')) x
            LOOP
                started := {tidemill}.start(n->>'job', CASE WHEN after_failure THEN {tidemill}.failure_params(e.run, e.job, n->>'job') ELSE '{}' END
                    || coalesce(n->'params', '{}'));
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
