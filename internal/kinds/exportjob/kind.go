package exportjob

import (
	"context"
	"fmt"

	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/internal/storage"
	"github.com/tidemill/tidemill/workers/kind"
)

// Kind is the kind of jobs that write a table or a query into a file.
func Kind() kind.Kind {
	return kind.Kind{
		Kind:      configKind(),
		Register:  register,
		CheckLive: CheckLive,
		Describe:  describe,
		Loop:      expire,
		Output:    &kind.Output{Copy: func(bucket *storage.Bucket, to kind.Target) kind.Copy { return NewCopy(bucket, to) }},
	}
}

func register(ctx context.Context, workers *river.Workers, deps *kind.Deps) error {
	bucket, err := deps.Storage(ctx)
	if err != nil {
		return err
	}
	return river.AddWorkerSafely(workers, NewWorker(deps, bucket))
}

// expire deletes exports that are kept no longer, until ctx ends.
func expire(ctx context.Context, deps *kind.Deps) {
	bucket, err := deps.Storage(ctx)
	if err != nil {
		deps.Logger.WarnContext(ctx, "expired exports stay", "error", err)
		return
	}
	NewExpirer(ExpirerOpts{Pool: deps.Pool, Schema: deps.Schema, Storage: bucket, Logger: deps.Logger}).Run(ctx)
}

func describe(info *batch.Info) kind.Description {
	d := kind.Description{Kept: "what was written is kept"}
	result, err := ReadResult(info.Result)
	if err != nil {
		return d
	}
	d.Expires = result.ExpiresAt
	if result.Defused > 0 {
		texts := "texts"
		if result.Defused == 1 {
			texts = "text"
		}
		d.Notes = []string{fmt.Sprintf("%s %s that a spreadsheet would run got a ' in front; to leave texts as they are: formulas: keep", grouped(result.Defused), texts)}
	}
	return d
}
