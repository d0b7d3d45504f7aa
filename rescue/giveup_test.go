package rescue_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/rescue"
)

// die registers a process, lets it run the job, and has it found dead.
func (b *bundle) die(t *testing.T, id int64) {
	t.Helper()
	ctx := context.Background()
	process, err := rescue.Register(ctx, b.quick(t))
	if err != nil {
		t.Fatal(err)
	}
	// What River's fetch does.
	tag, err := b.pool.Exec(ctx, `UPDATE tidemill.river_job SET state = 'running', attempt = attempt + 1, attempted_at = now(),
		attempted_by = array_append(attempted_by, $2) WHERE id = $1 AND state = 'available'`, id, process.ID())
	if err != nil || tag.RowsAffected() != 1 {
		t.Fatalf("fetch: %d rows, %v", tag.RowsAffected(), err)
	}
	if _, err := b.pool.Exec(ctx, `UPDATE tidemill.process SET fenced_at = now() WHERE id = $1`, process.ID()); err != nil {
		t.Fatal(err)
	}
	b.waitLeft(t, id)
}

func (b *bundle) waitLeft(t *testing.T, id int64) {
	t.Helper()
	for b.job(t, id).State == "running" {
	}
}

func TestJobThatKillsItsProcesses(t *testing.T) {
	t.Parallel()

	ctx := context.Background()
	b := setup(t)
	opts := b.quick(t)
	moved := map[rescue.Moved]int{}
	opts.OnMoved = func(m rescue.Moved) { moved[m]++ }
	sweeper, err := rescue.Register(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- sweeper.Run(running) }()
	defer stop()

	id := b.insert(t, 1)
	for n := range 4 {
		b.die(t, id)
		if j := b.job(t, id); j.State != "available" || j.Attempt != 0 || j.Errors != 0 {
			t.Fatalf("after death %d: %+v", n+1, j)
		}
	}
	// An error between counts as another life of the job.
	if _, err := b.pool.Exec(ctx, `UPDATE tidemill.river_job SET attempt = 1, errors = array['{"error": "x"}'::jsonb] WHERE id = $1`, id); err != nil {
		t.Fatal(err)
	}
	for n := range 4 {
		b.die(t, id)
		if j := b.job(t, id); j.State != "available" || j.Attempt != 1 {
			t.Fatalf("after the error, death %d: %+v", n+1, j)
		}
	}
	b.die(t, id)
	j := b.job(t, id)
	if j.State != "discarded" || j.Attempt != 2 || j.Errors != 2 {
		t.Errorf("after the fifth death in a row: %+v", j)
	}
	var reason string
	if err := b.pool.QueryRow(ctx, `SELECT errors[2]->>'error' FROM tidemill.river_job WHERE id = $1`, id).Scan(&reason); err != nil {
		t.Fatal(err)
	}
	if want := "the process that ran it died 5 times in a row without progress; perhaps the job is what kills it"; reason != want {
		t.Error(reason)
	}

	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	want := map[rescue.Moved]int{
		{Queue: "default", Kind: "wait", Result: "available", Jobs: 1}: 8,
		{Queue: "default", Kind: "wait", Result: "discarded", Jobs: 1}: 1,
	}
	if diff := cmp.Diff(want, moved); diff != "" {
		t.Errorf("told of moved jobs: %s", diff)
	}
}
