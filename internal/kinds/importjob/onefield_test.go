package importjob_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/internal/kinds/importjob"
)

// In a file of one field each blank line is a row, and where that is not certain the file is refused.
func TestImportOfOneField(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, file, refused string
		want                []string
	}{
		{"NULL anywhere", "name\n\na\n\n\"\"\n\n", "", []string{"a|1", "|1", "∅|3"}},
		{"CRLF", "name\r\n\r\na\r\n", "", []string{"a|1", "∅|1"}},
		{"blank lines before the header", "\n\nname\na", "", []string{"a|1"}},
		{"line ends made twice", "name\r\r\na\r\r\nb\r\r\n", "it is not certain which of its blank lines are rows", []string{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, `CREATE TABLE public.people (name text)`, "table: people")
			info := b.load(t, tt.file)
			if tt.refused == "" && info.Status != batch.Succeeded || !strings.Contains(text(info.Error), tt.refused) {
				t.Errorf("%s: %s", info.Status, text(info.Error))
			}
			if diff := cmp.Diff(tt.want, b.rows(t, "SELECT name, count(*) FROM people GROUP BY name ORDER BY name DESC NULLS LAST")); diff != "" {
				t.Error(diff)
			}
		})
	}
	b := setup(t, `CREATE TABLE public.people (name text NOT NULL)`, "table: people")
	info := b.load(t, "name\na\n\nb\n")
	var out bytes.Buffer
	if _, err := importjob.WriteRejects(t.Context(), importjob.RejectsOpts{Ledger: b.Ledger, Run: info.ID, Out: &out}); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); info.Status != batch.SucceededWithRejects || !strings.HasPrefix(got, "name,_error\n,") || strings.Contains(got, "whole line") {
		t.Errorf("%s %s: %q", info.Status, text(info.Error), got)
	}
}
