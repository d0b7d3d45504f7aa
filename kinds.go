package tidemill

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/metrics"
	"github.com/tidemill/tidemill/workers"
	"github.com/tidemill/tidemill/workers/kind"
)

// Kinds are those of package workers and more, for [config.Opts].
func Kinds(more ...kind.Kind) []config.Kind { return kind.Configs(append(workers.All(), more...)) }

// Kinds are those that the program works, those of a user's own River workers aside.
func (a *App) Kinds() []kind.Kind { return slices.Clone(a.kindList) }

// kind returns the built-in kind of that name.
func (a *App) kind(name string) (kind.Kind, bool) {
	return kind.Find(a.kindList, name)
}

// kindOfRun returns the built-in kind of a run, by the name that River has for it.
func (a *App) kindOfRun(river string) (kind.Kind, bool) {
	return kind.FindRiver(a.kindList, river)
}

// usedKinds are those of the jobs in the configuration.
func (a *App) usedKinds() []kind.Kind {
	used := map[string]bool{}
	for _, job := range a.Config.Jobs {
		used[job.Kind] = true
	}
	return slices.DeleteFunc(slices.Clone(a.kindList), func(k kind.Kind) bool { return !used[k.Name] })
}

// deps is what kinds work with.
func (a *App) deps() *kind.Deps {
	deps := kind.Deps{
		Config: a.Config, Jobs: a.Config.Job, Clock: a.Now, Location: a.Config.Location(), Ledger: a.Ledger, Logger: a.logger,
		Pool: a.Pool, Schema: a.schema, Version: Version(), Storage: a.Storage, Child: a.child,
	}
	return deps.WithDefaults()
}

// addWorkers adds the built-in kinds that the configuration uses. A process without jobs of a kind leaves them to others.
func (a *App) addWorkers(ctx context.Context, m *metrics.Metrics) error {
	for _, k := range a.usedKinds() {
		deps := a.deps()
		deps.OnChunk = func(job string, delta batch.Counters) { m.ObserveChunk(k.River()[0], job, delta) }
		if err := k.Register(ctx, a.Workers, deps); err != nil {
			return fmt.Errorf("kind %s: %w", k.Name, err)
		}
	}
	// River refuses to start without any worker; a process may be there for its schedules and its metrics only.
	return river.AddWorkerSafely(a.Workers, &noopWorker{})
}

// loops does what kinds do beside their jobs, until ctx ends.
func (a *App) loops(ctx context.Context) {
	var wait sync.WaitGroup
	for _, k := range a.usedKinds() {
		if k.Loop != nil {
			wait.Go(func() { k.Loop(ctx, a.deps()) })
		}
	}
	wait.Wait()
}

// child says how a job of kind each inserts those of the job with that name: as a start of it would.
func (a *App) child(name string) (kind.Child, error) {
	def, err := a.job(name)
	if err != nil {
		return kind.Child{}, err
	}
	row, err := a.jobRow(def)
	if err != nil {
		return kind.Child{}, err
	}
	child := kind.Child{
		Job: row.Name, Kind: row.Kind, Args: row.Args, ArgsNested: row.ArgsNested, Queue: row.Queue, Priority: row.Priority, MaxAttempts: row.MaxAttempts,
	}
	if row.ParamTypes != nil {
		if child.ParamTypes, err = json.Marshal(row.ParamTypes); err != nil {
			return kind.Child{}, fmt.Errorf("params of job %s: %w", name, err)
		}
	}
	return child, nil
}

type noopArgs struct{}

func (noopArgs) Kind() string { return "tidemill.noop" }

type noopWorker struct{ river.WorkerDefaults[noopArgs] }

func (*noopWorker) Work(context.Context, *river.Job[noopArgs]) error { return nil }
