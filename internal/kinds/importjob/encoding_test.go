package importjob_test

import (
	"strings"
	"testing"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/tidemill/tidemill/batch"
)

// A file in an encoding that an import does not read is refused before a row is written, with what to do. It was read as another.
func TestImportRefusesAnUncertainEncoding(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, file, want string }{
		{"Chinese", encoded(t, simplifiedchinese.GBK, "id,name\n1,张伟\n2,王芳\n3,北京市朝阳区\n"), "iconv -f GBK -t UTF-8"},
		{"Polish", encoded(t, charmap.Windows1250, "id,name\n1,Łukasz\n2,Wiśniewski\n3,Gdańsk\n"), "iconv -f WINDOWS-1250 -t UTF-8"},
		{"Turkish", encoded(t, charmap.Windows1254, "id,name\n1,Ayşe\n2,Oğuz\n3,Işıl\n"), "iconv -f WINDOWS-1254 -t UTF-8"},
		{"of a Mac", encoded(t, charmap.Macintosh, "id,name\n1,José\n2,Müller\n3,García\n"), "iconv -f MACINTOSH -t UTF-8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, `CREATE TABLE public.people (id int, name text)`, "table: people")
			info := b.load(t, tt.file)
			if info.Status != batch.Failed || !strings.Contains(text(info.Error), "the encoding is not certain") || !strings.Contains(text(info.Error), tt.want) {
				t.Errorf("%s: %s", info.Status, text(info.Error))
			}
			if rows := b.rows(t, "SELECT name FROM people"); len(rows) > 0 {
				t.Errorf("imported as %q", rows)
			}
		})
	}
}
