package cleanupjob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// maxArchiveBytes is how much of deleted rows one chunk may hold in memory, unless a single row is larger.
const maxArchiveBytes = 8 << 20

var errManyBytes = errors.New("the rows of a chunk are too large to be archived together")

// cleanupFile collects the rows of one chunk as CSV: NULL is an empty field, an empty text is one in quotes.
type cleanupFile struct {
	name string
	text bytes.Buffer
	rows int64
}

// take deletes by query and keeps what it returns. bounded is whether too much is an error.
func (f *cleanupFile) take(ctx context.Context, tx pgx.Tx, query string, tids []string, bounded bool) (int64, error) {
	// A list of one format is for all columns.
	rows, err := tx.Query(ctx, query, pgx.QueryResultFormats{pgx.TextFormatCode}, tids)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var n int64
	for rows.Next() {
		if f.rows == 0 {
			for i, field := range rows.FieldDescriptions() {
				f.field(i, []byte(field.Name))
			}
			f.text.WriteByte('\n')
		}
		for i, value := range rows.RawValues() {
			f.field(i, value)
		}
		f.text.WriteByte('\n')
		f.rows++
		n++
		if bounded && f.text.Len() > maxArchiveBytes {
			return n, errManyBytes
		}
	}
	return n, rows.Err()
}

func (f *cleanupFile) field(i int, value []byte) {
	if i > 0 {
		f.text.WriteByte(',')
	}
	switch {
	case value == nil:
	case len(value) == 0 || bytes.ContainsAny(value, ",\"\r\n") || string(value) == `\.`:
		f.text.WriteByte('"')
		f.text.Write(bytes.ReplaceAll(value, []byte(`"`), []byte(`""`)))
		f.text.WriteByte('"')
	default:
		f.text.Write(value)
	}
}

// cleanupMark is a place in a cleanupFile, to go back to when rows are not deleted after all.
type cleanupMark struct {
	bytes int
	rows  int64
}

func (f *cleanupFile) mark() cleanupMark {
	if f == nil {
		return cleanupMark{}
	}
	return cleanupMark{f.text.Len(), f.rows}
}

func (f *cleanupFile) cut(to cleanupMark) {
	if f != nil {
		f.text.Truncate(to.bytes)
		f.rows = to.rows
	}
}

// folder is where the run's files are.
func (c *cleanupRun) folder() string {
	return "archive/" + c.job.Name + "/run-" + strconv.FormatInt(c.run.ID(), 10)
}

// cleanupUploads stores the file of a chunk before its transaction commits, so that no row is gone that is not stored. The
// file of a try that came to nothing is removed when the chunk is tried again. Where the process or its lease dies in
// between it stays, and its rows are in the next file, too.
type cleanupUploads struct {
	run  *cleanupRun
	key  string // of the last file
	took time.Duration
}

// again begins another try: the one before is known not to have been committed.
func (u *cleanupUploads) again(ctx context.Context) {
	if u.key != "" {
		u.remove(ctx)
	}
	u.took = 0
}

func (u *cleanupUploads) file(ctx context.Context, walk *cleanupWalk, f *cleanupFile, cursor *cleanupCursor) error {
	if f == nil || f.rows == 0 {
		return nil
	}
	began := time.Now()
	size := f.text.Len()
	name := fmt.Sprintf("%06d-%s.csv", cursor.Files+1, strings.TrimPrefix(walk.rule.table.Schema+".", "public.")+f.name)
	object, err := u.run.storage.Put(ctx, u.run.folder(), name, &f.text, nil)
	if err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	u.key, u.took = object.Key, time.Since(began)
	cursor.Files++
	cursor.Bytes += int64(size)
	return nil
}

func (u *cleanupUploads) remove(ctx context.Context) {
	if err := u.run.storage.Delete(context.WithoutCancel(ctx), u.key); err != nil {
		u.run.log.WarnContext(ctx, "a file of rows that were not deleted is left in the archive", "object", u.key, "error", err)
	}
	u.key = ""
}
