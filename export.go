package tidemill

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/tidemill/tidemill/workers/kind"
)

// ErrNoExport is returned by Download for a run that has written no file.
var ErrNoExport = errors.New("the run has written no file")

// Download writes the file of an export that has ended to w, and checks it. progress, if set, gets the bytes so far and
// those of the whole. After an error w may have received a part of the file.
func (a *App) Download(ctx context.Context, run int64, w io.Writer, progress func(done, total int64)) error {
	fetch, err := a.Fetch(ctx, run, onceTarget{w})
	if err != nil {
		return err
	}
	return fetch.Finish(ctx, progress)
}

// onceTarget is for what is written in one go.
type onceTarget struct{ io.Writer }

func (onceTarget) Rewind() error {
	return errors.New("the export has started over while its file was written")
}

// Fetch is a copy of the file of an export that may still be written. It belongs to one goroutine.
type Fetch struct {
	app  *App
	run  int64
	copy kind.Copy // nil: the run is of a kind that writes no file
}

// Fetch begins to copy the file of a run to a target. After an error the target may have received a part of the file.
func (a *App) Fetch(ctx context.Context, run int64, to kind.Target) (*Fetch, error) {
	info, err := a.Ledger.Get(ctx, run)
	if err != nil {
		return nil, err
	}
	k, _ := a.kindOfRun(info.Kind)
	if k.Output == nil {
		return &Fetch{app: a, run: run}, nil
	}
	bucket, err := a.Storage(ctx)
	if err != nil {
		return nil, err
	}
	return &Fetch{app: a, run: run, copy: k.Output.Copy(bucket, to)}, nil
}

// Advance copies what the run has committed so far. Calling it is optional.
func (f *Fetch) Advance(ctx context.Context) error {
	if f.copy == nil {
		return nil
	}
	if err := f.copy.Advance(ctx, f.app.Pool, f.app.schema, f.run); err != nil {
		return fmt.Errorf("run %d: %w", f.run, err)
	}
	return nil
}

// Finish copies the rest when the run has ended, and checks the whole. progress, if set, gets the bytes so far and those
// of the whole.
func (f *Fetch) Finish(ctx context.Context, progress func(done, total int64)) error {
	info, err := f.app.Ledger.Get(ctx, f.run)
	if err != nil {
		return err
	}
	if f.copy == nil || len(info.Result) == 0 {
		return fmt.Errorf("run %d of job %s (%s) is %s: %w", f.run, info.Job, info.Kind, info.Status, ErrNoExport)
	}
	if err := f.copy.Finish(ctx, info, progress); err != nil {
		return fmt.Errorf("run %d: %w", f.run, err)
	}
	return nil
}
