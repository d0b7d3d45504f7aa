package tidemill

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/testengine"
	"github.com/tidemill/tidemill/workers"
)

type firstArgs struct{}

func (firstArgs) Kind() string { return "first" }

type secondArgs struct{}

func (secondArgs) Kind() string { return "second" }

// firstWorker inserts a second job, through the client that works.
type firstWorker struct {
	river.WorkerDefaults[firstArgs]
}

func (*firstWorker) Work(ctx context.Context, _ *river.Job[firstArgs]) error {
	_, err := river.ClientFromContext[pgx.Tx](ctx).Insert(ctx, secondArgs{}, nil)
	return err
}

type secondWorker struct {
	river.WorkerDefaults[secondArgs]
	worked chan time.Time
}

func (w *secondWorker) Work(context.Context, *river.Job[secondArgs]) error {
	w.worked <- time.Now()
	return nil
}

func TestNotifyIsASwitch(t *testing.T) {
	t.Parallel()

	for _, notify := range []bool{true, false} {
		t.Run(fmt.Sprint(notify), func(t *testing.T) {
			t.Parallel()

			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			url := testengine.URL(t)
			cfg, err := config.Parse("tidemill.yaml", fmt.Appendf(nil, `
database: {url: "${DATABASE_URL}", notify: %v}
metrics: {listen: ""}
jobs: {first: {kind: first}}
`, notify), &config.Opts{Kinds: workers.Configs(), Lookup: func(string) (string, bool) { return url, true }})
			if err != nil {
				t.Fatal(err)
			}
			app, err := New(ctx, cfg, &Opts{Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(app.Close)
			listener, err := pgx.Connect(ctx, url)
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close(context.Background())
			if _, err := listener.Exec(ctx, `LISTEN "tidemill.river_insert"`); err != nil {
				t.Fatal(err)
			}

			second := &secondWorker{worked: make(chan time.Time, 10)}
			river.AddWorker(app.Workers, &firstWorker{})
			river.AddWorker(app.Workers, second)
			work(t, app)
			if _, err := app.Client.Insert(ctx, secondArgs{}, nil); err != nil {
				t.Fatal(err)
			}
			<-second.worked // the worker is up
			begun := time.Now()
			if _, err := app.Start(ctx, "first", nil); err != nil {
				t.Fatal(err)
			}
			select {
			case at := <-second.worked:
				// Two polls of 100 ms; a scheduler or a leader that somebody must wait for takes seconds.
				if took := at.Sub(begun); took > 3*time.Second {
					t.Errorf("two jobs, one after the other, took %s", took)
				}
			case <-ctx.Done():
				t.Fatal("the second job was not worked")
			}

			// Notifications arrive in the order of the commits, so what was sent is there before the last word.
			if _, err := app.Pool.Exec(ctx, `SELECT pg_notify('tidemill.river_insert', 'last word')`); err != nil {
				t.Fatal(err)
			}
			heard := 0
			for {
				word, err := listener.WaitForNotification(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if word.Payload == "last word" {
					break
				}
				heard++
			}
			var listening bool
			err = app.Pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_stat_activity
				WHERE datname = current_database() AND query ILIKE 'LISTEN%' AND pid <> $1)`, listener.PgConn().PID()).Scan(&listening)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]bool{notify, notify}, []bool{heard > 0, listening}); diff != "" {
				t.Errorf("heard %d notifications, workers listen: %v; with notify %v", heard, listening, notify)
			}
		})
	}
}
