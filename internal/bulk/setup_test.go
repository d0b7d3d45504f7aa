package bulk

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidemill/tidemill/internal/testdb"
)

type bundle struct {
	t    testing.TB
	ctx  context.Context
	url  string
	conn *pgx.Conn
}

// setup opens a database of its own and runs the script in it.
func setup(t testing.TB, script string) *bundle {
	t.Helper()
	return open(t, testdb.URL(t), script)
}

func open(t testing.TB, url, script string) *bundle {
	t.Helper()
	s := &bundle{t: t, ctx: context.Background(), url: url}
	s.conn = s.connect()
	s.exec(script)
	return s
}

func (s *bundle) connect() *pgx.Conn {
	s.t.Helper()
	config, err := pgx.ParseConfig(s.url)
	if err != nil {
		s.t.Fatal(err)
	}
	config.OnNotice = func(*pgconn.PgConn, *pgconn.Notice) {}
	conn, err := pgx.ConnectConfig(s.ctx, config)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(s.ctx)) })
	return conn
}

func (s *bundle) exec(script string) {
	s.t.Helper()
	if err := s.conn.PgConn().Exec(s.ctx, script).Close(); err != nil {
		s.t.Fatalf("%v in %s", err, script)
	}
}

// rows returns the rows of a query as text, NULL as "-".
func (s *bundle) rows(sql string) [][]string {
	s.t.Helper()
	res := s.conn.PgConn().ExecParams(s.ctx, sql, nil, nil, nil, nil).Read()
	if res.Err != nil {
		s.t.Fatalf("%v in %s", res.Err, sql)
	}
	out := [][]string{}
	for _, r := range res.Rows {
		line := []string{}
		for _, v := range r {
			if v == nil {
				line = append(line, "-")
			} else {
				line = append(line, string(v))
			}
		}
		out = append(out, line)
	}
	return out
}

func (s *bundle) describe(name string) *Table {
	s.t.Helper()
	t, err := Describe(s.ctx, s.conn, "", name)
	if err != nil {
		s.t.Fatal(err)
	}
	return t
}

func (s *bundle) writer(table string, spec Spec) *Writer {
	s.t.Helper()
	w, err := NewWriter(s.describe(table), spec)
	if err != nil {
		s.t.Fatal(err)
	}
	return w
}

// write appends the rows and writes them, in as many transactions as Write asks for. Rejects of Append are included,
// and Row is the index into rows.
func (s *bundle) write(w *Writer, rows [][][]byte) (Result, int) {
	s.t.Helper()
	b := w.NewBatch()
	var total Result
	for i, r := range rows {
		if e := b.Append(r); e != nil {
			e.Row = i
			total.Rejected = append(total.Rejected, *e)
		}
	}
	calls := 0
	for from := 0; from < b.Len(); calls++ {
		res, err := s.writeOnce(w, b, from)
		if err != nil {
			s.t.Fatal(err)
		}
		if res.Next <= from {
			s.t.Fatalf("no progress at row %d", from)
		}
		done := res.Inserted + res.Updated + res.Unchanged + res.Duplicate + res.Filtered + int64(len(res.Rejected))
		if int64(res.Next-from) != done {
			s.t.Fatalf("rows [%d, %d) do not add up: %+v", from, res.Next, res)
		}
		for i := range res.Rejected {
			res.Rejected[i].Row = b.Index(res.Rejected[i].Row)
		}
		total.add(res)
		from = res.Next
	}
	total.Next = len(rows)
	return total, calls
}

func (s *bundle) writeOnce(w *Writer, b *Batch, from int) (Result, error) {
	var res Result
	err := pgx.BeginFunc(s.ctx, s.conn, func(tx pgx.Tx) error {
		var err error
		res, err = w.Write(s.ctx, tx, b, from)
		return err
	})
	return res, err
}

// row makes values from strings; nil is NULL.
func row(values ...any) [][]byte {
	out := make([][]byte, len(values))
	for i, v := range values {
		if v != nil {
			out[i] = []byte(fmt.Sprint(v))
		}
	}
	return out
}

// sqlState is the code of a server error.
func sqlState(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return "none: " + err.Error()
}
