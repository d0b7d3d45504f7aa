package importjob

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/storage"
	"github.com/tidemill/tidemill/retry"
)

// importObject is the file of an import, wherever it is.
type importObject interface {
	// check reports whether it is there, as it was when the import was started, and which version of it. Another version than
	// that of an attempt before need not be another file.
	check(ctx context.Context) (version string, err error)
	open(ctx context.Context, offset int64) (io.ReadCloser, error)
	// differs is the error of a run whose file is not the one that it was started for.
	differs(how string) error
	Close() error
}

// object finds the file of an import: in the storage, or in the source of the definition. The arguments alone open no file
// that the configuration does not know of.
func (w *Worker) object(ctx context.Context, def *config.Job, args Args) (importObject, error) {
	if args.Source == "" {
		if w.opts.Storage == nil {
			return nil, retry.Permanent(fmt.Errorf("%s was uploaded, and this worker has no storage; set storage.url", args.Name))
		}
		return storedObject{storage: w.opts.Storage, args: args}, nil
	}
	wanted := def.Spec.(*Config).Source
	if wanted.URL == "" {
		return nil, retry.Permanent(fmt.Errorf("job %s has no source any more, and this run imports %s from it", def.Name, args.Source))
	}
	source, err := storage.OpenSource(ctx, wanted.Dir, wanted.Params)
	if err != nil {
		return nil, err // the directory, or what is configured elsewhere, may be there when this is tried again
	}
	if !source.Has(args.Source) {
		_ = source.Close()
		return nil, retry.Permanent(fmt.Errorf("the source of job %s is %s now, and this run imports %s, which is not below %s",
			def.Name, wanted.URL, args.Source, source.URL()))
	}
	return sourceObject{source: source, args: args}, nil
}

// storedObject is an upload.
type storedObject struct {
	storage *storage.Bucket
	args    Args
}

func (o storedObject) check(ctx context.Context) (string, error) {
	file, err := o.storage.Stat(ctx, o.args.Object)
	if err != nil {
		return "", permanentStorage(err)
	}
	if file.Size != o.args.Size {
		return "", o.differs(fmt.Sprintf("it has %d bytes, but had %d", file.Size, o.args.Size))
	}
	return file.Version, nil
}

func (o storedObject) differs(how string) error {
	return retry.Permanent(fmt.Errorf("the stored file %s is not what was uploaded: %s; what the run has committed is kept; upload the file again",
		o.args.Object, how))
}

func (o storedObject) open(ctx context.Context, offset int64) (io.ReadCloser, error) {
	return o.storage.Reader(ctx, o.args.Object, offset)
}

func (storedObject) Close() error { return nil } // the storage is shared

// sourceObject is a file that others put into a source, and that they may change there.
type sourceObject struct {
	source storage.Source
	args   Args
}

func (o sourceObject) check(ctx context.Context) (string, error) {
	file, err := o.open(ctx, 0)
	if err != nil {
		return "", err
	}
	return o.args.Version, file.Close()
}

func (o sourceObject) differs(string) error { return o.permanent(storage.ErrChanged) }

func (o sourceObject) open(ctx context.Context, offset int64) (io.ReadCloser, error) {
	file, err := o.source.Open(ctx, o.args.Source, o.args.Version, offset)
	if err != nil {
		return nil, o.permanent(err)
	}
	return &sourceObjectReader{ReadCloser: file, object: o}, nil
}

func (o sourceObject) Close() error { return o.source.Close() }

func (o sourceObject) permanent(err error) error {
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return retry.Permanent(fmt.Errorf("%s is gone; put it there again as it was, and retry the run", o.args.Source))
	case errors.Is(err, storage.ErrChanged):
		return retry.Permanent(fmt.Errorf("%s has changed since this run was started; what it has committed is kept, and the next scan at the source finds the file as new",
			o.args.Source))
	}
	return err
}

// sourceObjectReader says what a change under the reader means for the run.
type sourceObjectReader struct {
	io.ReadCloser
	object sourceObject
}

func (r *sourceObjectReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = r.object.permanent(err)
	}
	return n, err
}
