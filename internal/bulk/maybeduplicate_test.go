package bulk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

// always makes w write all possible duplicates apart, however many there are.
func always(w *Writer) *Writer {
	w.maxDuplicates = 100
	return w
}

// fewDuplicates are n rows of (k, v) with one duplicate in a hundred, anywhere after the first row of its key.
func fewDuplicates(n int) [][][]byte {
	rng := rand.New(rand.NewPCG(1, 2))
	rows := make([][][]byte, n)
	for i := range rows {
		k := i
		if i > 0 && rng.IntN(100) == 0 {
			k = rng.IntN(i)
		}
		rows[i] = row(fmt.Sprintf("user%d@example.com", k), i)
	}
	return rows
}

func TestFewDuplicatesDoNotStage(t *testing.T) {
	t.Parallel()
	const n, chunk = 100_000, 20_000
	for _, mode := range []Conflict{Skip, Error} {
		t.Run(fmt.Sprint(mode), func(t *testing.T) {
			t.Parallel()
			s := setup(t, "CREATE TABLE t (k text PRIMARY KEY, v int)")
			w := s.writer("t", Spec{Columns: []string{"k", "v"}, Match: []string{"k"}, OnConflict: mode})
			rows := fewDuplicates(n)
			first := map[string]int{}
			for i, r := range rows {
				if _, there := first[string(r[0])]; !there {
					first[string(r[0])] = i
				}
			}
			var total Result
			for part := range slices.Chunk(rows, chunk) {
				res, _ := s.write(w, part)
				total.add(res)
			}
			if w.Staged() {
				t.Error("staged for good")
			}
			rest := int64(n - len(first))
			if rest < n/200 || total.Inserted != int64(len(first)) || total.Duplicate+int64(len(total.Rejected)) != rest || (mode == Error) != (total.Duplicate == 0) {
				t.Errorf("%d rows inserted, %d duplicates, %d rejected; want %d and %d", total.Inserted, total.Duplicate, len(total.Rejected), len(first), rest)
			}
			for _, r := range s.rows("SELECT k, v FROM t") {
				if fmt.Sprint(first[r[0]]) != r[1] {
					t.Fatalf("row %s has the key %s, but is not the first one", r[1], r[0])
				}
			}
		})
	}
}

func TestCollisionWithRowsOfBeforeStages(t *testing.T) {
	t.Parallel()
	s := setup(t, "CREATE TABLE t (k int PRIMARY KEY, v text); INSERT INTO t VALUES (5, 'before')")
	w := always(s.writer("t", Spec{Columns: []string{"k", "v"}, Match: []string{"k"}}))
	res, _ := s.write(w, [][][]byte{row(1, "a"), row(1, "b"), row(2, "c")})
	counts(t, Result{Inserted: 2, Duplicate: 1}, res)
	if w.Staged() {
		t.Error("staged because of a duplicate within the batch")
	}
	res, _ = s.write(w, [][][]byte{row(3, "d"), row("01", "e"), row(5, "f"), row(4, "g")})
	counts(t, Result{Inserted: 2, Duplicate: 2}, res)
	if !w.Staged() {
		t.Error("not staged")
	}
	want := [][]string{{"1", "a"}, {"2", "c"}, {"3", "d"}, {"4", "g"}, {"5", "before"}}
	if d := cmp.Diff(want, s.rows("SELECT k, v FROM t ORDER BY k")); d != "" {
		t.Error(d)
	}
}

// TestSuspects writes one batch in which the possible duplicates lie as the name says.
func TestSuspects(t *testing.T) {
	t.Parallel()
	const schema = `CREATE TABLE parent (id int PRIMARY KEY); INSERT INTO parent VALUES (1);
		CREATE TABLE t (k varchar(3), u int CONSTRAINT t_u UNIQUE, n int CONSTRAINT t_n CHECK (n > 0), p int REFERENCES parent, d int DEFAULT 5 CONSTRAINT t_d CHECK (d <> n));
		CREATE UNIQUE INDEX t_k ON t (k)`
	rejected := func(row int, code, constraint, column string) RowError {
		return RowError{Row: row, Code: code, Constraint: constraint, Column: column}
	}
	tests := []struct {
		name  string
		input [][][]byte
		skip  Result
		dup   []int // the duplicates: in mode Error they are rejected
	}{
		{
			"the first row of the key is not taken",
			[][][]byte{row("a", 1, -1, 1), row("a", 2, 1, 1), row("a", 3, 1, 1), row("b", 4, 1, 1)},
			Result{Inserted: 2, Rejected: []RowError{rejected(0, "23514", "t_n", "")}}, []int{2},
		},
		{
			"the first row of the key has no parent",
			[][][]byte{row("a", 1, 1, 9), row("a", 2, 1, 1), row("a", 3, 1, 1)},
			Result{Inserted: 1, Rejected: []RowError{rejected(0, "23503", "t_p_fkey", "p")}}, []int{2},
		},
		{
			"suspects are not taken",
			[][][]byte{row("a", 1, -1, 1), row("a", 2, -1, 1), row("a", 3, 5, 1), row("a", 4, 1, 9), row("a", 5, 2, 1), row("c", 6, 1, 1)},
			Result{Inserted: 2, Rejected: []RowError{
				rejected(0, "23514", "t_n", ""), rejected(1, "23514", "t_n", ""), rejected(2, "23514", "t_d", ""), rejected(3, "23503", "t_p_fkey", "p"),
			}}, nil,
		},
		{
			"a later row has the value of a suspect that goes in",
			[][][]byte{row("a", 1, -1, 1), row("a", 2, 1, 1), row("b", 2, 1, 1), row("c", 3, 1, 1)},
			Result{Inserted: 2, Rejected: []RowError{rejected(0, "23514", "t_n", ""), rejected(2, "23505", "t_u", "")}}, nil,
		},
		{
			"a later row has the value of a suspect that does not go in",
			[][][]byte{row("a", 1, 1, 1), row("a", 2, 1, 1), row("b", 2, 1, 1), row("c", 3, 1, 1)},
			Result{Inserted: 3}, []int{1},
		},
		{
			"a later row is equal in other bytes",
			[][][]byte{row("abc", 1, -1, 1), row("abc", 2, 1, 1), row("abc ", 3, 1, 1)},
			Result{Inserted: 1, Rejected: []RowError{rejected(0, "23514", "t_n", "")}}, []int{2},
		},
	}
	for _, tt := range tests {
		for _, mode := range []Conflict{Skip, Error} {
			t.Run(fmt.Sprint(tt.name, mode), func(t *testing.T) {
				t.Parallel()
				s := setup(t, schema)
				w := always(s.writer("t", Spec{Columns: []string{"k", "u", "n", "p"}, Match: []string{"k"}, OnConflict: mode}))
				want := tt.skip
				if mode == Skip {
					want.Duplicate = int64(len(tt.dup))
				} else {
					want.Rejected = slices.Clone(want.Rejected)
					for _, i := range tt.dup {
						want.Rejected = append(want.Rejected, rejected(i, "23505", "t_k", "k"))
					}
					slices.SortFunc(want.Rejected, func(a, b RowError) int { return a.Row - b.Row })
				}
				res, calls := s.write(w, tt.input)
				counts(t, want, res)
				if calls != 1 || w.Staged() {
					t.Errorf("%d transactions, staged = %v", calls, w.Staged())
				}
				for _, e := range res.Rejected {
					if e.Constraint != "t_k" {
						continue
					}
					if want := fmt.Sprintf("there is a row with \"k\" = %q already", tt.input[e.Row][0]); e.Message != want {
						t.Errorf("message: %s, want %s", e.Message, want)
					}
				}
			})
		}
	}
}

// TestManyBadRowsAmongSuspects needs more savepoints than one transaction may have: for the rows that are no possible duplicates, or
// for both.
func TestManyBadRowsAmongSuspects(t *testing.T) {
	t.Parallel()
	const schema = "CREATE TABLE t (k int UNIQUE, n int CONSTRAINT n_check CHECK (n > 0), extra int DEFAULT 5 CONSTRAINT extra_check CHECK (extra <> n))"
	for _, badDuplicates := range []bool{false, true} {
		t.Run(fmt.Sprint(badDuplicates), func(t *testing.T) {
			t.Parallel()
			s := setup(t, schema)
			w := s.writer("t", Spec{Columns: []string{"k", "n"}, Match: []string{"k"}})
			var input [][][]byte
			var want Result
			for i := range 1000 {
				switch {
				case i%10 == 3: // of the same key as the row before, which goes in
					input = append(input, row(i-1, 1))
					want.Duplicate++
				case i%20 == 5:
					input = append(input, row(i, -1))
					want.Rejected = append(want.Rejected, RowError{Row: i, Code: "23514", Constraint: "n_check"})
				case i%20 == 6 && badDuplicates: // of the same key as the row before, which does not
					input = append(input, row(i-1, 5))
					want.Rejected = append(want.Rejected, RowError{Row: i, Code: "23514", Constraint: "extra_check"})
				default:
					input = append(input, row(i, 1))
					want.Inserted++
				}
			}
			res, calls := s.write(w, input)
			counts(t, want, res)
			if calls < 2 || w.Staged() {
				t.Errorf("%d transactions, staged = %v", calls, w.Staged())
			}
		})
	}
}

// TestWindowOfAPartialWrite: when bad rows use up the savepoints, not the whole rest is tried again.
func TestWindowOfAPartialWrite(t *testing.T) {
	t.Parallel()
	s := setup(t, "CREATE TABLE t (k int UNIQUE, n int CHECK (n > 0))")
	w := s.writer("t", Spec{Columns: []string{"k", "n"}, Match: []string{"k"}})
	batch := w.NewBatch()
	batch.Append(row(0, 1))
	batch.Append(row(0, 1))
	for i := range 1000 {
		batch.Append(row(i+1, i%2))
	}
	res, err := s.writeOnce(w, batch, 0)
	if err != nil {
		t.Fatal(err)
	}
	if res.Next == batch.Len() || batch.window == 0 || batch.window > 2*max(res.Next, 32) {
		t.Errorf("%d of %d rows written, a window of %d", res.Next, batch.Len(), batch.window)
	}
}

// TestSavepointsOfSuspects counts the savepoints of one Write that finds bad rows everywhere.
func TestSavepointsOfSuspects(t *testing.T) {
	t.Parallel()
	s := setup(t, "CREATE TABLE t (k int UNIQUE, n int CHECK (n > 0))")
	config, err := pgx.ParseConfig(s.url)
	if err != nil {
		t.Fatal(err)
	}
	dial := config.DialFunc
	var sent bytes.Buffer
	config.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		return &recorder{Conn: c, sent: &sent}, err
	}
	conn, err := pgx.ConnectConfig(s.ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(s.ctx)
	w := always(s.writer("t", Spec{Columns: []string{"k", "n"}, Match: []string{"k"}}))
	b := w.NewBatch()
	for i := range 1000 {
		b.Append(row(i/2, i%4/2)) // every other row is a possible duplicate, and half of both are bad
	}
	err = pgx.BeginFunc(s.ctx, conn, func(tx pgx.Tx) error {
		_, err := w.Write(s.ctx, tx, b, 0)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(sent.String(), "TO SAVEPOINT", "")
	n := strings.Count(strings.ReplaceAll(text, "RELEASE SAVEPOINT", ""), "SAVEPOINT")
	// Those of the two parts are gone when all is staged.
	if n < maxSavepoints/2 || n > 2*maxSavepoints {
		t.Errorf("%d savepoints", n)
	}
}

// recorder keeps what is sent.
type recorder struct {
	net.Conn
	sent *bytes.Buffer
}

func (r *recorder) Write(p []byte) (int, error) {
	r.sent.Write(p)
	return r.Conn.Write(p)
}

// TestSuspectsAfterRollback: a row does not become a possible duplicate because it was written before.
func TestSuspectsAfterRollback(t *testing.T) {
	t.Parallel()
	s := setup(t, "CREATE TABLE t (k int PRIMARY KEY, v int)")
	w := s.writer("t", Spec{Columns: []string{"k", "v"}, Match: []string{"k"}})
	b := w.NewBatch()
	for i := range 1000 {
		k := i
		if i%50 == 49 {
			k = i - 40
		}
		b.Append(row(k, i))
	}
	back := errors.New("back")
	want := Result{Next: 1000, Inserted: 980, Duplicate: 20}
	for range 3 {
		err := pgx.BeginFunc(s.ctx, s.conn, func(tx pgx.Tx) error {
			res, err := w.Write(s.ctx, tx, b, 0)
			if err != nil {
				return err
			}
			if d := cmp.Diff(want, res); d != "" {
				t.Error(d)
			}
			return back
		})
		if !errors.Is(err, back) {
			t.Fatal(err)
		}
	}
	if len(b.maybeDuplicates) != 20 || w.Staged() {
		t.Errorf("%d suspects, staged = %v", len(b.maybeDuplicates), w.Staged())
	}
	res, err := s.writeOnce(w, b, 500)
	if err != nil {
		t.Fatal(err)
	}
	counts(t, Result{Inserted: 490, Duplicate: 10}, res)
	res, err = s.writeOnce(w, b, 0)
	if err != nil {
		t.Fatal(err)
	}
	counts(t, Result{Inserted: 490, Duplicate: 510}, res)
	if !w.Staged() {
		t.Error("rows that were written already are no suspects: they collide")
	}
}

// TestBatchesFilledAhead fills a batch while another one is written, for the race detector, and begins one before the
// other is full.
func TestBatchesFilledAhead(t *testing.T) {
	t.Parallel()
	s := setup(t, "CREATE TABLE t (k text PRIMARY KEY, v int)")
	w := s.writer("t", Spec{Columns: []string{"k", "v"}, Match: []string{"k"}})
	free, full := make(chan *Batch, 2), make(chan *Batch)
	free <- w.NewBatch()
	free <- w.NewBatch()
	rows := fewDuplicates(20_000)
	go func() {
		defer close(full)
		for part := range slices.Chunk(rows, 1000) {
			b := <-free
			b.Reset()
			for _, r := range part {
				b.Append(r)
			}
			full <- b
		}
	}()
	var total Result
	for b := range full {
		res, err := s.writeOnce(w, b, 0)
		if err != nil {
			t.Fatal(err)
		}
		total.add(res)
		free <- b
	}
	if total.Inserted+total.Duplicate != 20_000 || total.Duplicate < 100 || w.Staged() {
		t.Errorf("%+v, staged = %v", total, w.Staged())
	}

	one, other := w.NewBatch(), w.NewBatch()
	w.keys.size = 1
	w.keys.lines = nil
	w.keys.count = keysPerLine - 1
	one.Append(row("a", 1))
	other.Append(row("b", 1)) // the filter was full and forgets a
	one.Append(row("c", 1))
	if !one.incomplete || other.incomplete {
		t.Errorf("incomplete: %v, %v", one.incomplete, other.incomplete)
	}
	one.Reset()
	if one.incomplete || len(one.maybeDuplicates) > 0 {
		t.Error("Reset keeps what was found")
	}
}

// TestWriteApartFails: an error that is not of a row is returned from either part.
func TestWriteApartFails(t *testing.T) {
	t.Parallel()
	s := setup(t, "CREATE TABLE t (k int PRIMARY KEY)")
	w := always(s.writer("t", Spec{Columns: []string{"k"}, Match: []string{"k"}}))
	b := w.NewBatch()
	for _, k := range []int{1, 2, 1} {
		b.Append(row(k))
	}
	ok := w.sql.copyStage
	w.sql.copyStage = "COPY nowhere FROM STDIN"
	if _, err := s.writeOnce(w, b, 0); sqlState(err) != "42P01" {
		t.Errorf("error: %v", err)
	}
	w.sql.copyStage = ok
	ctx, cancel := context.WithCancel(s.ctx)
	err := pgx.BeginFunc(s.ctx, s.connect(), func(tx pgx.Tx) error {
		cancel()
		_, err := w.Write(ctx, tx, b, 0)
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error: %v", err)
	}
	res, err := s.writeOnce(w, b, 0)
	if err != nil {
		t.Fatal(err)
	}
	counts(t, Result{Inserted: 2, Duplicate: 1}, res)
}
