package importjob

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/workers/kind"
)

// Kind is the kind of jobs that load files into tables.
func Kind() kind.Kind {
	return kind.Kind{
		Kind:       configKind(),
		RiverKinds: []string{RiverKind, ScanRiverKind},
		Register:   register,
		CheckLive:  CheckLive,
		Describe: func(info *batch.Info) kind.Description {
			return kind.Description{Kept: "what was imported is kept", NoRows: info.Kind == ScanRiverKind}
		},
		Input: &kind.Input{
			Start: start,
			Preview: func(ctx context.Context, pool *pgxpool.Pool, job *config.Job, opts kind.PreviewOpts) (*kind.Preview, error) {
				return PreviewFile(ctx, pool, job.Spec.(*Config), opts)
			},
			Found: found,
			WriteRejects: func(ctx context.Context, ledger *batch.Ledger, run int64, w io.Writer) (int64, error) {
				return WriteRejects(ctx, RejectsOpts{Ledger: ledger, Run: run, Out: w})
			},
		},
	}
}

func register(ctx context.Context, workers *river.Workers, deps *kind.Deps) error {
	opts := Opts{Jobs: deps.Jobs, Pool: deps.Pool, OnChunk: deps.OnChunk}
	if deps.Config.Storage.URL != "" || uploads(deps.Config) {
		var err error
		if opts.Storage, err = deps.Storage(ctx); err != nil {
			return err
		}
	}
	if err := river.AddWorkerSafely(workers, NewWorker(opts)); err != nil {
		return err
	}
	return river.AddWorkerSafely(workers, NewScanWorker(ScanOpts{
		Jobs: deps.Jobs, Pool: deps.Pool, Schema: deps.Schema, Start: StartFound(deps.Ledger),
	}))
}

// uploads reports whether a job imports files that are given to it, and that only the storage can hold.
func uploads(cfg *config.Config) bool {
	for _, job := range cfg.Jobs {
		if spec, ok := job.Spec.(*Config); ok && spec.Source.URL == "" {
			return true
		}
	}
	return false
}

// found are the imports that a scan has started.
func found(info *batch.Info) (runs []int64, more int64, err error) {
	var result ScanResult
	if len(info.Result) == 0 {
		return nil, 0, nil
	}
	if err := json.Unmarshal(info.Result, &result); err != nil {
		return nil, 0, fmt.Errorf("result of run %d: %w", info.ID, err)
	}
	return result.Runs, result.New - result.Same - int64(len(result.Runs)), nil
}
