-- The tables, and the view over the runs. Every statement names its schema: the search_path belongs to the user's tables.

-- A worker process. beat_at is moved by its owner only; fenced_at is set by whoever found it dead and is never taken back.
CREATE TABLE {tidemill}.process (
    id            text PRIMARY KEY,
    host          text NOT NULL,
    pid           integer NOT NULL,
    version       text NOT NULL,
    queues        jsonb NOT NULL DEFAULT '{}',
    started_at    timestamptz NOT NULL DEFAULT now(),
    beat_at       timestamptz NOT NULL DEFAULT now(),
    draining      boolean NOT NULL DEFAULT false,
    fenced_at     timestamptz,
    config        text NOT NULL DEFAULT '',
    -- The session that beats for the process. Its end shows at once that the process is gone or cut off; no other session can
    -- have its number and its beginning, while anybody could take an advisory lock.
    session_pid   integer,
    session_since timestamptz,
    -- Only sessions of that role are a process's: anybody may give his own such a name.
    role          text DEFAULT session_user,
    -- What a process can work: kinds of River, and KIND:JOB where the arguments name a job. NULL: it does not say.
    knows         text[]
) WITH (fillfactor = 50);

-- One execution of a job; id is the River job's id.
-- cursor, counters, done, rate, seq, updated_at and the counts of children are in no index, and identity and is_unique do not
-- change after the insert, so that a chunk's update stays HOT.
CREATE TABLE {tidemill}.run (
    id               bigint PRIMARY KEY,
    job              text NOT NULL,
    kind             text NOT NULL,
    trigger          text NOT NULL,
    args             jsonb NOT NULL DEFAULT '{}',
    params           jsonb NOT NULL DEFAULT '{}',
    metadata         jsonb NOT NULL DEFAULT '{}',
    identity         bytea,
    retry_of         bigint,
    status           text NOT NULL DEFAULT 'enqueued' CHECK (status IN
                     ('enqueued', 'running', 'paused', 'retrying', 'succeeded', 'succeeded_with_rejects', 'failed', 'cancelled')),
    outcome          text CHECK (outcome IN ('succeeded', 'succeeded_with_rejects')),
    lease            bigint NOT NULL DEFAULT 0,
    seq              bigint NOT NULL DEFAULT 0,
    failures         integer NOT NULL DEFAULT 0,
    cursor           jsonb,
    counters         jsonb NOT NULL DEFAULT '{}',
    unit             text,
    total            bigint,
    done             bigint NOT NULL DEFAULT 0,
    rate             double precision,
    error            text,
    result           jsonb,
    enqueued_at      timestamptz NOT NULL DEFAULT now(),
    started_at       timestamptz,
    finished_at      timestamptz,
    updated_at       timestamptz NOT NULL DEFAULT now(),
    -- A run that says so is the only live one of its job; identity tells which work it does, and one run can have both.
    is_unique        boolean NOT NULL DEFAULT false,
    expires_at       timestamptz,
    resume_at        timestamptz,
    -- Children are plain River jobs that name the run in their metadata, {"tidemill": {"job": ..., "parent": ...}}.
    -- NULL: the run has none and never had.
    children         bigint,
    children_done    bigint NOT NULL DEFAULT 0,
    children_failed  bigint NOT NULL DEFAULT 0,
    children_settled boolean NOT NULL DEFAULT false,
    begun_by         text
) WITH (fillfactor = 50);
COMMENT ON COLUMN {tidemill}.run.expires_at IS 'when a run of outside code that has not ended is taken for lost';
COMMENT ON COLUMN {tidemill}.run.resume_at IS 'when a paused run was due';
COMMENT ON COLUMN {tidemill}.run.children IS 'jobs that it has enqueued, counted in the transaction that did';
COMMENT ON COLUMN {tidemill}.run.children_settled IS 'what follows the run has been decided; a child that is retried later changes the counts only';
COMMENT ON COLUMN {tidemill}.run.begun_by IS 'of a run of outside code: the role that began it; only it, its members and the owner may end it';

CREATE INDEX run_job_idx ON {tidemill}.run (job, id DESC);
CREATE INDEX run_identity_idx ON {tidemill}.run (identity) WHERE identity IS NOT NULL;
CREATE UNIQUE INDEX run_live_identity_key ON {tidemill}.run (identity) WHERE identity IS NOT NULL AND finished_at IS NULL;
CREATE UNIQUE INDEX run_live_unique_key ON {tidemill}.run (job) WHERE is_unique AND finished_at IS NULL;
CREATE INDEX run_expires_idx ON {tidemill}.run (expires_at) WHERE expires_at IS NOT NULL AND finished_at IS NULL;

-- Live runs are few among the many of the ledger; the metrics count them.
CREATE INDEX run_live_idx ON {tidemill}.run (id) WHERE finished_at IS NULL;

-- Live runs of a job, for the rule about overlap.
CREATE INDEX run_live_job_idx ON {tidemill}.run (job) WHERE finished_at IS NULL;

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

-- What a job without run and the configuration of this database need to know; one row.
CREATE TABLE {tidemill}.setting (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    notify   boolean NOT NULL DEFAULT true,
    queues   text[] NOT NULL DEFAULT '{}',
    timezone text NOT NULL DEFAULT 'UTC',
    config   text NOT NULL DEFAULT '',
    max_args integer NOT NULL DEFAULT 1048576
);
COMMENT ON COLUMN {tidemill}.setting.max_args IS 'how many bytes the arguments of a job may have, as text, with its metadata and tags';
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
    args_nested  boolean NOT NULL,
    queue        text NOT NULL,
    priority     smallint NOT NULL,
    max_attempts smallint NOT NULL,
    is_unique    boolean NOT NULL,
    param_types  jsonb,
    start_error  text,
    updated_at   timestamptz NOT NULL DEFAULT now(),
    -- The jobs to start when a run has ended; NULL: none. {success, failure, always}, each a list of {job, params}.
    then_jobs    jsonb
);
COMMENT ON COLUMN {tidemill}.job.args_nested IS 'whether params are in a field of args of their own; otherwise they are fields of args';
COMMENT ON COLUMN {tidemill}.job.param_types IS 'a list of {name, type, default}; NULL: any params are taken';
COMMENT ON COLUMN {tidemill}.job.start_error IS 'why SQL cannot start the job, and what can; NULL: it can';

-- Schedules are rows: whoever is alive fires what is due, and what came due while nobody was is known afterwards.
CREATE TABLE {tidemill}.schedule (
    name         text PRIMARY KEY,
    job          text NOT NULL,
    spec         jsonb NOT NULL,
    catch_up     text NOT NULL CHECK (catch_up IN ('latest', 'all', 'none')),
    catch_up_for interval NOT NULL,
    overlap      text NOT NULL CHECK (overlap IN ('skip', 'queue', 'allow')),
    jitter       interval NOT NULL DEFAULT '0',
    params       jsonb NOT NULL DEFAULT '{}',
    own          jsonb,
    paused_at    timestamptz,
    last_tick_at timestamptz,
    next_tick_at timestamptz,
    updated_at   timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);
COMMENT ON COLUMN {tidemill}.schedule.next_tick_at IS 'the first tick that has not been handled; NULL: there is none any more';
COMMENT ON COLUMN {tidemill}.schedule.job IS 'the job of that name in the table job; with own, only the name of the runs';
COMMENT ON COLUMN {tidemill}.schedule.own IS 'what a program''s schedule starts, with the columns of the table job; NULL: the job of the configuration';
CREATE INDEX schedule_next_idx ON {tidemill}.schedule (next_tick_at) WHERE next_tick_at IS NOT NULL;

-- What became of each tick. The primary key is why a tick can be enqueued only once.
CREATE TABLE {tidemill}.tick (
    schedule text NOT NULL,
    due_at   timestamptz NOT NULL,
    outcome  text NOT NULL CHECK (outcome IN ('enqueued', 'caught_up', 'waiting', 'overlap', 'paused', 'missed')),
    run      bigint,
    reason   text,
    ticks    integer NOT NULL DEFAULT 1,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    work     jsonb,
    PRIMARY KEY (schedule, due_at)
);
COMMENT ON COLUMN {tidemill}.tick.ticks IS 'how many ticks the row stands for, those before due_at: very many missed ones share a row';
COMMENT ON COLUMN {tidemill}.tick.work IS 'of a waiting tick: the scheduled_for, previous and caught_up to start it with';
CREATE INDEX tick_waiting_idx ON {tidemill}.tick (schedule) WHERE outcome = 'waiting';
CREATE INDEX tick_at_idx ON {tidemill}.tick (at);

-- An end of a run that something follows. The row is deleted in the transaction that starts it, so that it is started once.
CREATE TABLE {tidemill}.event (
    id      bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    run     bigint NOT NULL,
    job     text NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('success', 'failure')),
    at      timestamptz NOT NULL DEFAULT now(),
    tries   integer NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL DEFAULT now(),
    problem text
);
CREATE INDEX event_next_idx ON {tidemill}.event (next_at);

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

-- One row for each recipient that a mail was offered for: it is what keeps a mail from being sent twice.
-- 'sending' is committed before the server has any of the mail. A row that an attempt finds in that state was left by one
-- that died there, and means the same as 'unknown': the server had, or may have had, the mail, and nobody knows its answer.
CREATE TABLE {tidemill}.message_claim (
    key        text NOT NULL,
    recipient  text NOT NULL,
    run        bigint NOT NULL,
    state      text NOT NULL CHECK (state IN ('sending', 'sent', 'refused', 'deferred', 'unknown')),
    tries      integer NOT NULL DEFAULT 0,
    ended      integer,
    message_id text NOT NULL,
    detail     text,
    first_at   timestamptz NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (key, recipient)
);
COMMENT ON COLUMN {tidemill}.message_claim.key IS 'which mail; the id of the first run of a chain of retries';
COMMENT ON COLUMN {tidemill}.message_claim.run IS 'the run that touched it last';
COMMENT ON COLUMN {tidemill}.message_claim.tries IS 'how often the server was given the mail; whoever gave it may only write while this is his count';
COMMENT ON COLUMN {tidemill}.message_claim.ended IS 'the attempt with which the run failed for good; a later one was asked for by a person';

CREATE INDEX message_claim_updated_idx ON {tidemill}.message_claim (updated_at);

-- A file in the storage that a run writes part by part, and that is deleted some time after the run's end.
CREATE TABLE {tidemill}.artifact (
    id         bigint PRIMARY KEY,
    run        bigint NOT NULL,
    prefix     text NOT NULL,
    keep       interval NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN {tidemill}.artifact.id IS 'the run that began it';
COMMENT ON COLUMN {tidemill}.artifact.run IS 'the run that writes it now; only that one may';
COMMENT ON COLUMN {tidemill}.artifact.prefix IS 'begins the keys of all its objects, and of no others';
CREATE INDEX artifact_run_idx ON {tidemill}.artifact (run);

-- The parts that are committed; one after another, in the order of the key, they are the file. An object that is in no
-- row was left by an attempt that died before its commit.
CREATE TABLE {tidemill}.artifact_part (
    artifact  bigint NOT NULL REFERENCES {tidemill}.artifact (id) ON DELETE CASCADE,
    span      integer NOT NULL,
    no        integer NOT NULL,
    object    text NOT NULL,
    rows      bigint NOT NULL,
    bytes     bigint NOT NULL,
    crc32c    bigint NOT NULL,
    ends_span boolean NOT NULL DEFAULT false,
    PRIMARY KEY (artifact, span, no)
);
COMMENT ON COLUMN {tidemill}.artifact_part.span IS 'which of the ranges that were read at once; 0 if there is one';
COMMENT ON COLUMN {tidemill}.artifact_part.ends_span IS 'whether no part of the span follows; with consistency keyset never said';

-- The files of sources that imports were started for. A row stands as long as nobody removes it: the ledger forgets its runs,
-- and a file must not be imported again for that. It is made in the transaction that starts the run.
CREATE TABLE {tidemill}.source_file (
    job     text NOT NULL,
    url     text NOT NULL,
    version text NOT NULL,
    sha256  text NOT NULL,
    scan    bigint NOT NULL,
    run     bigint,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (job, url, version)
);
COMMENT ON COLUMN {tidemill}.source_file.version IS 'tells this content of the file from the next';
COMMENT ON COLUMN {tidemill}.source_file.scan IS 'run that found the file';
COMMENT ON COLUMN {tidemill}.source_file.run IS 'run that imports it, or one that had the same content before';

-- How an attempt ended, while its job's row cannot be written: somebody holds the row, or the server refuses what is to be
-- stored. Whoever looks after dead processes leaves such a job alone, and settle_ends stores the end as soon as that is possible.
-- error and metadata are text: the server shall look into them only when they are stored.
CREATE TABLE {tidemill}.job_end (
    job          bigint PRIMARY KEY,
    attempt      integer NOT NULL,
    attempted_at timestamptz NOT NULL,
    state        text NOT NULL,
    new_attempt  integer,
    error        text,
    finalized_at timestamptz,
    metadata     text,
    scheduled_at timestamptz,
    ended_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    tries        integer NOT NULL DEFAULT 0,
    next_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    problem      text
);
COMMENT ON COLUMN {tidemill}.job_end.new_attempt IS 'the attempt number that the job is given back with; NULL: as it is';
COMMENT ON COLUMN {tidemill}.job_end.problem IS 'why the end is not stored yet';

-- Jobs whose processes died twice in a row or more, and that are tried one at a time; see package rescue. Until its turn
-- such a job is available and due later.
CREATE TABLE {tidemill}.suspect (
    job     bigint PRIMARY KEY,
    place   jsonb NOT NULL,
    times   integer NOT NULL,
    due_at  timestamptz NOT NULL,
    ran     interval NOT NULL,
    tried   integer NOT NULL DEFAULT 0,
    turn_at timestamptz,
    since   timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN {tidemill}.suspect.place IS 'attempt, errors and seq of the job when its process died';
COMMENT ON COLUMN {tidemill}.suspect.times IS 'how many processes in a row died of it';
COMMENT ON COLUMN {tidemill}.suspect.due_at IS 'the scheduled_at that keeps its place in the queue';
COMMENT ON COLUMN {tidemill}.suspect.ran IS 'the longest that it ran before a death was found';
COMMENT ON COLUMN {tidemill}.suspect.tried IS 'how many turns passed without a worker that took it';
COMMENT ON COLUMN {tidemill}.suspect.turn_at IS 'since when it is its turn; NULL: it waits';

-- Which session does what only one may do. The session is the lock: it leads until it ends. An advisory lock would do the same, but
-- whoever may connect to the database can take that and keep it.
CREATE TABLE {tidemill}.leader (
    name          text PRIMARY KEY,
    pid           integer NOT NULL,
    role          text NOT NULL,
    session_began timestamptz,
    since         timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN {tidemill}.leader.session_began IS 'of the session with that pid; numbers come again';

-- Whether live processes take the queue and none of them knows the job. Without any, nothing is known. Readers of the view
-- runs, who may not read the table, call it.
CREATE FUNCTION {tidemill}.unknown_job(kind text, job text, queue text)
RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(bool_and(p.knows IS NOT NULL AND
                    CASE WHEN unknown_job.kind LIKE 'tidemill.%' THEN unknown_job.kind || ':' || unknown_job.job ELSE unknown_job.kind END <> ALL (p.knows)), false)
      FROM {tidemill}.process p
     WHERE p.fenced_at IS NULL AND NOT p.draining AND p.beat_at > now() - interval '15 s' AND p.queues ? unknown_job.queue
$$;

CREATE VIEW {tidemill}.runs AS
SELECT r.id, r.job, r.kind, r.trigger,
       CASE WHEN r.status = 'running' AND i.cancel THEN 'cancelling'
            WHEN r.status = 'running' AND i.pause THEN 'pausing'
            ELSE r.status END AS status,
       r.params, r.metadata, r.retry_of, r.counters, r.unit, r.total, r.done, r.rate,
       r.error, r.result, r.seq, r.enqueued_at, r.started_at, r.finished_at, r.updated_at,
       r.children, CASE WHEN r.children IS NOT NULL THEN r.children_done END AS children_done,
       CASE WHEN r.children IS NOT NULL THEN r.children_failed END AS children_failed,
       r.children - r.children_done - r.children_failed AS children_waiting,
       CASE WHEN r.children IS NOT NULL THEN r.children_settled END AS children_settled,
       CASE WHEN r.status IN ('enqueued', 'retrying') THEN (
            SELECT 'no live worker knows this job; reload the workers with SIGHUP or restart them' FROM {river}.river_job j
             WHERE j.id = r.id AND j.scheduled_at < now() + interval '10 s' AND {tidemill}.unknown_job(r.kind, r.job, j.queue)) END AS waits
  FROM {tidemill}.run r
  LEFT JOIN LATERAL (
       SELECT bool_or(intent = 'cancel') AS cancel, bool_or(intent = 'pause') AS pause
         FROM {tidemill}.run_intent WHERE run = r.id) i ON r.finished_at IS NULL;
COMMENT ON COLUMN {tidemill}.runs.waits IS 'why nobody takes the run, and what to do; NULL: nothing is in its way';
