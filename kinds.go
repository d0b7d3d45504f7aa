package tidemill

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/metrics"
	"github.com/tidemill/tidemill/workers/cleanupjob"
	"github.com/tidemill/tidemill/workers/commandjob"
	"github.com/tidemill/tidemill/workers/eachjob"
	"github.com/tidemill/tidemill/workers/emailjob"
	"github.com/tidemill/tidemill/workers/exportjob"
	"github.com/tidemill/tidemill/workers/httpjob"
	"github.com/tidemill/tidemill/workers/importjob"
	"github.com/tidemill/tidemill/workers/sqljob"
)

// addWorkers adds the built-in kinds that the configuration uses. A process without jobs of a kind leaves them to others.
func (a *App) addWorkers(ctx context.Context, m *metrics.Metrics) error {
	jobs := func(name string) (*config.Job, bool) { job, ok := a.Config.Jobs[name]; return job, ok }
	zone := a.Config.Location()
	add := map[string]func() error{
		"import": func() error {
			opts := importjob.Opts{Jobs: jobs, Pool: a.Pool, OnChunk: m.ObserveChunk}
			if a.Config.Storage.URL != "" || uploads(a.Config) {
				var err error
				if opts.Storage, err = a.Storage(ctx); err != nil {
					return err
				}
			}
			if err := river.AddWorkerSafely(a.Workers, importjob.NewWorker(opts)); err != nil {
				return err
			}
			return river.AddWorkerSafely(a.Workers, importjob.NewScanWorker(importjob.ScanOpts{
				Jobs: jobs, Pool: a.Pool, Schema: a.schema, Start: a.startFound,
			}))
		},
		"http": func() error {
			return river.AddWorkerSafely(a.Workers, httpjob.NewWorker(httpjob.Opts{
				Jobs: jobs, Clock: a.Now, Location: zone, Logger: a.logger, Version: Version(),
			}))
		},
		"command": func() error {
			return river.AddWorkerSafely(a.Workers, commandjob.NewWorker(commandjob.Opts{Jobs: jobs, Location: zone, Logger: a.logger}))
		},
		"email": func() error {
			worker, err := emailjob.NewWorker(emailjob.Opts{
				Jobs: jobs, Clock: a.Now, Location: zone, Mail: a.Config.Mail, Pool: a.Pool, Schema: a.schema, Logger: a.logger,
			})
			if err != nil {
				return err
			}
			return river.AddWorkerSafely(a.Workers, worker)
		},
		"sql": func() error {
			return river.AddWorkerSafely(a.Workers, sqljob.NewWorker(sqljob.Opts{Jobs: jobs, Location: zone, Logger: a.logger, Pool: a.Pool}))
		},
		"export": func() error {
			bucket, err := a.Storage(ctx)
			if err != nil {
				return err
			}
			return river.AddWorkerSafely(a.Workers, exportjob.NewWorker(exportjob.Opts{
				Jobs: jobs, Clock: a.Now, Location: zone, Logger: a.logger, OnChunk: m.ObserveChunk, Pool: a.Pool, Schema: a.schema, Storage: bucket,
			}))
		},
		"each": func() error {
			return river.AddWorkerSafely(a.Workers, eachjob.NewWorker(eachjob.Opts{
				Jobs: jobs, Child: a.child, Location: zone, Logger: a.logger, Notify: a.Config.Database.Notify, OnChunk: m.ObserveChunk,
				Pool: a.Pool, Schema: a.schema,
			}))
		},
	}
	add["cleanup"] = func() error {
		opts := cleanupjob.Opts{Jobs: jobs, Location: zone, Logger: a.logger, Pool: a.Pool, OnChunk: m.ObserveChunk}
		if archives(a.Config) {
			var err error
			if opts.Storage, err = a.Storage(ctx); err != nil {
				return err
			}
		}
		return river.AddWorkerSafely(a.Workers, cleanupjob.NewWorker(opts))
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

// child says how a job of kind each inserts those of the job with that name: as a start of it would.
func (a *App) child(name string) (eachjob.Child, error) {
	def, err := a.job(name)
	if err != nil {
		return eachjob.Child{}, err
	}
	row, err := a.jobRow(def)
	if err != nil {
		return eachjob.Child{}, err
	}
	child := eachjob.Child{
		Job: row.Name, Kind: row.Kind, Args: row.Args, Nests: row.Nests, Queue: row.Queue, Priority: row.Priority, MaxAttempts: row.MaxAttempts,
	}
	if row.Params != nil {
		if child.Declared, err = json.Marshal(row.Params); err != nil {
			return eachjob.Child{}, fmt.Errorf("params of job %s: %w", name, err)
		}
	}
	return child, nil
}

// archives tells whether a job writes what it deletes to the storage.
func archives(cfg *config.Config) bool {
	for _, job := range cfg.Jobs {
		if job.Kind == "cleanup" && job.Spec.(*cleanupjob.Config).Archive != cleanupjob.ArchiveNone {
			return true
		}
	}
	return false
}

// uploads tells whether a job imports files that are given to it, and that only the storage can hold.
func uploads(cfg *config.Config) bool {
	for _, job := range cfg.Jobs {
		if job.Kind == "import" && !scans(job) {
			return true
		}
	}
	return false
}

type noopArgs struct{}

func (noopArgs) Kind() string { return "tidemill.noop" }

type noopWorker struct{ river.WorkerDefaults[noopArgs] }

func (*noopWorker) Work(context.Context, *river.Job[noopArgs]) error { return nil }
