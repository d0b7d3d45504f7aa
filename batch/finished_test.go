package batch_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/internal/testengine"
)

type endingArgs struct{}

func (endingArgs) Kind() string { return "ending" }

// endingWorker commits its last chunk and then takes its time to return.
type endingWorker struct {
	river.WorkerDefaults[endingArgs]
	batch.Chunked

	ended, leave chan struct{}
}

func (w *endingWorker) Work(ctx context.Context, job *river.Job[endingArgs]) error {
	return w.Attempt(ctx, job.JobRow, batch.AttemptOpts{}, func(ctx context.Context, run *batch.Run) error {
		err := run.Chunk(ctx, func(context.Context, pgx.Tx) (batch.Step, error) {
			return batch.Step{Finish: &batch.Finish{Result: 7}}, nil
		})
		if err != nil {
			return err
		}
		w.ended <- struct{}{}
		<-w.leave
		return nil
	})
}

// A run has ended when its last chunk is committed, whatever happens to its job until River knows.
func TestRunEndsWithItsLastChunk(t *testing.T) {
	t.Parallel()

	ctx := context.Background()
	worker := &endingWorker{ended: make(chan struct{}), leave: make(chan struct{})}
	e := testengine.Start(t, "", func(w *river.Workers) { river.AddWorker(w, worker) })
	start := func() *batch.Started {
		t.Helper()
		started, err := e.Ledger.Start(ctx, endingArgs{}, batch.StartOpts{Job: "the-end", Unique: true})
		if err != nil {
			t.Fatal(err)
		}
		return started
	}
	get := func(id int64) *batch.Info {
		t.Helper()
		info, err := e.Ledger.Get(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	id := start().ID
	<-worker.ended
	ended := get(id)
	if ended.Status != batch.Succeeded || ended.FinishedAt == nil || string(ended.Result) != "7" {
		t.Fatalf("the run is %+v", ended)
	}
	if err := e.Ledger.Pause(ctx, id); err == nil {
		t.Error("a run that has ended was paused")
	}

	// A job of one run at a time may start again at once.
	second := start()
	if second.Existing {
		t.Error("the run that has ended is still live")
	}
	<-worker.ended

	// As a rescue does, and then another process begins.
	for _, sql := range []string{
		`UPDATE tidemill.river_job SET state = 'available' WHERE id = $1`,
		`UPDATE tidemill.river_job SET state = 'running', attempt = attempt + 1, attempted_at = now() WHERE id = $1`,
		`UPDATE tidemill.river_job SET state = 'discarded', finalized_at = now(), errors = ARRAY['{"error": "it was rescued too often"}'::jsonb] WHERE id = $1`,
	} {
		if _, err := e.Pool.Exec(ctx, sql, second.ID); err != nil {
			t.Fatal(err)
		}
		if info := get(second.ID); info.Status != batch.Succeeded || info.Error != nil || info.FinishedAt == nil {
			t.Errorf("after %s the run is %+v", sql, info)
		}
	}

	close(worker.leave)
	if known := e.WaitStatus(t, id, batch.Succeeded); !cmp.Equal(ended.FinishedAt, known.FinishedAt) {
		t.Errorf("it ended at %s, and when River knew at %s", ended.FinishedAt, known.FinishedAt)
	}
}
