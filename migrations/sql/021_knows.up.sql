-- locks: {tidemill}.process
-- What a process can work: kinds of River, and KIND:JOB where the arguments name a job. NULL: it does not say.
ALTER TABLE {tidemill}.process ADD COLUMN knows text[];

-- Whether live processes take the queue and none of them knows the job. Without any, nothing is known. Readers of the view
-- runs, who may not read the table, call it.
CREATE FUNCTION {tidemill}.unknown_job(kind text, job text, queue text)
RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(bool_and(p.knows IS NOT NULL AND
                    CASE WHEN unknown_job.kind LIKE 'tidemill.%' THEN unknown_job.kind || ':' || unknown_job.job ELSE unknown_job.kind END <> ALL (p.knows)), false)
      FROM {tidemill}.process p
     WHERE p.fenced_at IS NULL AND NOT p.draining AND p.beat_at > now() - interval '15 s' AND p.queues ? unknown_job.queue
$$;

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
       CASE WHEN r.children IS NOT NULL THEN r.children_settled END AS children_settled,
       CASE WHEN r.status IN ('enqueued', 'retrying') THEN (
            SELECT 'no live worker knows this job; reload the workers with SIGHUP or restart them' FROM {river}.river_job j
             WHERE j.id = r.id AND j.scheduled_at < now() + interval '10 s' AND {tidemill}.unknown_job(r.kind, r.job, j.queue)) END AS waits
  FROM {tidemill}.run r
  LEFT JOIN LATERAL (
       SELECT bool_or(intent = 'cancel') AS cancel, bool_or(intent = 'pause') AS pause
         FROM {tidemill}.run_intent WHERE run = r.id) i ON r.finished_at IS NULL;
COMMENT ON COLUMN {tidemill}.runs.waits IS 'why nobody takes the run, and what to do; NULL: nothing is in its way';
