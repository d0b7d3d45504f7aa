package metrics

import (
	"time"

	"github.com/jackc/pgx/v5"
)

const scheduleLimit = 100_000

// schedules is what the reporter reads of the schedules: the first by name one by one, all as numbers.
type schedules struct {
	all, overdue int64
	first        []scheduleState
}

type scheduleState struct {
	name       string
	next, last *time.Time
	paused     bool
}

const firstSchedules = `SELECT name, next_tick_at, last_tick_at, paused_at IS NOT NULL FROM {tidemill}.schedule ORDER BY name LIMIT $1`

const scheduleCounts = `
	SELECT (SELECT count(*) FROM (SELECT name FROM {tidemill}.schedule ORDER BY name LIMIT $1) counted),
	       (SELECT count(*) FROM (SELECT FROM {tidemill}.schedule
	         WHERE next_tick_at < clock_timestamp() - interval '60 s' AND paused_at IS NULL ORDER BY next_tick_at LIMIT $1) late)`

// queue adds the statements that fill s to a batch.
func (s *schedules) queue(batch *pgx.Batch, sql func(string) string) {
	batch.Queue(sql(scheduleCounts), scheduleLimit).QueryRow(func(row pgx.Row) error {
		return row.Scan(&s.all, &s.overdue)
	})
	batch.Queue(sql(firstSchedules), maxNames).Query(func(rows pgx.Rows) (err error) {
		s.first, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (scheduleState, error) {
			var x scheduleState
			err := row.Scan(&x.name, &x.next, &x.last, &x.paused)
			return x, err
		})
		return err
	})
}

// Ids rise with time, nearly.
const waitingEvents = `
	SELECT (SELECT count(*) FROM (SELECT id FROM {tidemill}.event ORDER BY id LIMIT $1) counted),
	       (SELECT at FROM {tidemill}.event ORDER BY id LIMIT 1)`

// lookBack is how many of the newest runs of a job are looked through for a success. Most often the first or second is one.
const lookBack = 100

// lastSuccesses reads run_job_idx from its newest entry of each job on, and stops at the first success: the limit outside
// keeps the order inside. With an equals sign between the jobs the primary key would give that order too, and the planner
// might walk through the whole ledger in search of a job that ran long ago.
const lastSuccesses = `
	SELECT j.name, s.finished_at
	  FROM (SELECT name FROM {tidemill}.job ORDER BY name LIMIT $1) j
	  LEFT JOIN LATERAL (
	       SELECT newest.finished_at FROM (
	            SELECT r.status, r.finished_at FROM {tidemill}.run r WHERE r.job BETWEEN j.name AND j.name ORDER BY r.job, r.id DESC LIMIT $2) newest
	        WHERE newest.status IN ('succeeded', 'succeeded_with_rejects') LIMIT 1) s ON true`

func scanSuccesses(rows pgx.Rows, into map[string]time.Time) error {
	var job string
	var at *time.Time
	_, err := pgx.ForEachRow(rows, []any{&job, &at}, func() error {
		into[job] = time.Time{}
		if at != nil {
			into[job] = *at
		}
		return nil
	})
	return err
}

// remember fills in successes that lie further back than one look reaches, as far as this reporter saw them, and forgets
// jobs that are configured no more. A job that fails again and again must not lose its series for that.
func (r *reporter) remember(s *state) {
	for job, at := range s.successes {
		if before := r.successes[job]; before.After(at) {
			s.successes[job] = before
		}
	}
	r.successes = s.successes
}
