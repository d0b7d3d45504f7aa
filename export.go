package tidemill

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/tidemill/tidemill/workers"
)

// ErrNoExport is returned by Download for a run that has written no file.
var ErrNoExport = errors.New("the run has written no file")

// Download writes the file of an export that has ended to w, and checks it. progress, if set, is told the bytes so far and
// those of the whole. After an error w may have received a part of the file.
func (a *App) Download(ctx context.Context, run int64, w io.Writer, progress func(done, total int64)) (*workers.ExportResult, error) {
	info, err := a.Ledger.Get(ctx, run)
	if err != nil {
		return nil, err
	}
	// The result is committed with the last part, a moment before River says that the run has ended.
	if info.Kind != workers.KindExport || len(info.Result) == 0 {
		return nil, fmt.Errorf("run %d of job %s (%s) is %s: %w", run, info.Job, info.Kind, info.Status, ErrNoExport)
	}
	result, err := workers.ReadExportResult(info.Result)
	if err != nil {
		return nil, fmt.Errorf("run %d: %w", run, err)
	}
	bucket, err := a.Storage(ctx)
	if err != nil {
		return nil, err
	}
	manifest, err := workers.ReadExport(ctx, bucket, result.Object)
	if err != nil {
		return nil, fmt.Errorf("run %d: %w", run, err)
	}
	var tell func(int64)
	if progress != nil {
		tell = func(done int64) { progress(done, manifest.Bytes) }
	}
	if err := manifest.Copy(ctx, bucket, w, tell); err != nil {
		return nil, fmt.Errorf("run %d: %w", run, err)
	}
	return result, nil
}

// expire deletes exports that are kept no longer, until ctx ends. Without jobs of kind export there is nothing to do.
func (a *App) expire(ctx context.Context) {
	for _, job := range a.Config.Jobs {
		if job.Export == nil {
			continue
		}
		bucket, err := a.Storage(ctx)
		if err != nil {
			a.logger.WarnContext(ctx, "expired exports stay", "error", err)
			return
		}
		workers.NewExpirer(workers.ExpirerOpts{Pool: a.Pool, Schema: a.schema, Storage: bucket, Logger: a.logger}).Run(ctx)
		return
	}
}
