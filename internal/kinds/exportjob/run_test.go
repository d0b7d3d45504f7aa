package exportjob_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/kinds/exportjob"
	"github.com/tidemill/tidemill/internal/storage"
	"github.com/tidemill/tidemill/workers"
)

const manyRows = `CREATE TABLE public.t (a int, b text, v text, PRIMARY KEY (a, b));
	INSERT INTO t SELECT i / 7, 'k' || i % 7, 'value ' || i FROM generate_series(1, 5000) i; ANALYZE t`

// stopped pauses and resumes the run again and again, so that it continues in many attempts.
func (b *exportBundle) stopped(t *testing.T, id int64) *batch.Info {
	t.Helper()
	ctx := context.Background()
	for {
		info := b.WaitStatus(t, id, batch.Running, batch.Paused, batch.Succeeded, batch.Failed)
		var state *batch.StateError
		switch {
		case info.Status.Final():
			return info
		case info.Status == batch.Running:
			if err := b.Ledger.Pause(ctx, id); err != nil && !errors.As(err, &state) {
				t.Fatal(err)
			}
		default:
			if err := b.Ledger.Resume(ctx, id); err != nil && !errors.As(err, &state) {
				t.Fatal(err)
			}
		}
	}
}

func TestExportGoesOn(t *testing.T) {
	t.Parallel()

	for _, compression := range []string{exportjob.Uncompressed, exportjob.Gzip, exportjob.Zstd} {
		for _, format := range []string{config.CSV, config.NDJSON} {
			t.Run(compression+" "+format, func(t *testing.T) {
				t.Parallel()
				b := setupExport(t, manyRows, "table: t\nchunk: 100\ncompression: "+compression+"\nformat: "+format)
				whole, result := b.dump(t, "")
				if result.Parts != 50 || result.Rows != 5000 {
					t.Errorf("%d parts, %d rows", result.Parts, result.Rows)
				}
				info := b.stopped(t, b.start(t, ""))
				if info.Status == batch.Failed {
					t.Fatal(*info.Error)
				}
				again, _ := b.file(t, info)
				if !bytes.Equal(whole, again) {
					t.Error("the file that was written in several attempts is another")
				}
			})
		}
	}
}

func TestExportSnapshotBeginsAnew(t *testing.T) {
	t.Parallel()

	b := setupExport(t, manyRows, "table: t\nchunk: 100\nconsistency: snapshot")
	whole, result := b.dump(t, "")
	id := b.start(t, "")
	ctx := context.Background()
	var state *batch.StateError
	for info := b.WaitStatus(t, id, batch.Running, batch.Succeeded); ; info = b.WaitStatus(t, id, batch.Running, batch.Paused, batch.Succeeded) {
		if info.Status == batch.Paused || info.Status == batch.Succeeded {
			break
		}
		if err := b.Ledger.Pause(ctx, id); err != nil && !errors.As(err, &state) {
			t.Fatal(err)
		}
	}
	if err := b.Ledger.Resume(ctx, id); err != nil && !errors.As(err, &state) {
		t.Fatal(err)
	}
	info := b.WaitStatus(t, id, batch.Succeeded, batch.Failed)
	if info.Status == batch.Failed {
		t.Fatal(*info.Error)
	}
	again, second := b.file(t, info)
	if !bytes.Equal(whole, again) || second.Rows != 5000 || second.Parts != result.Parts {
		t.Errorf("%+v\n%+v", result, second)
	}
}

// A run whose River job is gone continues as another run, and the first may not continue any more.
func TestExportTakesOver(t *testing.T) {
	t.Parallel()

	b := setupExport(t, manyRows, "table: t\norder_by: [a, b]\nchunk: 100")
	whole, _ := b.dump(t, "")
	ctx := context.Background()
	if _, err := b.Pool.Exec(ctx, `ALTER TABLE t RENAME TO u; CREATE VIEW t AS SELECT a, b, CASE WHEN a = 400 AND b = 'k3' THEN (1 / (a - 400))::text ELSE v END AS v FROM u`); err != nil {
		t.Fatal(err)
	}
	id := b.start(t, "")
	info := b.WaitStatus(t, id, batch.Failed)
	if info.Counters.Read == 0 || !strings.Contains(*info.Error, "division by zero") {
		t.Fatalf("%d rows, %s", info.Counters.Read, *info.Error)
	}
	if _, err := b.Pool.Exec(ctx, `CREATE OR REPLACE VIEW t AS SELECT a, b, v FROM u; DELETE FROM tidemill.river_job`); err != nil {
		t.Fatal(err)
	}
	next, err := b.Ledger.Retry(ctx, id, batch.RetryOpts{})
	if err != nil || next == id {
		t.Fatal(next, err)
	}
	info = b.WaitStatus(t, next, batch.Succeeded, batch.Failed)
	if info.Status == batch.Failed {
		t.Fatal(*info.Error)
	}
	again, _ := b.file(t, info)
	if !bytes.Equal(whole, again) {
		t.Error("the file is another")
	}
	third, err := b.Ledger.Retry(ctx, id, batch.RetryOpts{})
	if err != nil {
		t.Fatal(err)
	}
	if info := b.WaitStatus(t, third, batch.Succeeded, batch.Failed); info.Status != batch.Failed || !strings.Contains(*info.Error, "another run has gone on") {
		t.Errorf("%s: %s", info.Status, deref(info.Error))
	}
}

func TestExportRefusesWhatHasChanged(t *testing.T) {
	t.Parallel()

	tests := []struct {
		name, want string
		change     func(t *testing.T, b *exportBundle)
	}{
		{"definition", "definition of job dump has changed", func(t *testing.T, b *exportBundle) { b.define(t, "table: t\nchunk: 1\nheader: false") }},
		{"columns", "columns have changed", func(t *testing.T, b *exportBundle) {
			if _, err := b.Pool.Exec(context.Background(), `ALTER TABLE t ADD more int`); err != nil {
				t.Fatal(err)
			}
		}},
		{"parts", "not there any more", func(t *testing.T, b *exportBundle) {
			if _, err := b.Pool.Exec(context.Background(), `DELETE FROM tidemill.artifact`); err != nil {
				t.Fatal(err)
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setupExport(t, manyRows, "table: t\nchunk: 1")
			id := b.start(t, "")
			begun := errors.New("begun")
			if err := b.Ledger.Watch(context.Background(), id, time.Millisecond, func(info *batch.Info) error {
				if info.Counters.Read > 0 {
					return begun
				}
				return nil
			}); !errors.Is(err, begun) {
				t.Fatal(err)
			}
			if err := b.Ledger.Pause(context.Background(), id); err != nil {
				t.Fatal(err)
			}
			b.WaitStatus(t, id, batch.Paused)
			tt.change(t, b)
			if err := b.Ledger.Resume(context.Background(), id); err != nil {
				t.Fatal(err)
			}
			if info := b.WaitStatus(t, id, batch.Failed, batch.Succeeded); info.Status != batch.Failed || !strings.Contains(*info.Error, tt.want) {
				t.Errorf("%s: %s", info.Status, deref(info.Error))
			}
		})
	}
}

// While others insert, update and delete, no row is there twice and none that stood throughout is missing; a snapshot has
// exactly the rows of one instant.
func TestExportBesideWriters(t *testing.T) {
	t.Parallel()

	for _, consistency := range []string{exportjob.Keyset, exportjob.Snapshot} {
		t.Run(consistency, func(t *testing.T) {
			t.Parallel()
			// Each transaction of the writers leaves the sum of n as it is, so that a snapshot can be told.
			b := setupExport(t, `CREATE TABLE public.t (id int PRIMARY KEY, n int NOT NULL);
				INSERT INTO t SELECT i, 100 FROM generate_series(1, 20000) i; ANALYZE t`, "table: t\nchunk: 250\nconsistency: "+consistency)
			ctx, stop := context.WithCancel(context.Background())
			var writers sync.WaitGroup
			defer writers.Wait()
			defer stop()
			for w := range 2 {
				conn, err := b.Pool.Acquire(ctx)
				if err != nil {
					t.Fatal(err)
				}
				writers.Go(func() {
					defer conn.Release()
					for i := 0; ctx.Err() == nil; i++ {
						// Rows whose id is no multiple of 3 stand throughout.
						from, to, fresh := 3*((i*7919+w)%6000)+3, 3*((i*104729+w)%6000)+3, 20001+2*i+w
						_, _ = conn.Exec(context.Background(), fmt.Sprintf(`BEGIN;
							UPDATE t SET n = n - 1 WHERE id %% 3 <> 0 AND id = %[1]d + 1; UPDATE t SET n = n + 1 WHERE id %% 3 <> 0 AND id = %[1]d + 2;
							DELETE FROM t WHERE id = %[2]d AND n = 100; INSERT INTO t SELECT %[3]d, 100 WHERE NOT EXISTS (SELECT FROM t WHERE id = %[2]d);
							COMMIT`, from, to, fresh))
						_, _ = conn.Exec(context.Background(), "ROLLBACK")
					}
				})
			}
			for range 3 {
				file, _ := b.dump(t, "")
				records, err := csv.NewReader(bytes.NewReader(file)).ReadAll()
				if err != nil {
					t.Fatal(err)
				}
				last, standing, sum := 0, 0, 0
				for _, record := range records[1:] {
					id, _ := strconv.Atoi(record[0])
					n, _ := strconv.Atoi(record[1])
					if id <= last {
						t.Fatalf("id %d follows %d", id, last)
					}
					last, sum = id, sum+n
					if id <= 20000 && id%3 != 0 {
						standing++
					}
				}
				if want := 20000 - 20000/3; standing != want {
					t.Errorf("%d of %d standing rows", standing, want)
				}
				if consistency == exportjob.Snapshot && sum%100 != 0 {
					t.Errorf("the sum is %d: rows of several instants", sum)
				}
			}
		})
	}
}

func TestExportCancelled(t *testing.T) {
	t.Parallel()

	b := setupExport(t, manyRows, "table: t\nchunk: 1")
	id := b.start(t, "")
	b.WaitStatus(t, id, batch.Running)
	if err := b.Ledger.Cancel(context.Background(), id); err != nil {
		t.Fatal(err)
	}
	info := b.WaitStatus(t, id, batch.Cancelled, batch.Succeeded)
	if info.Status != batch.Cancelled || info.Counters.Read >= 5000 {
		t.Errorf("%s after %d rows", info.Status, info.Counters.Read)
	}
}

func TestExportSnapshotTimeout(t *testing.T) {
	t.Parallel()

	b := setupExport(t, "", "query: SELECT i AS id, pg_sleep(1) FROM generate_series(1, 100) i\nconsistency: snapshot\ntimeout: 1s")
	info := b.WaitStatus(t, b.start(t, ""), batch.Failed, batch.Succeeded)
	if info.Status != batch.Failed || !strings.Contains(*info.Error, "timeout of 1s") {
		t.Errorf("%s: %s", info.Status, deref(info.Error))
	}
}

func TestExportExpires(t *testing.T) {
	t.Parallel()

	b := setupExport(t, manyRows, "table: t\nchunk: 1000\nexpire: 1h")
	ctx := context.Background()
	_, result := b.dump(t, "")
	live := b.start(t, "")
	b.WaitStatus(t, live, batch.Succeeded)
	x := exportjob.NewExpirer(exportjob.ExpirerOpts{Pool: b.Pool, Storage: b.storage})
	sweep := func(want int) {
		t.Helper()
		if n, err := x.Sweep(ctx); err != nil || n != want {
			t.Errorf("%d expired, %v, want %d", n, err, want)
		}
	}
	sweep(0)
	if d := time.Until(result.ExpiresAt); d < 55*time.Minute || d > time.Hour {
		t.Errorf("expires in %s", d)
	}
	if _, err := b.Pool.Exec(ctx, `UPDATE tidemill.run SET finished_at = now() - interval '61 minutes' WHERE id <> $1`, live); err != nil {
		t.Fatal(err)
	}
	sweep(1)
	if _, err := exportjob.ReadManifest(ctx, b.storage, result); !errors.Is(err, storage.ErrNotFound) {
		t.Error(err)
	}
	var left []string
	if _, err := b.storage.DeleteAll(ctx, "exports/", func(key string) bool {
		left = append(left, key[:strings.LastIndex(key, "/")])
		return true
	}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{fmt.Sprintf("exports/dump/%d", live)}, slices.Compact(left)); diff != "" {
		t.Error(diff)
	}
	// The ledger has forgotten the run.
	if _, err := b.Pool.Exec(ctx, `DELETE FROM tidemill.run; UPDATE tidemill.artifact SET created_at = now() - interval '61 minutes'`); err != nil {
		t.Fatal(err)
	}
	sweep(1)
}

func TestCheckExport(t *testing.T) {
	t.Parallel()

	const schema = `CREATE TABLE public.t (id int PRIMARY KEY, n int UNIQUE, day date); CREATE VIEW public.v AS SELECT * FROM t`
	tests := []struct{ name, fields, want string }{
		{"table", "table: t", ""},
		{"view", "table: v\norder_by: [id]", ""},
		{"more than the key", "table: t\norder_by: [day, id]\nconsistency: snapshot", ""},
		{"query", "query: SELECT id, day FROM t WHERE day = :day\norder_by: [id]\nparams: {day: date}", ""},
		{"nullable", "table: t\norder_by: [n]", "7:5: jobs.dump.order_by: a column of it may be NULL"},
		{"no index", "table: t\norder_by: [day]\nconsistency: snapshot", ""},
		{"no table", "table: tt", "6:5: jobs.dump.table: no such table"},
		{"no column", "table: t\ncolumns: [x]", `7:5: jobs.dump.columns: table t has no column "x"`},
		{"wrong query", "query: SELECT x FROM t\norder_by: [x]", `6:5: jobs.dump.query: line 1, column 8: column "x" does not exist`},
		{"order", "query: SELECT n FROM t\norder_by: [id]", `7:5: jobs.dump.order_by: the query has no column "id"`},
		{"param", "query: SELECT id FROM t WHERE day = :day\norder_by: [id]\nparams: {day: boolean}", "jobs.dump.params.day: is of type boolean"},
	}
	b := setupExport(t, schema, "table: t")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text := "jobs:\n  dump:\n    kind: export\n    queue: default\n    priority: 1\n"
			for _, line := range strings.Split(tt.fields, "\n") {
				text += "    " + line + "\n"
			}
			cfg, err := config.Parse("test.yaml", []byte(text), &config.Opts{Kinds: workers.Configs()})
			if err != nil {
				t.Fatal(err)
			}
			problems, err := exportjob.CheckLive(context.Background(), b.catalog, cfg, cfg.Jobs["dump"])
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range problems {
				got = append(got, p.Error())
			}
			all := strings.Join(got, "\n")
			if (tt.want == "") != (all == "") || !strings.Contains(all, tt.want) {
				t.Errorf("%s\nwant %s", all, tt.want)
			}
		})
	}
}
