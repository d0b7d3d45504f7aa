package operate_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/operate"
)

func TestEnqueue(t *testing.T) {
	t.Parallel()
	c := setup(t, `INSERT INTO tidemill.kind VALUES ('invoice', 'default', 1, 5)`)
	enqueue := func(opts operate.EnqueueOpts) int64 {
		t.Helper()
		opts.Kind, opts.Args = "invoice", json.RawMessage(`{"id": 17}`)
		id, err := operate.Enqueue(t.Context(), c, opts)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	plain, err := operate.GetJob(t.Context(), c, enqueue(operate.EnqueueOpts{}))
	if err != nil {
		t.Fatal(err)
	}
	check(t, "queue", "default", plain.Queue)
	check(t, "tags", []string{}, plain.Tags)
	check(t, "args", `{"id": 17}`, string(plain.Args))

	due := time.Now().Add(time.Hour).Truncate(time.Second)
	opts := operate.EnqueueOpts{Queue: "low", Priority: 2, MaxAttempts: 3, At: due, UniqueKey: "invoice 17", Tags: []string{"urgent"}}
	id := enqueue(opts)
	check(t, "id of the live job", id, enqueue(opts))
	job, err := operate.GetJob(t.Context(), c, id)
	if err != nil {
		t.Fatal(err)
	}
	check(t, "queue", "low", job.Queue)
	check(t, "priority", 2, job.Priority)
	check(t, "attempts", 3, job.MaxAttempts)
	check(t, "due", true, due.Equal(job.ScheduledAt))
	check(t, "tags", []string{"urgent"}, job.Tags)
}
