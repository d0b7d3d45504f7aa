package importjob_test

import (
	"compress/gzip"
	"context"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/batch"
)

func TestImportAtomic(t *testing.T) {
	t.Parallel()
	const table = "CREATE TABLE public.people (id int PRIMARY KEY, name text CHECK (name <> 'bad')); INSERT INTO public.people VALUES (1, 'old')"
	good := "id,name\n" + strings.Repeat("1,again\n", 150) + "2,two\n3,three\n"
	for name, test := range map[string]struct {
		fields, csv string
		status      batch.Status
		counters    batch.Counters
		rows        []string
		rejects     int
		err         string
	}{
		"all": {
			"on_conflict: skip", good, batch.Succeeded, batch.Counters{Read: 152, Inserted: 2, Duplicate: 150},
			[]string{"1|old", "2|two", "3|three"}, 0, "",
		},
		"nothing, by default, for one reject at its end": {
			"on_conflict: skip", good + "4,bad\n", batch.Failed, batch.Counters{}, []string{"1|old"}, 1, "nothing was imported",
		},
		"some rejects are allowed": {
			"on_conflict: update\nreject_limit: {rows: 2}", "id,name\n1,new\n4,bad\nx,y\n", batch.SucceededWithRejects,
			batch.Counters{Read: 3, Updated: 1, Rejected: 2}, []string{"1|new"}, 2, "",
		},
		"more than are allowed": {
			"on_conflict: update\nreject_limit: {rows: 1}", "id,name\n1,new\n4,bad\nx,y\n", batch.Failed,
			batch.Counters{}, []string{"1|old"}, 2, "nothing was imported",
		},
		"a damaged file": {
			"on_conflict: skip\ncompression: gzip", "no gzip", batch.Failed, batch.Counters{}, []string{"1|old"}, 0, "file.csv",
		},
		"a file that is cut off": {
			"on_conflict: skip", cutOff(good), batch.Failed, batch.Counters{}, []string{"1|old"}, 0, "file.csv",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupChunks(t, table, "table: people\nmatch: [id]\nmode: atomic\n"+test.fields, 50)
			info := b.load(t, test.csv)
			if diff := cmp.Diff(test.counters, info.Counters); diff != "" || info.Status != test.status {
				t.Errorf("%s: %s", info.Status, diff)
			}
			if diff := cmp.Diff(test.rows, b.rows(t, "SELECT id, name FROM people ORDER BY id")); diff != "" {
				t.Error(diff)
			}
			rejects, err := b.Ledger.Rejects(context.Background(), info.ID, 0, 100)
			if err != nil {
				t.Fatal(err)
			}
			if len(rejects) != test.rejects {
				t.Errorf("rejects: %+v", rejects)
			}
			if got := failure(info); !strings.Contains(got, test.err) || (got == "") != (test.err == "") {
				t.Errorf("error %q, want %q in it", got, test.err)
			}
		})
	}
}

// cutOff is most of a gzip file.
func cutOff(text string) string {
	var b strings.Builder
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return b.String()[:b.Len()-9]
}

func failure(info *batch.Info) string {
	if info.Error == nil {
		return ""
	}
	return *info.Error
}

// Another session sees nothing of the import while it runs, and it starts over when its connection is lost.
func TestImportAtomicIsSeenAtOnce(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b := setupChunks(t, `CREATE TABLE public.people (id int PRIMARY KEY, name text);
		CREATE TABLE public.gate (); CREATE SEQUENCE public.times;
		CREATE FUNCTION public.wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN
			IF new.id = 190 THEN PERFORM nextval(''public.times''); LOCK TABLE public.gate IN ACCESS SHARE MODE; END IF; RETURN NULL; END';
		CREATE TRIGGER wait AFTER INSERT ON public.people FOR EACH ROW EXECUTE FUNCTION public.wait()`, "table: people\nmode: atomic", 50)
	gate, err := b.Pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := gate.Exec(ctx, "LOCK TABLE public.gate"); err != nil {
		t.Fatal(err)
	}
	done := make(chan *batch.Info)
	go func() { done <- b.load(t, "id,name\n"+strings.ReplaceAll(strings.Join(numbered(200), ""), "k", "")) }()
	waiting := func() (pid int, ok bool) {
		err := b.Pool.QueryRow(ctx, `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&pid)
		if err != nil && err != pgx.ErrNoRows {
			t.Error(err)
		}
		return pid, err == nil
	}
	await := func() int {
		for {
			if pid, ok := waiting(); ok {
				return pid
			}
		}
	}
	pid := await()
	if n := b.rows(t, "SELECT count(*) FROM people")[0]; n != "0" {
		t.Errorf("%s rows are seen", n)
	}
	b.exec(t, "SELECT pg_terminate_backend("+strconv.Itoa(pid)+")")
	for again := await(); again == pid; again = await() {
	}
	if err := gate.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	info := <-done
	if info.Status != batch.Succeeded || info.Counters.Inserted != 200 {
		t.Errorf("%s: %+v", info.Status, info.Counters)
	}
	if n := b.rows(t, "SELECT last_value FROM times")[0]; n != "2" {
		t.Errorf("it began %s times", n)
	}
}
