package riverpg_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/tidemill/tidemill/internal/riverpg"
	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/migrations"
)

// skewed is a migrated database on a server whose clock is ahead.
func skewed(t *testing.T, ahead time.Duration) *pgxpool.Pool {
	t.Helper()
	pool := testdb.Pool(t, testdb.Skewed(t, ahead))
	if _, err := migrations.Up(t.Context(), pool, migrations.Schema{}, nil); err != nil {
		t.Fatal(err)
	}
	return pool
}

// A leader whose clock is more than a day fast would delete the queues, and with them that they are paused.
func TestQueuesAreDeletedByTheDatabasesClock(t *testing.T) {
	t.Parallel()
	pool := skewed(t, -25*time.Hour)
	_, err := pool.Exec(t.Context(), `INSERT INTO tidemill.river_queue (name, updated_at, paused_at) VALUES
		('now', now(), now()), ('yesterday', now() - interval '23 hours', NULL), ('old', now() - interval '25 hours', NULL)`)
	if err != nil {
		t.Fatal(err)
	}
	exec := riverpg.New(riverpg.Opts{Pool: pool}).GetExecutor()
	deleted, err := exec.QueueDeleteExpired(t.Context(), &riverdriver.QueueDeleteExpiredParams{
		Max: 10, Schema: "tidemill", UpdatedAtHorizon: time.Now().Add(-24 * time.Hour),
	})
	if err != nil || len(deleted) != 1 || deleted[0] != "old" {
		t.Errorf("deleted: %v, %v; want old", deleted, err)
	}
}

type datedArgs struct{}

func (datedArgs) Kind() string { return "dated" }

// A time that the caller gives stays; the caller's transaction is the same one; a unique job is one as before.
func TestInsertsKeepWhatIsGiven(t *testing.T) {
	t.Parallel()
	pool := skewed(t, -time.Hour)
	driver := riverpg.New(riverpg.Opts{Pool: pool, Notify: true})
	client, err := river.NewClient(driver, &river.Config{Schema: "tidemill"})
	if err != nil {
		t.Fatal(err)
	}
	due := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	ctx := t.Context()
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if got := driver.UnwrapTx(driver.UnwrapExecutor(tx)); got != tx {
			t.Errorf("another transaction: %v", got)
		}
		_, err := client.InsertManyFastTx(ctx, tx, []river.InsertManyParams{{Args: datedArgs{}, InsertOpts: &river.InsertOpts{ScheduledAt: due}}})
		if err != nil {
			return err
		}
		_, err = client.InsertTx(ctx, tx, datedArgs{}, &river.InsertOpts{ScheduledAt: due})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	unique := river.UniqueOpts{ByArgs: true, ByPeriod: 24 * time.Hour}
	var skipped int
	for range 2 {
		inserted, err := client.Insert(ctx, datedArgs{}, &river.InsertOpts{UniqueOpts: unique})
		if err != nil {
			t.Fatal(err)
		}
		if inserted.UniqueSkippedAsDuplicate {
			skipped++
		}
	}
	var given, now int
	err = pool.QueryRow(ctx, `SELECT count(*) FILTER (WHERE scheduled_at = $1 AND state = 'scheduled'), count(*) FILTER (WHERE scheduled_at = created_at AND state = 'available')
		FROM tidemill.river_job WHERE created_at BETWEEN clock_timestamp() - interval '1 minute' AND clock_timestamp()`, due).Scan(&given, &now)
	if err != nil || given != 2 || now != 1 || skipped != 1 {
		t.Errorf("%d as given, %d at once, %d skipped as duplicates, %v; want 2, 1, 1", given, now, skipped, err)
	}
}

// River's own driver is what this package fixes. When it dates by the database itself, times.go can go.
func TestRiverDatesByTheMachine(t *testing.T) {
	t.Parallel()
	pool := skewed(t, -time.Hour)
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{Schema: "tidemill"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Insert(context.Background(), datedArgs{}, nil); err != nil {
		t.Fatal(err)
	}
	var wait float64
	if err := pool.QueryRow(t.Context(), `SELECT extract(epoch FROM scheduled_at - clock_timestamp()) FROM tidemill.river_job`).Scan(&wait); err != nil {
		t.Fatal(err)
	}
	if wait < 3500 {
		t.Errorf("a job of River's own driver waits for %v s", wait)
	}
}
