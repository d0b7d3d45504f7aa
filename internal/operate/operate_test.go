package operate_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/internal/operate"
	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/internal/testengine"
	"github.com/tidemill/tidemill/migrations"
)

// setup returns a cluster in which nobody works, after the statements.
func setup(t *testing.T, statements ...string) *operate.Cluster {
	t.Helper()
	pool := testdb.Pool(t, testengine.URL(t))
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{Logger: testengine.Logger(t), Schema: migrations.DefaultSchema})
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range statements {
		if _, err := pool.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	return &operate.Cluster{Client: client, Ledger: batch.NewLedger(pool, migrations.Schema{}, client), Pool: pool}
}

// states are the states of all jobs that are left, by id.
func states(t *testing.T, c *operate.Cluster) map[int64]string {
	t.Helper()
	jobs, err := operate.ListJobSummaries(context.WithoutCancel(t.Context()), c, operate.JobListOpts{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	all := map[int64]string{}
	for _, job := range jobs {
		all[job.ID] = job.State
	}
	return all
}

func check[T any](t *testing.T, what string, want, got T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}
