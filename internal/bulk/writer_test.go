package bulk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// counts compares results but for the messages.
func counts(t *testing.T, want, got Result) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.IgnoreFields(RowError{}, "Message"), cmpopts.IgnoreFields(Result{}, "Next"), cmpopts.EquateEmpty()); d != "" {
		t.Errorf("result (-want +got)\n%s", d)
	}
}

func TestModes(t *testing.T) {
	t.Parallel()
	input := [][][]byte{row("a", "1"), row("new", "1"), row("b", "9"), row("new", "2"), row("new", "3")}
	tests := []struct {
		mode  Conflict
		want  Result
		table [][]string
	}{
		{Skip, Result{Inserted: 1, Duplicate: 4}, [][]string{{"a", "1"}, {"b", "2"}, {"new", "1"}}},
		{Update, Result{Inserted: 1, Updated: 1, Unchanged: 1, Duplicate: 2}, [][]string{{"a", "1"}, {"b", "9"}, {"new", "3"}}},
		{Error, Result{Inserted: 1, Rejected: []RowError{
			{0, "23505", "t_pkey", "k", ""}, {2, "23505", "t_pkey", "k", ""}, {3, "23505", "t_pkey", "k", ""}, {4, "23505", "t_pkey", "k", ""},
		}}, [][]string{{"a", "1"}, {"b", "2"}, {"new", "1"}}},
	}
	for _, tt := range tests {
		for _, kind := range []string{"", "PARTITION BY LIST (k)"} {
			t.Run(fmt.Sprint(tt.mode, kind), func(t *testing.T) {
				t.Parallel()
				s := setup(t, "CREATE TABLE t (k text PRIMARY KEY, v int) "+kind)
				if kind != "" {
					s.exec("CREATE TABLE t1 PARTITION OF t FOR VALUES IN ('a', 'new'); CREATE TABLE t2 PARTITION OF t DEFAULT")
				}
				s.exec("INSERT INTO t VALUES ('a', 1), ('b', 2)")
				w := s.writer("t", Spec{Columns: []string{"k", "v"}, Match: []string{"k"}, OnConflict: tt.mode})
				got, calls := s.write(w, input)
				counts(t, tt.want, got)
				if d := cmp.Diff(tt.table, s.rows("SELECT k, v FROM t ORDER BY k")); d != "" {
					t.Error(d)
				}
				// Rows of this batch share keys, so it is staged before anything collides.
				if w.Staged() || calls != 1 {
					t.Errorf("staged = %v after %d calls", w.Staged(), calls)
				}
				if tt.mode == Error && got.Rejected[1].Message != `there is a row with "k" = "b" already` {
					t.Errorf("message: %s", got.Rejected[1].Message)
				}
			})
		}
	}
}

func TestUnchangedRowsAreNotTouched(t *testing.T) {
	t.Parallel()
	s := setup(t, `CREATE EXTENSION IF NOT EXISTS citext;
		CREATE TABLE t (k int PRIMARY KEY, j json, p point, x text[], c citext, n numeric, i interval, made timestamptz NOT NULL, seen timestamp NOT NULL)`)
	w := s.writer("t", Spec{Columns: []string{"k", "j", "p", "x", "c", "n", "i"}, Match: []string{"k"}, OnConflict: Update,
		SetOnInsert: []string{"made"}, SetOnChange: []string{"seen"}})
	first := [][][]byte{
		row(1, `{"a": 1}`, "(1,2)", "{a,b}", "Ann", "1.50", "1 day"),
		row(2, nil, nil, nil, nil, nil, nil),
		row(3, `{"a": 1}`, "(1,2)", "{a,b}", "Ann", "1.50", "1 day"),
	}
	res, _ := s.write(w, first)
	counts(t, Result{Inserted: 3}, res)
	before := s.rows("SELECT ctid, made, seen FROM t ORDER BY k")

	res, _ = s.write(w, append(slices.Clone(first[:2]), row(3, `{"a": 1}`, "(1,2)", "{a,b}", "ann", "1.50", "1 day")))
	counts(t, Result{Unchanged: 2, Updated: 1}, res)
	after := s.rows("SELECT ctid, made, seen FROM t ORDER BY k")
	if d := cmp.Diff(before[:2], after[:2]); d != "" {
		t.Errorf("untouched rows: %s", d)
	}
	if before[2][1] != after[2][1] {
		t.Errorf("made changed from %s to %s", before[2][1], after[2][1])
	}
	if before[2][2] == after[2][2] {
		t.Errorf("seen is still %s", after[2][2])
	}
}

func TestSetOnInsertIsTheTransactionsTime(t *testing.T) {
	t.Parallel()
	for _, staged := range []bool{false, true} {
		t.Run(fmt.Sprint(staged), func(t *testing.T) {
			t.Parallel()
			s := setup(t, "CREATE TABLE t (k int UNIQUE, a timestamptz DEFAULT now(), b timestamp, c date)")
			w := s.writer("t", Spec{Columns: []string{"k"}, Match: []string{"k"}, SetOnInsert: []string{"a", "b"}, SetOnChange: []string{"c", "a"}})
			w.SetStaged(staged)
			b := w.NewBatch()
			for i := range 3 {
				b.Append(row(i))
			}
			err := pgx.BeginFunc(s.ctx, s.conn, func(tx pgx.Tx) error {
				if _, err := w.Write(s.ctx, tx, b, 0); err != nil {
					return err
				}
				var n int
				err := tx.QueryRow(s.ctx, "SELECT count(*) FROM t WHERE a = now() AND b = now()::timestamp AND c = current_date").Scan(&n)
				if n != 3 {
					t.Errorf("%d of 3 rows have the time of the transaction", n)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestGeneratedAlwaysIdentity(t *testing.T) {
	t.Parallel()
	s := setup(t, "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text)")
	w := s.writer("t", Spec{Columns: []string{"id", "v"}, Match: []string{"id"}, OnConflict: Update})
	res, _ := s.write(w, [][][]byte{row(1, "a"), row(7, "b")})
	counts(t, Result{Inserted: 2}, res)
	res, _ = s.write(w, [][][]byte{row(1, "x"), row(8, "c")})
	counts(t, Result{Inserted: 1, Updated: 1}, res)
	if d := cmp.Diff([][]string{{"1", "x"}, {"7", "b"}, {"8", "c"}}, s.rows("SELECT * FROM t ORDER BY 1")); d != "" {
		t.Error(d)
	}
}

func TestOddNames(t *testing.T) {
	t.Parallel()
	s := setup(t, `CREATE SCHEMA "Odd ""one"; CREATE TABLE "Odd ""one"."COPY, line 1" (
		"my ""col" int CHECK ("my ""col" < 100), "日本語" text, "s" text, "t" text, tidemill_ord int, "select" date DEFAULT now(), UNIQUE ("my ""col", "日本語"));
		SET search_path = pg_catalog`)
	table, err := Describe(s.ctx, s.conn, `Odd "one`, "COPY, line 1")
	if err != nil {
		t.Fatal(err)
	}
	w, err := NewWriter(table, Spec{
		Columns:     []string{`my "col`, "日本語", "s", "t", "tidemill_ord"},
		Match:       []string{"日本語", `my "col`},
		OnConflict:  Update,
		SetOnChange: []string{"select"},
	})
	if err != nil {
		t.Fatal(err)
	}
	rows := [][][]byte{row(1, "x", "s", "t", 1), row(1_0, "x", "s", "t", 2), row(100, "x", "", "", 3), row(2, "y", "", "", 4)}
	res, _ := s.write(w, rows)
	counts(t, Result{Inserted: 3, Rejected: []RowError{{2, "23514", "COPY, line 1_my \"col_check", "", ""}}}, res)
	rows[0][2] = []byte("changed")
	res, _ = s.write(w, rows)
	counts(t, Result{Updated: 1, Unchanged: 2, Rejected: []RowError{{2, "23514", "COPY, line 1_my \"col_check", "", ""}}}, res)
}

func TestForeignKeys(t *testing.T) {
	t.Parallel()
	const schema = `CREATE TABLE parent (id int PRIMARY KEY); INSERT INTO parent VALUES (1), (2);
		CREATE TABLE t (k int UNIQUE, p int REFERENCES parent DEFERRABLE INITIALLY DEFERRED) PARTITION BY RANGE (k);
		CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (50); CREATE TABLE t2 PARTITION OF t DEFAULT`
	orphan := func(i int) RowError { return RowError{Row: i, Code: "23503", Constraint: "t_p_fkey", Column: "p"} }
	var input [][][]byte
	var bad []RowError
	for i := range 1000 {
		if i%3 == 0 {
			bad = append(bad, orphan(i))
			input = append(input, row(i, 9))
		} else {
			input = append(input, row(i, i%3))
		}
	}
	tests := []struct {
		name string
		spec Spec
	}{
		{"plain", Spec{}},
		{"skip", Spec{Match: []string{"k"}}},
		{"update", Spec{Match: []string{"k"}, OnConflict: Update}},
		{"error", Spec{Match: []string{"k"}, OnConflict: Error}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := setup(t, schema)
			tt.spec.Columns = []string{"k", "p"}
			w := s.writer("t", tt.spec)
			res, calls := s.write(w, input)
			counts(t, Result{Inserted: 666, Rejected: bad}, res)
			if calls != 1 {
				t.Errorf("%d transactions: orphans are to be found at once", calls)
			}
			if want := `table "parent" has no row for "p" = "9"`; res.Rejected[0].Message != want {
				t.Errorf("message: %s", res.Rejected[0].Message)
			}
			if w.Staged() {
				t.Error("staging is for collisions")
			}
		})
	}
	t.Run("no right to read the parent", func(t *testing.T) {
		t.Parallel()
		s := setup(t, schema)
		role := "r" + s.rows("SELECT md5(current_database())")[0][0]
		s.exec(fmt.Sprintf(`CREATE ROLE %[1]s; GRANT SELECT, INSERT, UPDATE ON t TO %[1]s; GRANT TEMP ON DATABASE %[2]s TO %[1]s`,
			role, quote(s.rows("SELECT current_database()")[0][0])))
		t.Cleanup(func() { s.exec("RESET ROLE; DROP OWNED BY " + role + "; DROP ROLE " + role) })
		s.exec("SET ROLE " + role)
		w := s.writer("t", Spec{Columns: []string{"k", "p"}, Match: []string{"k"}})
		res, _ := s.write(w, input[:20])
		want := slices.Clone(bad[:7])
		for i := range want {
			want[i].Column = "" // the error of the server names none
		}
		counts(t, Result{Inserted: 13, Rejected: want}, res)
	})
}

func TestPartialWrite(t *testing.T) {
	t.Parallel()
	s := setup(t, "CREATE TABLE t (k int UNIQUE, n int CHECK (n > 0), extra int DEFAULT 5 CHECK (extra > n))")
	var input [][][]byte
	var want []RowError
	for i := range 500 {
		n := 1
		switch {
		case i%2 == 0:
			n = -1
			want = append(want, RowError{Row: i, Code: "23514", Constraint: "t_n_check"})
		case i%5 == 0:
			n = 9
			want = append(want, RowError{Row: i, Code: "23514", Constraint: "t_check"})
		}
		input = append(input, row(i, n))
	}
	for _, spec := range []Spec{{}, {Match: []string{"k"}}, {Match: []string{"k"}, OnConflict: Update}, {Match: []string{"k"}, OnConflict: Error}} {
		for _, staged := range []bool{false, true} {
			s.exec("TRUNCATE t")
			spec.Columns = []string{"k", "n"}
			w := s.writer("t", spec)
			w.SetStaged(staged)
			res, calls := s.write(w, input)
			counts(t, Result{Inserted: int64(500 - len(want)), Rejected: want}, res)
			if calls < 300/maxSavepoints {
				t.Errorf("%d transactions for 300 bad rows", calls)
			}
		}
	}
}

func TestSecondUniqueIndex(t *testing.T) {
	t.Parallel()
	s := setup(t, "CREATE TABLE t (k int, u int CONSTRAINT a_first UNIQUE); CREATE UNIQUE INDEX t_k ON t (k); INSERT INTO t VALUES (1, 1)")
	w := s.writer("t", Spec{Columns: []string{"k", "u"}, Match: []string{"k"}})
	res, _ := s.write(w, [][][]byte{row(2, 2), row(3, 1), row(4, 4)})
	counts(t, Result{Inserted: 2, Rejected: []RowError{{1, "23505", "a_first", "", ""}}}, res)
	if w.Staged() {
		t.Error("staged without a collision on the key")
	}
	// These violate both indexes, and the other one is checked first.
	res, _ = s.write(w, [][][]byte{row(5, 5), row(1, 2), row(6, 6)})
	counts(t, Result{Inserted: 2, Duplicate: 1}, res)
	s.exec("ALTER TABLE t ALTER k TYPE varchar(3)")
	w = s.writer("t", Spec{Columns: []string{"k", "u"}, Match: []string{"k"}})
	res, _ = s.write(w, [][][]byte{row("100  ", 100), row("100  ", 2), row("7", 7)})
	counts(t, Result{Inserted: 2, Duplicate: 1}, res)
}

func TestErrorsThatAreNotOfRows(t *testing.T) {
	t.Parallel()
	s := setup(t, `CREATE TABLE t (k int, v text);
		CREATE FUNCTION boom() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.k = 13 THEN RAISE EXCEPTION 'boom' USING ERRCODE = '40001'; END IF; RETURN NEW; END $$;
		CREATE TRIGGER boom BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION boom()`)
	w := s.writer("t", Spec{Columns: []string{"k", "v"}})
	b := w.NewBatch()
	for _, k := range []int{1, 2, 13} {
		b.Append(row(k, "x"))
	}
	_, err := s.writeOnce(w, b, 0)
	if e, ok := errors.AsType[*pgconn.PgError](err); !ok || e.Code != "40001" {
		t.Fatalf("error: %v", err)
	}
	// The batch can be written again as it is.
	s.exec("DROP TRIGGER boom ON t")
	res, err := s.writeOnce(w, b, 0)
	if err != nil {
		t.Fatal(err)
	}
	counts(t, Result{Inserted: 3}, res)
	s.exec("ALTER TABLE t DROP COLUMN v")
	if _, err := s.writeOnce(w, b, 0); sqlState(err) != "42703" {
		t.Errorf("error after the column is gone: %v", err)
	}
	if _, err := s.writeOnce(w, b, 4); err == nil {
		t.Error("no error for a row after the batch")
	}
	if res, err := s.writeOnce(w, b, 3); err != nil || res.Next != 3 {
		t.Errorf("nothing to write: %+v, %v", res, err)
	}
}

// TestConnectionLostMidCopy cuts the wire while rows are on their way.
func TestConnectionLostMidCopy(t *testing.T) {
	t.Parallel()
	for _, staged := range []bool{false, true} {
		t.Run(fmt.Sprint(staged), func(t *testing.T) {
			t.Parallel()
			s := setup(t, "CREATE TABLE t (k int PRIMARY KEY, v text)")
			config, err := pgx.ParseConfig(s.url)
			if err != nil {
				t.Fatal(err)
			}
			dial := config.DialFunc
			config.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
				c, err := dial(ctx, network, addr)
				return &cutter{Conn: c, after: 300_000}, err
			}
			conn, err := pgx.ConnectConfig(s.ctx, config)
			if err != nil {
				t.Fatal(err)
			}
			w := s.writer("t", Spec{Columns: []string{"k", "v"}, Match: []string{"k"}})
			w.SetStaged(staged)
			b := w.NewBatch()
			for i := range 20_000 {
				b.Append(row(i, strings.Repeat("x", 50)))
			}
			tx, err := conn.Begin(s.ctx)
			if err != nil {
				t.Fatal(err)
			}
			if _, err = w.Write(s.ctx, tx, b, 0); err == nil {
				t.Fatal("no error")
			}
			if got := s.rows("SELECT count(*) FROM t")[0][0]; got != "0" {
				t.Errorf("%s rows are in the table", got)
			}
			res, err := s.writeOnce(w, b, 0)
			if err != nil {
				t.Fatal(err)
			}
			counts(t, Result{Inserted: 20_000}, res)
		})
	}
}

// cutter is a connection that breaks after a number of bytes sent.
type cutter struct {
	net.Conn
	after int
}

func (c *cutter) Write(p []byte) (int, error) {
	if c.after -= len(p); c.after < 0 {
		_ = c.Conn.Close()
		return 0, io.ErrClosedPipe
	}
	return c.Conn.Write(p)
}

// TestTerminatedMidCopy ends the server process while the client is in COPY, and overwrites the batch at once: the
// sender must not read it any more. The race detector watches.
func TestTerminatedMidCopy(t *testing.T) {
	t.Parallel()
	s := setup(t, `CREATE TABLE t (k int, v text);
		CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$;
		CREATE TRIGGER die BEFORE INSERT ON t FOR EACH ROW WHEN (NEW.k = 5000) EXECUTE FUNCTION die()`)
	w := s.writer("t", Spec{Columns: []string{"k", "v"}})
	b := w.NewBatch()
	fill := func() {
		for i := range 100_000 {
			b.Append(row(i, strings.Repeat("x", 50)))
		}
	}
	fill()
	tx, err := s.connect().Begin(s.ctx)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Write(s.ctx, tx, b, 0)
	b.Reset()
	fill()
	if err == nil {
		t.Fatal("no error")
	}
	if got := s.rows("SELECT count(*) FROM t")[0][0]; got != "0" {
		t.Errorf("%s rows are in the table", got)
	}
}

// TestConcurrentWriters lets two writers insert the same keys in opposite order. Keys are locked in their own order, so
// neither waits for the other in a cycle.
func TestConcurrentWriters(t *testing.T) {
	t.Parallel()
	s := setup(t, "CREATE TABLE t (k int PRIMARY KEY, v int)")
	const n, rounds = 2000, 5
	errs := make(chan error, 2)
	for side := range 2 {
		conn := s.connect()
		w := s.writer("t", Spec{Columns: []string{"k", "v"}, Match: []string{"k"}, OnConflict: Update})
		w.SetStaged(true)
		b := w.NewBatch()
		go func() {
			for r := range rounds {
				b.Reset()
				for i := range n {
					k := i
					if side == 1 {
						k = n - 1 - i
					}
					b.Append(row(k, r*2+side))
				}
				err := pgx.BeginFunc(s.ctx, conn, func(tx pgx.Tx) error {
					_, err := w.Write(s.ctx, tx, b, 0)
					return err
				})
				if err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range 2 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if got := s.rows("SELECT count(*) FROM t")[0][0]; got != fmt.Sprint(n) {
		t.Errorf("%s rows", got)
	}
}

// TestTwoWritesInOneTransaction: nothing of the first is in the way of the second.
func TestTwoWritesInOneTransaction(t *testing.T) {
	t.Parallel()
	s := setup(t, "CREATE TABLE t (k int PRIMARY KEY)")
	w := s.writer("t", Spec{Columns: []string{"k"}, Match: []string{"k"}})
	w.SetStaged(true)
	b := w.NewBatch()
	b.Append(row(1))
	err := pgx.BeginFunc(s.ctx, s.conn, func(tx pgx.Tx) error {
		for range 2 {
			if _, err := w.Write(s.ctx, tx, b, 0); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestTextRoundTrip: what is text comes back as it was.
func TestTextRoundTrip(t *testing.T) {
	t.Parallel()
	s := setup(t, "CREATE TABLE t (k int, v text)")
	w := s.writer("t", Spec{Columns: []string{"k", "v"}})
	values := []string{"", " ", "\\", "\\N", "\\.", ".", "\t", "\n", "\r", "\r\n", "\x01\x7f\v\f\b", "\\t", "\\\\", "日本語", "\u2028", "\U0010ffff", "a\\", strings.Repeat("\\\n", 1000)}
	for c := 1; c < 0x250; c++ {
		values = append(values, "x"+string(rune(c))+"y"+string(rune(c)))
	}
	var input [][][]byte
	for i, v := range values {
		input = append(input, row(i, v))
	}
	res, _ := s.write(w, input)
	counts(t, Result{Inserted: int64(len(values))}, res)
	for i, r := range s.rows("SELECT v FROM t ORDER BY k") {
		if r[0] != values[i] {
			t.Errorf("%q came back as %q", values[i], r[0])
		}
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	s := setup(t, "CREATE TABLE t (k int)")
	w := s.writer("t", Spec{Columns: []string{"k"}})
	b := w.NewBatch()
	b.Append(row(1))
	tx, err := s.connect().Begin(s.ctx)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.ctx, 50*time.Millisecond)
	defer cancel()
	s.exec("BEGIN; LOCK TABLE t")
	if _, err := w.Write(ctx, tx, b, 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error: %v", err)
	}
	s.exec("ROLLBACK")
}

// TestOrphansOfTheSameKey: an orphan that a later good row of its key replaces is not looked at.
func TestOrphansOfTheSameKey(t *testing.T) {
	t.Parallel()
	s := setup(t, "CREATE TABLE parent (id int PRIMARY KEY); INSERT INTO parent VALUES (1); CREATE TABLE t (k int UNIQUE, p int REFERENCES parent)")
	input := [][][]byte{row(1, 9), row(1, 1), row(2, 1), row(2, 9), row(3, 9), row(3, 9)}
	orphan := func(i int) RowError { return RowError{i, "23503", "t_p_fkey", "p", ""} }
	w := s.writer("t", Spec{Columns: []string{"k", "p"}, Match: []string{"k"}, OnConflict: Update})
	res, _ := s.write(w, input)
	counts(t, Result{Inserted: 2, Duplicate: 1, Rejected: []RowError{orphan(3), orphan(4), orphan(5)}}, res)

	s.exec("TRUNCATE t")
	w = s.writer("t", Spec{Columns: []string{"k", "p"}, Match: []string{"k"}})
	res, _ = s.write(w, input)
	counts(t, Result{Inserted: 2, Duplicate: 1, Rejected: []RowError{orphan(0), orphan(4), orphan(5)}}, res)
}

// TestClosedReader: after close the sender of a broken connection gets nothing more.
func TestClosedReader(t *testing.T) {
	t.Parallel()
	b := textBatch(t)
	for range 100 {
		b.Append(row("k", 1, "v", "o"))
	}
	r := &rowReader{b: b, end: b.Len(), prefix: ordinal}
	p := make([]byte, 32)
	if n, err := r.Read(p); n != len(p) || err != nil {
		t.Fatalf("Read: %d, %v", n, err)
	}
	r.close()
	if n, err := r.Read(p); n != 0 || err == nil || errors.Is(err, io.EOF) {
		t.Errorf("Read after close: %d, %v", n, err)
	}
}

// TestErrorsThatNameNoRow loads the stage through another table, as whose context the errors come: as if the server
// spoke a language that is not understood.
func TestErrorsThatNameNoRow(t *testing.T) {
	t.Parallel()
	s := setup(t, "CREATE DOMAIN even AS int CHECK (VALUE % 2 = 0); CREATE TABLE t (k even UNIQUE)")
	w := s.writer("t", Spec{Columns: []string{"k"}, Match: []string{"k"}})
	w.SetStaged(true)
	w.sql.createStage = `CREATE TEMP TABLE other (tidemill_ord int, k even) PARTITION BY RANGE (tidemill_ord) ON COMMIT DROP;
		CREATE TEMP TABLE tidemill_stage PARTITION OF other DEFAULT ON COMMIT DROP`
	w.sql.copyStage = "COPY pg_temp.other FROM STDIN"
	var input [][][]byte
	var bad []RowError
	for i := range 300 {
		k := 2 * i
		if i%100 == 7 {
			k++
			bad = append(bad, RowError{Row: i, Code: "23514", Constraint: "even_check"})
		}
		input = append(input, row(k))
	}
	res, _ := s.write(w, input)
	for i := range res.Rejected {
		res.Rejected[i].Column = ""
	}
	counts(t, Result{Inserted: 297, Rejected: bad}, res)
}
