package exportjob

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/config/field"
	"github.com/tidemill/tidemill/internal/storage"
	"github.com/tidemill/tidemill/workers/kind"
)

// Kind is the kind of jobs that write a table or a query into a file.
func Kind() kind.Kind {
	return kind.Kind{
		Kind:     configKind(),
		Register: register,
		CheckLive: func(ctx context.Context, pool *pgxpool.Pool, cfg *config.Config, job *config.Job) (field.Errors, []string, error) {
			problems, err := CheckLive(ctx, pool, cfg, job)
			return problems, nil, err
		},
		Describe: describe,
		Loop:     expire,
		Output:   &kind.Output{Copy: func(bucket *storage.Bucket, to kind.Target) kind.Copy { return NewCopy(bucket, to) }},
	}
}

func register(ctx context.Context, workers *river.Workers, deps *kind.Deps) error {
	bucket, err := deps.Storage(ctx)
	if err != nil {
		return err
	}
	return river.AddWorkerSafely(workers, NewWorker(Opts{
		Jobs: deps.Jobs, Clock: deps.Clock, Location: deps.Location, Logger: deps.Logger, OnChunk: deps.OnChunk, Pool: deps.Pool, Schema: deps.Schema,
		Storage: bucket,
	}))
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
