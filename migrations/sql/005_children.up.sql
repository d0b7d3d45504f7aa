-- locks: {river}.river_job, {tidemill}.event
-- What comes after a run: its children, and what its end starts (then).

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
         WHERE f.children_settled AND f.id = ANY (unsettled) AND j.then_jobs IS NOT NULL
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

-- cancel_waiting_children continues with the cancellations that are due and reports whether there is more to do at once. A
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
      LEFT JOIN jsonb_to_recordset(coalesce(j.param_types, '[]')) d (name text, type text) ON d.name = f.name
     WHERE j.name = follower AND CASE WHEN j.param_types IS NULL THEN j.args_nested ELSE d.type = ANY (f.types) END;
$$;

-- follow_events starts what follows. It returns what could not be started; that is tried again, twenty times in all.
CREATE FUNCTION {tidemill}.follow_events()
RETURNS TABLE (run bigint, problem text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '500ms' AS $$
#variable_conflict use_column
DECLARE
    e {tidemill}.event%ROWTYPE;
    then_jobs jsonb;
    n jsonb;
    after_failure boolean;
    started bigint;
BEGIN
    FOR e IN SELECT * FROM {tidemill}.event WHERE next_at <= now() ORDER BY id LIMIT 100 FOR UPDATE SKIP LOCKED LOOP
        BEGIN
            SELECT j.then_jobs INTO then_jobs FROM {tidemill}.job j WHERE j.name = e.job;
            FOR n, after_failure IN
                SELECT x, e.outcome = 'failure' FROM jsonb_array_elements(coalesce(then_jobs->e.outcome, '[]')) x
                UNION ALL SELECT x, false FROM jsonb_array_elements(coalesce(then_jobs->'always', '[]')) x
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

-- What follows an import follows the runs that import, not the one that looks for files; but its failure may be reported.
CREATE FUNCTION {tidemill}.scan_is_no_end() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM {tidemill}.run r WHERE r.id = NEW.run AND r.kind = 'tidemill.scan') THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END $$;

REVOKE ALL ON FUNCTION {tidemill}.child_moves, {tidemill}.child_is_lost, {tidemill}.fold_children, {tidemill}.cancel_children,
    {tidemill}.cancel_waiting_children, {tidemill}.give_up_children, {tidemill}.failure_params, {tidemill}.follow_events,
    {tidemill}.scan_is_no_end FROM PUBLIC;

CREATE TRIGGER scan_is_no_end BEFORE INSERT ON {tidemill}.event
    FOR EACH ROW WHEN (NEW.outcome = 'success') EXECUTE FUNCTION {tidemill}.scan_is_no_end();

-- The conditions keep everybody else's rows out of the functions, cheapest first.
CREATE TRIGGER tidemill_4_child AFTER UPDATE ON {river}.river_job
    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state AND (OLD.finalized_at IS NOT NULL OR NEW.finalized_at IS NOT NULL)
        AND NEW.metadata->'tidemill' ? 'parent')
    EXECUTE FUNCTION {tidemill}.child_moves();
CREATE TRIGGER tidemill_5_child_delete AFTER DELETE ON {river}.river_job
    FOR EACH ROW WHEN (OLD.finalized_at IS NULL AND OLD.metadata->'tidemill' ? 'parent')
    EXECUTE FUNCTION {tidemill}.child_is_lost();
