package tidemill

import (
	"context"
	"fmt"

	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/metrics"
	"github.com/tidemill/tidemill/workers"
)

// addWorkers adds the built-in kinds that the configuration uses. A process without jobs of a kind leaves them to others.
func (a *App) addWorkers(ctx context.Context, m *metrics.Metrics) error {
	jobs := func(name string) (*config.Job, bool) { job, ok := a.Config.Jobs[name]; return job, ok }
	zone := a.Config.Location()
	add := map[string]func() error{
		config.KindImport: func() error {
			bucket, err := a.Storage(ctx)
			if err != nil {
				return err
			}
			return river.AddWorkerSafely(a.Workers, workers.NewImportWorker(workers.ImportOpts{
				Jobs: jobs, Pool: a.Pool, Storage: bucket, OnChunk: m.ObserveChunk,
			}))
		},
		config.KindHTTP: func() error {
			return river.AddWorkerSafely(a.Workers, workers.NewHTTPWorker(workers.HTTPOpts{
				Jobs: jobs, Location: zone, Logger: a.logger, Version: Version(),
			}))
		},
		config.KindCommand: func() error {
			return river.AddWorkerSafely(a.Workers, workers.NewCommandWorker(workers.CommandOpts{Jobs: jobs, Location: zone, Logger: a.logger}))
		},
		config.KindEmail: func() error {
			worker, err := workers.NewEmailWorker(workers.EmailOpts{
				Jobs: jobs, Location: zone, Mail: a.Config.Mail, Pool: a.Pool, Schema: a.schema, Logger: a.logger,
			})
			if err != nil {
				return err
			}
			return river.AddWorkerSafely(a.Workers, worker)
		},
		config.KindSQL: func() error {
			return river.AddWorkerSafely(a.Workers, workers.NewSQLWorker(workers.SQLOpts{Jobs: jobs, Location: zone, Logger: a.logger, Pool: a.Pool}))
		},
	}
	used := map[string]bool{}
	for _, job := range a.Config.Jobs {
		used[job.Kind] = true
	}
	for kind, fn := range add {
		if !used[kind] {
			continue
		}
		if err := fn(); err != nil {
			return fmt.Errorf("kind %s: %w", kind, err)
		}
	}
	// River refuses to start without any worker; a process may be there for its schedules and its metrics only.
	return river.AddWorkerSafely(a.Workers, &noopWorker{})
}

type noopArgs struct{}

func (noopArgs) Kind() string { return "tidemill.noop" }

type noopWorker struct{ river.WorkerDefaults[noopArgs] }

func (*noopWorker) Work(context.Context, *river.Job[noopArgs]) error { return nil }
