-- locks: {river}.river_job
-- A worker process. beat_at is moved by its owner only; fenced_at is set by whoever found it dead and is never taken back.
CREATE TABLE {tidemill}.process (
    id         text PRIMARY KEY,
    host       text NOT NULL,
    pid        integer NOT NULL,
    version    text NOT NULL,
    queues     jsonb NOT NULL DEFAULT '{}',
    started_at timestamptz NOT NULL DEFAULT now(),
    beat_at    timestamptz NOT NULL DEFAULT now(),
    draining   boolean NOT NULL DEFAULT false,
    fenced_at  timestamptz
) WITH (fillfactor = 50);

-- One execution of a job; id is the River job's id.
-- cursor, counters, done, rate, seq and updated_at stand in no index, so that a chunk's update stays HOT.
CREATE TABLE {tidemill}.run (
    id          bigint PRIMARY KEY,
    job         text NOT NULL,
    kind        text NOT NULL,
    trigger     text NOT NULL,
    args        jsonb NOT NULL DEFAULT '{}',
    params      jsonb NOT NULL DEFAULT '{}',
    metadata    jsonb NOT NULL DEFAULT '{}',
    identity    bytea,
    retry_of    bigint,
    status      text NOT NULL DEFAULT 'enqueued' CHECK (status IN
                ('enqueued', 'running', 'paused', 'retrying', 'succeeded', 'succeeded_with_rejects', 'failed', 'cancelled')),
    outcome     text CHECK (outcome IN ('succeeded', 'succeeded_with_rejects')),
    lease       bigint NOT NULL DEFAULT 0,
    seq         bigint NOT NULL DEFAULT 0,
    failures    integer NOT NULL DEFAULT 0,
    cursor      jsonb,
    counters    jsonb NOT NULL DEFAULT '{}',
    unit        text,
    total       bigint,
    done        bigint NOT NULL DEFAULT 0,
    rate        double precision,
    error       text,
    result      jsonb,
    enqueued_at timestamptz NOT NULL DEFAULT now(),
    started_at  timestamptz,
    finished_at timestamptz,
    updated_at  timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

CREATE INDEX run_job_idx ON {tidemill}.run (job, id DESC);
CREATE INDEX run_identity_idx ON {tidemill}.run (identity) WHERE identity IS NOT NULL;
CREATE UNIQUE INDEX run_live_identity_key ON {tidemill}.run (identity) WHERE identity IS NOT NULL AND finished_at IS NULL;

-- Live runs are few among the many of the ledger; the metrics count them.
CREATE INDEX run_live_idx ON {tidemill}.run (id) WHERE finished_at IS NULL;

-- What somebody asks of a running run. A row of its own, so that asking never waits for, or holds up, the run's row.
CREATE TABLE {tidemill}.run_intent (
    run    bigint NOT NULL,
    intent text NOT NULL CHECK (intent IN ('pause', 'cancel')),
    at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run, intent)
);

CREATE TABLE {tidemill}.run_reject (
    run         bigint NOT NULL,
    ordinal     bigint NOT NULL,
    line        bigint NOT NULL,
    byte_offset bigint NOT NULL,
    raw         bytea NOT NULL,
    code        text NOT NULL,
    column_name text,
    reason      text NOT NULL,
    PRIMARY KEY (run, ordinal)
);

CREATE VIEW {tidemill}.runs AS
SELECT r.id, r.job, r.kind, r.trigger,
       CASE WHEN r.status = 'running' AND i.cancel THEN 'cancelling'
            WHEN r.status = 'running' AND i.pause THEN 'pausing'
            ELSE r.status END AS status,
       r.params, r.metadata, r.retry_of, r.counters, r.unit, r.total, r.done, r.rate,
       r.error, r.result, r.seq, r.enqueued_at, r.started_at, r.finished_at, r.updated_at
  FROM {tidemill}.run r
  LEFT JOIN LATERAL (
       SELECT bool_or(intent = 'cancel') AS cancel, bool_or(intent = 'pause') AS pause
         FROM {tidemill}.run_intent WHERE run = r.id) i ON r.finished_at IS NULL;

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
CREATE FUNCTION {tidemill}.run_follows_job() RETURNS trigger
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

-- Deleting an unfinished job ends its run.
CREATE FUNCTION {tidemill}.run_loses_job() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE {tidemill}.run SET status = 'cancelled', error = 'its River job was deleted', finished_at = now(), updated_at = now()
     WHERE id = OLD.id AND finished_at IS NULL;
    DELETE FROM {tidemill}.run_intent WHERE run = OLD.id;
    RETURN NULL;
END $$;

REVOKE ALL ON FUNCTION {tidemill}.run_follows_job(), {tidemill}.run_loses_job() FROM PUBLIC;

-- Triggers of one event fire in the order of their names.
CREATE TRIGGER tidemill_1_fence BEFORE UPDATE ON {river}.river_job
    FOR EACH STATEMENT EXECUTE FUNCTION {tidemill}.fence();
CREATE TRIGGER tidemill_2_run AFTER UPDATE ON {river}.river_job
    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state AND NEW.metadata ? 'tidemill')
    EXECUTE FUNCTION {tidemill}.run_follows_job();
CREATE TRIGGER tidemill_3_delete AFTER DELETE ON {river}.river_job
    FOR EACH ROW WHEN (OLD.finalized_at IS NULL AND OLD.metadata ? 'tidemill')
    EXECUTE FUNCTION {tidemill}.run_loses_job();
