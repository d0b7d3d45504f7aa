// Package testkind has what the tests of several kinds of job need.
package testkind

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/internal/storage"
	"github.com/tidemill/tidemill/internal/tests3"
)

// StorageInS3 is a bucket in a server of its own.
func StorageInS3(t *testing.T) (*storage.Bucket, *tests3.Server) {
	t.Helper()
	server := tests3.Start(t)
	b, err := storage.Open(context.Background(), server.URL("tidemill"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b, server
}

// WideTable has as many columns as PostgreSQL allows.
func WideTable(columns int) string {
	list := make([]string, columns)
	for i := range list {
		list[i] = fmt.Sprintf("c%d smallint", i)
	}
	return "CREATE TABLE wide (" + strings.Join(list, ", ") + "); CREATE UNIQUE INDEX ON wide (c0);"
}

// WideFile has rows of which each field is the row's number.
func WideFile(columns, rows int) string {
	var b strings.Builder
	for row := range rows + 1 {
		for i := range columns {
			if i > 0 {
				b.WriteByte(',')
			}
			if row == 0 {
				fmt.Fprintf(&b, "c%d", i)
			} else {
				fmt.Fprint(&b, row)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// CutAt cuts a file off.
func CutAt(n int) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		if err := os.Truncate(path, int64(n)); err != nil {
			t.Error(err)
		}
	}
}

// WrittenOver writes the text into the file, from a place on, and sets the time of the last change back if it is to go unseen.
func WrittenOver(at int, text string, unseen bool) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		info, err := os.Stat(path)
		if err != nil {
			t.Error(err)
			return
		}
		file, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Error(err)
			return
		}
		defer file.Close()
		if _, err := file.WriteAt([]byte(text), int64(at)); err != nil {
			t.Error(err)
		}
		if unseen {
			if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
				t.Error(err)
			}
		}
	}
}

// RowsRead is how many rows of a table and its partitions this session has read without an index.
func RowsRead(ctx context.Context, tx pgx.Tx, table string) (rows int, err error) {
	err = tx.QueryRow(ctx, `SELECT sum(seq_tup_read)::int FROM pg_stat_xact_user_tables WHERE relname LIKE $1 || '%'`, table).Scan(&rows)
	return rows, err
}
