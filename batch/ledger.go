package batch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/internal/dbtext"
	"github.com/tidemill/tidemill/migrations"
)

// Ledger reads and steers runs. It needs no worker: the CLI, a web server or an application can hold one.
type Ledger struct {
	pool   *pgxpool.Pool
	schema migrations.Schema
	client *river.Client[pgx.Tx]

	encoding dbtext.Known
}

// NewLedger returns a ledger. client is any River client of the same schema, insert-only will do.
func NewLedger(pool *pgxpool.Pool, schema migrations.Schema, client *river.Client[pgx.Tx]) *Ledger {
	return &Ledger{pool: pool, schema: schema.Defaults(), client: client}
}

// Info is a run as the ledger shows it; the view runs.
type Info struct {
	ID         int64           `json:"id"`
	Job        string          `json:"job"`
	Kind       string          `json:"kind"`
	Trigger    string          `json:"trigger"`
	Status     Status          `json:"status"`
	Params     json.RawMessage `json:"params"`
	Metadata   json.RawMessage `json:"metadata"`
	RetryOf    *int64          `json:"retry_of,omitempty"`
	Counters   Counters        `json:"counters"`
	Unit       *string         `json:"unit"`
	Total      *int64          `json:"total"`
	Done       int64           `json:"done"`
	Rate       *float64        `json:"rate"` // units per second, moving average over running time
	Error      *string         `json:"error"`
	Result     json.RawMessage `json:"result"`
	Seq        int64           `json:"seq"`
	EnqueuedAt time.Time       `json:"enqueued_at"`
	StartedAt  *time.Time      `json:"started_at"`
	FinishedAt *time.Time      `json:"finished_at"`
	UpdatedAt  time.Time       `json:"updated_at"`
	Children   *Children       `json:"children,omitempty"` // nil: the run enqueues none
	Waits      *string         `json:"waits,omitempty"`    // why nobody takes the run, and what to do; nil: nothing is in its way
}

// Status is where the run is.
type Status string

const (
	Enqueued             Status = "enqueued"
	Running              Status = "running"
	Pausing              Status = "pausing"
	Paused               Status = "paused"
	Cancelling           Status = "cancelling"
	Retrying             Status = "retrying"
	Succeeded            Status = "succeeded"
	SucceededWithRejects Status = "succeeded_with_rejects"
	Failed               Status = "failed"
	Cancelled            Status = "cancelled"
)

// Final reports whether nothing more happens to the run by itself.
func (s Status) Final() bool {
	return s == Succeeded || s == SucceededWithRejects || s == Failed || s == Cancelled
}

// Percent returns the progress from 0 to 100, and false while it is unknown.
func (i *Info) Percent() (float64, bool) {
	if i.Total == nil || *i.Total <= 0 {
		return 0, false
	}
	return min(100, 100*float64(i.Done)/float64(*i.Total)), true
}

// ETA returns the time left at the present rate. It is unknown before five seconds and three chunks have shown a rate.
func (i *Info) ETA() (time.Duration, bool) {
	if i.Status != Running || i.Total == nil || i.Rate == nil || *i.Rate <= 0 || i.StartedAt == nil ||
		i.Seq < 3 || i.UpdatedAt.Sub(*i.StartedAt) < 5*time.Second {
		return 0, false
	}
	left := float64(*i.Total - i.Done)
	return max(0, time.Duration(left / *i.Rate * float64(time.Second))), true
}

// ErrNoRun is returned for an id that is in no ledger.
var ErrNoRun = errors.New("no such run")

const infoColumns = `id, job, kind, trigger, status, params, metadata, retry_of, counters, unit, total, done, rate,
	error, result, seq, enqueued_at, started_at, finished_at, updated_at, ` + childrenColumn + `, waits`

// Get returns one run.
func (l *Ledger) Get(ctx context.Context, id int64) (*Info, error) {
	rows, err := l.pool.Query(ctx, l.schema.SQL("SELECT "+infoColumns+" FROM {tidemill}.runs WHERE id = $1"), id)
	if err != nil {
		return nil, fmt.Errorf("read run %d: %w", id, err)
	}
	info, err := pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByPos[Info])
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("run %d: %w", id, ErrNoRun)
	}
	if err != nil {
		return nil, fmt.Errorf("read run %d: %w", id, err)
	}
	return info, nil
}

// Due returns when a run that waits for its time, or for its next attempt, is due, and false for any other. Workers find
// it within about five seconds of that.
func (l *Ledger) Due(ctx context.Context, id int64) (time.Time, bool, error) {
	var due time.Time
	err := l.pool.QueryRow(ctx, l.schema.SQL(`
		SELECT j.scheduled_at FROM {river}.river_job j JOIN {tidemill}.run r USING (id)
		 WHERE id = $1 AND j.state IN ('scheduled', 'retryable') AND r.status <> 'paused'`), id).Scan(&due)
	if errors.Is(err, pgx.ErrNoRows) {
		return time.Time{}, false, nil
	}
	if err != nil {
		return time.Time{}, false, fmt.Errorf("read when run %d is due: %w", id, err)
	}
	return due, true, nil
}

// ListOpts narrows List; zero fields do not.
type ListOpts struct {
	Job    string
	Status Status
	Limit  int // default 20
}

// List returns runs, the newest first.
func (l *Ledger) List(ctx context.Context, opts ListOpts) ([]*Info, error) {
	if opts.Limit <= 0 {
		opts.Limit = 20
	}
	rows, err := l.pool.Query(ctx, l.schema.SQL("SELECT "+infoColumns+` FROM {tidemill}.runs
		WHERE ($1 = '' OR job = $1) AND ($2 = '' OR status = $2) ORDER BY id DESC LIMIT $3`), opts.Job, string(opts.Status), opts.Limit)
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	infos, err := pgx.CollectRows(rows, pgx.RowToAddrOfStructByPos[Info])
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	return infos, nil
}

// Watch calls fn with the run now, and again whenever it has changed, until it is final or ctx ends. It reads the run every so
// often, and more often at first, for short runs.
func (l *Ledger) Watch(ctx context.Context, id int64, every time.Duration, fn func(*Info) error) error {
	var last Info
	for wait := min(every, 20*time.Millisecond); ; wait = min(2*wait, every) {
		info, err := l.Get(ctx, id)
		if err != nil {
			return err
		}
		if last.ID == 0 || info.Seq != last.Seq || info.Status != last.Status || !info.UpdatedAt.Equal(last.UpdatedAt) ||
			(info.Waits == nil) != (last.Waits == nil) {
			if err := fn(info); err != nil {
				return err
			}
		}
		if info.Status.Final() {
			return nil
		}
		last = *info
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
