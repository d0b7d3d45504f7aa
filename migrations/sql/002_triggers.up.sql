-- locks: {river}.river_job
-- What carries a run along with its River job, and what brings it to its end.

-- A session that says which process it belongs to may change river_job only while that process is registered and not
-- fenced. Sessions that say nothing (apps, the CLI, River UI) pass.
CREATE FUNCTION {tidemill}.fence() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    me text := pg_catalog.current_setting('tidemill.client', true);
BEGIN
    IF me <> '' AND NOT EXISTS (SELECT FROM {tidemill}.process WHERE id = me AND fenced_at IS NULL) THEN
        RAISE EXCEPTION 'tidemill: process % is fenced', me USING ERRCODE = 'TM001';
    END IF;
    RETURN NULL;
END $$;

-- River's own transaction carries a run's status along. Only rows marked ours get here, and only when the state changes.
-- It runs inside River's batches: it must not fail and must not wait (the run's row is locked for a commit's length only).
-- It is an AFTER trigger, because a BEFORE trigger makes the server lock every row of every update first, ours or not.
--
-- The output that a worker recorded becomes the run's result, and an end that something follows becomes an event. The end of a
-- run that has children says nothing of theirs: what follows it waits for the last of them. A run that works in chunks ends with
-- its last chunk, which sets status and finished_at. River hears of it up to a quarter of a second later; whatever becomes of the
-- job from then on says nothing about the run any more.
CREATE FUNCTION {tidemill}.run_follows_job() RETURNS trigger
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
              FROM {tidemill}.job j WHERE j.name = NEW.metadata->'tidemill'->>'job' AND j.then_jobs IS NOT NULL;
        END IF;
    ELSIF was_final AND children IS NOT NULL THEN
        -- Somebody lets it continue. What follows it follows its next end, unless all there was to enqueue is enqueued.
        UPDATE {tidemill}.run r SET children_settled = false WHERE r.id = NEW.id AND r.outcome IS NULL;
        DELETE FROM {tidemill}.child_cancel WHERE run = NEW.id;
    END IF;
    RETURN NULL;
END $$;

-- Deleting an unfinished job ends its run.
CREATE FUNCTION {tidemill}.run_loses_job() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    children bigint;
BEGIN
    UPDATE {tidemill}.run r SET status = 'cancelled', error = 'its River job was deleted', finished_at = now(), updated_at = now(),
           children_settled = r.children IS NOT NULL
     WHERE r.id = OLD.id AND r.finished_at IS NULL
    RETURNING r.children INTO children;
    IF children > 0 THEN
        INSERT INTO {tidemill}.child_cancel (run) VALUES (OLD.id) ON CONFLICT DO NOTHING;
    END IF;
    DELETE FROM {tidemill}.run_intent WHERE run = OLD.id;
    RETURN NULL;
END $$;

-- cancel never keeps the row of a running job: its worker could not store how it ended for as long as the caller's
-- transaction is open. It asks, by a row of its own, and whoever works the job follows.
CREATE FUNCTION {tidemill}.cancel(id bigint)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    job record;
BEGIN
    BEGIN
        UPDATE {river}.river_job j SET state = 'cancelled', finalized_at = now(),
            metadata = jsonb_set(j.metadata, '{cancel_attempted_at}', to_jsonb(now()), true)
         WHERE j.id = (SELECT w.id FROM {river}.river_job w WHERE w.id = cancel.id
            AND w.state IN ('available', 'pending', 'retryable', 'scheduled') FOR NO KEY UPDATE SKIP LOCKED)
            AND NOT EXISTS (SELECT FROM {tidemill}.run r WHERE r.id = cancel.id AND r.outcome IS NOT NULL);
        IF FOUND THEN
            RETURN true;
        END IF;
        -- A row that began to run in this moment may be locked by now. The end of the block gives it back.
        RAISE 'not waiting' USING ERRCODE = 'TM002';
    EXCEPTION WHEN SQLSTATE 'TM002' THEN
        NULL;
    END;
    SELECT j.state, j.queue INTO job FROM {river}.river_job j WHERE j.id = cancel.id;
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
    INSERT INTO {tidemill}.run_intent (run, intent) VALUES (cancel.id, 'cancel')
    ON CONFLICT (run, intent) DO NOTHING;
    PERFORM pg_notify({river:text} || '.river_control',
        json_build_object('action', 'cancel', 'job_id', cancel.id, 'queue', job.queue)::text);
    RETURN true;
END $$;
COMMENT ON FUNCTION {tidemill}.cancel IS
'Cancels a job or run, when the caller commits: at once if it is not running, otherwise as soon as its worker notices.
Returns false if it had ended.';

-- store_end stores one end. It returns what holds it up, or NULL if nothing is left to do.
CREATE FUNCTION {tidemill}.store_end(e {tidemill}.job_end, with_metadata boolean)
RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    j record;
    cancelled boolean;
    merged jsonb;
BEGIN
    SELECT r.state, r.attempt, r.attempted_at, r.metadata INTO j FROM {river}.river_job r WHERE r.id = e.job FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN CASE WHEN EXISTS (SELECT FROM {river}.river_job r WHERE r.id = e.job) THEN 'another session holds the row of the job' END;
    ELSIF j.state <> 'running' OR j.attempt <> e.attempt OR j.attempted_at <> e.attempted_at THEN
        RETURN NULL; -- somebody has ended it otherwise
    END IF;
    cancelled := e.state IN ('available', 'retryable', 'scheduled') AND (j.metadata ? 'cancel_attempted_at'
        OR EXISTS (SELECT FROM {tidemill}.run_intent i WHERE i.run = e.job AND i.intent = 'cancel'));
    merged := CASE
        WHEN e.metadata IS NULL THEN j.metadata
        WHEN with_metadata THEN j.metadata || e.metadata::jsonb
        ELSE j.metadata || jsonb_build_object('output', jsonb_build_object('tidemill_error', 'the output was refused by the database: ' || e.problem)) END;
    UPDATE {river}.river_job r SET
        state = CASE WHEN cancelled THEN 'cancelled' ELSE e.state END::{river}.river_job_state,
        finalized_at = CASE WHEN cancelled THEN clock_timestamp() ELSE e.finalized_at END,
        attempt = CASE WHEN cancelled THEN r.attempt ELSE coalesce(e.new_attempt, r.attempt) END,
        scheduled_at = CASE WHEN cancelled THEN r.scheduled_at ELSE coalesce(e.scheduled_at, r.scheduled_at) END,
        errors = CASE WHEN e.error IS NULL THEN r.errors ELSE array_append(r.errors, e.error::jsonb) END,
        metadata = merged
     WHERE r.id = e.job;
    RETURN NULL;
END $$;

-- settle_ends stores the ends that can be stored now, each by itself, and waits for nobody. It returns those that it could
-- not store, with the reason; they are tried again.
CREATE FUNCTION {tidemill}.settle_ends(most integer DEFAULT 1000)
RETURNS TABLE (job bigint, tries integer, problem text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '50ms' AS $$
#variable_conflict use_column
DECLARE
    e {tidemill}.job_end%ROWTYPE;
    until timestamptz := clock_timestamp() + interval '1 second';
    why text;
BEGIN
    FOR e IN SELECT * FROM {tidemill}.job_end x WHERE x.next_at <= clock_timestamp() ORDER BY x.next_at LIMIT most FOR UPDATE SKIP LOCKED LOOP
        EXIT WHEN clock_timestamp() > until;
        BEGIN
            why := {tidemill}.store_end(e, true);
        EXCEPTION
            WHEN data_exception OR program_limit_exceeded OR statement_too_complex THEN
                why := SQLERRM;
                e.problem := why;
                BEGIN -- the end is worth more than what it says
                    why := {tidemill}.store_end(e, false);
                EXCEPTION WHEN OTHERS THEN
                    why := SQLERRM;
                END;
            WHEN OTHERS THEN
                why := SQLERRM;
        END;
        IF why IS NULL THEN
            DELETE FROM {tidemill}.job_end x WHERE x.job = e.job;
            CONTINUE;
        END IF;
        UPDATE {tidemill}.job_end x SET tries = x.tries + 1, problem = why,
            next_at = clock_timestamp() + least(interval '100 milliseconds' * (x.tries + 1), interval '1 second')
         WHERE x.job = e.job;
        job := e.job; tries := e.tries + 1; problem := why;
        RETURN NEXT;
    END LOOP;
END $$;

-- settle_cancels is for cancellations that were asked for while the job ran, and that its worker had no occasion to follow.
CREATE FUNCTION {tidemill}.settle_cancels()
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    i record;
    j record;
BEGIN
    FOR i IN SELECT x.run, x.at FROM {tidemill}.run_intent x WHERE x.intent = 'cancel' FOR UPDATE SKIP LOCKED LOOP
        SELECT r.state, r.attempted_at INTO j FROM {river}.river_job r WHERE r.id = i.run;
        CONTINUE WHEN FOUND AND j.state = 'running' AND i.at >= j.attempted_at;
        IF FOUND AND j.state IN ('available', 'pending', 'retryable', 'scheduled') THEN
            PERFORM FROM {river}.river_job r WHERE r.id = i.run FOR NO KEY UPDATE SKIP LOCKED;
            CONTINUE WHEN NOT FOUND;
            UPDATE {river}.river_job r SET state = 'cancelled', finalized_at = clock_timestamp(),
                metadata = jsonb_set(r.metadata, '{cancel_attempted_at}', to_jsonb(i.at), true)
             WHERE r.id = i.run AND r.state IN ('available', 'pending', 'retryable', 'scheduled');
            CONTINUE WHEN NOT FOUND;
        END IF;
        DELETE FROM {tidemill}.run_intent x WHERE x.run = i.run AND x.intent = 'cancel';
    END LOOP;
END $$;

-- lead makes the session the leader, unless another live one is, and reports whether it leads.
CREATE FUNCTION {tidemill}.lead(name text) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    l {tidemill}.leader%ROWTYPE;
BEGIN
    FOR locked IN 0..1 LOOP
        IF locked = 0 THEN -- a look that is cheap for all who come in vain
            SELECT x.* INTO l FROM {tidemill}.leader x WHERE x.name = lead.name;
        ELSE
            SELECT x.* INTO l FROM {tidemill}.leader x WHERE x.name = lead.name FOR UPDATE;
        END IF;
        PERFORM pg_stat_clear_snapshot();
        IF EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = l.pid AND a.datname = current_database() AND a.usename = l.role
                -- A role does not see when sessions of others began.
                AND coalesce(a.backend_start = l.session_began, true)) THEN
            RETURN l.pid = pg_backend_pid();
        END IF;
        IF locked = 0 THEN
            INSERT INTO {tidemill}.leader (name, pid, role) VALUES (lead.name, 0, '') ON CONFLICT DO NOTHING;
        END IF;
    END LOOP;
    UPDATE {tidemill}.leader x SET pid = a.pid, role = session_user, session_began = a.backend_start, since = clock_timestamp()
      FROM pg_stat_activity a WHERE a.pid = pg_backend_pid() AND x.name = lead.name;
    RETURN FOUND;
END $$;

REVOKE ALL ON FUNCTION {tidemill}.run_follows_job, {tidemill}.run_loses_job, {tidemill}.cancel, {tidemill}.store_end,
    {tidemill}.settle_ends, {tidemill}.settle_cancels, {tidemill}.lead FROM PUBLIC;

-- Triggers of one event fire in the order of their names.
--
-- River's insert is INSERT ... ON CONFLICT DO UPDATE, for which the server fires statement triggers of UPDATE as well. The
-- condition is in the trigger, so that an application's insert pays no call of a function.
CREATE TRIGGER tidemill_1_fence BEFORE UPDATE ON {river}.river_job
    FOR EACH STATEMENT WHEN (pg_catalog.current_setting('tidemill.client', true) <> '')
    EXECUTE FUNCTION {tidemill}.fence();

-- A child has no run, unless it works in chunks itself and got one when it began; then it says so.
-- The conditions keep everybody else's rows out of the functions, cheapest first.
CREATE TRIGGER tidemill_2_run AFTER UPDATE ON {river}.river_job
    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state AND NEW.metadata ? 'tidemill'
        AND (NOT NEW.metadata->'tidemill' ? 'parent' OR NEW.metadata->'tidemill' ? 'run'))
    EXECUTE FUNCTION {tidemill}.run_follows_job();
CREATE TRIGGER tidemill_3_delete AFTER DELETE ON {river}.river_job
    FOR EACH ROW WHEN (OLD.finalized_at IS NULL AND OLD.metadata ? 'tidemill'
        AND (NOT OLD.metadata->'tidemill' ? 'parent' OR OLD.metadata->'tidemill' ? 'run'))
    EXECUTE FUNCTION {tidemill}.run_loses_job();
