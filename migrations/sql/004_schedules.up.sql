-- Schedules: what starts a job by the clock.

-- job_of is what a schedule starts.
CREATE FUNCTION {tidemill}.job_of(s {tidemill}.schedule)
RETURNS {tidemill}.job LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    def {tidemill}.job;
BEGIN
    IF s.own IS NOT NULL THEN
        RETURN jsonb_populate_record(def, s.own || jsonb_build_object('name', s.job));
    END IF;
    SELECT j.* INTO def FROM {tidemill}.job j WHERE j.name = s.job;
    IF NOT FOUND THEN
        RAISE 'schedule % starts job %, which is not in the applied configuration', s.name, s.job USING ERRCODE = '22023',
            HINT = 'tidemill config apply';
    END IF;
    RETURN def;
END $$;

-- schedule_args are the arguments of a start by a schedule. Params of a program's schedule that declares none are only shown.
CREATE FUNCTION {tidemill}.schedule_args(s {tidemill}.schedule, def {tidemill}.job, work jsonb)
RETURNS jsonb LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN {tidemill}.start_args(def, CASE WHEN s.own IS NOT NULL AND def.param_types IS NULL THEN '{}' ELSE s.params END,
        (work->>'scheduled_for')::timestamptz, s.spec->>'timezone', work);
END $$;

-- start_tick starts the run of a tick and returns what became of it. The caller holds the schedule's row. A run that code
-- elsewhere entered under the name of a job is none of the job's: it must not keep the schedule waiting.
CREATE FUNCTION {tidemill}.start_tick(s {tidemill}.schedule, work jsonb, held boolean)
RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    due timestamptz := work->>'scheduled_for';
    caught_up boolean := coalesce((work->>'caught_up')::boolean, false);
    def {tidemill}.job := {tidemill}.job_of(s);
    full_args jsonb := {tidemill}.schedule_args(s, def, work);
    live bigint;
    id bigint;
    result text;
    why text;
BEGIN
    IF s.overlap <> 'allow' THEN
        -- Two schedules of one job must not both find nothing live. The first of them, by name, stands for the job; whoever cannot
        -- lock its row comes back a moment later.
        PERFORM FROM {tidemill}.schedule x
          WHERE x.name = (SELECT min(o.name) FROM {tidemill}.schedule o WHERE o.job = s.job) FOR UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            RAISE 'job % is being started', s.job USING ERRCODE = '55P03';
        END IF;
        SELECT r.id INTO live FROM {tidemill}.run r WHERE r.job = s.job AND r.trigger <> 'outside' AND r.finished_at IS NULL
         ORDER BY r.id LIMIT 1;
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
    id := {tidemill}.start_run(def, 'schedule', s.params, full_args, CASE WHEN s.jitter > '0' THEN clock_timestamp() + random() * s.jitter END,
        s.name, jsonb_build_object('schedule', s.name) || work, true, now());
    INSERT INTO {tidemill}.tick (schedule, due_at, outcome, run) VALUES (s.name, due, result, id)
    ON CONFLICT (schedule, due_at) DO UPDATE SET outcome = excluded.outcome, run = excluded.run, work = NULL, at = clock_timestamp()
        WHERE tick.outcome = 'waiting';
    IF NOT FOUND THEN
        RAISE 'tick % of schedule % was enqueued before', due, s.name USING ERRCODE = '23505';
    END IF;
    RETURN result;
END $$;

-- fire deals with ticks that came due. Each item names a schedule, the next_tick_at that its caller saw (was), the new one
-- (next), and the ticks in between, each {work, missed, ticks}. An item is done as a whole or not at all; one that another
-- process deals with, or has handled, is left out. What went wrong with one is returned, and holds up no other.
-- It waits for nobody for long: an open transaction that starts the same unique job must not hold up the others.
CREATE FUNCTION {tidemill}.fire(items jsonb)
RETURNS TABLE (schedule text, due_at timestamptz, outcome text, problem text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '500ms' AS $$
#variable_conflict use_column
DECLARE
    item jsonb;
    tick jsonb;
    s {tidemill}.schedule%ROWTYPE;
BEGIN
    FOR item IN SELECT * FROM jsonb_array_elements(items) LOOP
        SELECT x.* INTO s FROM {tidemill}.schedule x
         WHERE x.name = item->>'schedule' AND x.next_tick_at = (item->>'was')::timestamptz AND x.spec = item->'spec'
           FOR UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;
        BEGIN
            FOR tick IN SELECT * FROM jsonb_array_elements(item->'ticks') LOOP
                schedule := s.name;
                due_at := tick->'work'->>'scheduled_for';
                IF (tick->>'missed')::boolean THEN
                    outcome := 'missed';
                    INSERT INTO {tidemill}.tick (schedule, due_at, outcome, reason, ticks)
                    VALUES (s.name, fire.due_at, 'missed', tick->>'reason', coalesce((tick->>'ticks')::int, 1))
                    ON CONFLICT DO NOTHING;
                ELSIF s.paused_at IS NOT NULL THEN
                    outcome := 'paused';
                    INSERT INTO {tidemill}.tick (schedule, due_at, outcome) VALUES (s.name, fire.due_at, 'paused')
                    ON CONFLICT DO NOTHING;
                ELSE
                    outcome := {tidemill}.start_tick(s, tick->'work', false);
                END IF;
                RETURN NEXT;
            END LOOP;
            UPDATE {tidemill}.schedule x SET next_tick_at = (item->>'next')::timestamptz, last_tick_at = fire.due_at WHERE x.name = s.name;
        EXCEPTION WHEN OTHERS THEN
            -- Rows returned so far are taken back by whoever reads them: this one says that nothing happened.
            schedule := s.name; due_at := (item->>'was')::timestamptz; outcome := 'failed'; problem := SQLERRM || ' (' || SQLSTATE || ')';
            RETURN NEXT;
            problem := NULL;
        END;
    END LOOP;
END $$;

-- release starts ticks that waited for a live run of their job to end.
CREATE FUNCTION {tidemill}.release_ticks()
RETURNS TABLE (schedule text, due_at timestamptz, outcome text, problem text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '500ms' AS $$
#variable_conflict use_column
DECLARE
    w record;
    s {tidemill}.schedule%ROWTYPE;
BEGIN
    FOR w IN SELECT t.schedule, t.due_at, t.work FROM {tidemill}.tick t WHERE t.outcome = 'waiting' ORDER BY t.due_at LOOP
        SELECT x.* INTO s FROM {tidemill}.schedule x WHERE x.name = w.schedule FOR UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;
        CONTINUE WHEN NOT EXISTS (SELECT FROM {tidemill}.tick t WHERE t.schedule = w.schedule AND t.due_at = w.due_at AND t.outcome = 'waiting');
        BEGIN
            schedule := w.schedule; due_at := w.due_at;
            IF s.paused_at IS NOT NULL THEN
                outcome := 'paused';
                UPDATE {tidemill}.tick t SET outcome = 'paused', work = NULL WHERE t.schedule = w.schedule AND t.due_at = w.due_at;
            ELSE
                outcome := {tidemill}.start_tick(s, w.work, true);
            END IF;
            IF outcome <> 'waiting' THEN
                RETURN NEXT;
            END IF;
        EXCEPTION WHEN OTHERS THEN
            outcome := 'failed'; problem := SQLERRM || ' (' || SQLSTATE || ')';
            RETURN NEXT;
            problem := NULL;
        END;
    END LOOP;
END $$;

-- trigger_schedule starts the job of a schedule now, beside its ticks. A caller that asks again within a minute, because the
-- answer was lost on its way, gets the same run.
CREATE FUNCTION {tidemill}.trigger_schedule(name text, by text, scheduled_for text)
RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    s {tidemill}.schedule%ROWTYPE;
    work jsonb := jsonb_build_object('scheduled_for', trigger_schedule.scheduled_for);
    def {tidemill}.job;
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
    def := {tidemill}.job_of(s);
    IF def.is_unique THEN
        SELECT r.id INTO id FROM {tidemill}.run r WHERE r.job = s.job AND r.is_unique AND r.finished_at IS NULL;
        IF FOUND THEN
            RETURN id;
        END IF;
    END IF;
    RETURN {tidemill}.start_run(def, by, s.params, {tidemill}.schedule_args(s, def, work), NULL, s.name,
        jsonb_build_object('schedule', s.name, 'triggered', true) || work, true, clock_timestamp());
END $$;

REVOKE ALL ON FUNCTION {tidemill}.job_of, {tidemill}.schedule_args, {tidemill}.start_tick, {tidemill}.fire, {tidemill}.release_ticks, {tidemill}.trigger_schedule FROM PUBLIC;
