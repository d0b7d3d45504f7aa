-- locks: {river}.river_job, {tidemill}.run
-- Children of a run: plain River jobs that name it in their metadata, {"tidemill": {"job": ..., "parent": ...}}.
-- NULL: the run has none and never had. None of these columns stands in an index, so that counting stays HOT.
ALTER TABLE {tidemill}.run
    ADD COLUMN children bigint,
    ADD COLUMN children_done bigint NOT NULL DEFAULT 0,
    ADD COLUMN children_failed bigint NOT NULL DEFAULT 0,
    ADD COLUMN children_settled boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN {tidemill}.run.children IS 'jobs that it has enqueued, counted in the transaction that did';
COMMENT ON COLUMN {tidemill}.run.children_settled IS 'what follows the run has been decided; a child that is retried later changes the counts only';

-- What became of children since their parent's counts were last brought up to date. Rows are only added, so that no child
-- waits for another; fold_children takes them away. It is small and changes fast.
CREATE TABLE {tidemill}.child_delta (
    parent bigint NOT NULL,
    done   integer NOT NULL,
    failed integer NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_insert_scale_factor = 0.5);

-- Runs whose waiting children are to be cancelled.
CREATE TABLE {tidemill}.child_cancel (
    run     bigint PRIMARY KEY,
    next_at timestamptz NOT NULL DEFAULT now()
);

CREATE OR REPLACE VIEW {tidemill}.runs AS
SELECT r.id, r.job, r.kind, r.trigger,
       CASE WHEN r.status = 'running' AND i.cancel THEN 'cancelling'
            WHEN r.status = 'running' AND i.pause THEN 'pausing'
            ELSE r.status END AS status,
       r.params, r.metadata, r.retry_of, r.counters, r.unit, r.total, r.done, r.rate,
       r.error, r.result, r.seq, r.enqueued_at, r.started_at, r.finished_at, r.updated_at,
       r.children, CASE WHEN r.children IS NOT NULL THEN r.children_done END AS children_done,
       CASE WHEN r.children IS NOT NULL THEN r.children_failed END AS children_failed,
       r.children - r.children_done - r.children_failed AS children_waiting,
       CASE WHEN r.children IS NOT NULL THEN r.children_settled END AS children_settled
  FROM {tidemill}.run r
  LEFT JOIN LATERAL (
       SELECT bool_or(intent = 'cancel') AS cancel, bool_or(intent = 'pause') AS pause
         FROM {tidemill}.run_intent WHERE run = r.id) i ON r.finished_at IS NULL;

-- A child is done when it has completed, failed when it was discarded, cancelled or deleted before its end, and waits
-- otherwise, whatever it was before: a child that is retried counts as waiting again.
-- It runs inside River's batches: it must not fail and must not wait.
CREATE FUNCTION {tidemill}.child_moves() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    parent text := NEW.metadata->'tidemill'->>'parent';
    done integer;
    failed integer;
BEGIN
    IF parent !~ '^\d{1,18}$' OR parent IS NULL THEN
        RETURN NULL;
    ELSIF OLD.finalized_at IS NULL AND NEW.state = 'completed' THEN -- of nearly all
        INSERT INTO {tidemill}.child_delta VALUES (parent::bigint, 1, 0);
        RETURN NULL;
    END IF;
    done := (NEW.state = 'completed')::int - (OLD.state = 'completed')::int;
    failed := (NEW.state IN ('discarded', 'cancelled'))::int - (OLD.state IN ('discarded', 'cancelled'))::int;
    IF done <> 0 OR failed <> 0 THEN
        INSERT INTO {tidemill}.child_delta VALUES (parent::bigint, done, failed);
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION {tidemill}.child_is_lost() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    parent text := OLD.metadata->'tidemill'->>'parent';
BEGIN
    IF parent ~ '^\d{1,18}$' THEN
        INSERT INTO {tidemill}.child_delta VALUES (parent::bigint, 0, 1);
    END IF;
    RETURN NULL;
END $$;

-- fold_children brings the counts of parents up to date. It returns how many rows of child_delta it took, and how many parents
-- have ended by that which something follows. Whoever took many vacuums the table, so that the next need not look through them.
-- Any number of processes may call it at once: the lock on a parent's row says who counts for it, and nobody waits for one.
CREATE FUNCTION {tidemill}.fold_children(OUT taken integer, OUT ended integer)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    parents bigint[] := ARRAY(SELECT DISTINCT d.parent FROM {tidemill}.child_delta d);
    mine bigint[];
    unsettled bigint[];
    gone bigint[];
BEGIN
    taken := 0;
    ended := 0;
    IF parents = '{}' THEN
        RETURN;
    END IF;
    SELECT array_agg(l.id), coalesce(array_agg(l.id) FILTER (WHERE NOT l.children_settled), '{}') INTO mine, unsettled
      FROM (SELECT r.id, r.children_settled FROM {tidemill}.run r WHERE r.id = ANY (parents) FOR NO KEY UPDATE SKIP LOCKED) l;
    gone := ARRAY(SELECT p FROM unnest(parents) p WHERE NOT EXISTS (SELECT FROM {tidemill}.run r WHERE r.id = p));
    -- This statement sees what was committed until now, and nobody else takes rows of these parents before the commit.
    WITH deltas AS (
        DELETE FROM {tidemill}.child_delta d WHERE d.ctid = ANY (ARRAY(
            SELECT x.ctid FROM {tidemill}.child_delta x WHERE x.parent = ANY (mine || gone) LIMIT 50000))
        RETURNING d.parent, d.done, d.failed),
    sums AS (SELECT d.parent, count(*) AS n, sum(d.done) AS done, sum(d.failed) AS failed FROM deltas d GROUP BY d.parent),
    folded AS (
        UPDATE {tidemill}.run r SET
            children_done = r.children_done + s.done,
            children_failed = r.children_failed + s.failed,
            children_settled = r.children_settled OR r.status IN ('succeeded', 'succeeded_with_rejects')
                AND r.children_done + s.done + r.children_failed + s.failed >= coalesce(r.children, 0),
            updated_at = clock_timestamp()
          FROM sums s WHERE r.id = s.parent
        RETURNING r.id, r.job, r.children_failed, r.children_settled),
    events AS (
        INSERT INTO {tidemill}.event (run, job, outcome)
        SELECT f.id, j.name, CASE WHEN f.children_failed = 0 THEN 'success' ELSE 'failure' END
          FROM folded f JOIN {tidemill}.job j ON j.name = f.job
         WHERE f.children_settled AND f.id = ANY (unsettled) AND j.follows IS NOT NULL
        RETURNING 1)
    SELECT coalesce(sum(s.n), 0), (SELECT count(*) FROM events) INTO taken, ended FROM sums s;
END $$;

-- cancel_children cancels some of a run's waiting children and returns how many. One that runs is left to end.
CREATE FUNCTION {tidemill}.cancel_children(parent bigint, most integer)
RETURNS integer LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    cancelled integer;
    children jsonb := jsonb_build_object('tidemill', jsonb_build_object('parent', parent));
BEGIN
    UPDATE {river}.river_job j SET state = 'cancelled', finalized_at = now(),
           metadata = jsonb_set(j.metadata, '{cancel_attempted_at}', to_jsonb(now()), true)
     WHERE j.id = ANY (ARRAY(
        SELECT x.id FROM {river}.river_job x
         WHERE x.metadata @> children AND x.state IN ('available', 'pending', 'retryable', 'scheduled') LIMIT most FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS cancelled = ROW_COUNT;
    RETURN cancelled;
END $$;

-- cancel_waiting_children goes on with the cancellations that are due and reports whether there is more to do at once. A
-- cancellation ends when its run and all children of it have.
CREATE FUNCTION {tidemill}.cancel_waiting_children(most integer)
RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    c {tidemill}.child_cancel%ROWTYPE;
    more boolean := false;
BEGIN
    FOR c IN SELECT * FROM {tidemill}.child_cancel WHERE next_at <= now() ORDER BY next_at LIMIT 10 FOR UPDATE SKIP LOCKED LOOP
        IF {tidemill}.cancel_children(c.run, most) >= most THEN
            more := true;
        ELSIF EXISTS (SELECT FROM {tidemill}.run r WHERE r.id = c.run AND r.finished_at IS NULL)
            OR EXISTS (SELECT FROM {river}.river_job j WHERE j.finalized_at IS NULL
                AND j.metadata @> jsonb_build_object('tidemill', jsonb_build_object('parent', c.run))) THEN
            UPDATE {tidemill}.child_cancel x SET next_at = now() + interval '5 seconds' WHERE x.run = c.run;
        ELSE
            DELETE FROM {tidemill}.child_cancel x WHERE x.run = c.run;
        END IF;
    END LOOP;
    RETURN more;
END $$;

-- give_up_children is for a run that has ended: its waiting children are to be cancelled, and nothing follows it. It
-- returns whether there are any.
CREATE FUNCTION {tidemill}.give_up_children(parent bigint)
RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE {tidemill}.run r SET children_settled = true, metadata = r.metadata || '{"children_cancelled": true}', updated_at = clock_timestamp()
     WHERE r.id = give_up_children.parent AND r.finished_at IS NOT NULL AND r.children > r.children_done + r.children_failed;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO {tidemill}.child_cancel (run) VALUES (parent) ON CONFLICT DO NOTHING;
    RETURN true;
END $$;

REVOKE ALL ON FUNCTION {tidemill}.child_moves, {tidemill}.child_is_lost, {tidemill}.fold_children, {tidemill}.cancel_children,
    {tidemill}.cancel_waiting_children, {tidemill}.give_up_children FROM PUBLIC;

-- As before, and the end of a run that has children says nothing of theirs: what follows it waits for the last of them.
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
BEGIN
    -- If nobody asks for a pause any more, it is turned round; the update comes back here.
    IF far AND NOT EXISTS (SELECT FROM {tidemill}.run_intent WHERE run = NEW.id AND intent = 'pause') THEN
        UPDATE {river}.river_job SET state = 'available', scheduled_at = now() WHERE id = NEW.id;
        RETURN NULL;
    END IF;

    UPDATE {tidemill}.run r SET
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
    WHERE id = NEW.id
    RETURNING r.children INTO children;

    IF is_final THEN
        DELETE FROM {tidemill}.run_intent WHERE run = NEW.id;
        IF children IS NOT NULL THEN
            UPDATE {tidemill}.run r SET children_settled = true
             WHERE r.id = NEW.id AND NOT r.children_settled
               AND (NEW.state <> 'completed' OR r.children_done + r.children_failed >= r.children)
            RETURNING r.children_failed INTO children_failed;
            due := due AND FOUND;
            IF NEW.state = 'cancelled' AND children > 0 THEN
                INSERT INTO {tidemill}.child_cancel (run) VALUES (NEW.id) ON CONFLICT DO NOTHING;
            END IF;
        END IF;
        IF due THEN
            INSERT INTO {tidemill}.event (run, job, outcome)
            SELECT NEW.id, j.name, CASE WHEN NEW.state = 'completed' AND children_failed = 0 THEN 'success' ELSE 'failure' END
              FROM {tidemill}.job j WHERE j.name = NEW.metadata->'tidemill'->>'job' AND j.follows IS NOT NULL;
        END IF;
    ELSIF was_final AND children IS NOT NULL THEN
        -- Somebody lets it go on. What follows it follows its next end, unless all there was to enqueue is enqueued.
        UPDATE {tidemill}.run r SET children_settled = false WHERE r.id = NEW.id AND r.outcome IS NULL;
        DELETE FROM {tidemill}.child_cancel WHERE run = NEW.id;
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION {tidemill}.run_loses_job() RETURNS trigger
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

-- As before, and a run that has ended is cancelled as far as its children still wait.
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
    ELSIF job.state IN ('cancelled', 'completed', 'discarded') THEN
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

-- A child has no run, unless it works in chunks itself and got one when it began; then it says so.
-- The conditions keep everybody else's rows out of the functions, cheapest first.
DROP TRIGGER tidemill_2_run ON {river}.river_job;
CREATE TRIGGER tidemill_2_run AFTER UPDATE ON {river}.river_job
    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state AND NEW.metadata ? 'tidemill'
        AND (NOT NEW.metadata->'tidemill' ? 'parent' OR NEW.metadata->'tidemill' ? 'run'))
    EXECUTE FUNCTION {tidemill}.run_follows_job();
DROP TRIGGER tidemill_3_delete ON {river}.river_job;
CREATE TRIGGER tidemill_3_delete AFTER DELETE ON {river}.river_job
    FOR EACH ROW WHEN (OLD.finalized_at IS NULL AND OLD.metadata ? 'tidemill'
        AND (NOT OLD.metadata->'tidemill' ? 'parent' OR OLD.metadata->'tidemill' ? 'run'))
    EXECUTE FUNCTION {tidemill}.run_loses_job();
CREATE TRIGGER tidemill_4_child AFTER UPDATE ON {river}.river_job
    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state AND (OLD.finalized_at IS NOT NULL OR NEW.finalized_at IS NOT NULL)
        AND NEW.metadata->'tidemill' ? 'parent')
    EXECUTE FUNCTION {tidemill}.child_moves();
CREATE TRIGGER tidemill_5_child_delete AFTER DELETE ON {river}.river_job
    FOR EACH ROW WHEN (OLD.finalized_at IS NULL AND OLD.metadata->'tidemill' ? 'parent')
    EXECUTE FUNCTION {tidemill}.child_is_lost();
