package tidemill

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/riverqueue/river/rivertype"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/kinds/sqljob"
	"github.com/tidemill/tidemill/workers"
	"github.com/tidemill/tidemill/workers/kind"
)

// beside returns another program on the database of app, with a configuration of its own.
func beside(t *testing.T, app *App, yaml string) *App {
	t.Helper()
	lookup := func(string) (string, bool) { return app.Config.Database.URL, true }
	cfg, err := config.Parse("tidemill.yaml", []byte("database: {url: \"${DATABASE_URL}\"}\nmetrics: {listen: \"\"}\n"+yaml), &config.Opts{Kinds: workers.Configs(), Lookup: lookup})
	if err != nil {
		t.Fatal(err)
	}
	other, err := New(t.Context(), cfg, &Opts{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Close)
	return other
}

const (
	oldJobs = "jobs:\n  old: {kind: sql, statement: SELECT 1}\n"
	newJobs = oldJobs + "  new: {kind: sql, statement: SELECT 1}\n"
)

// working waits until n processes are registered.
func working(t *testing.T, app *App, n int) {
	t.Helper()
	until(t, func() bool {
		var got int
		if err := app.Pool.QueryRow(t.Context(), `SELECT count(*) FROM tidemill.process WHERE fenced_at IS NULL`).Scan(&got); err != nil {
			t.Fatal(err)
		}
		return got == n
	})
}

// until waits for a condition, for a minute.
func until(t *testing.T, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("it did not come about within a minute")
		}
	}
}

// A run that only one of several workers knows is not kept by those that do not.
func TestAnotherWorkerKnowsTheJob(t *testing.T) {
	t.Parallel()
	app := setup(t, newJobs)
	for range 3 {
		work(t, beside(t, app, oldJobs))
	}
	working(t, app, 3)
	var ids []int64
	for range 10 {
		started, err := app.Start(t.Context(), "new", nil)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, started.ID)
	}
	until(t, func() bool {
		info, err := app.Ledger.Get(t.Context(), ids[0])
		if err != nil {
			t.Fatal(err)
		}
		return info.Waits != nil && strings.Contains(*info.Waits, "no live worker knows this job")
	})
	work(t, app)
	working(t, app, 4)
	began := time.Now()
	for _, id := range ids {
		until(t, func() bool {
			info, err := app.Ledger.Get(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			return info.Status == batch.Succeeded && info.Waits == nil
		})
	}
	t.Logf("after %s", time.Since(began))
}

// What an attempt at an unknown job ends with depends on how long nobody has known it, not on when it was started.
func TestHowLongAnUnknownJobWaits(t *testing.T) {
	t.Parallel()
	app := setup(t, oldJobs)
	register := func(knows string) {
		t.Helper()
		_, err := app.Pool.Exec(t.Context(), `INSERT INTO tidemill.process (id, host, pid, version, queues, knows, beat_at)
			VALUES ('p', '', 1, '', '{"default": 1}', $1::text[], now() + interval '1 hour') ON CONFLICT (id) DO UPDATE SET knows = excluded.knows`, knows)
		if err != nil {
			t.Fatal(err)
		}
	}
	u := newUnknownJobs(app)
	attempt := func(metadata string, age, unknown time.Duration) string {
		t.Helper()
		u.byJob = map[string]*unknownJob{}
		if unknown > 0 {
			u.byJob["tidemill.sql:new"] = &unknownJob{asked: app.Now().Add(-2 * time.Second), since: app.Now().Add(-unknown)}
		}
		row := &rivertype.JobRow{ID: 7, Kind: sqljob.RiverKind, Queue: "default", CreatedAt: app.Now().Add(-age), Metadata: []byte(metadata)}
		err := u.Work(t.Context(), row, func(context.Context) error { return &kind.UnknownJobError{Job: "new", Kind: "sql"} })
		var snooze *rivertype.JobSnoozeError
		if errors.As(err, &snooze) {
			return snooze.Duration.String()
		}
		var cancel *rivertype.JobCancelError
		if errors.As(err, &cancel) {
			return "cancelled"
		}
		return err.Error()
	}
	for _, tt := range []struct {
		name, knows, metadata string
		age, unknown          time.Duration
		want                  string
	}{
		{"nobody knows it", "{tidemill.sql:old}", `{}`, 0, 0, "5s"},
		{"it was started a day ago and is due now", "{tidemill.sql:old}", `{}`, 24 * time.Hour, 0, "5s"},
		{"nobody has known it for long", "{tidemill.sql:old}", `{"snoozes": 200}`, time.Hour, unknownFor + time.Minute, "cancelled"},
		{"so, but this one is new", "{tidemill.sql:old}", `{}`, time.Minute, time.Hour, "5s"},
		{"somebody knows it", "{tidemill.sql:old,tidemill.sql:new}", `{}`, 0, 0, "250ms"},
		{"and is slow to take it", "{tidemill.sql:new}", `{"snoozes": 1}`, 0, 0, "500ms"},
		{"and slower", "{tidemill.sql:new}", `{"snoozes": 2000}`, 24 * time.Hour, time.Hour, "1s"},
	} {
		register(tt.knows)
		if got := attempt(tt.metadata, tt.age, tt.unknown); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}
