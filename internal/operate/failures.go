package operate

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// MostFailures is how many failed jobs are looked at; an outage can leave millions.
const MostFailures = 10_000

// FailureOpts say which failed jobs are grouped.
type FailureOpts struct {
	Kinds []string      // none: all
	Since time.Duration // failed in this time; 0: ever
}

// GroupFailures groups the jobs that are retryable, discarded, or cancelled after an error, by kind and error; the largest
// group is the first. capped reports that only the newest MostFailures were looked at.
func GroupFailures(ctx context.Context, c *Cluster, opts FailureOpts) (groups []*FailureGroup, capped bool, err error) {
	failures, err := readFailures(ctx, c, opts)
	if err != nil {
		return nil, false, err
	}
	return groupFailures(failures[:min(len(failures), MostFailures)]), len(failures) > MostFailures, nil
}

// failure is a job that failed, with its last error.
type failure struct {
	ID    int64
	Kind  string
	State string
	At    time.Time
	Error string
}

// failedJobs reads the newest failures of each state by an index where there is one. What somebody cancelled has not failed.
const failedJobs = `
	WITH failed AS (
		(SELECT id, kind, state, finalized_at AS at, errors FROM {river}.river_job
		  WHERE state = 'discarded' AND finalized_at IS NOT NULL AND finalized_at >= %[3]s AND cardinality(errors) > 0 AND %[1]s
		  ORDER BY finalized_at DESC LIMIT @size)
		UNION ALL
		(SELECT id, kind, state, finalized_at, errors FROM {river}.river_job
		  WHERE state = 'cancelled' AND finalized_at IS NOT NULL AND finalized_at >= %[3]s AND cardinality(errors) > 0 AND %[1]s
		    AND coalesce(%[2]s, '') NOT LIKE '%%job cancelled remotely'
		  ORDER BY finalized_at DESC LIMIT @size)
		UNION ALL
		(SELECT id, kind, state, coalesce(attempted_at, created_at), errors FROM {river}.river_job
		  WHERE state = 'retryable' AND coalesce(attempted_at, created_at) >= %[3]s AND cardinality(errors) > 0 AND %[1]s
		  ORDER BY 4 DESC LIMIT @size))
	SELECT id, kind, state::text, at, left(coalesce(%[2]s, ''), 4096) FROM failed ORDER BY at DESC LIMIT @size`

// notBefore is SQL for the beginning of time, or of opts.Since.
const notBefore = `coalesce(now() - make_interval(secs => @since::float8), '-infinity')`

// readFailures returns the newest failures first, one more than MostFailures if there are more.
func readFailures(ctx context.Context, c *Cluster, opts FailureOpts) ([]failure, error) {
	filter := JobFilter{Kinds: opts.Kinds}
	condition, args := filter.where()
	args["size"] = MostFailures + 1
	args["since"] = nil
	if opts.Since > 0 {
		args["since"] = opts.Since.Seconds()
	}
	rows, err := c.Pool.Query(ctx, c.Schema.SQL(fmt.Sprintf(failedJobs, condition, lastError, notBefore)), args)
	if err != nil {
		return nil, fmt.Errorf("read failed jobs: %w", err)
	}
	failures, err := pgx.CollectRows(rows, pgx.RowToStructByPos[failure])
	if err != nil {
		return nil, fmt.Errorf("read failed jobs: %w", err)
	}
	return failures, nil
}

// FailureGroup is the failures of one kind with the same error.
type FailureGroup struct {
	Count    int64            `json:"count"`
	Kind     string           `json:"kind"`
	Error    string           `json:"error"` // what the errors have in common
	States   map[string]int64 `json:"states"`
	LastSeen time.Time        `json:"last_seen"`
	// The newest job of the group, and the first line of its error as it is.
	ExampleJob   int64  `json:"example_job"`
	ExampleError string `json:"example_error"`
}

// groupFailures groups failures, which come newest first. The largest group is the first.
func groupFailures(failures []failure) []*FailureGroup {
	type key struct{ kind, text string }
	groups := map[key]*FailureGroup{}
	for _, f := range failures {
		k := key{f.Kind, sameError(f.Error)}
		g := groups[k]
		if g == nil {
			g = &FailureGroup{
				Kind: f.Kind, Error: k.text, States: map[string]int64{}, LastSeen: f.At, ExampleJob: f.ID, ExampleError: firstLine(f.Error),
			}
			groups[k] = g
		}
		g.Count++
		g.States[f.State]++
	}
	return slices.SortedFunc(maps.Values(groups), func(a, b *FailureGroup) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), b.LastSeen.Compare(a.LastSeen), cmp.Compare(b.ExampleJob, a.ExampleJob))
	})
}
