package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/config/field"
	"github.com/tidemill/tidemill/workers/kind"
)

const kindName = "wait"

// Kind is what the command is given.
func Kind() kind.Kind {
	return kind.Kind{
		Kind: config.NewKind[Config](config.Kind{
			Name: kindName, Doc: "Waits, and says for whom.", Chunked: true,
		}, fields()),
		Register: func(_ context.Context, workers *river.Workers, deps *kind.Deps) error {
			return river.AddWorkerSafely(workers, &Worker{deps: deps})
		},
		Describe: func(*batch.Info) kind.Description {
			return kind.Description{Kept: "what was waited for is not waited for again"}
		},
		Demo: "{seconds: 2, params: {whom: {type: text, default: you}}}",
	}
}

// Config are the fields of a job in tidemill.yaml.
type Config struct {
	Seconds int
	Step    int
}

func fields() field.Table[Config] {
	return field.Table[Config]{
		field.Row("seconds", field.Integer[int]{Min: 1, Max: 86_400}, "", "How long to wait.",
			func(c *Config) *int { return &c.Seconds }).Require(),
		field.Row("step", field.Integer[int]{Min: 1, Max: 3600}, "1", "Seconds from one commit to the next: what a worker that is killed waits for again.",
			func(c *Config) *int { return &c.Step }),
	}
}

// Check is part of "config check".
func (c *Config) Check(check *config.Checker, job *config.Job, at field.Path) {
	if check.Checkable(at, "seconds", "step") && c.Step > c.Seconds {
		check.Problem(at.Join("step"), "make it smaller", "step %d is longer than seconds %d", c.Step, c.Seconds)
	}
}

// Identity is what makes another job of it when it changes.
func (c *Config) Identity() (string, any) { return "Wait", c.Seconds }

// Limits change only how it is done.
func (c *Config) Limits() []any { return []any{c.Step} }

// Args are the arguments of a job.
type Args struct{ kind.Args }

// Kind is the name under which River knows it.
func (Args) Kind() string { return kind.RiverPrefix + kindName }

// Worker waits.
type Worker struct {
	kind.Chunked[Args]

	deps *kind.Deps
}

// Result is kept with a run.
type Result struct {
	Waited int64  `json:"waited"`
	Whom   string `json:"whom"`
}

// Work makes one attempt: it resumes where the last one was killed, stopped or paused.
func (w *Worker) Work(ctx context.Context, job *river.Job[Args]) error {
	opts := batch.AttemptOpts{Unit: "seconds"}
	return w.Run(ctx, job, w.deps.Jobs, kindName, opts, func(ctx context.Context, def *config.Job, run *batch.Run) error {
		params, err := def.ResolveParams(job.Args.Params, job.Args.Due(job.JobRow, w.deps.Location))
		if err != nil {
			return err
		}
		spec := def.Spec.(*Config)
		total := int64(spec.Seconds)
		if err := run.SetTotal(ctx, total, "seconds"); err != nil {
			return err
		}
		for run.Done() < total {
			step := min(int64(spec.Step), total-run.Done())
			select {
			case <-time.After(time.Duration(step) * time.Second):
			case <-ctx.Done():
				return ctx.Err()
			}
			err := run.Chunk(ctx, func(context.Context, pgx.Tx) (batch.Step, error) {
				return batch.Step{Done: step, Counters: batch.Counters{Read: step, Processed: step}}, nil
			})
			if err != nil {
				return err
			}
			w.deps.OnChunk(def.Name, batch.Counters{Read: step, Processed: step})
		}
		return run.Finish(ctx, batch.Finish{Result: Result{Waited: total, Whom: fmt.Sprint(params["whom"])}})
	})
}
