package operate_test

import (
	"context"
	"errors"
	"testing"

	"github.com/tidemill/tidemill/internal/operate"
)

// A door that forgets to name states must not reach jobs that the verb is not for.
func TestBulkTakesOnlyWhatItsVerbIsFor(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		verb   *operate.JobVerb
		filter operate.JobFilter
		done   int64
		states map[int64]string
		skip   []operate.SkippedJob
	}{
		"retry takes what failed": {
			operate.RetryVerb(), operate.JobFilter{}, 1,
			map[int64]string{1: "available", 2: "running", 3: "completed", 4: "available"}, nil,
		},
		"retry takes a completed job that is named": {
			operate.RetryVerb(), operate.JobFilter{IDs: []int64{3, 2}}, 1,
			map[int64]string{1: "discarded", 2: "running", 3: "available", 4: "available"},
			[]operate.SkippedJob{{ID: 2, Reason: "it is running and cannot be retried"}},
		},
		"delete leaves what runs": {
			operate.DeleteVerb(), operate.JobFilter{}, 3, map[int64]string{2: "running"}, nil,
		},
		"delete leaves what runs, also by its id": {
			operate.DeleteVerb(), operate.JobFilter{IDs: []int64{1, 2, 9}}, 1,
			map[int64]string{2: "running", 3: "completed", 4: "available"},
			[]operate.SkippedJob{{ID: 2, Reason: "it is running and cannot be deleted"}, {ID: 9, Reason: "no such job"}},
		},
		"cancel takes what is not finished": {
			operate.CancelVerb(), operate.JobFilter{}, 2,
			map[int64]string{1: "discarded", 2: "running", 3: "completed", 4: "cancelled"}, nil,
		},
		"the filter's states go first": {
			operate.CancelVerb(), operate.JobFilter{States: []string{"available"}}, 1,
			map[int64]string{1: "discarded", 2: "running", 3: "completed", 4: "cancelled"}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := setup(t, `INSERT INTO tidemill.river_job (id, kind, args, state, finalized_at) VALUES
				(1, 'mail', '{}', 'discarded', now()), (2, 'mail', '{}', 'running', NULL),
				(3, 'mail', '{}', 'completed', now()), (4, 'mail', '{}', 'available', NULL)`)
			counted, err := operate.CountBulk(t.Context(), c, test.verb, test.filter)
			if err != nil {
				t.Fatal(err)
			}
			check(t, "matched", test.done, counted.Matched)
			result, err := operate.Bulk(t.Context(), c, operate.BulkOpts{Verb: test.verb, Filter: test.filter, Highest: counted.Highest})
			if err != nil {
				t.Fatal(err)
			}
			check(t, "done", test.done, result.Done)
			check(t, "skipped", test.skip, result.Reasons)
			check(t, "states", test.states, states(t, c))
		})
	}
}

func TestBulkRefusesAStateThatIsNotPossible(t *testing.T) {
	t.Parallel()
	c := setup(t, `INSERT INTO tidemill.river_job (id, kind, args, state) VALUES (1, 'mail', '{}', 'running')`)
	_, err := operate.Bulk(t.Context(), c, operate.BulkOpts{
		Verb: operate.DeleteVerb(), Filter: operate.JobFilter{States: []string{"running"}}, Highest: 1,
	})
	var refused *operate.StateError
	if !errors.As(err, &refused) {
		t.Fatalf("error %v, want a StateError", err)
	}
	check(t, "error", "jobs that are running cannot be deleted", err.Error())
	check(t, "states", map[int64]string{1: "running"}, states(t, c))
}

// Who asked was told a number; what came after it was not agreed to, and what was done by an interrupted bulk is said.
func TestBulkEndsWhereItIsTold(t *testing.T) {
	t.Parallel()
	c := setup(t, `INSERT INTO tidemill.river_job (id, kind, args, state) SELECT i, 'mail', '{}', 'available' FROM generate_series(1, 450) i`)
	ctx, cancel := context.WithCancel(t.Context())
	result, err := operate.Bulk(ctx, c, operate.BulkOpts{Verb: operate.DeleteVerb(), Highest: 440, Progress: func(int64) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want that it was cancelled", err)
	}
	check(t, "done by the first transaction", operate.BulkSize, int(result.Done))
	result, err = operate.Bulk(t.Context(), c, operate.BulkOpts{Verb: operate.DeleteVerb(), Highest: 440})
	if err != nil {
		t.Fatal(err)
	}
	check(t, "done by the second call", 240, result.Done)
	check(t, "left", 10, len(states(t, c)))
}
