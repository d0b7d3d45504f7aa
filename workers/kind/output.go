package kind

import (
	"context"
	"io"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/internal/storage"
	"github.com/tidemill/tidemill/migrations"
)

// Output is how the file of a run is fetched.
type Output struct {
	// Copy begins to copy the file of a run, which may still write it.
	Copy func(bucket *storage.Bucket, to Target) Copy
}

// Target takes a copy of a file.
type Target interface {
	io.Writer
	// Rewind forgets all that was written. It is called if a run has begun again, and if a part could not be copied wholly; a target that is
	// only written to when the run has ended is never asked.
	Rewind() error
}

// Copy is a copy of a file, which can begin while the run still writes it. It belongs to one goroutine. After an error the target may have a
// part of the file.
type Copy interface {
	// Advance copies what the run has committed.
	Advance(ctx context.Context, pool *pgxpool.Pool, schema migrations.Schema, run int64) error
	// Finish copies the rest when the run has ended, and checks the whole. progress, if set, gets the bytes so far and those of the whole.
	Finish(ctx context.Context, run *batch.Info, progress func(done, total int64)) error
}
