package rescue

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/migrations"
)

// Info is a process as people see it.
type Info struct {
	ID        string          `json:"id"`
	Host      string          `json:"host"`
	PID       int             `json:"pid"`
	Version   string          `json:"version"`
	Queues    json.RawMessage `json:"queues"` // {"default": 20, …}
	StartedAt time.Time       `json:"started_at"`
	BeatAt    time.Time       `json:"beat_at"`
	Draining  bool            `json:"draining"`
	FencedAt  *time.Time      `json:"fenced_at"`
	Running   int             `json:"running"` // jobs
	BeatAge   time.Duration   `json:"-"`       // by the database's clock
}

// Alive reports whether the process has beaten lately and is not fenced.
func (i *Info) Alive() bool { return i.FencedAt == nil && i.BeatAge < 15*time.Second }

// List returns the registered processes, oldest first.
func List(ctx context.Context, pool *pgxpool.Pool, schema migrations.Schema) ([]*Info, error) {
	rows, err := pool.Query(ctx, schema.SQL(`
		SELECT p.id, p.host, p.pid, p.version, p.queues, p.started_at, p.beat_at, p.draining, p.fenced_at,
		       (SELECT count(*) FROM {river}.river_job j
		         WHERE j.state = 'running' AND j.attempted_by[array_upper(j.attempted_by, 1)] = p.id),
		       clock_timestamp() - p.beat_at
		  FROM {tidemill}.process p ORDER BY p.started_at, p.id`))
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	infos, err := pgx.CollectRows(rows, pgx.RowToAddrOfStructByPos[Info])
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	return infos, nil
}
