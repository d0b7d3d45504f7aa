package tidemill

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/tidemill/tidemill/workers/exportjob"
)

// ErrNoExport is returned by Download for a run that has written no file.
var ErrNoExport = errors.New("the run has written no file")

// Download writes the file of an export that has ended to w, and checks it. progress, if set, is told the bytes so far and
// those of the whole. After an error w may have received a part of the file.
func (a *App) Download(ctx context.Context, run int64, w io.Writer, progress func(done, total int64)) (*exportjob.Result, error) {
	fetch, err := a.Fetch(ctx, run, onceTarget{w})
	if err != nil {
		return nil, err
	}
	return fetch.Finish(ctx, progress)
}

// onceTarget is for what is written in one go.
type onceTarget struct{ io.Writer }

func (onceTarget) Rewind() error {
	return errors.New("the export has begun anew while its file was written")
}

// Fetch is a copy of the file of an export that may still be written. It belongs to one goroutine.
type Fetch struct {
	app  *App
	run  int64
	copy *exportjob.Copy
}

// Fetch begins to copy the file of a run to a target. After an error the target may have received a part of the file.
func (a *App) Fetch(ctx context.Context, run int64, to exportjob.Target) (*Fetch, error) {
	bucket, err := a.Storage(ctx)
	if err != nil {
		return nil, err
	}
	return &Fetch{app: a, run: run, copy: exportjob.NewCopy(bucket, to)}, nil
}

// Advance copies what the run has committed by now. It may be called as often as one likes, and need not be called at all.
func (f *Fetch) Advance(ctx context.Context) error {
	if err := f.copy.Advance(ctx, f.app.Pool, f.app.schema, f.run); err != nil {
		return fmt.Errorf("run %d: %w", f.run, err)
	}
	return nil
}

// Finish copies the rest when the run has ended, and checks the whole. progress, if set, is told the bytes so far and those
// of the whole.
func (f *Fetch) Finish(ctx context.Context, progress func(done, total int64)) (*exportjob.Result, error) {
	info, err := f.app.Ledger.Get(ctx, f.run)
	if err != nil {
		return nil, err
	}
	if info.Kind != exportjob.RiverKind || len(info.Result) == 0 {
		return nil, fmt.Errorf("run %d of job %s (%s) is %s: %w", f.run, info.Job, info.Kind, info.Status, ErrNoExport)
	}
	result, err := exportjob.ReadResult(info.Result)
	if err != nil {
		return nil, fmt.Errorf("run %d: %w", f.run, err)
	}
	bucket, err := f.app.Storage(ctx)
	if err != nil {
		return nil, err
	}
	manifest, err := exportjob.ReadManifest(ctx, bucket, result)
	if err != nil {
		return nil, fmt.Errorf("run %d: %w", f.run, err)
	}
	var tell func(int64)
	if progress != nil {
		tell = func(done int64) { progress(done, manifest.Bytes) }
	}
	if err := f.copy.Finish(ctx, manifest, tell); err != nil {
		return nil, fmt.Errorf("run %d: %w", f.run, err)
	}
	return result, nil
}

// expire deletes exports that are kept no longer, until ctx ends. Without jobs of kind export there is nothing to do.
func (a *App) expire(ctx context.Context) {
	for _, job := range a.Config.Jobs {
		if job.Kind != "export" {
			continue
		}
		bucket, err := a.Storage(ctx)
		if err != nil {
			a.logger.WarnContext(ctx, "expired exports stay", "error", err)
			return
		}
		exportjob.NewExpirer(exportjob.ExpirerOpts{Pool: a.Pool, Schema: a.schema, Storage: bucket, Logger: a.logger}).Run(ctx)
		return
	}
}
