package importjob_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/batch"
)

func noteOf(t *testing.T, info *batch.Info) string {
	t.Helper()
	var result struct{ Note string }
	if len(info.Result) > 0 {
		if err := json.Unmarshal(info.Result, &result); err != nil {
			t.Fatal(err)
		}
	}
	return result.Note
}

// manyLines are n objects, and what comes only after them.
func manyLines(n int, last string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{\"id\":%d}\n", i)
	}
	return b.String() + last + "\n"
}

// Which members a file has is known when all of it was read, wherever the first line stands that has one.
func TestImportOfMembersThatComeLate(t *testing.T) {
	t.Parallel()
	const table = `CREATE TABLE public.people (id int PRIMARY KEY, name text, at int DEFAULT 7)`
	for _, n := range []int{0, 1, 99, 100, 101, 150, 70_000} {
		for _, mode := range []string{"chunked", "atomic"} {
			t.Run(fmt.Sprint(n, mode), func(t *testing.T) {
				t.Parallel()
				b := setup(t, table, "table: people\nformat: ndjson\nmode: "+mode)
				info := b.load(t, manyLines(n, `{"id":-1,"name":"late"}`))
				if info.Status != batch.Succeeded || info.Counters.Inserted != int64(n)+1 {
					t.Fatalf("%s: %s %+v", info.Status, text(info.Error), info.Counters)
				}
				got := b.rows(t, "SELECT name, count(*), sum(at) = 7 * count(*) FROM people GROUP BY name ORDER BY name")
				want := []string{"late|1|true"}
				if n > 0 {
					want = append(want, fmt.Sprintf("∅|%d|true", n))
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

// Members that go nowhere are counted, by their names, over all chunks.
func TestImportCountsMembersThatGoNowhere(t *testing.T) {
	t.Parallel()
	for _, fields := range []string{"", "\ncolumns: {id, name}", "\nmode: atomic\nreject_limit: {rows: 100}", "\nwriters: 3"} {
		t.Run(strings.TrimSpace(fields), func(t *testing.T) {
			t.Parallel()
			b := setupChunks(t, `CREATE TABLE public.people (id int PRIMARY KEY CHECK (id % 10 <> 9), name text)`, "table: people\nformat: ndjson"+fields, 50)
			var file strings.Builder
			for i := range 1000 {
				switch {
				case i%3 == 0:
					fmt.Fprintf(&file, "{\"id\":%d,\"name\":\"n\",\"nmae\":1}\n", i)
				case i == 998:
					fmt.Fprintf(&file, "{\"id\":%d,\"late\":{\"id\":1}}\n", i)
				default:
					fmt.Fprintf(&file, "{\"id\":%d}\n", i)
				}
			}
			info := b.load(t, file.String())
			if info.Status != batch.SucceededWithRejects || info.Counters.Inserted != 900 || info.Counters.Rejected != 100 {
				t.Fatalf("%s: %s %+v", info.Status, text(info.Error), info.Counters)
			}
			if got, want := noteOf(t, info), "members that no column takes: nmae (334), late (1)"; got != want {
				t.Errorf("note %q, want %q", got, want)
			}
		})
	}
}

// Names without end, as where keys are ids, have a bound.
func TestImportOfMembersWithoutEnd(t *testing.T) {
	t.Parallel()
	b := setup(t, `CREATE TABLE public.people (id int PRIMARY KEY)`, "table: people\nformat: ndjson")
	var file strings.Builder
	for i := range 300 {
		fmt.Fprintf(&file, "{\"id\":%d,\"k%d%s\":1}\n", i, i, strings.Repeat("é", 200))
	}
	info := b.load(t, file.String())
	if note := noteOf(t, info); info.Status != batch.Succeeded || !strings.Contains(note, "and 90 more names, others (200)") || len(info.Result) > 50_000 {
		t.Errorf("%s: %s, %d bytes", info.Status, note, len(info.Result))
	}
}

// What no line of a file has is an error before anything is written, unless it is said that files may lack it.
func TestImportOfMembersThatNoLineHas(t *testing.T) {
	t.Parallel()
	const table = `CREATE TABLE public.people (id int PRIMARY KEY, name text, age int)`
	late := manyLines(500, `{"id":-1,"name":"late","user":{"email":"x@example.com"}}`)
	for _, tt := range []struct {
		name, fields, file, refused string
		want                        []string
	}{
		{"mistyped", "columns: {id, name: nmae}", late, "none of its 501 lines has the member \"nmae\", which column name needs; they have: id, name, user; " +
			"name another under columns, or, if files may lack it: `name: {field: \"nmae\", optional: true}`", []string{"0|∅|∅"}},
		{"mistyped, with a default", "columns: {id, name: {field: nmae, default: x}}", late, "has the member \"nmae\"", []string{"0|∅|∅"}},
		{"mistyped, atomic", "columns: {id, name: nmae}\nmode: atomic", late, "has the member \"nmae\"", []string{"0|∅|∅"}},
		{"dotted", "columns: {id, name: user.email}", late, "take \"user\" whole into a column of type jsonb", []string{"0|∅|∅"}},
		{"optional", "columns: {id, name: {field: nmae, optional: true}}", late, "", []string{"501|0|0"}},
		{"optional, with a default", "columns: {id, name: {field: nmae, optional: true, default: x}, age: {optional: true}}", late, "", []string{"501|501|0"}},
		{"one line has it", "columns: {id, name}", late, "", []string{"501|1|0"}},
		{"nothing has a column", "", "{\"nr\":1,\"full\":2}\n", "none of its members is a column of the table public.people; they are: nr, full", []string{"0|∅|∅"}},
		{"CSV", "format: csv\ncolumns: {id, name: nmae}", "id,name\n1,a\n", "if files may lack it: `name: {field: \"nmae\", optional: true}`", []string{"0|∅|∅"}},
		{"CSV, optional", "format: csv\ncolumns: {id, name: {field: nmae, optional: true, default: x}, age: {optional: true}}", "id,name\n1,a\n", "", []string{"1|1|0"}},
		{"CSV by numbers, optional", "format: csv\nheader: false\ncolumns: {id: 1, name: {field: 3, optional: true}}", "1,a\n", "", []string{"1|0|0"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			fields := "table: people\n" + tt.fields
			if !strings.Contains(fields, "format:") {
				fields += "\nformat: ndjson"
			}
			b := setup(t, table, fields)
			info := b.load(t, tt.file)
			if tt.refused == "" && info.Status != batch.Succeeded || tt.refused != "" && (info.Status != batch.Failed || !strings.Contains(text(info.Error), tt.refused)) {
				t.Errorf("%s: %s", info.Status, text(info.Error))
			}
			got := b.rows(t, "SELECT count(*), CASE WHEN count(*) > 0 THEN count(name) END, CASE WHEN count(*) > 0 THEN count(age) END FROM people")
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
