package exportjob_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

// What an export writes is what the server's own COPY with FORMAT csv would have written, to the byte.
func TestExportIsTheServersCSV(t *testing.T) {
	t.Parallel()

	ctx := context.Background()
	const seed = 7
	random := rand.New(rand.NewPCG(seed, 0))
	pieces := []string{"", "a", "=1", " ", ",", ";", `"`, `""`, "\n", "\r", "\r\n", "\t", `\`, `\.`, `\N`, "N", "NULL", "\b", "\f", "\v", "\x01", "é", "漢", "🙂", "'"}
	var values strings.Builder
	for id := range 2000 {
		text := func() string {
			if random.IntN(8) == 0 {
				return "NULL"
			}
			var b strings.Builder
			for range random.IntN(4) {
				b.WriteString(pieces[random.IntN(len(pieces))])
			}
			return "E'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(b.String()) + "'"
		}
		if id > 0 {
			values.WriteString(", ")
		}
		fmt.Fprintf(&values, "(%d, %s, %s, decode('%08x', 'hex'))", id, text(), text(), random.Uint32())
	}
	b := setupExport(t, `CREATE SCHEMA app; CREATE TABLE app.rows (id int PRIMARY KEY, a text, b text, c bytea);
		INSERT INTO app.rows VALUES `+values.String(), "table: app.rows")
	conn, err := pgx.Connect(ctx, b.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for _, form := range []struct{ columns, yaml, sql string }{
		{"id, a, b, c", "", ""},
		{"a", "", ""},
		{"a, b", `delimiter: ";"`, "DELIMITER ';'"},
		{"b, a, c", `delimiter: "\t"`, "DELIMITER E'\\t'"},
		{"a, b", `null_as: '\N'`, `NULL '\N'`},
		{"c, b", `{null_as: "NULL", delimiter: "|"}`, `NULL 'NULL', DELIMITER '|'`},
	} {
		fields := strings.NewReplacer("{", "", "}", "", ", ", "\n").Replace(form.yaml)
		for _, consistency := range []string{"keyset\nchunk: 300", "snapshot\nranges: 3\nchunk: 300"} {
			b.define(t, "table: app.rows\norder_by: [id]\nformulas: keep\ncolumns: ["+form.columns+"]\n"+fields+"\nconsistency: "+consistency)
			got, _ := b.dump(t, "{}")
			options := "FORMAT csv, HEADER"
			if form.sql != "" {
				options += ", " + form.sql
			}
			var want bytes.Buffer
			copySQL := "COPY (SELECT " + form.columns + " FROM app.rows ORDER BY id) TO STDOUT (" + options + ")"
			if _, err := conn.PgConn().CopyTo(ctx, &want, copySQL); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(want.Bytes(), got) {
				t.Errorf("%s, %s: %s", copySQL, consistency, cmp.Diff(want.String(), string(got)))
			}
		}
	}
}
