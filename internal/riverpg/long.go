package riverpg

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// DefaultMaxArgs is how many bytes a job's arguments may have, unless Opts say otherwise.
const DefaultMaxArgs = 1 << 20

// allowance is how much longer than max_args arguments may be in the table: PostgreSQL writes spaces that JSON in a program
// does not have.
const allowance = 2

// Of the errors of a long job the texts of the last keptErrors are read, and keptError characters of each.
const (
	keptErrors = 20
	keptError  = 4 << 10
)

// ErrTooLong is why an attempt fails whose job is longer than a worker reads.
var ErrTooLong = errors.New("too long")

// long is what readLong asks for. A value whose stored form alone proves it too long is not touched: JSON is never stored in
// more than five times its text. An attempt's output and what earlier errors say may be of any length, and no attempt needs
// them.
const long = `
	SELECT coalesce(a_bytes, pg_column_size(args)::bigint / 5), a, coalesce(m_bytes, pg_column_size(metadata)::bigint / 5), m, attempted_by,
	       (SELECT array_agg(CASE jsonb_typeof(f)
	                WHEN 'object' THEN jsonb_build_object('at', f->'at', 'attempt', f->'attempt', 'error', left(f->>'error', most), 'trace', left(f->>'trace', most))
	                ELSE to_jsonb(left(f #>> '{}', most)) END ORDER BY no)
	          FROM (SELECT f, no, CASE WHEN no > cardinality(errors) - $4::int THEN $3::int ELSE 0 END AS most
	                  FROM unnest(errors) WITH ORDINALITY e (f, no)) e),
	       CASE WHEN pg_column_size(tags) <= $2::bigint THEN tags END
	  FROM %s, LATERAL (
		SELECT octet_length(args_text) AS a_bytes, CASE WHEN octet_length(args_text) <= $2 THEN args_text END AS a,
		       octet_length(metadata_text) AS m_bytes, CASE WHEN octet_length(metadata_text) <= $2 THEN metadata_text END AS m
		  FROM (SELECT CASE WHEN pg_column_size(args)::bigint <= 5 * $2 THEN args::text END AS args_text,
		               CASE WHEN pg_column_size(metadata)::bigint <= 5 * $2 OR metadata ? 'output' THEN (metadata - 'output')::text
		                    END AS metadata_text OFFSET 0) t
		OFFSET 0) x
	 WHERE id = $1 AND state = 'running'`

// readLong reads the values of a job that take did not send. It reports false if the job is to be given back: it
// could not be read now.
func (e *executor) readLong(ctx context.Context, schema string, r *row, budget *int64) bool {
	limit := int64(allowance * e.opts.MaxArgs)
	var argsBytes, metadataBytes int64
	var args, metadata []byte
	var failures [][]byte
	err := e.pool.QueryRow(ctx, fmt.Sprintf(long, qualified(schema, "river_job")), r.job.ID, limit, keptError, keptErrors).Scan(
		&argsBytes, &args, &metadataBytes, &metadata, &r.job.AttemptedBy, &failures, &r.job.Tags)
	var refused *pgconn.PgError
	switch {
	case tooMuch(err):
		r.err = fmt.Errorf("the job is %w for the database to write: %w", ErrTooLong, err)
		return true
	case errors.As(err, &refused) && !passing(refused.Code):
		r.err = fmt.Errorf("read the job: %w", err)
		return true
	case err != nil: // the connection is gone, or, pgx.ErrNoRows, somebody has moved the job meanwhile
		return false
	}
	*budget -= int64(len(args) + len(metadata))
	r.job.EncodedArgs, r.job.Metadata = args, metadata
	r.decodeErrors(failures)
	switch {
	case args == nil:
		r.err = fmt.Errorf("arguments of %d bytes are %w: max_args is %d; store them and pass their key", argsBytes, ErrTooLong, e.opts.MaxArgs)
	case metadata == nil:
		r.err = fmt.Errorf("metadata of %d bytes is %w: max_args is %d", metadataBytes, ErrTooLong, e.opts.MaxArgs)
	case r.job.Tags == nil:
		r.err = fmt.Errorf("the tags are %w: max_args is %d bytes", ErrTooLong, e.opts.MaxArgs)
	}
	return true
}

// passing reports whether the server may well answer the same question in a moment.
func passing(code string) bool {
	for _, class := range []string{"08", "40", "55", "57"} {
		if strings.HasPrefix(code, class) {
			return true
		}
	}
	return code == "53300"
}

// giveBack makes jobs available as they were before take.
func (e *executor) giveBack(ctx context.Context, schema string, back []*row) error {
	ids, attempts := make([]int64, len(back)), make([]int16, len(back))
	for i, r := range back {
		ids[i], attempts[i] = r.job.ID, int16(r.job.Attempt)
	}
	_, err := e.pool.Exec(ctx, `
		UPDATE `+qualified(schema, "river_job")+` j SET state = 'available', attempt = j.attempt - 1, attempted_by = trim_array(j.attempted_by, 1)
		  FROM unnest($1::bigint[], $2::smallint[]) b (id, attempt)
		 WHERE j.id = b.id AND j.attempt = b.attempt AND j.state = 'running'`, ids, attempts)
	return err
}
