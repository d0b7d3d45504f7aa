package bulk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Writer writes batches into one table. It is not safe for concurrent use; several writers may write the same table.
type Writer struct {
	table   *Table
	spec    Spec
	columns []*Column // as Spec.Columns
	checks  []check
	isMatch []bool
	// matchNames are the names of the unique indexes on the match columns.
	matchNames []string
	sql        statements
	staged     bool
	keys       *keyFilter // nil if no rows are written apart
	// maxDuplicates is in percent of the rows of a Write.
	maxDuplicates int
	parts         parts
}

// NewWriter prepares a writer. The error lists what [Table.Check] has found.
func NewWriter(t *Table, s Spec) (*Writer, error) {
	if problems := t.Check(s); len(problems) > 0 {
		lines := make([]string, len(problems))
		for i, p := range problems {
			lines[i] = p.String()
		}
		return nil, fmt.Errorf("write to %s: %s", t.Ident(), strings.Join(lines, "; "))
	}
	w := &Writer{table: t, spec: s, maxDuplicates: maxDuplicates}
	for _, name := range s.Columns {
		c := t.Column(name)
		match := slices.Contains(s.Match, name)
		w.columns = append(w.columns, c)
		w.isMatch = append(w.isMatch, match)
		w.checks = append(w.checks, check{
			kind:  kindOf(c),
			limit: maxLength(c),
			// A trigger may fill what is NULL, but not what the match key is.
			notNull: match || c.NotNull && !t.HasInsertTriggers,
			dates:   hasDates(c.BaseOID),
		})
	}
	for _, x := range t.matchIndexes(s.Match) {
		w.matchNames = append(w.matchNames, x.Names...)
	}
	w.sql = newStatements(w)
	w.keys = newKeyFilter(w)
	return w, nil
}

// Staged reports whether the writer has changed over to staging for good, because a row collided on the match key with one
// that the writer had not seen.
func (w *Writer) Staged() bool { return w.staged }

// SetStaged brings back what Staged said in an earlier process. Call it before NewBatch: a writer that stages all rows
// needs no memory for their keys.
func (w *Writer) SetStaged(staged bool) { w.staged = staged }

// Result says what became of the rows of one Write:
// Next - from == Inserted + Updated + Unchanged + Duplicate + Filtered + len(Rejected).
type Result struct {
	// Next is the first row that was not dealt with. It is less than Len when many rows were bad: commit and write the
	// rest in a transaction of its own.
	Next      int
	Inserted  int64
	Updated   int64
	Unchanged int64 // the row that is there has these values already
	Duplicate int64 // the key was there already (Skip), or comes again later in the batch (Update)
	Filtered  int64 // swallowed by a trigger
	// Rejected are the rows that the table does not take, in the order of the batch.
	Rejected []RowError
}

func (r *Result) add(o Result) {
	r.Inserted += o.Inserted
	r.Updated += o.Updated
	r.Unchanged += o.Unchanged
	r.Duplicate += o.Duplicate
	r.Filtered += o.Filtered
	r.Rejected = append(r.Rejected, o.Rejected...)
}

// Write writes the rows of b from index from on. tx must be READ COMMITTED and is not committed. All constraints become
// immediate in it, and until its end it reads dates, times and intervals as exports write them, whatever the session's settings.
//
// After an error the transaction is of no use: roll back. The batch is untouched and can be written again from the same
// row, which is what to do after 40001 and 40P01.
func (w *Writer) Write(ctx context.Context, tx pgx.Tx, b *Batch, from int) (Result, error) {
	if from < 0 || from > b.Len() {
		return Result{}, fmt.Errorf("write to %s: row %d of a batch of %d", w.table.Ident(), from, b.Len())
	}
	r := &run{w: w, b: b, conn: tx.Conn().PgConn(), budget: maxSavepoints, from: from}
	r.end = b.Len()
	if b.window > 0 {
		r.end = min(r.end, from+b.window)
	}
	if err := r.write(ctx); err != nil {
		return Result{}, fmt.Errorf("write to %s: %w", w.table.Ident(), err)
	}
	r.setWindow()
	return r.result(), nil
}

// maxSavepoints is the budget of one Write. A session remembers 64 subtransactions cheaply; beyond that every snapshot
// of every session pays.
const maxSavepoints = 50

// stagingReserve is what a fresh staging needs to be sure of getting ahead: a bisection of a million rows.
const stagingReserve = 25

// run is the state of one Write.
type run struct {
	w         *Writer
	b         *Batch
	conn      *pgconn.PgConn
	budget    int // savepoints that may still be opened
	exhausted bool
	apart     bool // the rows are possible duplicates, and the rows between them are in the table already
	from, end int  // the rows to write
	next      int  // everything before it is handled
	res       Result
}

func (r *run) write(ctx context.Context) error {
	r.next = r.from
	if r.from == r.end {
		return nil
	}
	if err := r.exec(ctx, prepare); err != nil {
		return err
	}
	if r.w.mustStage() {
		return r.stage(ctx)
	}
	maybeDuplicates := r.b.duplicatesIn(r.from, r.end)
	switch {
	case len(maybeDuplicates) == 0:
		why, err := r.copyDirect(ctx)
		if err != nil || why == stopDone || why == stopBudget {
			return err
		}
		if r.next > r.from {
			return nil // staging starts in the next Write, with a full budget
		}
	case !r.b.incomplete && 100*len(maybeDuplicates) <= r.w.maxDuplicates*(r.end-r.from):
		done, err := r.writeSplit(ctx, maybeDuplicates)
		if err != nil || done {
			return err
		}
	}
	return r.stage(ctx)
}

// mustStage: with triggers that swallow rows COPY cannot tell a duplicate from a filtered row, and only an INSERT can leave
// out a default.
func (w *Writer) mustStage() bool {
	return len(w.spec.Trial.columns()) > 0 || len(w.spec.Match) > 0 && (w.staged || w.table.HasInsertTriggers)
}

func (r *run) result() Result {
	r.res.Next = r.next
	slices.SortFunc(r.res.Rejected, func(a, b RowError) int { return cmp.Compare(a.Row, b.Row) })
	return r.res
}

// setWindow keeps the work of the next Write in proportion to what this one got done.
func (r *run) setWindow() {
	switch done := r.next - r.from; {
	case r.exhausted:
		r.b.window = max(2*done, 64)
	case r.b.window > 0:
		r.b.window = min(4*r.b.window, r.b.Len())
	}
}

// exec runs statements without parameters in one round trip.
func (r *run) exec(ctx context.Context, sql string) error {
	return r.conn.Exec(ctx, sql).Close()
}

// query runs one statement and returns its rows as text.
func (r *run) query(ctx context.Context, sql string, args ...string) ([][][]byte, pgconn.CommandTag, error) {
	params := make([][]byte, len(args))
	for i, a := range args {
		params[i] = []byte(a)
	}
	out := r.conn.ExecParams(ctx, sql, params, nil, nil, nil).Read()
	return out.Rows, out.CommandTag, out.Err
}

// try runs f under a savepoint. If f fails for the sake of a row, what it did is undone and the fault returned.
func (r *run) try(ctx context.Context, f func() error) (fault *pgconn.PgError, err error) {
	return r.tryUnless(ctx, rowFault, f)
}

// tryUnless is try with a choice of the errors that are undone and returned as fault.
func (r *run) tryUnless(ctx context.Context, isFault func(*pgconn.PgError) bool, f func() error) (fault *pgconn.PgError, err error) {
	r.budget--
	if err := r.exec(ctx, "SAVEPOINT tidemill_bulk"); err != nil {
		return nil, err
	}
	err = f()
	if err == nil {
		return nil, r.exec(ctx, "RELEASE SAVEPOINT tidemill_bulk")
	}
	if !errors.As(err, &fault) || !isFault(fault) {
		return nil, err
	}
	return fault, r.exec(ctx, "ROLLBACK TO SAVEPOINT tidemill_bulk; RELEASE SAVEPOINT tidemill_bulk")
}
