package periodic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/migrations"
)

// Admin shows and steers the schedules of a database. It needs no scheduler: a command or a server can hold one.
type Admin struct {
	pool   *pgxpool.Pool
	schema migrations.Schema
}

// NewAdmin returns a Admin.
func NewAdmin(pool *pgxpool.Pool, schema migrations.Schema) *Admin {
	return &Admin{pool: pool, schema: schema.Defaults()}
}

// Status is a schedule as it is.
type Status struct {
	Name        string     `json:"name"`
	Job         string     `json:"job"`
	Times       string     `json:"times"`       // as it is written: 0 9 * * * Asia/Tokyo
	Description string     `json:"description"` // in words
	CatchUp     string     `json:"catch_up"`
	Overlap     string     `json:"overlap"`
	PausedAt    *time.Time `json:"paused_at"`
	NextTickAt  *time.Time `json:"next_tick_at"` // in the schedule's time zone; before now: it is due
	LastTick    *Tick      `json:"last_tick"`

	schedule *Schedule
}

// Next returns the n ticks after t.
func (s *Status) Next(t time.Time, n int) []time.Time {
	if s.schedule == nil {
		return nil
	}
	return s.schedule.Between(t, t.AddDate(200, 0, 0), n)
}

// Schedule is the times of the schedule; nil if this version cannot read them.
func (s *Status) Schedule() *Schedule { return s.schedule }

// List returns all schedules by name.
func (a *Admin) List(ctx context.Context) ([]*Status, error) { return a.list(ctx, "") }

// Get returns one schedule, or ErrNoSchedule.
func (a *Admin) Get(ctx context.Context, name string) (*Status, error) {
	found, err := a.list(ctx, name)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("schedule %s: %w", name, ErrNoSchedule)
	}
	return found[0], nil
}

func (a *Admin) list(ctx context.Context, name string) ([]*Status, error) {
	rows, err := a.pool.Query(ctx, a.schema.SQL(`
		SELECT s.name, s.job, s.spec, s.catch_up, s.overlap, s.paused_at, s.next_tick_at,
		       to_jsonb(t) - 'work'
		  FROM {tidemill}.schedule s
		  LEFT JOIN LATERAL (SELECT * FROM {tidemill}.tick t WHERE t.schedule = s.name ORDER BY t.due_at DESC LIMIT 1) t ON true
		 WHERE $1 = '' OR s.name = $1 ORDER BY s.name`), name)
	if err != nil {
		return nil, fmt.Errorf("list schedules: %w", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*Status, error) {
		s := &Status{}
		var spec json.RawMessage
		if err := row.Scan(&s.Name, &s.Job, &spec, &s.CatchUp, &s.Overlap, &s.PausedAt, &s.NextTickAt, &s.LastTick); err != nil {
			return nil, err
		}
		parsed, err := parseStored(spec)
		if err != nil { // a newer version's
			s.Times = string(spec)
			return s, nil
		}
		s.schedule, s.Times, s.Description = parsed, parsed.String(), parsed.Describe()
		if s.NextTickAt != nil {
			next := s.NextTickAt.In(parsed.Location())
			s.NextTickAt = &next
		}
		return s, nil
	})
	if err != nil {
		return nil, fmt.Errorf("list schedules: %w", err)
	}
	return all, nil
}

// History returns the newest n ticks of a schedule, the newest first; of all schedules if name is empty. A schedule that was
// removed keeps its history for as long as runs are kept.
func (a *Admin) History(ctx context.Context, name string, n int) ([]*Tick, error) {
	rows, err := a.pool.Query(ctx, a.schema.SQL(`
		SELECT schedule, due_at, outcome, run, reason, ticks, at FROM {tidemill}.tick
		 WHERE $1 = '' OR schedule = $1 ORDER BY due_at DESC, schedule LIMIT $2`), name, n)
	if err != nil {
		return nil, fmt.Errorf("history of schedule %s: %w", name, err)
	}
	ticks, err := pgx.CollectRows(rows, pgx.RowToAddrOfStructByPos[Tick])
	if err != nil {
		return nil, fmt.Errorf("history of schedule %s: %w", name, err)
	}
	return ticks, nil
}

// Pause keeps a schedule from starting anything; what would have been due is recorded. Pausing twice does nothing.
func (a *Admin) Pause(ctx context.Context, name string) error {
	return a.update(ctx, name, `UPDATE {tidemill}.schedule SET paused_at = coalesce(paused_at, now()), updated_at = now() WHERE name = $1`)
}

// Resume ends a pause. Skipped ticks are not caught up.
func (a *Admin) Resume(ctx context.Context, name string) error {
	return a.update(ctx, name, `UPDATE {tidemill}.schedule SET paused_at = NULL, updated_at = now() WHERE name = $1`)
}

func (a *Admin) update(ctx context.Context, name, query string) error {
	tag, err := a.pool.Exec(ctx, a.schema.SQL(query), name)
	if err != nil {
		return fmt.Errorf("schedule %s: %w", name, err)
	}
	if tag.RowsAffected() == 0 {
		return fmt.Errorf("schedule %s: %w", name, ErrNoSchedule)
	}
	return nil
}

// Trigger starts the job of a schedule now, beside its ticks, also while it is paused, and returns the run's id. by is who
// asks, for the ledger: cli, api, cron. Asked again by the same within a minute it returns the same run, so that a caller
// who has lost the answer may repeat the question.
func (a *Admin) Trigger(ctx context.Context, name, by string) (int64, error) {
	s, err := a.Get(ctx, name)
	if err != nil {
		return 0, err
	}
	zone := time.UTC
	if s.schedule != nil {
		zone = s.schedule.Location()
	}
	var now time.Time
	if err := a.pool.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&now); err != nil {
		return 0, fmt.Errorf("trigger schedule %s: %w", name, err)
	}
	var id int64
	err = a.pool.QueryRow(ctx, a.schema.SQL(`SELECT {tidemill}.trigger_schedule($1, $2, $3)`), name, by, now.In(zone).Format(time.RFC3339)).Scan(&id)
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == "22023" {
		return 0, fmt.Errorf("schedule %s: %s", name, pg.Message)
	}
	if err != nil {
		return 0, fmt.Errorf("trigger schedule %s: %w", name, err)
	}
	return id, nil
}
