//go:build realinput

// The file is not ours to ship, so this test has a tag and a command of its own:
//
//	apt-get install ieee-data
//	go test -tags realinput ./internal/kinds/importjob -run OUI -v

package importjob_test

import (
	"context"
	"encoding/csv"
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/batch"
)

var ouiFile = flag.String("oui", "/usr/share/ieee-data/oui.csv", "the IEEE's list of organisations, as Debian's package ieee-data installs it")

// A file that nobody here wrote: quoted commas, embedded newlines, repeated keys.
func TestImportOUI(t *testing.T) {
	t.Parallel()

	content, err := os.ReadFile(*ouiFile)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(*ouiFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	records, err := csv.NewReader(f).ReadAll() // the independent reader
	if err != nil {
		t.Fatal(err)
	}
	first := map[string][]string{}
	for _, record := range records[1:] {
		if _, seen := first[record[1]]; !seen {
			first[record[1]] = record
		}
	}

	b := setup(t, `CREATE TABLE public.oui (assignment text PRIMARY KEY, registry text, organization text, address text)`,
		"table: oui\nmatch: [assignment]\non_conflict: skip\n"+
			`columns: {assignment: Assignment, registry: Registry, organization: Organization Name, address: Organization Address}`)
	info := b.load(t, string(content))
	total := int64(len(records) - 1)
	t.Logf("%d records, %d distinct keys", total, len(first))
	want := batch.Counters{Read: total, Inserted: int64(len(first)), Duplicate: total - int64(len(first))}
	if diff := cmp.Diff(want, info.Counters); diff != "" || info.Status != batch.Succeeded {
		t.Fatalf("%s: %s", info.Status, diff)
	}
	rows, err := b.Pool.Query(context.Background(), `SELECT registry, assignment, organization, coalesce(address, '') FROM oui`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		n++
		row := make([]string, 4)
		if err := rows.Scan(&row[0], &row[1], &row[2], &row[3]); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(first[row[1]], row); diff != "" {
			t.Fatal(diff)
		}
	}
	if n != len(first) {
		t.Errorf("%d rows in the table, the file has %d keys", n, len(first))
	}

	// Again, as --force does: every row is there already, and stays as it is.
	const fingerprint = `SELECT md5(string_agg(o::text || xmin::text || ctid::text, '' ORDER BY assignment)) FROM oui o`
	before := b.rows(t, fingerprint)
	info = b.load(t, string(content))
	if diff := cmp.Diff(batch.Counters{Read: total, Duplicate: total}, info.Counters); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(before, b.rows(t, fingerprint)); diff != "" {
		t.Error("the second import changed the table")
	}
}
