package eachjob

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/config/field"
	"github.com/tidemill/tidemill/workers/kind"
)

// Kind is the kind of jobs that enqueue a job for each row of a query.
func Kind() kind.Kind {
	return kind.Kind{
		Kind:     configKind(),
		Register: register,
		CheckLive: func(ctx context.Context, pool *pgxpool.Pool, cfg *config.Config, job *config.Job) (field.Errors, []string, error) {
			problems, err := CheckLive(ctx, pool, cfg, job)
			return problems, nil, err
		},
	}
}

func register(_ context.Context, workers *river.Workers, deps *kind.Deps) error {
	return river.AddWorkerSafely(workers, NewWorker(Opts{
		Jobs: deps.Jobs, Child: deps.Child, Location: deps.Location, Logger: deps.Logger, Notify: deps.Config.Database.Notify, OnChunk: deps.OnChunk,
		Pool: deps.Pool, Schema: deps.Schema,
	}))
}
