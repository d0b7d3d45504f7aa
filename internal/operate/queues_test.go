package operate_test

import (
	"errors"
	"testing"

	"github.com/tidemill/tidemill/internal/operate"
)

func TestPauseQueues(t *testing.T) {
	t.Parallel()
	c := setup(t, `INSERT INTO tidemill.river_job (kind, args, state, queue) VALUES ('mail', '{}', 'available', 'low')`)
	known := operate.QueueOpts{Configured: []string{"default"}}

	_, err := operate.PauseQueues(t.Context(), c, operate.PauseOpts{Queues: known, Names: []string{"low", "lwo"}, Pause: true})
	var unknown *operate.UnknownQueueError
	if !errors.As(err, &unknown) {
		t.Fatalf("error %v, want that lwo is not known", err)
	}
	check(t, "known", []string{"default", "low"}, unknown.Known)
	check(t, "paused", map[string]bool{"default": false, "low": false}, paused(t, c, known))

	steps := []struct {
		opts operate.PauseOpts
		want []operate.QueueChange
	}{
		{operate.PauseOpts{Names: []string{"low"}, Pause: true}, []operate.QueueChange{{"low", true, true}}},
		{operate.PauseOpts{All: true, Pause: true}, []operate.QueueChange{{"default", true, true}, {"low", true, false}}},
		{operate.PauseOpts{Names: []string{"low"}}, []operate.QueueChange{{"low", false, true}}},
	}
	for i, step := range steps {
		step.opts.Queues = known
		got, err := operate.PauseQueues(t.Context(), c, step.opts)
		if err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		check(t, "changes", step.want, got)
	}
	check(t, "paused", map[string]bool{"default": true, "low": false}, paused(t, c, known))
}

func paused(t *testing.T, c *operate.Cluster, opts operate.QueueOpts) map[string]bool {
	t.Helper()
	queues, err := operate.ListQueues(t.Context(), c, opts)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	for _, queue := range queues {
		all[queue.Name] = queue.PausedAt != nil
	}
	return all
}
