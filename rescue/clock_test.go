package rescue_test

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/migrations"
	"github.com/tidemill/tidemill/rescue"
)

// A process knows the database's clock from the start, and hears it with each beat.
func TestProcessKnowsTheDatabasesClock(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(ahead.String(), func(t *testing.T) {
			t.Parallel()
			url := testdb.Skewed(t, ahead)
			pool := testdb.Pool(t, url)
			if _, err := migrations.Up(t.Context(), pool, migrations.Schema{}, nil); err != nil {
				t.Fatal(err)
			}
			conn, err := pgx.ParseConfig(url)
			if err != nil {
				t.Fatal(err)
			}
			var told atomic.Int32
			off := func(db time.Time) time.Duration { return (time.Until(db) - ahead).Abs() }
			process, err := rescue.Register(t.Context(), rescue.Opts{
				Conn: conn, Logger: slog.New(slog.DiscardHandler), Beat: 20 * time.Millisecond,
				OnClock: func(db, sent, received time.Time) {
					told.Add(1)
					if off(db) > time.Minute || received.Before(sent) {
						t.Errorf("told %v, between %v and %v", db, sent, received)
					}
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			if now := process.Clock().Now(); told.Load() != 1 || off(now) > time.Minute {
				t.Errorf("told %d times by Register; the clock shows %v", told.Load(), now)
			}
			ended := make(chan error, 1)
			ctx, stop := context.WithCancel(t.Context())
			go func() { ended <- process.Run(ctx) }()
			for deadline := time.After(time.Minute); told.Load() < 5; {
				select {
				case <-time.After(10 * time.Millisecond):
				case <-deadline:
					t.Fatalf("told %d times", told.Load())
				}
			}
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if err := process.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}
