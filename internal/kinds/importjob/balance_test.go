package importjob_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/internal/kinds/importjob"
)

var balanceSeed = flag.Uint64("balance.seed", 0, "of TestImportCountersBalance; 0 = by the clock, printed")

// balanceTable swallows rows whose id ends in 3, and refuses n = 13.
const balanceTable = `CREATE TABLE public.t (id int PRIMARY KEY, a text, n int CHECK (n <> 13));
	CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF NEW.id % 10 = 3 THEN RETURN NULL; END IF; RETURN NEW; END';
	CREATE TRIGGER swallow BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION swallow();
	INSERT INTO t SELECT i, 'old', 1 FROM generate_series(0, 40, 4) i`

// balance is what the rows of a file should come to, worked out one by one.
type balance struct {
	table    map[int][2]string // a and n of each id
	counters batch.Counters
	altered  importjob.Altered
}

// Each record of a random file is counted once, as what became of it, and each value that the table does not have as it is
// written is counted as what altered it.
func TestImportCountersBalance(t *testing.T) {
	t.Parallel()
	seed := *balanceSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-balance.seed %d", seed)
	for i, conflict := range []string{"skip", "update", "error"} {
		for j, mode := range []string{"mode: chunked", "mode: chunked\nwriters: 2", "mode: atomic"} {
			t.Run(conflict+" "+strings.ReplaceAll(mode, "\n", " "), func(t *testing.T) {
				t.Parallel()
				random := rand.New(rand.NewPCG(seed, uint64(10*i+j)))
				content, want := balanceFile(random, conflict)
				b := setupChunks(t, balanceTable, `table: t
					match: [id]
					on_conflict: `+conflict+`
					ragged: pad
					columns: {id: id, a: {field: a, trim: true, null_if: ["-"], default: none}, n: {field: n, trim: true, type: number, null_if: ["x"]}}
					reject_limit: {rows: 100000, ratio: 100%}
					`+mode, 1+random.IntN(60))
				info := b.load(t, content)
				if info.Status != batch.Succeeded && info.Status != batch.SucceededWithRejects {
					t.Fatalf("%s: %s", info.Status, text(info.Error))
				}
				// A row that the trigger swallows may be a duplicate as well.
				got := info.Counters
				got.Duplicate, got.Filtered = got.Duplicate+got.Filtered, 0
				if diff := cmp.Diff(want.counters, got); diff != "" {
					t.Errorf("counters (-want +got):\n%s", diff)
				}
				if sum := got.Inserted + got.Updated + got.Unchanged + got.Duplicate + got.Rejected; sum != got.Read {
					t.Errorf("%d read, and %d came to something", got.Read, sum)
				}
				var result struct {
					Note    string
					Altered importjob.Altered
				}
				if err := json.Unmarshal(info.Result, &result); err != nil {
					t.Fatalf("%s: %v", info.Result, err)
				}
				if diff := cmp.Diff(want.altered, result.Altered); diff != "" || !strings.Contains(result.Note, want.altered.String()) {
					t.Errorf("altered (-want +got):\n%s; note: %s", diff, result.Note)
				}
				table := map[int][2]string{}
				for _, row := range b.rows(t, "SELECT id, a, n FROM t") {
					parts := strings.Split(row, "|")
					id, err := strconv.Atoi(parts[0])
					if err != nil {
						t.Fatal(err)
					}
					table[id] = [2]string{parts[1], parts[2]}
				}
				if diff := cmp.Diff(want.table, table); diff != "" {
					t.Errorf("table (-want +got):\n%s\n%s", diff, content)
				}
			})
		}
	}
}

func balanceFile(random *rand.Rand, conflict string) (string, balance) {
	b := balance{table: map[int][2]string{}}
	for id := 0; id <= 40; id += 4 {
		b.table[id] = [2]string{"old", "1"}
	}
	var text strings.Builder
	text.WriteString("id,a,n\n")
	for range 300 + random.IntN(300) {
		id := random.IntN(200)
		a := []string{"old", " x ", "y", "", `""`, `" "`, "-", `" -"`, `"x "`}[random.IntN(9)]
		n := []string{"1", " 2", "", `""`, "13", "x", "x ", "many"}[random.IntN(8)]
		line := fmt.Sprintf("%d,%s,%s", id, a, n)
		padded, broken := false, false
		switch random.IntN(10) {
		case 0:
			line, n, padded = fmt.Sprintf("%d,%s", id, a), "", true
		case 1:
			line, padded = line+",,", true
		case 2:
			line, broken = line+",more", true
		}
		text.WriteString(line + "\n")
		b.add(id, a, n, padded, broken, conflict)
	}
	return text.String(), b
}

// add is what the definition says of one row.
func (b *balance) add(id int, a, n string, padded, broken bool, conflict string) {
	b.counters.Read++
	var altered importjob.Altered
	trim := func(written string) (value string, quoted bool) {
		inner := strings.Trim(written, `"`)
		value = strings.TrimSpace(inner)
		if value != inner {
			altered.Trimmed++
		}
		return value, inner != written
	}
	a, quoted := trim(a)
	if a == "-" {
		a, quoted = "", false
		altered.NullIf++
	}
	if a == "" && !quoted {
		a = "none"
		altered.Default++
	}
	n, _ = trim(n)
	if n == "x" {
		n = ""
		altered.NullIf++
	}
	if n == "" {
		n = "∅"
	}
	if padded {
		altered.Padded++
	}
	row, known := [2]string{a, n}, false
	if before, ok := b.table[id]; ok {
		known = true
		switch {
		case broken || n == "13" || n == "many":
		case conflict == "update" && row == before:
			b.counters.Unchanged++
		case conflict == "update":
			b.counters.Updated++
			b.table[id] = row
		}
	}
	switch {
	case broken, n == "many", known && conflict == "error", n == "13" && id%10 != 3:
		b.counters.Rejected++
		return
	case id%10 == 3, known && conflict == "skip":
		b.counters.Duplicate++
	case !known:
		b.counters.Inserted++
		b.table[id] = row
	}
	b.altered.Trimmed += altered.Trimmed
	b.altered.NullIf += altered.NullIf
	b.altered.Default += altered.Default
	b.altered.Padded += altered.Padded
}

// What PostgreSQL rounds or cuts without a word is counted, and nothing else is: the table says so.
func TestImportCountsWhatATypeRounds(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	b := setup(t, `CREATE DOMAIN money2 AS numeric(12, 2);
		CREATE TABLE public.t (id serial, n numeric(12, 2), d money2, w numeric(12, -2), x numeric, s varchar(3), c char(3), at timestamptz(3), z timestamptz, h time)`,
		"table: t\ncolumns: {n: n, d: d, w: w, x: x, s: s, c: c, at: at, z: z, h: h}")
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	number := func() string {
		return pick("1", "-1.5", "+1.25", "1.250", "1.255", "0.000", "0", "100", "150", "1e2", "15e-1", "1555e-3", "1500e-3", "1.2E1", "NaN", " 7.125 ", ".5", "0.001", "-0.009e2", "")
	}
	moment := func() string {
		return pick("2025-01-01 10:00:00Z", "2025-01-01 10:00:00.125+01", "2025-01-01 10:00:00.1234+05:30", "2025-01-01T10:00:00.123456Z", "2025-01-01 10:00:00.1234567", "2025-01-01 10:00:00.1230000", "2025-01-01", "infinity")
	}
	var content strings.Builder
	content.WriteString("n,d,w,x,s,c,at,z,h\n")
	var rows [][]string
	for range 300 {
		row := []string{
			number(), number(), number(), number(), pick("a", "abc", "abc ", "abc   ", "äöü", "äöü "), pick("a", "abc", "abc  ", "äöü"),
			moment(), moment(), pick("10:00", "10:00:00.1234567", "10:00:00.123456", "10:00:00.5000000"),
		}
		rows = append(rows, row)
		content.WriteString(strings.Join(row, ",") + "\n")
	}
	info := b.load(t, content.String())
	if info.Status != batch.Succeeded {
		t.Fatalf("%s: %s", info.Status, text(info.Error))
	}
	var result struct{ Altered importjob.Altered }
	if err := json.Unmarshal(info.Result, &result); err != nil {
		t.Fatal(err)
	}
	b.exec(t, `CREATE TABLE raw (id serial, n text, d text, w text, x text, s text, c text, at text, z text, h text)`)
	for _, row := range rows {
		args := make([]any, len(row))
		for i, value := range row {
			args[i] = value
		}
		if _, err := b.Pool.Exec(t.Context(), `INSERT INTO raw (n, d, w, x, s, c, at, z, h) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`, args...); err != nil {
			t.Fatal(err)
		}
	}
	// Of a second PostgreSQL keeps no more than a millionth anywhere, so the seventh digit is looked at as a text.
	got := b.rows(t, `SELECT count(*) FROM raw JOIN t USING (id), LATERAL (VALUES
			(nullif(raw.n, '')::numeric <> t.n), (nullif(raw.d, '')::numeric <> t.d), (nullif(raw.w, '')::numeric <> t.w), (nullif(raw.x, '')::numeric <> t.x),
			(raw.s <> t.s), (length(raw.c) > 3), (raw.at::timestamptz <> t.at OR raw.at LIKE '%.1234567%'), (raw.z LIKE '%.1234567%'), (raw.h LIKE '%.1234567%')
		) v (differs) WHERE differs`)
	if want := fmt.Sprint(result.Altered.Rounded); got[0] != want || want == "0" {
		t.Errorf("%s were counted, the table differs in %s", want, got[0])
	}
}

func TestImportNamesOptionalFieldsThatAreNotThere(t *testing.T) {
	t.Parallel()
	for format, content := range map[string]string{"csv": "a\n1\n", "ndjson": "{\"a\":1}\n"} {
		b := setup(t, "CREATE TABLE public.t (a int, b int)", "table: t\nformat: "+format+"\ncolumns: {a: a, b: {field: b, optional: true}}")
		info := b.load(t, content)
		if want := `optional fields that the file does not have: b`; !strings.Contains(string(info.Result), want) {
			t.Errorf("%s: %s does not say %q", format, info.Result, want)
		}
	}
}
