package tidemill

import (
	"context"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
)

// In a rolling deploy the new workers apply their configuration when the last old one has left, and not before.
func TestNewConfigurationIsAppliedWhenTheOldWorkersHaveLeft(t *testing.T) {
	t.Parallel()
	old := setup(t, oldJobs)
	jobs := func() []string {
		rows, err := old.Pool.Query(t.Context(), `SELECT name FROM tidemill.job ORDER BY name`)
		if err != nil {
			t.Fatal(err)
		}
		names, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	var leave []func()
	for n := range 2 {
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		app := beside(t, old, oldJobs)
		go func() { ended <- app.Run(ctx, nil) }()
		left := false
		end := func() {
			if left {
				return
			}
			left = true
			stop()
			if err := <-ended; err != nil {
				t.Errorf("run: %v", err)
			}
		}
		t.Cleanup(end)
		leave = append(leave, end)
		working(t, old, n+1)
	}
	work(t, beside(t, old, newJobs))
	work(t, beside(t, old, newJobs))
	working(t, old, 4)
	leave[0]()
	if got := jobs(); !slices.Equal(got, []string{"old"}) {
		t.Errorf("while an old worker is alive: %v", got)
	}
	leave[1]()
	until(t, func() bool { return slices.Equal(jobs(), []string{"new", "old"}) })
}
