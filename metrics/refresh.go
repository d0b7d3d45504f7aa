package metrics

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// jobLimit bounds the work of one count.
	jobLimit = 25_000
	runLimit = 10_000
)

// state is what one refresh reads.
type state struct {
	readAt    time.Time
	asOf      time.Time // the same moment by the database's clock, as all times that were read
	took      time.Duration
	tables    tables
	queues    []queueState
	workers   map[string]int64 // by queue
	runs      []labelled
	processes []labelled
	schedules schedules
	successes map[string]time.Time // by configured job; zero if none is known

	events      int64
	oldestEvent *time.Time
}

// tables tells which of Tidemill's own tables there are, beside River's.
type tables struct{ runs, process, schedule, job, event bool }

type queueState struct {
	name            string
	paused          bool
	counts          []stateCount
	oldestAvailable time.Time // zero if there is none
	oldestOverdue   time.Time // zero if there is none
}

type stateCount struct {
	state string
	jobs  int64 // at most jobLimit+1
}

type labelled struct {
	label string
	count int64
}

// The indexes are forced because the statistics of a table that was filled a moment ago may speak against them, and a
// sequential scan of river_job is what these statements exist to avoid. Costs that large would also start the compiler.
const settings = `SET LOCAL statement_timeout = '2s'; SET LOCAL jit = off;
	SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off`

const registeredQueues = `SELECT name, paused_at IS NOT NULL FROM {river}.river_queue ORDER BY created_at, name LIMIT 100`

// waitingQueues finds jobs in queues that nobody works. It jumps through the index from one queue to the next.
const waitingQueues = `
	WITH RECURSIVE waiting (queue, n) AS (
		(SELECT queue, 1 FROM {river}.river_job WHERE state = 'available' ORDER BY state, queue LIMIT 1)
		UNION ALL
		SELECT (SELECT j.queue FROM {river}.river_job j WHERE j.state = 'available' AND j.queue > w.queue ORDER BY j.state, j.queue LIMIT 1), n + 1
		  FROM waiting w WHERE w.queue IS NOT NULL AND n < 100)
	SELECT queue FROM waiting WHERE queue IS NOT NULL`

const whichTables = `SELECT to_regclass($1) IS NOT NULL, to_regclass($2) IS NOT NULL, to_regclass($3) IS NOT NULL, to_regclass($4) IS NOT NULL,
	to_regclass($5) IS NOT NULL`

// queueJobs reads one queue from river_job_prioritized_fetching_index alone, at most jobLimit+1 entries a state. That
// index is ordered by time only within a priority, of which there are four.
const queueJobs = `
	SELECT s.state::text,
	       (SELECT count(*) FROM (
	            SELECT FROM {river}.river_job j WHERE j.state = s.state AND j.queue = $1
	             ORDER BY j.state, j.queue, j.priority, j.scheduled_at, j.id LIMIT $2) counted),
	       oldest.at, coalesce(oldest.at <= now(), false)
	  FROM unnest('{available,scheduled,retryable,running,pending}'::{river}.river_job_state[]) WITH ORDINALITY s (state, no),
	       LATERAL (SELECT min(o.scheduled_at) AS at FROM (VALUES (1), (2), (3), (4)) p (priority), LATERAL (
	            SELECT j.scheduled_at FROM {river}.river_job j WHERE j.state = s.state AND j.queue = $1 AND j.priority = p.priority
	             ORDER BY j.state, j.queue, j.priority, j.scheduled_at, j.id LIMIT 1) o) oldest
	 ORDER BY s.no`

const liveRuns = `
	SELECT l.status, count(r.status)
	  FROM unnest('{enqueued,running,pausing,paused,cancelling,retrying}'::text[]) WITH ORDINALITY l (status, no)
	  LEFT JOIN (SELECT status FROM {tidemill}.runs WHERE finished_at IS NULL LIMIT $1) r USING (status)
	 GROUP BY l.status, l.no ORDER BY l.no`

// A process is dead when it is fenced or has not beaten for 15 s, which is when it would stop its jobs itself.
const processStates = `
	SELECT l.state, count(p.state)
	  FROM unnest('{alive,draining,dead}'::text[]) WITH ORDINALITY l (state, no)
	  LEFT JOIN (SELECT CASE WHEN fenced_at IS NOT NULL OR beat_at < clock_timestamp() - interval '15 s' THEN 'dead'
	                         WHEN draining THEN 'draining' ELSE 'alive' END AS state FROM {tidemill}.process) p USING (state)
	 GROUP BY l.state, l.no ORDER BY l.no`

// A process without queues has registered null.
const queueWorkers = `
	SELECT q.key, sum(q.value::bigint)::bigint
	  FROM {tidemill}.process p, jsonb_each_text(CASE jsonb_typeof(p.queues) WHEN 'object' THEN p.queues ELSE '{}' END) q
	 WHERE p.fenced_at IS NULL AND NOT p.draining AND p.beat_at >= clock_timestamp() - interval '15 s'
	 GROUP BY q.key LIMIT 1000`

// read reads the state of the cluster in one read-only transaction. Each statement has its own snapshot of the database, so no old
// row version is kept alive for it.
func (m *Metrics) read(ctx context.Context, conn *pgx.Conn) (*state, error) {
	start := time.Now()
	s := &state{}
	err := pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{AccessMode: pgx.ReadOnly, IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, settings); err != nil {
			return fmt.Errorf("limit the statements: %w", err)
		}
		if err := m.find(ctx, tx, s); err != nil {
			return err
		}
		if err := m.count(ctx, tx, s); err != nil {
			return err
		}
		return tx.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&s.asOf)
	})
	if err != nil {
		return nil, fmt.Errorf("read the state of the cluster: %w", err)
	}
	s.readAt = time.Now()
	s.took = s.readAt.Sub(start)
	return s, nil
}

// find looks for what there is to be counted.
func (m *Metrics) find(ctx context.Context, tx pgx.Tx, s *state) error {
	paused := map[string]bool{}
	var registered, waiting []string

	batch := &pgx.Batch{}
	batch.Queue(m.sql(whichTables), m.sql("{tidemill}.runs"), m.sql("{tidemill}.process"), m.sql("{tidemill}.schedule"), m.sql("{tidemill}.job"), m.sql("{tidemill}.event")).
		QueryRow(func(row pgx.Row) error {
			return row.Scan(&s.tables.runs, &s.tables.process, &s.tables.schedule, &s.tables.job, &s.tables.event)
		})
	batch.Queue(m.sql(registeredQueues)).Query(func(rows pgx.Rows) error {
		var name string
		var isPaused bool
		_, err := pgx.ForEachRow(rows, []any{&name, &isPaused}, func() error {
			registered = append(registered, name)
			paused[name] = isPaused
			return nil
		})
		return err
	})
	batch.Queue(m.sql(waitingQueues)).Query(func(rows pgx.Rows) (err error) {
		waiting, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("look for the queues: %w", err)
	}

	seen := map[string]bool{}
	for _, name := range slices.Concat(slices.Sorted(maps.Keys(m.opts.Queues)), registered, waiting) {
		if seen[name] || len(s.queues) == maxQueues {
			continue
		}
		seen[name] = true
		s.queues = append(s.queues, queueState{name: name, paused: paused[name]})
	}
	return nil
}

// count counts each queue in a statement of its own, so that the time limit is one for each queue.
func (m *Metrics) count(ctx context.Context, tx pgx.Tx, s *state) error {
	batch := &pgx.Batch{}
	for i := range s.queues {
		q := &s.queues[i]
		batch.Queue(m.sql(queueJobs), q.name, jobLimit+1).Query(q.scan)
	}
	if s.tables.runs {
		batch.Queue(m.sql(liveRuns), runLimit).Query(scanLabelled(&s.runs))
	}
	if s.tables.process {
		batch.Queue(m.sql(processStates)).Query(scanLabelled(&s.processes))
		batch.Queue(m.sql(queueWorkers)).Query(func(rows pgx.Rows) error {
			s.workers = map[string]int64{}
			return scanPairs(rows, s.workers)
		})
	}
	if s.tables.event {
		batch.Queue(m.sql(waitingEvents), runLimit).QueryRow(func(row pgx.Row) error { return row.Scan(&s.events, &s.oldestEvent) })
	}
	if s.tables.schedule {
		s.schedules.queue(batch, m.sql)
	}
	if s.tables.job && s.tables.runs {
		batch.Queue(m.sql(lastSuccesses), maxNames, lookBack).Query(func(rows pgx.Rows) error {
			s.successes = map[string]time.Time{}
			return scanSuccesses(rows, s.successes)
		})
	}
	if batch.Len() == 0 {
		return nil
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("count: %w", err)
	}
	return nil
}

func (q *queueState) scan(rows pgx.Rows) error {
	var n stateCount
	var oldest *time.Time
	var due bool
	_, err := pgx.ForEachRow(rows, []any{&n.state, &n.jobs, &oldest, &due}, func() error {
		q.counts = append(q.counts, n)
		switch {
		case oldest == nil:
		case n.state == "available":
			q.oldestAvailable = *oldest
		case due && (n.state == "scheduled" || n.state == "retryable"):
			if q.oldestOverdue.IsZero() || oldest.Before(q.oldestOverdue) {
				q.oldestOverdue = *oldest
			}
		}
		return nil
	})
	return err
}

func scanLabelled(into *[]labelled) func(pgx.Rows) error {
	return func(rows pgx.Rows) (err error) {
		*into, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (labelled, error) {
			var l labelled
			err := row.Scan(&l.label, &l.count)
			return l, err
		})
		return err
	}
}

func scanPairs(rows pgx.Rows, into map[string]int64) error {
	var name string
	var n int64
	_, err := pgx.ForEachRow(rows, []any{&name, &n}, func() error {
		into[name] = n
		return nil
	})
	return err
}

func (m *Metrics) sql(query string) string { return m.opts.Schema.SQL(query) }
