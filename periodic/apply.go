package periodic

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/migrations"
)

// What a tick does when a run of its job is live; one that waits for a retry or is paused is.
const (
	OverlapSkip  = "skip"  // nothing
	OverlapQueue = "queue" // it waits for the run to end; one tick of a job may wait
	OverlapAllow = "allow" // it is enqueued beside it
)

// Definition is a schedule and what it starts.
type Definition struct {
	Name string
	Spec Spec
	// CatchUp is CatchUpLatest, CatchUpAll or CatchUpNone; default CatchUpLatest.
	CatchUp string
	// CatchUpWindow is how old a tick may be to be caught up; default 24 h.
	CatchUpWindow time.Duration
	// Overlap is OverlapSkip, OverlapQueue or OverlapAllow; default OverlapSkip. It looks at the runs of Job, whoever
	// started them.
	Overlap string
	// Jitter spreads the runs of one instant: each begins up to this much later.
	Jitter time.Duration

	// Job is the name of the runs in the ledger; default Kind. Without Kind it is the job of that name in the table job, which
	// says what the fields Kind to ParamTypes say for others, except Params.
	Job string
	// Kind, Args (a JSON object; default {}), Queue (default default), Priority (default 1) and MaxAttempts (default 25)
	// are those of the River job. The arguments also get scheduled_for, previous and caught_up.
	Kind        string
	Args        json.RawMessage
	Queue       string
	Priority    int
	MaxAttempts int
	// Params are shown with the run; default {}. Without Kind they are those of the job's start.
	Params json.RawMessage
	// ParamTypes, if set, makes arguments of Params at each tick: a list of {name, type, default} as the table job has it.
	ParamTypes json.RawMessage
	// Unique is for a job that may have one live run at a time; Overlap must not be OverlapAllow.
	Unique bool
}

// Applied is what Apply changed.
type Applied struct {
	Added, Changed, Removed []string
}

// definitionRow is a Definition in the form in which the statement takes it.
type definitionRow struct {
	Name    string          `json:"name"`
	Job     string          `json:"job"`
	Spec    storedSpec      `json:"spec"`
	CatchUp string          `json:"catch_up"`
	Window  float64         `json:"window_seconds"`
	Overlap string          `json:"overlap"`
	Jitter  float64         `json:"jitter"`
	Params  json.RawMessage `json:"params"`
	Own     *ownJob         `json:"own,omitempty"`
	Next    *time.Time      `json:"next_tick_at"`
}

// ownJob is what a schedule starts that names no job of the table job, in the form of a row of that.
type ownJob struct {
	Kind        string          `json:"kind"`
	Args        json.RawMessage `json:"args"`
	ArgsNested  bool            `json:"args_nested"`
	Queue       string          `json:"queue"`
	Priority    int             `json:"priority"`
	MaxAttempts int             `json:"max_attempts"`
	Unique      bool            `json:"is_unique"`
	ParamTypes  json.RawMessage `json:"param_types,omitempty"`
}

// ApplyTx makes the schedules of the database those of defs. A schedule that is new, or whose times have changed, begins
// with the next tick from now: what a changed expression would have done in the past is not caught up. One that is
// unchanged keeps its place, and its ticks that came due meanwhile; one that is paused stays so.
func ApplyTx(ctx context.Context, tx pgx.Tx, schema migrations.Schema, defs []Definition) (*Applied, error) {
	// In two transactions at once each would remove what the other has added. Ticks continue.
	if _, err := tx.Exec(ctx, schema.SQL(`LOCK TABLE {tidemill}.schedule IN SHARE UPDATE EXCLUSIVE MODE`)); err != nil {
		return nil, fmt.Errorf("apply schedules: %w", err)
	}
	var now time.Time
	if err := tx.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now); err != nil {
		return nil, fmt.Errorf("apply schedules: %w", err)
	}
	rows, names := []definitionRow{}, []string{}
	for _, def := range defs {
		row, err := def.row(now)
		if err != nil {
			return nil, fmt.Errorf("schedule %s: %w", def.Name, err)
		}
		rows, names = append(rows, row), append(names, def.Name)
	}
	applied := &Applied{}
	found, err := tx.Query(ctx, schema.SQL(`
		INSERT INTO {tidemill}.schedule AS s (name, job, spec, catch_up, catch_up_for, overlap, jitter, params, own, next_tick_at)
		SELECT name, job, spec, catch_up, make_interval(secs => window_seconds), overlap, make_interval(secs => jitter), params, own, next_tick_at
		  FROM jsonb_to_recordset($1) r (name text, job text, spec jsonb, catch_up text, window_seconds float8, overlap text, jitter float8,
			params jsonb, own jsonb, next_tick_at timestamptz)
		 ORDER BY name
		ON CONFLICT (name) DO UPDATE SET (job, spec, catch_up, catch_up_for, overlap, jitter, params, own, next_tick_at, updated_at) =
			(excluded.job, excluded.spec, excluded.catch_up, excluded.catch_up_for, excluded.overlap, excluded.jitter, excluded.params, excluded.own,
			 CASE WHEN s.spec = excluded.spec THEN s.next_tick_at ELSE excluded.next_tick_at END, now())
		WHERE (s.job, s.spec, s.catch_up, s.catch_up_for, s.overlap, s.jitter, s.params, s.own) IS DISTINCT FROM
			(excluded.job, excluded.spec, excluded.catch_up, excluded.catch_up_for, excluded.overlap, excluded.jitter, excluded.params, excluded.own)
		RETURNING name, xmax = 0`), rows)
	if err != nil {
		return nil, fmt.Errorf("apply schedules: %w", err)
	}
	var name string
	var added bool
	_, err = pgx.ForEachRow(found, []any{&name, &added}, func() error {
		if added {
			applied.Added = append(applied.Added, name)
		} else {
			applied.Changed = append(applied.Changed, name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("apply schedules: %w", err)
	}
	if applied.Removed, err = remove(ctx, tx, schema, names); err != nil {
		return nil, fmt.Errorf("remove schedules: %w", err)
	}
	return applied, nil
}

// remove deletes the other schedules; what they did stays in the ledger of ticks.
func remove(ctx context.Context, tx pgx.Tx, schema migrations.Schema, names []string) ([]string, error) {
	rows, err := tx.Query(ctx, schema.SQL(`
		WITH gone AS (DELETE FROM {tidemill}.schedule WHERE name <> ALL ($1) RETURNING name),
		forgotten AS (
			UPDATE {tidemill}.tick t SET outcome = 'missed', reason = 'the schedule was removed while the tick waited', work = NULL
			  FROM gone WHERE t.schedule = gone.name AND t.outcome = 'waiting')
		SELECT name FROM gone ORDER BY name`), names)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

func (d *Definition) row(now time.Time) (definitionRow, error) {
	schedule, err := Parse(d.Spec)
	if err != nil {
		return definitionRow{}, err
	}
	row := definitionRow{
		Name: d.Name, Job: d.Job, Spec: storedSpec{Cron: d.Spec.Cron, Every: int64(d.Spec.Every / time.Second), Timezone: d.Spec.Timezone},
		CatchUp: d.CatchUp, Window: d.CatchUpWindow.Seconds(), Overlap: d.Overlap, Jitter: d.Jitter.Seconds(),
		Params: d.Params, Own: d.own(),
	}
	row.fill(d.Kind)
	switch {
	case d.Name == "":
		return row, fmt.Errorf("it has no name")
	case row.Job == "":
		return row, fmt.Errorf("it has neither job nor kind")
	case row.CatchUp != CatchUpLatest && row.CatchUp != CatchUpAll && row.CatchUp != CatchUpNone:
		return row, fmt.Errorf("catch-up %q is not %s, %s or %s", row.CatchUp, CatchUpLatest, CatchUpAll, CatchUpNone)
	case row.Overlap != OverlapSkip && row.Overlap != OverlapQueue && row.Overlap != OverlapAllow:
		return row, fmt.Errorf("overlap %q is not %s, %s or %s", row.Overlap, OverlapSkip, OverlapQueue, OverlapAllow)
	case d.Unique && row.Overlap == OverlapAllow:
		return row, fmt.Errorf("job %s has one live run at a time, so overlap cannot be %s", row.Job, OverlapAllow)
	case d.Jitter < 0 || d.CatchUpWindow < 0:
		return row, fmt.Errorf("a duration is negative")
	}
	if next := schedule.Next(now); !next.IsZero() {
		row.Next = &next
	}
	return row, nil
}

// fill puts defaults where nothing is.
func (r *definitionRow) fill(kind string) {
	r.Job = cmp.Or(r.Job, kind)
	r.CatchUp, r.Overlap = cmp.Or(r.CatchUp, CatchUpLatest), cmp.Or(r.Overlap, OverlapSkip)
	r.Window = cmp.Or(r.Window, (24 * time.Hour).Seconds())
	if len(r.Params) == 0 {
		r.Params = json.RawMessage("{}")
	}
}

func (d *Definition) own() *ownJob {
	if d.Kind == "" {
		return nil
	}
	own := &ownJob{
		Kind: d.Kind, Args: d.Args, Queue: cmp.Or(d.Queue, "default"), Priority: cmp.Or(d.Priority, 1), MaxAttempts: cmp.Or(d.MaxAttempts, 25),
		Unique: d.Unique, ParamTypes: d.ParamTypes,
	}
	if len(own.Args) == 0 {
		own.Args = json.RawMessage("{}")
	}
	return own
}
