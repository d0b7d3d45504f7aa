-- locks: {tidemill}.process
DROP VIEW {tidemill}.runs;
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
       CASE WHEN r.children IS NOT NULL THEN r.children_settled END AS children_settled
  FROM {tidemill}.run r
  LEFT JOIN LATERAL (
       SELECT bool_or(intent = 'cancel') AS cancel, bool_or(intent = 'pause') AS pause
         FROM {tidemill}.run_intent WHERE run = r.id) i ON r.finished_at IS NULL;
DROP FUNCTION {tidemill}.unknown_job;
ALTER TABLE {tidemill}.process DROP COLUMN knows;
