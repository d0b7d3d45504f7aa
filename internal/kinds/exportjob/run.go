package exportjob

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/keyset"
	"github.com/tidemill/tidemill/internal/statement"
	"github.com/tidemill/tidemill/internal/storage"
	"github.com/tidemill/tidemill/retry"
	"github.com/tidemill/tidemill/workers/kind"
)

// exportRun is one attempt of an export.
type exportRun struct {
	def     *config.Job
	ex      *Config
	deps    *kind.Deps
	storage *storage.Bucket
	params  map[string]any // as ResolveParams gives them
	run     *batch.Run
	log     *slog.Logger

	cursor exportCursor
	prefix string    // of the artifact's objects
	asOf   time.Time // of a snapshot
}

// exportCursor is the place after the last committed part.
type exportCursor struct {
	Artifact   int64  `json:"artifact"`
	Definition string `json:"definition"`      // hash of the job's
	Shape      string `json:"shape,omitempty"` // of the columns; a file has the same ones from its beginning to its end
	// After is the key of the last row that was read, and Until that of the last one that was there at the beginning.
	keyset.Span
	Parts   int   `json:"parts"`
	Bytes   int64 `json:"bytes"`
	Defused int64 `json:"defused,omitempty"`
	// Whole is the state of the SHA-256 over all parts; with several ranges nil until all is read.
	Whole    []byte `json:"whole,omitempty"`
	Complete bool   `json:"complete,omitempty"` // all is read; what is missing is the manifest
}

func (e *exportRun) work(ctx context.Context) error {
	found, err := e.run.Cursor(&e.cursor)
	if err != nil {
		return retry.Permanent(err)
	}
	if !found {
		e.cursor = exportCursor{Artifact: e.run.ID()}
	}
	if err := e.claim(ctx, found); err != nil {
		return err
	}
	if found && !e.cursor.Complete && e.ex.Consistency == Snapshot {
		if err := e.discard(ctx); err != nil {
			return err
		}
		found = false
	}
	switch {
	case found && e.cursor.Definition != e.def.Hash():
		return kind.Changed(e.def)
	case !found:
		e.cursor.Definition = e.def.Hash()
	}
	if !e.cursor.Complete {
		read := e.keyset
		if e.ex.Consistency == Snapshot {
			read = e.snapshot
		}
		if err := read(ctx, found); err != nil {
			return readError(err)
		}
	}
	return e.finish(ctx)
}

// readError marks errors of reading that a retry cannot fix: what a query may not do (0A, 25006), and values that an
// expression of it cannot take (22).
func readError(err error) error {
	code := statement.Code(err)
	if strings.HasPrefix(code, "0A") || strings.HasPrefix(code, "22") || code == "25006" {
		return retry.Permanent(err)
	}
	return err
}

func (e *exportRun) sql(query string) string { return e.deps.Schema.SQL(query) }

// claim makes this the run that writes the artifact. It is made on the first attempt; a run that takes the place of
// another takes the other's over.
func (e *exportRun) claim(ctx context.Context, found bool) error {
	id := e.cursor.Artifact
	e.prefix = path.Join("exports", e.def.Name, strconv.FormatInt(id, 10)) + "/"
	query := `
		UPDATE {tidemill}.artifact a SET run = $2, keep = $3
		 WHERE a.id = $1 AND a.prefix = $4
		   AND (a.run = $2 OR NOT EXISTS (SELECT FROM {tidemill}.run r WHERE r.id = a.run AND r.finished_at IS NULL))
		RETURNING (SELECT count(*) FROM {tidemill}.artifact_part p WHERE p.artifact = a.id)`
	if !found {
		query = `
		INSERT INTO {tidemill}.artifact AS a (id, run, prefix, keep) VALUES ($1, $2, $4, $3)
		ON CONFLICT (id) DO UPDATE SET keep = excluded.keep WHERE a.run = excluded.run
		RETURNING (SELECT count(*) FROM {tidemill}.artifact_part p WHERE p.artifact = a.id)`
	}
	parts := -1
	err := e.deps.Pool.QueryRow(ctx, e.sql(query), id, e.run.ID(), e.ex.Expire, e.prefix).Scan(&parts)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("take over the artifact: %w", err)
	}
	if parts != e.cursor.Parts {
		return retry.Permanent(fmt.Errorf("the parts that were written are not there any more, or another run has gone on with them; start the export again"))
	}
	return nil
}

// discard forgets what an attempt has read from a snapshot that is gone. The objects go with the run's end.
func (e *exportRun) discard(ctx context.Context) error {
	fresh := exportCursor{Artifact: e.cursor.Artifact, Definition: e.cursor.Definition}
	err := e.run.Chunk(ctx, func(ctx context.Context, tx pgx.Tx) (batch.Step, error) {
		_, err := tx.Exec(ctx, e.sql(`DELETE FROM {tidemill}.artifact_part WHERE artifact = $1`), fresh.Artifact)
		if err != nil {
			return batch.Step{}, fmt.Errorf("forget the parts: %w", err)
		}
		had := e.run.Counters()
		return batch.Step{
			Cursor: fresh, Done: -e.run.Done(), Tentative: true,
			Counters: batch.Counters{Read: -had.Read, Processed: -had.Processed},
		}, nil
	})
	if err == nil || kind.IsStop(err) {
		e.cursor = fresh
	}
	return err
}

// commit records a stored part and the place after it.
func (e *exportRun) commit(ctx context.Context, part *exportPart, next exportCursor) error {
	delta := batch.Counters{Read: part.Rows, Processed: part.Rows}
	err := e.run.Chunk(ctx, func(ctx context.Context, tx pgx.Tx) (batch.Step, error) {
		tag, err := tx.Exec(ctx, e.sql(`
			INSERT INTO {tidemill}.artifact_part (artifact, span, no, object, rows, bytes, crc32c, ends_span)
			SELECT id, $3, $4, $5, $6, $7, $8, $9 FROM {tidemill}.artifact WHERE id = $1 AND run = $2`),
			next.Artifact, e.run.ID(), part.span, part.no, part.Object, part.Rows, part.Bytes, int64(part.sum), part.endsSpan)
		if err != nil {
			return batch.Step{}, fmt.Errorf("record the part: %w", err)
		}
		if tag.RowsAffected() == 0 {
			return batch.Step{}, retry.Permanent(errors.New("another run has gone on with this export, or it has expired; start the export again"))
		}
		return batch.Step{Cursor: next, Counters: delta, Done: part.Rows, Tentative: e.ex.Consistency == Snapshot}, nil
	})
	if err == nil || kind.IsStop(err) {
		e.cursor = next
		e.deps.OnChunk(e.def.Name, delta)
	}
	return err
}

// estimate tells people how much there is to do, as far as the planner knows.
func (e *exportRun) estimate(ctx context.Context, rows int64) error {
	if err := e.run.SetTotal(ctx, max(rows, 1), "rows"); err != nil {
		return err
	}
	return e.run.Note(ctx, map[string]any{estimatedKey: true})
}

// estimatedKey is in a run's metadata while its total is an estimate.
const estimatedKey = "total_estimated"
