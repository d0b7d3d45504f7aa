package riverpg_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/rescue"
)

// Whoever holds the row of a running job holds up no other job, and no job that has ended runs again for it, however long
// that takes.
func TestHeldRowsHoldUpNothing(t *testing.T) {
	t.Parallel()

	const n = 20
	ctx := context.Background()
	held := func(sql string, args func(id int64) []any) func(*testing.T, *bundle, int64) func() {
		return func(t *testing.T, b *bundle, id int64) func() {
			tx, err := b.pool.Begin(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(ctx, sql, args(id)...); err != nil {
				t.Fatal(err)
			}
			return func() { _ = tx.Rollback(ctx) }
		}
	}
	ofJob := func(id int64) []any { return []any{id} }
	all := func(int64) []any { return nil }
	tests := []struct {
		name string
		hold func(t *testing.T, b *bundle, id int64) (release func())
		free int // jobs whose end can be stored meanwhile
	}{
		{"row", held(`UPDATE tidemill.river_job SET priority = 2 WHERE id = $1`, ofJob), n - 1},
		{"row, shared", held(`SELECT FROM tidemill.river_job WHERE id = $1 FOR SHARE`, ofJob), n - 1},
		{"cancel", held(`SELECT tidemill.cancel($1)`, ofJob), n},
		{"prepared", func(t *testing.T, b *bundle, id int64) func() {
			conn, err := pgx.Connect(ctx, b.url)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close(ctx) }()
			for _, sql := range []string{`BEGIN`, `UPDATE tidemill.river_job SET priority = 2 WHERE id = (SELECT max(id) FROM tidemill.river_job)`, `PREPARE TRANSACTION 'held'`} {
				if _, err := conn.Exec(ctx, sql); err != nil {
					t.Fatal(err)
				}
			}
			return func() {
				if _, err := b.pool.Exec(ctx, `ROLLBACK PREPARED 'held'`); err != nil {
					t.Error(err)
				}
			}
		}, n - 1},
		{"table, as VACUUM FULL holds it", held(`LOCK TABLE tidemill.river_job IN ACCESS EXCLUSIVE MODE`, all), 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			ids := b.start(t, n, none)
			release := tt.hold(t, b, ids[n-1])
			close(b.worker.gate)
			if tt.free > 0 {
				began := time.Now()
				b.until(t, tt.free, `SELECT count(*) FROM tidemill.river_job WHERE state = 'completed'`)
				if took := time.Since(began); took > 5*time.Second {
					t.Errorf("the ends of the others were stored after %s", took)
				}
			}
			<-time.After(4 * b.opts.OrphanAfter)
			release()
			b.until(t, n, `SELECT count(*) FROM tidemill.river_job WHERE state = 'completed'`)
			if got := b.count(t, `SELECT count(*) FROM public.done`); got != n {
				t.Errorf("%d executions of %d jobs", got, n)
			}
			if bad := b.count(t, `SELECT count(*) FROM tidemill.river_job WHERE attempt <> 1 OR errors IS NOT NULL`); bad > 0 {
				t.Errorf("%d jobs lost an attempt", bad)
			}
			b.until(t, 0, `SELECT count(*) FROM tidemill.job_end`)
		})
	}
}

// An end is kept by whoever is left: the process that could not store it has gone.
func TestEndsOutliveTheirProcess(t *testing.T) {
	t.Parallel()

	ctx := context.Background()
	b := setup(t)
	ids := b.start(t, 1, none)
	tx, err := b.pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(ctx, `SELECT FROM tidemill.river_job WHERE id = $1 FOR UPDATE`, ids[0]); err != nil {
		t.Fatal(err)
	}
	close(b.worker.gate)
	b.until(t, 1, `SELECT count(*) FROM tidemill.job_end`)
	// The process is taken for dead, and its jobs are moved.
	if _, err := b.pool.Exec(ctx, `UPDATE tidemill.process SET fenced_at = now()`); err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	other, err := rescue.Register(ctx, b.opts)
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	go func() { _ = other.Run(running) }()
	b.until(t, 1, `SELECT count(*) FROM tidemill.river_job WHERE state = 'completed'`)
	if got := b.count(t, `SELECT count(*) FROM public.done`); got != 1 {
		t.Errorf("%d executions", got)
	}
}

type refusing struct{}

func (refusing) MarshalJSON() ([]byte, error) { return []byte(`{"n": 1e400000}`), nil }

// What the database does not take ends its own job, and no other waits for it.
func TestAnythingIsStored(t *testing.T) {
	t.Parallel()

	record := func(value any) func(context.Context) error {
		return func(ctx context.Context) error { return river.RecordOutput(ctx, value) }
	}
	deep := json.RawMessage(`1`)
	for range 7000 {
		deep = append(append([]byte{'['}, deep...), ']')
	}
	tests := map[string]struct {
		end    func(context.Context) error
		state  string
		output string // as text; "" = not looked at
		err    string
	}{
		"NUL in the output":       {record(map[string]string{"a\x00": "b\x00c"}), "completed", `{"a` + "\uFFFD" + `": "b` + "\uFFFD" + `c"}`, ""},
		"half a surrogate pair":   {record(json.RawMessage(`"x\ud83dy \ud83d\ude00 \\u0000"`)), "completed", `"x` + "\uFFFDy 😀 " + `\\u0000"`, ""},
		"a number beyond numeric": {record(refusing{}), "completed", "", ""},
		"nested 7,000 deep":       {record(deep), "completed", "", ""},
		"NUL in an error":         {func(context.Context) error { return errors.New("no \x00 here") }, "retryable", "", "no \uFFFD here"},
		"NUL in a panic":          {func(context.Context) error { panic("at \x00") }, "retryable", "", "at \uFFFD"},
		"NUL in metadata": {func(ctx context.Context) error {
			return errors.Join(river.MetadataSet(ctx, "k\x00", "v\x00"), river.JobCancel(errors.New("\x00")))
		}, "cancelled", "", ""},
		"nothing of the kind": {nil, "completed", "", ""},
	}
	b := setup(t)
	names := []string{}
	for name, tt := range tests {
		names = append(names, name)
		b.worker.ends[name] = tt.end
	}
	ids := b.start(t, len(names), func(n int) string { return names[n] })
	close(b.worker.gate)
	for i, name := range names {
		want := tests[name]
		b.until(t, 1, `SELECT count(*) FROM tidemill.river_job WHERE id = $1 AND state::text = $2`, ids[i], want.state)
		var output, text string
		err := b.pool.QueryRow(context.Background(), `SELECT coalesce((metadata->'output')::text, ''), coalesce(errors[1]->>'error', '') FROM tidemill.river_job WHERE id = $1`,
			ids[i]).Scan(&output, &text)
		if err != nil {
			t.Fatal(err)
		}
		if want.output != "" && output != want.output {
			t.Errorf("%s: output %s, want %s", name, output, want.output)
		}
		if want.err != "" && text != want.err {
			t.Errorf("%s: error %q, want %q", name, text, want.err)
		}
		t.Logf("%s: output %.200s, error %q", name, output, text)
	}
	if got := b.count(t, `SELECT count(*) FROM public.done`); got != len(names) {
		t.Errorf("%d executions of %d jobs", got, len(names))
	}
}
