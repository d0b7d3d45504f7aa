package exportjob

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/internal/keyset"
	"github.com/tidemill/tidemill/internal/rowout"
	"github.com/tidemill/tidemill/internal/statement"
	"github.com/tidemill/tidemill/internal/storage"
	"github.com/tidemill/tidemill/workers/kind"
)

// exportPart is a part of the file. What people see of it is in the manifest.
type exportPart struct {
	Object string `json:"object"`
	Rows   int64  `json:"rows"`
	Bytes  int64  `json:"bytes"`
	CRC32C string `json:"crc32c"` // in hexadecimal

	span, no int
	endsSpan bool // of a snapshot: no part of the span follows this one
	defused  int64
	sum      uint32
	object   *storage.Writer // until it is committed
}

// readBuffer is how much is read at once.
const readBuffer = 256 << 10

// session opens a read-only session whose texts look the same wherever it is opened, so that a file that several attempts
// have written is of one form.
func (e *exportRun) session(ctx context.Context) (*pgx.Conn, error) {
	settings := map[string]string{
		"bytea_output":                        "hex",
		"client_encoding":                     "UTF8",
		"datestyle":                           "ISO, YMD",
		"default_transaction_read_only":       "on",
		"extra_float_digits":                  "1",
		"idle_in_transaction_session_timeout": "0",
		"intervalstyle":                       "postgres",
		"statement_timeout":                   e.statementTimeout(),
		"timezone":                            "UTC",
	}
	conn, err := statement.OpenSession(ctx, e.deps.Pool, settings, func(c *pgx.ConnConfig) {
		// The server sends row after row; to take many of them at once saves more than half of the calls to the system.
		c.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
			return pgproto3.NewFrontend(bufio.NewReaderSize(r, readBuffer), w)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return conn, nil
}

// statementTimeout ends on the server what the stall, or the snapshot's timeout, has given up here.
func (e *exportRun) statementTimeout() string {
	switch {
	case e.ex.Consistency == Snapshot:
		return statement.Milliseconds(e.ex.Timeout + statement.Grace)
	case e.def.Stall > 0:
		return statement.Milliseconds(e.def.Stall + statement.Grace)
	}
	return "0"
}

// newPart begins a part in the storage. Its name is new each time: a process that was taken for dead may still be writing
// the same part, and nothing that is committed may change.
func (e *exportRun) newPart(ctx context.Context, span, no int) (*exportPart, error) {
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails, by its documentation
	key := fmt.Sprintf("%s%03d-%06d-%s%s", e.prefix, span, no, hex.EncodeToString(random[:]), exportSuffix(e.ex))
	object, err := e.storage.Create(ctx, key)
	if err != nil {
		return nil, err
	}
	return &exportPart{Object: key, span: span, no: no, object: object}, nil
}

// exportSuffix ends the names of files of that form.
func exportSuffix(ex *Config) string {
	suffix := "." + ex.Format
	switch ex.Compression {
	case Gzip:
		suffix += ".gz"
	case Zstd:
		suffix += ".zst"
	}
	return suffix
}

// end closes the content of a part; store makes it durable.
func (p *exportPart) end(content *rowout.Part) error {
	var err error
	if p.Bytes, p.sum, err = content.End(); err != nil {
		p.object.Abort()
		return err
	}
	p.CRC32C = crcText(p.sum)
	return nil
}

func crcText(sum uint32) string { return fmt.Sprintf("%08x", sum) }

func (p *exportPart) store() error { return p.object.Commit() }

// exportReader reads through one session and writes parts.
type exportReader struct {
	run     *exportRun
	conn    *pgx.Conn
	plan    *exportPlan
	rows    rowout.Rows
	content *rowout.Part
}

func (e *exportRun) reader(conn *pgx.Conn, plan *exportPlan) (*exportReader, error) {
	content, err := rowout.NewPart(e.ex.Compression)
	if err != nil {
		return nil, err
	}
	return &exportReader{run: e, conn: conn, plan: plan, rows: plan.rows(), content: content}, nil
}

// copyOut runs a COPY whose messages go to sink.
func (r *exportReader) copyOut(ctx context.Context, query string, sink func(message []byte) error) error {
	_, err := r.conn.PgConn().CopyTo(ctx, writerFunc(sink), query)
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

type writerFunc func([]byte) error

func (f writerFunc) Write(p []byte) (int, error) { return len(p), f(p) }

// transient repeats fn, which starts over each time, while the database is away or asks for it, until ctx ends.
func (e *exportRun) transient(ctx context.Context, fn func() error) error {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		err := fn()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case batch.Classify(err) != batch.Transient:
			return err
		}
		e.log.WarnContext(ctx, "reading will be repeated", "error", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// keysetPart is one part of a walk in key order.
type keysetPart struct {
	*exportPart
	after []string // key of its last row; nil if there is no further part
	whole []byte   // state of the digest after it
}

// readKeyset reads the first rows of a span into part number no. whole has digested the parts before.
func (r *exportReader) readKeyset(ctx context.Context, no int, span keyset.Span, whole hash.Hash) (*keysetPart, error) {
	e := r.run
	part, err := e.newPart(ctx, 0, no)
	if err != nil {
		return nil, err
	}
	r.content.Begin(part.object, whole)
	if no == 1 {
		r.content.Raw(r.plan.head())
	}
	result := &keysetPart{exportPart: part}
	if span.Until != nil {
		if err := r.copyKeyset(ctx, result, span); err != nil {
			part.object.Abort()
			return nil, err
		}
	}
	if err := part.end(r.content); err != nil {
		return nil, err
	}
	if result.whole, err = kind.DigestState(whole); err != nil {
		part.object.Abort()
		return nil, err
	}
	return result, nil
}

// copyKeyset reads one row more than the part takes: that reports whether there is another part, and whether the key is
// unique where one ends.
func (r *exportReader) copyKeyset(ctx context.Context, part *keysetPart, span keyset.Span) error {
	limit := int64(r.run.ex.Chunk)
	var last []string
	err := r.copyOut(ctx, r.plan.copySQL(r.run.ex.Chunk+1, r.plan.walk.Where(keyLiteral, span)), func(message []byte) error {
		if part.Rows == limit {
			next, err := r.plan.values(r.rows, message)
			if err != nil || next == nil {
				return err
			}
			if slices.Equal(last, next) {
				return r.plan.walk.NotUnique()
			}
			part.after = last
			return nil
		}
		row, defused, err := r.content.Row(r.rows, message)
		if err != nil || !row {
			return err
		}
		part.Rows++
		part.defused += int64(defused)
		if part.Rows == limit {
			last, err = r.plan.values(r.rows, message)
		}
		return err
	})
	if err != nil || part.after == nil {
		return err
	}
	return r.plan.walk.CheckUnique(ctx, r.conn, part.after)
}
