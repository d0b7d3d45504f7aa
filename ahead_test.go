package tidemill

import (
	"log/slog"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
)

// A program with a River client of its own, on a machine whose clock is an hour fast, inserts jobs that run within seconds. What
// is dated ahead on purpose waits.
func TestJobsOfAFastProgramRun(t *testing.T) {
	t.Parallel()
	b := setupSkewed(t, -time.Hour, slog.DiscardHandler)
	plain, err := river.NewClient(riverpgxv5.New(b.app.Pool), &river.Config{Schema: "tidemill"})
	if err != nil {
		t.Fatal(err)
	}
	inserted, err := plain.Insert(t.Context(), skewTellArgs{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var later int64
	err = b.app.Pool.QueryRow(t.Context(), `INSERT INTO tidemill.river_job (kind, args, max_attempts, scheduled_at)
		VALUES ('skew_tell', '{}', 1, now() + interval '1 minute') RETURNING id`).Scan(&later)
	if err != nil {
		t.Fatal(err)
	}
	row := b.wait(t, inserted.Job.ID, "completed")
	within(t, "from its new date to its attempt", row.Created-row.Attempted, 0, 10)
	if row := b.wait(t, later, "available"); row.Scheduled > -30 || row.Attempted != 0 {
		t.Errorf("the job that was dated ahead is %+v", row)
	}
}
