package operate_test

import (
	"errors"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/operate"
)

func TestJobFilter(t *testing.T) {
	t.Parallel()
	c := setup(t, `INSERT INTO tidemill.river_job (id, kind, args, state, queue, finalized_at, created_at, metadata, errors) VALUES
		(1, 'mail', '{}', 'discarded', 'low', now(), now() - interval '2 hours', '{}', '{"{\"error\": \"Host is AWAY\\ntrace\"}"}'),
		(2, 'mail', '{}', 'available', 'default', NULL, now(), '{"tidemill": {"parent": 7}}', NULL),
		(3, 'hook', '{}', 'available', 'low', NULL, now(), '{}', NULL)`)
	for name, test := range map[string]struct {
		filter operate.JobFilter
		want   []int64
	}{
		"all":             {operate.JobFilter{}, []int64{3, 2, 1}},
		"ids":             {operate.JobFilter{IDs: []int64{3, 1, 99}}, []int64{3, 1}},
		"kinds":           {operate.JobFilter{Kinds: []string{"mail"}}, []int64{2, 1}},
		"states":          {operate.JobFilter{States: []string{"discarded", "running"}}, []int64{1}},
		"queues":          {operate.JobFilter{Queues: []string{"low"}}, []int64{3, 1}},
		"parent":          {operate.JobFilter{Parent: 7}, []int64{2}},
		"error":           {operate.JobFilter{ErrorText: "host is away"}, []int64{1}},
		"older than":      {operate.JobFilter{OlderThan: time.Hour}, []int64{1}},
		"several at once": {operate.JobFilter{Kinds: []string{"mail"}, Queues: []string{"default"}}, []int64{2}},
	} {
		opts := operate.JobListOpts{Filter: test.filter, Limit: 10}
		jobs, err := operate.ListJobs(t.Context(), c, opts)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		summaries, err := operate.ListJobSummaries(t.Context(), c, opts)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var listed, summed []int64
		for _, job := range jobs {
			listed = append(listed, job.ID)
		}
		for _, job := range summaries {
			summed = append(summed, job.ID)
		}
		check(t, name, test.want, listed)
		check(t, name+", summaries", test.want, summed)
		check(t, name+", is empty", name == "all", test.filter.Empty())
	}
	failed, err := operate.ListJobSummaries(t.Context(), c, operate.JobListOpts{Filter: operate.JobFilter{IDs: []int64{1}}, Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	check(t, "error", "Host is AWAY", failed[0].Error)
}

func TestGetJob(t *testing.T) {
	t.Parallel()
	c := setup(t, `INSERT INTO tidemill.river_job (id, kind, args, state, metadata) VALUES (2, 'mail', '{}', 'available', '{"tidemill": {"parent": 7}, "own": 1}')`)
	job, err := operate.GetJob(t.Context(), c, 2)
	if err != nil {
		t.Fatal(err)
	}
	check(t, "metadata", `{"own":1}`, string(job.Metadata))
	check(t, "parent", 7, job.Parent)
	check(t, "is a run", false, job.IsRun)

	_, err = operate.GetJob(t.Context(), c, 1)
	var missing *operate.NoJobError
	if !errors.As(err, &missing) || missing.HasRun {
		t.Errorf("error %v, want that there is neither job nor run", err)
	}
}
