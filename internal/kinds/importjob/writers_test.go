package importjob_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/batch"
)

// hardTable refuses rows in every way, some of which depend on the rows before.
const hardTable = `CREATE TABLE public.hard (
	key text PRIMARY KEY, n int CHECK (n % 997 <> 0), other text UNIQUE, parent text REFERENCES public.hard (key), note varchar(8),
	period int4range, EXCLUDE USING gist (period WITH &&));
	INSERT INTO public.hard (key, n, other) SELECT 'old' || i, 1, 'o' || i FROM generate_series(1, 20) i`

// hardRows makes rows of which few go in as they are: keys and other values come again, parents are rows just before, of
// long ago, or missing.
func hardRows(n int) string {
	rng := rand.New(rand.NewPCG(7, uint64(n)))
	var b strings.Builder
	b.WriteString("key,n,other,parent,note,period\n")
	for i := range n {
		key, other, parent, note, period := fmt.Sprintf("k%d", i), fmt.Sprintf("x%d", i), "", "note", ""
		switch rng.IntN(40) {
		case 0:
			key = fmt.Sprintf("k%d", rng.IntN(i+1))
		case 1:
			key = fmt.Sprintf("k%d", max(0, i-rng.IntN(150)))
		case 2:
			key = fmt.Sprintf("old%d", rng.IntN(40))
		case 3:
			other = fmt.Sprintf("x%d", max(0, i-rng.IntN(150)))
		case 4:
			parent = fmt.Sprintf("k%d", max(0, i-rng.IntN(5)))
		case 5:
			parent = fmt.Sprintf("k%d", i+rng.IntN(50))
		case 6:
			note = "too long for it"
		case 7:
			key = ""
		case 8:
			period = fmt.Sprintf(`"[%d,%d)"`, i, i+1+rng.IntN(100))
		}
		fmt.Fprintf(&b, "%s,%d,%s,%s,%s,%s\n", key, i, other, parent, note, period)
	}
	return b.String()
}

// wavering changes rows and, in a chunk soon after, changes them back.
func wavering(n int) string {
	rng := rand.New(rand.NewPCG(11, uint64(n)))
	var b strings.Builder
	b.WriteString("key,n\n")
	for i := range n {
		key := i
		if rng.IntN(10) == 0 {
			key = max(0, i-rng.IntN(250))
		}
		fmt.Fprintf(&b, "%d,%d\n", key, rng.IntN(2))
	}
	return b.String()
}

// tame leaves out what makes rows depend on each other, but for the key.
func tame(csv string) string {
	var b strings.Builder
	for line := range strings.Lines(csv) {
		fields := strings.Split(strings.TrimSpace(line), ",")
		fmt.Fprintf(&b, "%s,%s\n", fields[0], fields[1])
	}
	return b.String()
}

func TestImportWriters(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ table, csv string }{
		"rows that depend on each other":      {hardTable, hardRows(3000)},
		"only the key":                        {"CREATE TABLE public.hard (key text PRIMARY KEY, n int)", tame(hardRows(6000))},
		"rows that go back to what they were": {"CREATE TABLE public.hard (key int PRIMARY KEY, n int); INSERT INTO public.hard SELECT i, 1 FROM generate_series(1, 6000, 3) i", wavering(6000)},
		"with trigger": {`CREATE TABLE public.hard (key text PRIMARY KEY, n int);
			CREATE FUNCTION public.odd() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF new.n % 7 = 0 THEN RETURN NULL; END IF; RETURN new; END';
			CREATE TRIGGER odd BEFORE INSERT ON public.hard FOR EACH ROW EXECUTE FUNCTION public.odd()`, tame(hardRows(3000))},
	} {
		for _, mode := range []string{"skip", "error", "update"} {
			t.Run(name+" "+mode, func(t *testing.T) {
				t.Parallel()
				fields := "table: hard\nmatch: [key]\nreject_limit: {rows: 1000000}\non_conflict: " + mode
				one := importHard(t, test.table, fields, test.csv)
				four := importHard(t, test.table, fields+"\nwriters: 4", test.csv)
				if diff := cmp.Diff(one, four); diff != "" {
					t.Errorf("one writer (-) and four (+):\n%s", diff)
				}
			})
		}
	}
}

type hardOutcome struct {
	Counters batch.Counters
	Rows     []string
	Rejects  []string
}

func importHard(t *testing.T, table, fields, csv string) hardOutcome {
	t.Helper()
	b := setupChunks(t, table, fields, 100)
	info := b.load(t, csv)
	if info.Status == batch.Failed {
		t.Fatalf("failed: %s", *info.Error)
	}
	rejects, err := b.Ledger.Rejects(context.Background(), info.ID, 0, 100_000)
	if err != nil {
		t.Fatal(err)
	}
	out := hardOutcome{Counters: info.Counters, Rows: b.rows(t, "SELECT to_jsonb(h)::text FROM hard h ORDER BY key")}
	for _, x := range rejects {
		out.Rejects = append(out.Rejects, fmt.Sprintf("%d %d %s %s %q", x.Ordinal, x.Line, x.Code, x.Column, x.Raw))
	}
	return out
}

// Each transaction waits, after its rows, until another one has come as far.
func TestImportWritersWriteAtOnce(t *testing.T) {
	t.Parallel()
	b := setupChunks(t, `CREATE TABLE public.hard (key text PRIMARY KEY, n int);
			CREATE TABLE public.seen (n int);
			CREATE FUNCTION public.meet() RETURNS trigger LANGUAGE plpgsql AS $$
			DECLARE n int;
			BEGIN
				PERFORM pg_advisory_xact_lock_shared(1);
				FOR i IN 1 .. 200 LOOP
					SELECT count(*) INTO n FROM pg_locks WHERE locktype = 'advisory' AND objid = 1 AND database = (SELECT oid FROM pg_database WHERE datname = current_database());
					EXIT WHEN n > 1 OR EXISTS (SELECT FROM public.seen);
					PERFORM pg_sleep(0.05);
				END LOOP;
				INSERT INTO public.seen VALUES (n);
				RETURN NULL;
			END $$;
			CREATE TRIGGER meet AFTER INSERT ON public.hard EXECUTE FUNCTION public.meet()`, "table: hard\nmatch: [key]\non_conflict: skip\nwriters: 2", 100)
	info := b.load(t, "key,n\n"+strings.Join(numbered(200), ""))
	if info.Counters.Inserted != 200 {
		t.Fatalf("%+v", info)
	}
	if got := b.rows(t, "SELECT max(n) FROM seen"); got[0] != "2" {
		t.Errorf("%s transactions wrote at once", got[0])
	}
}

func numbered(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("k%d,%d\n", i, i)
	}
	return out
}

// A run that ends while chunks are begun leaves no transaction behind.
func TestImportWritersEndTogether(t *testing.T) {
	t.Parallel()
	b := setupChunks(t, "CREATE TABLE public.hard (key text PRIMARY KEY, n int)", "table: hard\nmatch: [key]\non_conflict: skip\nwriters: 4\nreject_limit: {rows: 0}", 20)
	for i := range 40 {
		rows := numbered(200)
		rows[i*4] = "bad,x\n"
		if info := b.load(t, "key,n\n"+strings.Join(rows, "")); info.Status != batch.Failed {
			t.Fatalf("run %d %s", info.ID, info.Status)
		}
	}
	open := func() string {
		return b.rows(t, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'`)[0]
	}
	for deadline := time.Now().Add(5 * time.Second); open() != "0"; {
		if time.Now().After(deadline) {
			t.Fatalf("%s transactions are open", open())
		}
	}
}
